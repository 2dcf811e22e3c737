//! Following a store whose writer, another process, is killed in the middle of its work, again and
//! again.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::{assert_run, logs, numbers, options};
use waldo_core::{
    AppendError, Backend, FollowOptions, Follower, IoMode, Options, QueryError, Waldo,
};

/// What makes this program the writer: the backend, the mode, and the directory.
const TASK: &str = "WALDO_TEST_WRITER";

/// Appends under way at a time.
const PIPELINE: usize = 8;

/// Times that the writer is killed.
const KILLS: u64 = 12;

const LONG: Duration = Duration::from_secs(60);

fn mode(backend: &str, io: &str) -> Options {
    let backend = if backend == "threads" { Backend::Threads } else { Backend::IoUring };
    let options = Options { ring_size: Some(4), ..options(backend) };
    match io {
        "durable" => options,
        _ => Options { file_o_dsync: false, io: IoMode::Buffered, ..options },
    }
}

/// The writer, where this program was started as one; else nothing.
#[test]
fn writer() {
    let Ok(task) = std::env::var(TASK) else { return };
    let mut parts = task.splitn(3, ' ');
    let mut part = || parts.next().unwrap();
    let options = mode(part(), part());
    let waldo = Waldo::blocking_open(part(), options).unwrap();
    let mut tip = waldo.prev_seq_no().unwrap_or(0);
    let (sender, receiver) = mpsc::sync_channel(PIPELINE);
    (0..PIPELINE).for_each(|_| sender.send(()).unwrap());
    loop {
        receiver.recv().unwrap();
        let mut batch = loop {
            match waldo.try_batch(waldo.batch_limits().size, false) {
                Ok(batch) => break batch,
                Err(AppendError::WouldBlock) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        for log in logs(tip + 1, tip + 1 + tip % 300) {
            assert!(batch.push(&log).unwrap());
        }
        tip += 1 + tip % 300;
        let (sender, last) = (sender.clone(), tip);
        let done = move |appended: Result<_, _>| {
            let _: waldo_core::Appended = appended.unwrap();
            // Whoever reads this knows that it was acknowledged.
            writeln!(std::io::stdout(), "acknowledged {last}").unwrap();
            let _ = sender.send(());
        };
        waldo.submit_append(batch.finish(), false, done).unwrap();
    }
}

fn start(task: &str, home: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(TASK, format!("{task} {}", home.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn followed(task: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (backend, io) = task.split_once(' ').unwrap();
    let options = mode(backend, io);
    Waldo::blocking_open(dir.path(), options).unwrap().blocking_close().unwrap();
    let acknowledged = AtomicU64::new(0);
    let end = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut follower = Follower::open(dir.path(), FollowOptions::default()).unwrap();
            let (mut position, mut seen) = (0, 0);
            while position < end.load(Ordering::Acquire) {
                match follower.blocking_next_timeout(LONG) {
                    Ok(chunk) => {
                        let found = numbers(&chunk);
                        assert_run(&found, position + 1, chunk.last_seq_no());
                        position = chunk.last_seq_no();
                        seen += found.len() as u64;
                    }
                    Err(QueryError::Trimmed { oldest }) => position = oldest - 1,
                    Err(QueryError::Interrupted) => {}
                    // What was seen stays, so that nothing is ever truncated.
                    Err(error) => panic!("{task}, after {position}: {error}"),
                }
            }
            (position, seen)
        });
        for round in 0..KILLS {
            let mut writer = start(task, dir.path());
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            // After some acknowledgements, and so in the middle of further writes.
            let mut left = 3 + round * 37 % 150;
            for line in lines {
                let Ok(line) = line else { break };
                let Some(last) = line.strip_prefix("acknowledged ") else { continue };
                acknowledged.fetch_max(last.parse().unwrap(), Ordering::Relaxed);
                left = left.saturating_sub(1);
                if left == 0 {
                    writer.kill().unwrap();
                }
            }
            assert!(!writer.wait().unwrap().success());
            assert_eq!(left, 0, "the writer ended by itself");
        }
        let waldo = Waldo::blocking_open(dir.path(), options).unwrap();
        let tip = waldo.prev_seq_no().unwrap();
        assert!(tip >= acknowledged.load(Ordering::Relaxed));
        end.store(tip + 1, Ordering::Release);
        waldo.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
        let (position, seen) = follower.join().unwrap();
        assert_eq!(position, tip + 1);
        assert!(seen > 0);
        let report = waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(()));
        assert!(report.unwrap().cut.is_none());
    });
}

#[test]
fn a_killed_writer_of_durable_logs_on_io_uring() {
    followed("io_uring durable");
}

#[test]
fn a_killed_writer_of_durable_logs_on_threads() {
    followed("threads durable");
}

#[test]
fn a_killed_writer_through_the_page_cache_on_io_uring() {
    followed("io_uring buffered");
}

#[test]
fn a_killed_writer_through_the_page_cache_on_threads() {
    followed("threads buffered");
}
