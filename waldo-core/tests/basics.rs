//! Append, query, reopen.

mod common;

use common::{assert_run, logs, numbers, open, options};
use waldo_core::{Backend, Cursor, Log, Options, QueryError, Waldo};

on_both_backends!(
    append_query_reopen,
    a_new_store_is_empty,
    cursors_find_their_logs,
    a_query_that_waits_is_woken,
    small_and_large_batches,
);

fn append_query_reopen(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), options).unwrap();
    assert!(report.created);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(100));
    assert_eq!(waldo.durable_seq_no(), Some(100));
    let found = waldo.blocking_query(Cursor::After(0), true).unwrap();
    assert_run(&numbers(&found), 1, 100);
    waldo.blocking_close().unwrap();

    for recovery in [waldo_core::Recovery::Full, waldo_core::Recovery::Fast] {
        let options = Options { recovery, ..options };
        let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), options).unwrap();
        assert!(!report.created);
        assert_eq!(report.prev_seq_no, 100);
        assert_eq!(report.log_count, 100);
        assert_eq!(report.dropped, None);
        let mut stream = waldo.stream(Cursor::Trim);
        let mut found = Vec::new();
        while found.len() < 100 {
            found.extend(numbers(&stream.blocking_next().unwrap()));
        }
        assert_run(&found, 1, 100);
        waldo.blocking_close().unwrap();
    }
}

fn a_new_store_is_empty(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), None);
    assert_eq!(waldo.durable_seq_no(), None);
    assert_eq!(waldo.blocking_metadata(), None);
    for cursor in [Cursor::Trim, Cursor::Tip, Cursor::After(0), Cursor::From(0), Cursor::After(9)] {
        assert!(waldo.blocking_query(cursor, false).unwrap().is_empty(), "{cursor:?}");
    }
}

fn cursors_find_their_logs(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for seq_no in 1..=50 {
        waldo.blocking_append(&logs(seq_no, seq_no)).unwrap();
    }
    let first = |waldo: &Waldo, cursor| {
        waldo.blocking_query(cursor, false).unwrap().iter().next().map(|log| log.seq_no())
    };
    let check = |waldo: &Waldo| {
        assert_eq!(first(waldo, Cursor::Trim), Some(1));
        assert_eq!(first(waldo, Cursor::From(0)), Some(1));
        assert_eq!(first(waldo, Cursor::From(1)), Some(1));
        assert_eq!(first(waldo, Cursor::After(1)), Some(2));
        assert_eq!(first(waldo, Cursor::From(37)), Some(37));
        assert_eq!(first(waldo, Cursor::After(49)), Some(50));
        assert_eq!(first(waldo, Cursor::After(50)), None);
        assert_eq!(first(waldo, Cursor::Tip), None);
    };
    // From memory, and then from disk.
    check(&waldo);
    waldo.blocking_close().unwrap();
    check(&open(&dir, options));
}

fn a_query_that_waits_is_woken(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| waldo.blocking_query(Cursor::After(0), true).unwrap());
        while waldo.blocking_append(&logs(1, 1)).is_err() {}
        assert_eq!(numbers(&reader.join().unwrap()), [1]);
    });
    let timeout = std::time::Duration::from_millis(20);
    let late = waldo.blocking_query_timeout(Cursor::Tip, timeout);
    assert_eq!(late.unwrap_err(), QueryError::Timeout);
}

fn small_and_large_batches(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut tip = 0;
    for count in [1, 2, 300, 1, 900, 2000, 1] {
        waldo.blocking_append(&logs(tip + 1, tip + count)).unwrap();
        tip += count;
        assert_eq!(waldo.prev_seq_no(), Some(tip));
    }
    let mut stream = waldo.stream(Cursor::Trim);
    let mut last = 0;
    while last < tip {
        for seq_no in numbers(&stream.blocking_next().unwrap()) {
            assert_eq!(seq_no, last + 1);
            last = seq_no;
        }
    }
}

#[test]
fn payloads_of_any_kind() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options(Backend::Auto));
    let empty = Log::new_borrowed(5, 0, b"");
    waldo.blocking_append(std::slice::from_ref(&empty)).unwrap();
    let largest = vec![0xa5; waldo.log_size_limit() - 24];
    waldo.blocking_append(&[Log::new_borrowed(u64::MAX - 1, 5, &largest)]).unwrap();
    let found = waldo.blocking_query(Cursor::After(0), false).unwrap();
    assert_eq!(found.iter().next(), Some(empty));
    let found = waldo.blocking_query(Cursor::After(5), false).unwrap();
    assert_eq!(found.iter().next().unwrap().data(), largest);
}
