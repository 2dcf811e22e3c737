//! All interleavings of the worker's loop with those who call it, under loom.
//!
//! The loop, the engine, the lanes and the handles are the real ones, and so are the files. The
//! driver does at once what it is asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use loom::future::block_on;
use loom::sync::Condvar;
use loom::thread;

use super::{Shared, Started, run};
use crate::driver::files::{PageFile, PageFiles};
use crate::driver::{Completion, Driver, Io, Notifier, Request, Wait};
use crate::engine::{Config, Engine};
use crate::error::{AppendError, Error, QueryError};
use crate::format::seal::SealBody;
use crate::format::{PAGE_HEADER_SIZE, StoreId, align_up};
use crate::index::Spacing;
use crate::log::Log;
use crate::memory::{Pool, ReadPool};
use crate::options::{Options, Retention};
use crate::published::Published;
use crate::recovery::{Recovered, RecoveryReport};
use crate::sync::{self, Mutex};
use crate::{Cursor, Waldo};

/// What a driver sleeps on.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    news: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock();
        while !std::mem::take(&mut *rung) {
            rung = self.news.wait(rung).unwrap();
        }
    }
}

impl Notifier for Bell {
    fn notify(&self) {
        *self.rung.lock() = true;
        self.news.notify_one();
    }
}

/// A driver that does at once what it is asked for.
struct Instantly {
    disk: Arc<Disk>,
    ended: Vec<Completion>,
    bell: Arc<Bell>,
}

/// The page files, for those who write and for those who read.
struct Disk {
    writable: Vec<File>,
    files: Arc<PageFiles>,
}

impl Disk {
    /// Files as long as pages. They outlive one execution: nobody reads what was not written in
    /// his own.
    fn new(config: &Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = (0..config.ring_size).map(|page| dir.path().join(page.to_string()));
        let (writable, files) = paths
            .map(|path| {
                std::fs::write(&path, vec![0; config.page_size as usize]).unwrap();
                let file = File::options().write(true).open(&path).unwrap();
                (file, PageFile::open(&path, false).unwrap())
            })
            .unzip();
        Self { writable, files: Arc::new(PageFiles(files)) }
    }
}

impl Driver for Instantly {
    fn submit(&mut self, request: Request) {
        let (result, buffer) = match request.io {
            Io::Write { page, offset, parts, .. } => {
                let second = parts.second.as_deref().unwrap_or_default();
                let file = &self.disk.writable[page as usize];
                file.write_all_at(&parts.first, offset).unwrap();
                file.write_all_at(second, offset + parts.first.len() as u64).unwrap();
                (Ok(parts.len()), None)
            }
            Io::Read { page, offset, mut buffer } => {
                self.disk.files.0[page as usize].read_exact_at(offset, &mut buffer).unwrap();
                (Ok(buffer.len()), Some(buffer))
            }
            Io::Zero { len, .. } => (Ok(len), None),
            Io::Sync { .. } => (Ok(0), None),
        };
        self.ended.push(Completion { id: request.id, result, buffer });
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        if self.ended.is_empty() && wait != Wait::Poll {
            self.bell.wait();
        }
        completions.append(&mut self.ended);
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::clone(&self.bell) as _
    }
}

fn config() -> Config {
    let index_capacity = 8;
    let seal_capacity = align_up(SealBody::frame_size(index_capacity) as u64, 8);
    Config {
        store_id: StoreId(*b"a store of races"),
        ring_size: 2,
        page_size: PAGE_HEADER_SIZE as u64 + 5120,
        alignment: 8,
        seal_capacity,
        buf_capacity: 16384,
        page_capacity: u64::MAX,
        index_capacity,
        spacing: Spacing { bytes: 512, count: 8 },
        durable: true,
        retention: Retention::Overwrite,
        writes_max: 4,
        flush_interval_ns: None,
    }
}

/// What a test wants to be different.
struct Setup {
    /// Times that a thread may be interrupted where it need not wait.
    preemptions: usize,
    /// Bytes of small appends that may wait.
    small_max: usize,
    /// Buffers that the hot tail keeps.
    tail_buffers: usize,
    page_capacity: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { preemptions: 2, small_max: 1024, tail_buffers: 1, page_capacity: u64::MAX }
    }
}

/// Checks all that can happen between a worker and `test`.
fn check(setup: Setup, test: impl Fn(&Waldo) + Send + Sync + 'static) {
    let disk = Arc::new(Disk::new(&config()));
    sync::check(setup.preemptions, move || {
        let config = Config { page_capacity: setup.page_capacity, ..config() };
        let disk = Arc::clone(&disk);
        let files = Arc::clone(&disk.files);
        let driver = Instantly { disk, ended: Vec::new(), bell: Arc::default() };
        let recovered = Recovered { free: vec![0, 1], ..Recovered::default() };
        let pool = Pool::new(8, 2, config.buf_capacity, false).unwrap();
        let published = Published::new(config.store_id, pool, setup.tail_buffers, &recovered);
        let limits = config.batch_limits();
        let engine = Engine::new(config, Arc::clone(&published), recovered);
        let shared = Arc::new(Shared::new(published, driver.notifier(), setup.small_max));
        let waldo = Waldo::new(Started {
            path: "a store of races".into(),
            shared: Arc::clone(&shared),
            files,
            read_pool: ReadPool::new(1 << 20),
            limits,
            options: Options { buf_capacity: 16384, ..Options::default() },
            report: RecoveryReport::default(),
            thread: Arc::default(),
        });
        let worker = thread::spawn(move || run::run(&shared, (), engine, Box::new(driver), 1));
        test(&waldo);
        block_on(waldo.clone().close()).unwrap();
        worker.join().unwrap();
    });
}

fn log(seq_no: u64) -> [Log<'static>; 1] {
    [Log::new_owned(seq_no, seq_no - 1, vec![seq_no as u8; 8])]
}

fn numbers(waldo: &Waldo) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut stream = waldo.stream(Cursor::Trim);
    while let Ok(chunk) = block_on(stream.next()) {
        for log in chunk.iter() {
            assert_eq!(log.data(), [log.seq_no() as u8; 8]);
            numbers.push(log.seq_no());
        }
    }
    numbers
}

/// The worker is told of what is submitted, whether it is about to sleep or not.
#[test]
fn an_append_finds_the_worker() {
    check(Setup { preemptions: 3, ..Setup::default() }, |waldo| {
        for seq_no in 1..=2 {
            block_on(waldo.append(&log(seq_no))).unwrap();
            assert_eq!(waldo.prev_seq_no(), Some(seq_no));
        }
    });
}

/// Two threads append at once, with room for one of them at a time.
#[test]
fn who_waits_for_room_gets_it() {
    check(Setup { small_max: 32, ..Setup::default() }, |waldo| {
        let append = |waldo: Waldo| move || block_on(waldo.append_assigned(&[[1; 8]])).unwrap();
        let other = thread::spawn(append(waldo.clone()));
        append(waldo.clone())();
        other.join().unwrap();
        assert_eq!(waldo.prev_seq_no(), Some(2));
    });
}

/// A stream that waits is woken by an append.
#[test]
fn an_append_finds_the_reader() {
    check(Setup::default(), |waldo| {
        let reader = thread::spawn({
            let mut stream = waldo.stream(Cursor::Trim);
            move || {
                let chunk = block_on(stream.next()).unwrap();
                assert_eq!(chunk.iter().map(|log| log.seq_no()).collect::<Vec<_>>(), [1]);
            }
        });
        block_on(waldo.append(&log(1))).unwrap();
        reader.join().unwrap();
    });
}

/// A stream that waits is told of the close.
#[test]
fn a_close_finds_the_reader() {
    check(Setup::default(), |waldo| {
        let reader = thread::spawn({
            let mut stream = waldo.stream(Cursor::Trim);
            move || assert_eq!(block_on(stream.next()).unwrap_err(), QueryError::Closed)
        });
        block_on(waldo.clone().close()).unwrap();
        reader.join().unwrap();
    });
}

/// An append that meets a close is answered once: it is in the log, or it is not.
#[test]
fn an_append_meets_a_close() {
    check(Setup::default(), |waldo| {
        let appender = thread::spawn({
            let waldo = waldo.clone();
            move || block_on(waldo.append(&log(1)))
        });
        block_on(waldo.clone().close()).unwrap();
        match appender.join().unwrap() {
            Ok(()) => assert_eq!(numbers(waldo), [1]),
            Err(error) => assert_eq!((error, waldo.prev_seq_no()), (AppendError::Closed, None)),
        }
    });
}

/// What is pushed into a lane when the worker has just ended is ended all the same.
#[test]
fn an_operation_that_comes_too_late_is_ended() {
    check(Setup::default(), |waldo| {
        let submitter = thread::spawn({
            let waldo = waldo.clone();
            move || block_on(waldo.sync())
        });
        block_on(waldo.clone().close()).unwrap();
        assert!(matches!(submitter.join().unwrap(), Ok(()) | Err(Error::Closed)));
    });
}

/// A reader that meets a clear, and an append behind it, gets what was there before, then the
/// news, then what is there now: never the new log behind the old one as if nothing had been.
#[test]
fn a_clear_meets_a_reader() {
    check(Setup::default(), |waldo| {
        block_on(waldo.append(&log(1))).unwrap();
        let reader = thread::spawn({
            let mut stream = waldo.stream(Cursor::Trim);
            move || {
                let mut seen: Vec<Vec<u8>> = Vec::new();
                while seen.last().is_none_or(|last| last != b"new") {
                    match block_on(stream.next()) {
                        Ok(chunk) => {
                            let log = chunk.iter().next().unwrap();
                            assert_eq!((chunk.count(), log.seq_no()), (1, 1));
                            seen.push(log.data().to_vec());
                        }
                        Err(error) => {
                            assert_eq!(error, QueryError::Truncated { tip: 0 });
                            seen.push(b"truncated".to_vec());
                        }
                    }
                }
                let (old, news, new) = (vec![1; 8], b"truncated".to_vec(), b"new".to_vec());
                assert!(seen == [new.clone()] || seen == [old, news, new], "{seen:?}");
            }
        });
        block_on(waldo.clear()).unwrap();
        block_on(waldo.append(&[Log::new_borrowed(1, 0, b"new")])).unwrap();
        reader.join().unwrap();
    });
}

/// A reader that knows of a truncation from the start got the logs that it had made void: they
/// were taken out of the hot tail a moment too late. Nobody ever told the reader that they were
/// void, and the logs that took their numbers were not for it any more.
#[test]
fn a_truncation_leaves_nothing_to_new_readers() {
    check(Setup::default(), |waldo| {
        block_on(waldo.append(&log(1))).unwrap();
        block_on(waldo.append(&log(2))).unwrap();
        let reader = thread::spawn({
            let waldo = waldo.clone();
            move || {
                let mut stream = waldo.stream(Cursor::Trim);
                let seen = stream.try_next().ok().flatten().map(|chunk| chunk.last_seq_no());
                (stream, seen)
            }
        });
        block_on(waldo.truncate(1)).unwrap();
        let (mut stream, seen) = reader.join().unwrap();
        match stream.try_next() {
            Err(error) => {
                assert_eq!((seen, error), (Some(2), QueryError::Truncated { tip: 1 }));
            }
            Ok(next) => assert_eq!(seen.or(next.map(|chunk| chunk.last_seq_no())), Some(1)),
        }
    });
}

/// The trim point was taken back before the logs were cleared away: for a moment, trimmed logs
/// were there again.
#[test]
fn a_clear_shows_nothing_that_was_trimmed() {
    check(Setup::default(), |waldo| {
        block_on(waldo.append(&log(1))).unwrap();
        block_on(waldo.append(&log(2))).unwrap();
        block_on(waldo.trim(1)).unwrap();
        let reader = thread::spawn({
            let waldo = waldo.clone();
            move || {
                let mut stream = waldo.stream(Cursor::Trim);
                if let Ok(Some(chunk)) = stream.try_next() {
                    assert_eq!(chunk.iter().next().map(|log| log.seq_no()), Some(2));
                }
            }
        });
        block_on(waldo.clear()).unwrap();
        reader.join().unwrap();
    });
}

/// A reader looked whether its logs were trimmed, and then where they are. The page was given up
/// in between, it was led to the page behind it, and said that the store was damaged.
#[test]
fn a_page_that_is_given_up_is_no_damage() {
    let setup = Setup { tail_buffers: 0, page_capacity: 1, ..Setup::default() };
    check(setup, |waldo| {
        block_on(waldo.append(&log(1))).unwrap();
        block_on(waldo.append(&log(2))).unwrap();
        let reader = thread::spawn({
            let mut stream = waldo.stream(Cursor::After(0));
            move || match block_on(stream.next()) {
                Ok(chunk) => assert_eq!(chunk.iter().next().map(|log| log.seq_no()), Some(1)),
                Err(error) => assert_eq!(error, QueryError::Trimmed { oldest: 2 }),
            }
        });
        block_on(waldo.append(&log(3))).unwrap();
        reader.join().unwrap();
    });
}
