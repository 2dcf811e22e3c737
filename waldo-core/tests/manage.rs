//! Trim, truncate, clear, sync.

mod common;

use common::{assert_run, logs, numbers, open, payload};
use waldo_core::{AppendError, Cursor, Error, Log, Options, QueryError, Waldo};

on_both_backends!(
    trims_survive,
    trims_are_counted_where_numbers_have_gaps,
    truncations_survive,
    truncations_are_exact_where_numbers_have_gaps,
    only_what_is_there_can_be_truncated_to,
    a_cleared_store_starts_anew,
    a_sync_makes_durable,
    trims_from_many_threads,
);

/// Logs with numbers that are multiples of `step`.
fn sparse(first: u64, last: u64, step: u64) -> Vec<Log<'static>> {
    (first..=last)
        .map(|at| Log::new_owned(at * step, (at - 1) * step, payload(at * step)))
        .collect()
}

fn read_all(waldo: &Waldo) -> Vec<u64> {
    let tip = waldo.prev_seq_no().unwrap_or(0);
    let mut stream = waldo.stream(Cursor::Trim);
    let mut found = Vec::new();
    while stream.position() < tip {
        found.extend(numbers(&stream.blocking_next().unwrap()));
    }
    found
}

/// What the store holds, now and after it was opened again.
fn check(dir: &tempfile::TempDir, options: Options, waldo: Waldo, expected: &[u64]) {
    assert_eq!(read_all(&waldo), expected);
    let count = |waldo: &Waldo| waldo.blocking_metadata().map_or(0, |metadata| metadata.log_count);
    assert_eq!(count(&waldo), expected.len() as u64);
    waldo.blocking_close().unwrap();
    for recovery in [waldo_core::Recovery::Full, waldo_core::Recovery::Fast] {
        let waldo = open(dir, Options { recovery, ..options });
        assert_eq!(read_all(&waldo), expected);
        assert_eq!(count(&waldo), expected.len() as u64, "{recovery:?}");
        waldo.blocking_close().unwrap();
    }
}

fn trims_survive(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    waldo.blocking_trim(30).unwrap();
    waldo.blocking_trim(10).unwrap();
    assert_eq!(
        waldo.blocking_query(Cursor::From(30), false).unwrap_err(),
        QueryError::Trimmed { oldest: 31 }
    );
    check(&dir, options, waldo, &(31..=100).collect::<Vec<_>>());
    // More than there is means all; the log goes on.
    let waldo = open(&dir, options);
    waldo.blocking_trim(1_000_000).unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(100));
    waldo.blocking_append(&logs(101, 102)).unwrap();
    check(&dir, options, waldo, &[101, 102]);
}

fn trims_are_counted_where_numbers_have_gaps(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&sparse(1, 2000, 10)).unwrap();
    for up_to in [55, 60, 9_999, 10_001] {
        waldo.blocking_trim(up_to).unwrap();
        let metadata = waldo.blocking_metadata().unwrap();
        assert_eq!(metadata.after_seq_no, up_to);
        assert_eq!(metadata.log_count, 2000 - up_to / 10);
    }
    let expected: Vec<u64> = (1001..=2000).map(|at| at * 10).collect();
    check(&dir, options, waldo, &expected);
}

fn truncations_survive(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    let mut stream = waldo.stream(Cursor::After(80));
    stream.blocking_next().unwrap();
    waldo.blocking_truncate(50).unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(50));
    assert_eq!(waldo.durable_seq_no(), Some(50));
    assert_eq!(stream.blocking_next().unwrap_err(), QueryError::Truncated { tip: 50 });
    let error = waldo.blocking_append(&logs(101, 101)).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 101, wanted: 50, actual: 100 });
    waldo.blocking_append(&logs(51, 60)).unwrap();
    assert_run(&numbers(&stream.blocking_next().unwrap()), 51, 60);
    waldo.blocking_truncate(60).unwrap();
    waldo.blocking_truncate(55).unwrap();
    check(&dir, options, waldo, &(1..=55).collect::<Vec<_>>());
    // Into an older page.
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(56, 9_000)).unwrap();
    assert!(waldo.blocking_metadata().unwrap().page_count > 1);
    waldo.blocking_truncate(100).unwrap();
    waldo.blocking_append(&logs(101, 110)).unwrap();
    check(&dir, options, waldo, &(1..=110).collect::<Vec<_>>());
}

fn truncations_are_exact_where_numbers_have_gaps(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&sparse(1, 1000, 7)).unwrap();
    waldo.blocking_trim(70).unwrap();
    for missing in [71, 76, 6_999, 7_001, 9_000, 69, 1] {
        let error = waldo.blocking_truncate(missing).unwrap_err();
        assert!(matches!(error, Error::NotFound { seq_no } if seq_no == missing), "{error}");
    }
    waldo.blocking_truncate(6_993).unwrap();
    waldo.blocking_truncate(700).unwrap();
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!((metadata.prev_seq_no, metadata.log_count), (700, 90));
    waldo.blocking_append(&sparse(101, 110, 7)).unwrap();
    let expected: Vec<u64> = (11..=110).map(|at| at * 7).collect();
    check(&dir, options, waldo, &expected);
}

fn only_what_is_there_can_be_truncated_to(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    assert!(matches!(waldo.blocking_truncate(5), Err(Error::NotFound { seq_no: 5 })));
    waldo.blocking_append(&logs(1, 100)).unwrap();
    waldo.blocking_trim(20).unwrap();
    for missing in [0, 5, 19, 101] {
        let result = waldo.blocking_truncate(missing);
        assert!(matches!(result, Err(Error::NotFound { seq_no }) if seq_no == missing));
    }
    assert_eq!(waldo.prev_seq_no(), Some(100));
    // To the trim point: nothing is left, and the log goes on there.
    waldo.blocking_truncate(20).unwrap();
    assert_eq!(waldo.blocking_metadata().unwrap().log_count, 0);
    waldo.blocking_append(&logs(21, 22)).unwrap();
    check(&dir, options, waldo, &[21, 22]);
}

fn a_cleared_store_starts_anew(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_clear().unwrap();
    waldo.blocking_append(&logs(1, 100)).unwrap();
    waldo.blocking_trim(10).unwrap();
    waldo.blocking_clear().unwrap();
    assert_eq!(waldo.prev_seq_no(), None);
    assert_eq!(waldo.blocking_metadata(), None);
    assert!(waldo.blocking_query(Cursor::Trim, false).unwrap().is_empty());
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), None);
    waldo.blocking_append(&[Log::new_owned(7, 5, payload(7))]).unwrap();
    assert_eq!(waldo.blocking_metadata().unwrap().after_seq_no, 5);
    check(&dir, options, waldo, &[7]);
}

fn a_sync_makes_durable(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { file_o_dsync: false, ..options });
    waldo.blocking_append(&logs(1, 10)).unwrap();
    assert_eq!(waldo.durable_seq_no(), None);
    waldo.blocking_sync().unwrap();
    assert_eq!(waldo.durable_seq_no(), Some(10));
    waldo.blocking_append_durable(&logs(11, 20)).unwrap();
    assert_eq!(waldo.durable_seq_no(), Some(20));
    waldo.blocking_append(&logs(21, 30)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.durable_seq_no(), Some(30));
}

fn trims_from_many_threads(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&sparse(1, 1000, 3)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let waldo = &waldo;
            scope.spawn(move || {
                for at in 1..=50 {
                    waldo.blocking_trim((at * 4 + thread) * 3).unwrap();
                }
            });
        }
    });
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!(metadata.after_seq_no, 203 * 3);
    assert_eq!(metadata.log_count, 1000 - 203);
}
