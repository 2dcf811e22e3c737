//! What users see where the driver fails, or the worker itself.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::driver::{Completion, Driver, Io, Notifier, Request, Wait};
use crate::{AppendError, Backend, Cursor, Error, Log, Options, QueryError, Waldo};

/// What goes wrong from the moment it is switched on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Writes fail with this error number.
    Write(i32),
    /// Writes are cut short.
    Short,
    /// The first write is cut short.
    ShortFirst,
    /// Reads fail with this error number.
    Read(i32),
    /// Syncs fail with this error number.
    Sync(i32),
    /// The worker panics at the next request.
    Panic,
    /// The driver breaks at the next wait.
    Break,
}

/// A driver that works until it is told not to.
struct Faulty {
    inner: Box<dyn Driver>,
    fault: Fault,
    on: Arc<AtomicBool>,
    reads: Vec<u64>,
    writes: Vec<u64>,
    syncs: Vec<u64>,
}

impl Driver for Faulty {
    fn submit(&mut self, request: Request) {
        let on = self.on.load(Ordering::SeqCst);
        assert!(!on || self.fault != Fault::Panic, "on purpose, in the worker");
        match &request.io {
            Io::Write { .. } => self.writes.push(request.id),
            Io::Read { .. } => self.reads.push(request.id),
            Io::Sync { .. } => self.syncs.push(request.id),
            Io::Zero { .. } => {}
        }
        self.inner.submit(request);
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.inner.wait(wait, completions)?;
        if !self.on.load(Ordering::SeqCst) {
            return Ok(());
        }
        for completion in completions {
            let is_write = self.writes.contains(&completion.id);
            let is_read = self.reads.contains(&completion.id);
            let is_sync = self.syncs.contains(&completion.id);
            match (self.fault, &mut completion.result) {
                (Fault::Write(errno), result) if is_write => *result = Err(errno),
                (Fault::Short, Ok(len)) if is_write => *len /= 2,
                (Fault::ShortFirst, Ok(len)) if self.writes.first() == Some(&completion.id) => {
                    *len /= 2;
                }
                (Fault::Read(errno), result) if is_read => *result = Err(errno),
                (Fault::Sync(errno), result) if is_sync => *result = Err(errno),
                _ => {}
            }
        }
        if self.fault == Fault::Break {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        self.inner.notifier()
    }
}

/// A store with ten logs, and what switches its fault on.
fn faulty(dir: &tempfile::TempDir, backend: Backend, fault: Fault) -> (Waldo, Arc<AtomicBool>) {
    faulty_with(dir, options(backend), fault)
}

fn faulty_with(
    dir: &tempfile::TempDir,
    options: Options,
    fault: Fault,
) -> (Waldo, Arc<AtomicBool>) {
    let on = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&on);
    let waldo = Waldo::open_with_driver(dir.path(), options, move |inner| {
        let (reads, writes, syncs) = (Vec::new(), Vec::new(), Vec::new());
        Box::new(Faulty { inner, fault, on: switch, reads, writes, syncs })
    });
    let waldo = waldo.unwrap();
    waldo.blocking_append(&logs(1, 10)).unwrap();
    (waldo, on)
}

fn options(backend: Backend) -> Options {
    Options {
        ring_size: Some(2),
        buf_capacity: 64 * 1024,
        index_capacity: 64,
        file_capacity: Some(256 * 1024),
        tail_capacity: 0,
        backend,
        ..Options::default()
    }
}

fn logs(first: u64, last: u64) -> Vec<Log<'static>> {
    let log = |seq_no: u64| Log::new_owned(seq_no, seq_no - 1, seq_no.to_le_bytes().to_vec());
    (first..=last).map(log).collect()
}

fn on_both(test: impl Fn(Backend)) {
    test(Backend::IoUring);
    test(Backend::Threads);
}

/// After a failure: what was stable can be read, everything else says what happened, and the
/// store can be opened again once it is closed.
fn check_poisoned(dir: &tempfile::TempDir, waldo: Waldo, backend: Backend, errno: Option<i32>) {
    let poisoned = |error: &AppendError| matches!(error, AppendError::Poisoned(poison) if poison.errno == errno);
    let error = waldo.blocking_append(&logs(11, 11)).unwrap_err();
    assert!(poisoned(&error), "{error}");
    let large = vec![Log::new_owned(11, 10, vec![0; 20_000])];
    let error = waldo.blocking_append(&large).unwrap_err();
    assert!(poisoned(&error), "{error}");
    assert!(matches!(waldo.blocking_sync(), Err(Error::Poisoned(_))));
    assert!(matches!(waldo.blocking_trim(5), Err(Error::Poisoned(_))));
    assert!(matches!(waldo.blocking_truncate(5), Err(Error::Poisoned(_))));

    let found = waldo.blocking_query(Cursor::Trim, true).unwrap();
    assert_eq!(found.iter().map(|log| log.seq_no()).collect::<Vec<_>>(), Vec::from_iter(1..=10));
    for wait in [true, false] {
        let error = waldo.blocking_query(Cursor::Tip, wait).unwrap_err();
        assert!(matches!(error, QueryError::Poisoned(_)), "{error}");
    }
    assert_eq!(waldo.prev_seq_no(), Some(10));

    let other = waldo.clone();
    let closed = waldo.blocking_close();
    assert!(matches!(closed, Err(Error::Poisoned(_))), "{closed:?}");
    assert!(matches!(other.blocking_close(), Err(Error::Poisoned(_))));
    let waldo = Waldo::blocking_open(dir.path(), options(backend)).unwrap();
    let tip = waldo.prev_seq_no().unwrap();
    assert!(tip >= 10, "acknowledged logs are lost: {tip}");
    waldo.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
}

#[test]
fn a_failed_write_poisons() {
    on_both(|backend| {
        for (fault, errno) in [(Fault::Write(libc::EIO), Some(libc::EIO)), (Fault::Short, None)] {
            let dir = tempfile::tempdir().unwrap();
            let (waldo, on) = faulty(&dir, backend, fault);
            on.store(true, Ordering::SeqCst);
            let error = waldo.blocking_append(&logs(11, 12)).unwrap_err();
            assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
            check_poisoned(&dir, waldo, backend, errno);
        }
    });
}

/// The seal of a close, or what wipes it when the page is gone on with, was cut short, and nobody
/// noticed: a seal that stays says that nothing follows what it vouches for.
#[test]
fn a_seal_that_is_cut_short_poisons() {
    on_both(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, on) = faulty(&dir, backend, Fault::Short);
        on.store(true, Ordering::SeqCst);
        let error = waldo.blocking_close().unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error}");

        Waldo::blocking_open(dir.path(), options(backend)).unwrap().blocking_close().unwrap();
        let failed = Waldo::open_with_driver(dir.path(), options(backend), |inner| {
            let on = Arc::new(AtomicBool::new(true));
            let (reads, writes, syncs) = (Vec::new(), Vec::new(), Vec::new());
            Box::new(Faulty { inner, fault: Fault::ShortFirst, on, reads, writes, syncs })
        });
        let error = failed.map(drop).unwrap_err();
        assert!(matches!(error, Error::Poisoned(_)), "{error}");
    });
}

/// A sync failed, the mark "is syncing" stayed, and everybody who wanted the next one waited for
/// ever.
#[test]
fn a_failed_sync_ends_for_everybody() {
    on_both(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { file_o_dsync: false, ..options(backend) };
        let (waldo, on) = faulty_with(&dir, options, Fault::Sync(libc::EIO));
        waldo.blocking_sync().unwrap();
        waldo.blocking_append(&logs(11, 12)).unwrap();
        on.store(true, Ordering::SeqCst);
        let (sender, receiver) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let (waldo, sender) = (waldo.clone(), sender.clone());
            std::thread::spawn(move || sender.send(waldo.blocking_sync()).unwrap());
        }
        for _ in 0..4 {
            // The limit only keeps the bug itself from stopping the tests.
            let result = receiver.recv_timeout(std::time::Duration::from_secs(20));
            let result = result.expect("it hangs");
            assert!(
                matches!(&result, Err(Error::Poisoned(poison)) if poison.errno == Some(libc::EIO)),
                "{result:?}"
            );
        }
        // It is not tried again: the system forgets what it could not write.
        on.store(false, Ordering::SeqCst);
        assert!(matches!(waldo.blocking_sync(), Err(Error::Poisoned(_))));
        assert_eq!(waldo.durable_seq_no(), Some(10));
    });
}

#[test]
fn a_panic_of_the_worker_fails_everything_once() {
    on_both(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, on) = faulty(&dir, backend, Fault::Panic);
        let (submitted, ended) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let waiting = std::thread::scope(|scope| {
            let reader = scope.spawn(|| waldo.blocking_query(Cursor::Tip, true).unwrap_err());
            on.store(true, Ordering::SeqCst);
            let appenders: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..50 {
                            let mut batch = waldo.try_batch(100, true).unwrap();
                            assert!(batch.push_payload(b"x").unwrap());
                            let ended = Arc::clone(&ended);
                            let done = move |result: Result<_, AppendError>| {
                                assert!(matches!(result, Err(AppendError::Poisoned(_))));
                                ended.fetch_add(1, Ordering::SeqCst);
                            };
                            match waldo.submit_append(batch.finish(), false, done) {
                                Ok(()) => _ = submitted.fetch_add(1, Ordering::SeqCst),
                                Err(error) => {
                                    assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
                                }
                            }
                        }
                    })
                })
                .collect();
            for appender in appenders {
                appender.join().unwrap();
            }
            while ended.load(Ordering::SeqCst) < submitted.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            assert_eq!(ended.load(Ordering::SeqCst), submitted.load(Ordering::SeqCst));
            reader.join().unwrap()
        });
        assert!(matches!(waiting, QueryError::Poisoned(_)), "{waiting}");
        check_poisoned(&dir, waldo, backend, None);
    });
}

#[test]
fn a_broken_driver_poisons() {
    on_both(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, on) = faulty(&dir, backend, Fault::Break);
        on.store(true, Ordering::SeqCst);
        let error = waldo.blocking_append(&logs(11, 11)).unwrap_err();
        assert!(matches!(error, AppendError::Poisoned(_)), "{error}");
        check_poisoned(&dir, waldo, backend, Some(libc::EBADF));
    });
}

/// A disk that cannot read hurts nobody but the reader.
#[test]
fn a_failed_read_is_the_readers() {
    on_both(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, on) = faulty(&dir, backend, Fault::Read(libc::EIO));
        for at in 1..10 {
            waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
        }
        // Out of the hot tail.
        waldo.blocking_append_assigned(&[vec![1; 50_000], vec![2; 50_000]]).unwrap();
        waldo.blocking_append_assigned(&[vec![1; 50_000], vec![2; 50_000]]).unwrap();
        on.store(true, Ordering::SeqCst);
        let file = std::fs::File::open(dir.path().join("0000000000.page")).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        // SAFETY: advice on a descriptor that is open; no memory is involved.
        unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
        let mut stream = waldo.stream(Cursor::Trim);
        // Where the page cache answers after all, nothing is to be seen.
        match stream.blocking_next() {
            Ok(_) => {}
            Err(error) => assert_eq!(error, QueryError::Io { page: 0, errno: libc::EIO }),
        }
        on.store(false, Ordering::SeqCst);
        assert!(stream.blocking_next().unwrap().iter().next().is_some());
        waldo.blocking_append_assigned(&[b"x"]).unwrap();
        waldo.blocking_close().unwrap();
    });
}

/// A driver that has one request under way at a time.
struct OneByOne {
    inner: Box<dyn Driver>,
    waiting: VecDeque<Request>,
    is_busy: bool,
}

impl Driver for OneByOne {
    fn submit(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        if !self.is_busy
            && let Some(request) = self.waiting.pop_front()
        {
            self.inner.submit(request);
            self.is_busy = true;
        }
        self.inner.wait(wait, completions)?;
        self.is_busy &= completions.is_empty();
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        self.inner.notifier()
    }
}

/// The first frame of an open brought a page so near to its end that the next page was given up;
/// where that came behind the frame, on a slow disk, the report still counted its logs.
#[test]
fn a_report_waits_for_what_the_open_gives_up() {
    let options = Options {
        index_capacity: 2,
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        ..options(Backend::Threads)
    };
    let dir = tempfile::tempdir().unwrap();
    let live = Waldo::blocking_open(dir.path(), options).unwrap();
    let append = |seq_no| live.blocking_append(&[Log::new_borrowed(seq_no, seq_no - 1, b"")]);
    let after = |waldo: &Waldo| waldo.blocking_metadata().map_or(0, |found| found.after_seq_no);
    let turn = (1..).find(|&seq_no| append(seq_no).is_err() || after(&live) > 0).unwrap();
    let mut gave_up = 0;
    // Once round the ring.
    for seq_no in turn + 1..=2 * turn {
        append(seq_no).unwrap();
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let opened = Waldo::open_with_driver(copy.path(), options, |inner| {
            Box::new(OneByOne { inner, waiting: VecDeque::new(), is_busy: false })
        });
        let opened = opened.unwrap();
        let reported = opened.core_anywhere().report.after_seq_no;
        opened.blocking_sync().unwrap();
        assert_eq!(reported, after(&opened), "the newest log is {seq_no}");
        gave_up += u32::from(reported > after(&live));
    }
    assert!(gave_up > 0, "no open had to give anything up");
}
