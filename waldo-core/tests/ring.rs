//! The ring turns: old logs go, readers notice, retention holds.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use common::{logs, numbers, open};
use waldo_core::{AppendError, Appended, Cursor, Options, QueryError, Retention, Waldo};

on_both_backends!(
    the_oldest_logs_go,
    the_oldest_cursor_works_while_the_ring_turns,
    hold_waits_for_a_trim,
    refuse_says_that_it_is_full,
    closing_ends_appends_that_wait,
    reopened_after_many_turns,
);

/// Appends one log after the other until the ring has turned several times.
fn turn(waldo: &Waldo, from: u64) -> u64 {
    let mut tip = from;
    for _ in 0..120 {
        waldo.blocking_append(&logs(tip + 1, tip + 400)).unwrap();
        tip += 400;
    }
    tip
}

fn the_oldest_logs_go(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut stream = waldo.stream(Cursor::After(0));
    let tip = turn(&waldo, 0);
    let metadata = waldo.blocking_metadata().unwrap();
    assert!(metadata.after_seq_no > 0);
    assert_eq!(metadata.prev_seq_no, tip);
    assert_eq!(metadata.log_count, tip - metadata.after_seq_no);
    assert_eq!(metadata.disk_size, options.disk_size());

    let oldest = metadata.after_seq_no + 1;
    for cursor in [Cursor::After(0), Cursor::From(1), Cursor::After(oldest - 2)] {
        let error = waldo.blocking_query(cursor, true).unwrap_err();
        assert_eq!(error, QueryError::Trimmed { oldest }, "{cursor:?}");
    }
    let found = waldo.blocking_query(Cursor::From(oldest), false).unwrap();
    assert_eq!(numbers(&found)[0], oldest);
    let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
    assert_eq!(numbers(&found)[0], oldest);

    // A stream says so once, and goes on with the oldest.
    assert_eq!(stream.blocking_next().unwrap_err(), QueryError::Trimmed { oldest });
    let mut last = oldest - 1;
    assert_eq!(stream.position(), last);
    while last < tip {
        for seq_no in numbers(&stream.blocking_next().unwrap()) {
            assert_eq!(seq_no, last + 1);
            last = seq_no;
        }
    }
}

fn the_oldest_cursor_works_while_the_ring_turns(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    turn(&waldo, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
                    assert!(!numbers(&found).is_empty());
                    let mut stream = waldo.stream(Cursor::Trim);
                    numbers(&stream.blocking_next().unwrap());
                }
            });
        }
        let tip = turn(&waldo, waldo.prev_seq_no().unwrap());
        turn(&waldo, tip);
        done.store(true, Ordering::Relaxed);
    });
}

fn hold_waits_for_a_trim(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, tip) = full(&dir, options);
    let found = waldo.blocking_query(Cursor::From(1), false).unwrap();
    assert_eq!(numbers(&found)[0], 1);
    assert_eq!(waldo.blocking_metadata().unwrap().after_seq_no, 0);
    // A trim lets the append that waits go on, although it comes later.
    let waiting = submit(&waldo, tip);
    waldo.blocking_trim(tip / 2).unwrap();
    assert_eq!(waiting.recv().unwrap().unwrap().last_seq_no, tip + 400);
    assert_eq!(waldo.prev_seq_no(), Some(tip + 400));
    let error = waldo.blocking_query(Cursor::After(0), false).unwrap_err();
    assert_eq!(error, QueryError::Trimmed { oldest: tip / 2 + 1 });
}

/// A store that waits where its ring is full, which it is; and its tip.
fn full(dir: &tempfile::TempDir, options: Options) -> (Waldo, u64) {
    let waldo = open(dir, Options { retention: Retention::Refuse, ..options });
    let mut tip = 0;
    while waldo.blocking_append_atomic(&logs(tip + 1, tip + 400)).is_ok() {
        tip += 400;
    }
    waldo.blocking_close().unwrap();
    (open(dir, Options { retention: Retention::Hold, ..options }), tip)
}

/// Submits 400 logs behind `tip`.
fn submit(waldo: &Waldo, tip: u64) -> Receiver<Result<Appended, AppendError>> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let batch = logs(tip + 1, tip + 400);
    let size = batch.iter().map(|log| log.size()).sum();
    let mut builder = waldo.try_batch(size, false).unwrap();
    for log in &batch {
        assert!(builder.push(log).unwrap());
    }
    let done = move |result| drop(sender.send(result));
    waldo.submit_append(builder.finish(), false, done).unwrap();
    receiver
}

fn refuse_says_that_it_is_full(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { retention: Retention::Refuse, ..options });
    let mut tip = 0;
    let error = loop {
        match waldo.blocking_append(&logs(tip + 1, tip + 100)) {
            Ok(()) => tip += 100,
            Err(error) => break error,
        }
    };
    assert_eq!(error, AppendError::Full { oldest: 1 });
    assert_eq!(waldo.prev_seq_no(), Some(tip));
    // Nothing was lost, and a trim makes room.
    let found = waldo.blocking_query(Cursor::After(0), false).unwrap();
    assert_eq!(numbers(&found)[0], 1);
    waldo.blocking_trim(tip - 10).unwrap();
    waldo.blocking_append(&logs(tip + 1, tip + 100)).unwrap();
    assert_eq!(waldo.blocking_metadata().unwrap().log_count, 110);
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.recovery_report().after_seq_no, tip - 10);
    assert_eq!(waldo.recovery_report().log_count, 110);
}

fn closing_ends_appends_that_wait(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, tip) = full(&dir, options);
    let waiting = submit(&waldo, tip);
    waldo.blocking_close().unwrap();
    assert_eq!(waiting.recv().unwrap(), Err(AppendError::Full { oldest: 1 }));
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), Some(tip));
}

fn reopened_after_many_turns(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let mut tip = 0;
    for _ in 0..4 {
        let waldo = open(&dir, options);
        assert_eq!(waldo.prev_seq_no().unwrap_or(0), tip);
        tip = turn(&waldo, tip);
        let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
        let before = waldo.blocking_metadata().unwrap();
        waldo.blocking_close().unwrap();
        let waldo = open(&dir, options);
        let after = waldo.blocking_metadata().unwrap();
        assert_eq!(after.log_count, before.log_count);
        let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
        assert_eq!(numbers(&found)[0], oldest);
    }
}
