//! No thread of the library takes signals: a program's handlers run on its own threads.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use common::{logs, open, options};
use waldo_core::{Backend, Cursor, Log, Options, Waldo};

/// What the calling thread blocks, and its name.
fn blocked_here() -> (String, u64) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    (name, blocked(Path::new("/proc/thread-self")).expect("this thread runs"))
}

/// The signals that a thread blocks; `None` where it has ended.
fn blocked(task: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(task.join("status")).ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// The threads of the library that run now, and what they block.
fn running() -> BTreeMap<String, u64> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let Ok(name) = std::fs::read_to_string(task.join("comm")) else { continue };
        if let Some(mask) = blocked(&task).filter(|_| name.starts_with("waldo-")) {
            threads.insert(name.trim().to_owned(), mask);
        }
    }
    threads
}

/// All but `SIGKILL` and `SIGSTOP`, and the two that the C library keeps for itself.
const ALL: u64 = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);

#[track_caller]
fn assert_blocked(name: &str, mask: u64) {
    assert_eq!(mask & ALL, ALL, "{name} takes signals");
}

/// The short-lived threads for truncating and counting had the mask of whoever called.
#[test]
fn threads_take_no_signals() {
    for backend in [Backend::Threads, Backend::IoUring] {
        let dir = tempfile::tempdir().unwrap();
        let waldo = match Waldo::blocking_open(dir.path(), options(backend)) {
            Err(waldo_core::Error::Unsupported { .. }) => continue,
            opened => opened.unwrap(),
        };
        waldo.blocking_append(&logs(1, 100)).unwrap();
        // A gap, so that a trim counts what there is.
        waldo.blocking_append(&[Log::new_borrowed(200, 100, b"behind a gap")]).unwrap();

        let threads = running();
        assert!(threads.contains_key("waldo-worker"), "{threads:?}");
        for (name, mask) in threads {
            assert_blocked(&name, mask);
        }

        let (sender, receiver) = mpsc::channel();
        let tell = || {
            let sender = sender.clone();
            move |result: Result<(), waldo_core::Error>| {
                sender.send((result.is_ok(), blocked_here())).unwrap();
            }
        };
        let mut seen = Vec::new();
        let mut ended = || {
            let (is_ok, (name, mask)) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(is_ok);
            assert_blocked(&name, mask);
            seen.push(name);
        };
        waldo.submit_trim(50, tell()).unwrap();
        ended();
        waldo.submit_truncate(90, tell()).unwrap();
        ended();
        waldo.submit_close(tell()).unwrap();
        ended();
        assert!(seen.iter().any(|name| name == "waldo-manage"), "{seen:?}");
        // This one still does.
        assert_eq!(blocked_here().1 & ALL, 0);
        assert!(waldo.blocking_query(Cursor::Trim, false).is_ok());
        drop(waldo);
        open(&dir, Options { backend: Backend::Threads, ..options(backend) });
        assert_eq!(blocked_here().1 & ALL, 0);
    }
}
