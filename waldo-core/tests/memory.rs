//! The backend in memory: contents that live as long as the process, and failures on demand.

mod common;

use common::{assert_run, logs, numbers};
use waldo_core::{
    AppendError, Backend, CorruptionPolicy, Cursor, Error, Fault, IoMode, Memory, Options,
    QueryError, Waldo,
};

fn options(memory: Memory) -> Options {
    Options { memory, ..common::options(Backend::Memory) }
}

fn failing(fail: Fault, fail_after: u64) -> Options {
    options(Memory { fail, fail_after, ..Memory::default() })
}

fn open(name: &str, options: Options) -> Waldo {
    Waldo::blocking_open(name, options).unwrap()
}

/// The numbers of all logs that can be read.
fn all(waldo: &Waldo) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    loop {
        let cursor = found.last().map_or(Cursor::Trim, |last| Cursor::After(*last));
        let chunk = waldo.blocking_query(cursor, false).unwrap();
        if chunk.is_empty() {
            return found;
        }
        found.extend(numbers(&chunk));
    }
}

fn append(waldo: &Waldo, first: u64, last: u64) -> Result<(), AppendError> {
    waldo.blocking_append(&logs(first, last))
}

#[test]
fn what_was_appended_is_there_after_a_reopen() {
    let waldo = open("reopen", options(Memory::default()));
    append(&waldo, 1, 100).unwrap();
    waldo.blocking_trim(10).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open("reopen", options(Memory::default()));
    assert_run(&all(&waldo), 11, 100);
    assert!(!waldo.recovery_report().created);
    append(&waldo, 101, 101).unwrap();
    // Another name is another store.
    let other = open("reopen 2", options(Memory::default()));
    assert_eq!(all(&other), []);
    assert!(!std::path::Path::new("reopen").exists());
}

#[test]
fn the_ring_wraps_and_grows() {
    let waldo = open("wraps", options(Memory::default()));
    let payload = vec![7; 4000];
    for _ in 0..100 {
        waldo.blocking_append_assigned(&[&payload; 10]).unwrap();
    }
    assert!(waldo.blocking_metadata().unwrap().after_seq_no > 0);
    waldo.blocking_close().unwrap();
    let waldo = open("wraps", Options { ring_size: Some(5), ..options(Memory::default()) });
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!((metadata.prev_seq_no, metadata.disk_size), (1000, 5 * 512 * 1024));
    let mut seen = metadata.after_seq_no;
    let mut stream = waldo.stream(Cursor::Trim);
    while seen < 1000 {
        for log in &stream.blocking_next().unwrap() {
            seen += 1;
            assert_eq!(log.seq_no(), seen);
            assert_eq!(log.data(), payload);
        }
    }
}

#[test]
fn a_store_is_open_once() {
    let waldo = open("once", options(Memory::default()));
    let second = Waldo::blocking_open("once", options(Memory::default()));
    let own = std::process::id();
    assert!(matches!(second, Err(Error::Locked { pid: Some(pid), .. }) if pid == own));
    waldo.blocking_close().unwrap();
    open("once", options(Memory::default()));
}

#[test]
fn contents_that_are_not_kept_go_with_the_close() {
    let private = options(Memory { keep: false, ..Memory::default() });
    let waldo = open("private", private);
    append(&waldo, 1, 5).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open("private", private);
    assert!(waldo.recovery_report().created);
    assert_eq!(all(&waldo), []);
}

/// A forked child neither finds the store of its parent, nor writes into its memory.
#[test]
fn a_forked_child_starts_with_nothing() {
    let waldo = open("forked", options(Memory::default()));
    append(&waldo, 1, 5).unwrap();
    // SAFETY: the child makes calls that need none of the parent's other threads, and ends
    // without unwinding.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let is_right = std::panic::catch_unwind(|| {
            let own = open("forked", options(Memory::default()));
            assert_eq!(all(&own), []);
            append(&own, 1, 1).unwrap();
            own.blocking_close().unwrap();
        })
        .is_ok();
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(!is_right)) };
    }
    let mut status = -1;
    // SAFETY: `status` is valid for writing.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    append(&waldo, 6, 6).unwrap();
    waldo.blocking_close().unwrap();
    assert_run(&all(&open("forked", options(Memory::default()))), 1, 6);
}

/// The same failure each time: that is what it is for.
#[test]
fn the_write_that_was_asked_for_fails() {
    for fail in [Fault::Write, Fault::ShortWrite] {
        for fail_after in 0..4 {
            let name = format!("{fail:?} {fail_after}");
            let waldo = open(&name, failing(fail, fail_after));
            for seq_no in 1..=fail_after {
                append(&waldo, seq_no, seq_no).unwrap();
            }
            let failed = append(&waldo, fail_after + 1, fail_after + 1);
            let Err(AppendError::Poisoned(poison)) = failed else { panic!("{failed:?}") };
            let errno = (fail == Fault::Write).then_some(libc::EIO);
            assert_eq!(poison.errno, errno, "{poison}");
            assert!(matches!(append(&waldo, 9, 9), Err(AppendError::Poisoned(_))));
            assert_eq!(all_but_end(&waldo), (1..=fail_after).collect::<Vec<_>>());
            assert!(matches!(waldo.blocking_close(), Err(Error::Poisoned(_))));
            // Nothing of it is left; and the next store writes.
            let waldo = open(&name, options(Memory::default()));
            assert_eq!(all(&waldo), (1..=fail_after).collect::<Vec<_>>());
            append(&waldo, fail_after + 1, fail_after + 1).unwrap();
        }
    }
}

/// All logs of a store that answers an error behind the last one.
fn all_but_end(waldo: &Waldo) -> Vec<u64> {
    let mut stream = waldo.stream(Cursor::Trim);
    let mut found = Vec::new();
    while let Ok(chunk) = stream.blocking_next() {
        found.extend(numbers(&chunk));
    }
    found
}

#[test]
fn the_sync_that_was_asked_for_fails() {
    // Durable writes have one each.
    let waldo = open("sync", failing(Fault::Sync, 1));
    append(&waldo, 1, 1).unwrap();
    assert!(matches!(append(&waldo, 2, 2), Err(AppendError::Poisoned(_))));

    let memory =
        Memory { fail: Fault::Sync, fail_after: 2, errno: libc::EDQUOT, ..Memory::default() };
    let waldo = open("sync alone", Options { file_o_dsync: false, ..options(memory) });
    for seq_no in 1..=2 {
        append(&waldo, seq_no, seq_no).unwrap();
        waldo.blocking_sync().unwrap();
    }
    append(&waldo, 3, 3).unwrap();
    let failed = waldo.blocking_sync();
    assert!(
        matches!(&failed, Err(Error::Poisoned(poison)) if poison.errno == Some(libc::EDQUOT)),
        "{failed:?}"
    );
    assert!(matches!(append(&waldo, 4, 4), Err(AppendError::Poisoned(_))));
}

#[test]
fn reads_fail_and_then_work() {
    append(&open("read", options(Memory::default())), 1, 50).unwrap();
    // What was written before is not in memory: it is read.
    let memory = Memory { fail: Fault::Read, fail_after: 1, fail_count: 2, ..Memory::default() };
    let waldo = open("read", options(memory));
    assert_eq!(waldo.blocking_query(Cursor::From(7), false).unwrap().iter().count(), 44);
    for _ in 0..2 {
        let failed = waldo.blocking_query(Cursor::From(7), false);
        assert!(matches!(failed, Err(QueryError::Io { errno: libc::EIO, .. })), "{failed:?}");
    }
    assert_run(&all(&waldo), 1, 50);
    append(&waldo, 51, 51).unwrap();
}

/// The first page has room, the next has none, until there is some.
#[test]
fn a_full_disk_is_no_end() {
    let memory =
        Memory { fail: Fault::Space, fail_after: 600 * 1024, fail_count: 2, ..Memory::default() };
    let waldo = open("space", options(memory));
    let payload = vec![7; 10_000];
    let (mut written, mut refused) = (0, 0);
    while written < 100 {
        match waldo.blocking_append_assigned(&[&payload]) {
            Ok(_) => written += 1,
            Err(AppendError::NoSpace { errno: libc::ENOSPC }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(refused < 1000);
    }
    assert!(refused > 0);
    assert_eq!(waldo.prev_seq_no().unwrap(), 100);
    waldo.blocking_close().unwrap();
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let faults = Memory { fail: Fault::Write, ..Memory::default() };
    let dir = tempfile::tempdir().unwrap();
    let refused = |options| match Waldo::blocking_open(dir.path().join("none"), options) {
        Err(Error::Option { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Options { backend: Backend::Auto, ..options(faults) }), "backend");
    assert_eq!(refused(options(Memory { errno: 0, ..faults })), "memory.errno");
    assert_eq!(refused(options(Memory { errno: 4096, ..faults })), "memory.errno");
    assert_eq!(refused(Options { io: IoMode::Direct, ..options(Memory::default()) }), "io");
    assert!(!dir.path().join("none").exists());
}

/// Nothing about a store in memory is special to recovery.
#[test]
fn a_store_in_memory_takes_the_options_of_recovery() {
    let options = Options {
        corruption: CorruptionPolicy::Truncate,
        recovery: waldo_core::Recovery::Fast,
        ..options(Memory::default())
    };
    for last in 1..=5 {
        let waldo = open("recovery", options);
        append(&waldo, last, last).unwrap();
        assert_run(&all(&waldo), 1, last);
        assert!(waldo.recovery_report().cut.is_none());
    }
}
