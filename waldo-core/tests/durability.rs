//! Stores whose writes are not durable by themselves.

mod common;

use std::time::Duration;

use common::{assert_run, logs, numbers, open};
use waldo_core::{Cursor, Options, Waldo};

on_both_backends!(syncs_end_wherever_the_ring_is, closes_end_wherever_the_ring_is, flushed_in_time);

/// Runs `call` on a thread of its own; panics where it does not end.
fn ends(at: u64, call: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        call();
        sender.send(()).unwrap();
    });
    let ended = receiver.recv_timeout(Duration::from_secs(20));
    assert!(ended.is_ok(), "it did not end, {at} appends after the ring was full");
    thread.join().unwrap();
}

/// A store whose ring has turned, so that pages are reused; `more` appends of 400 logs further.
fn turned(dir: &tempfile::TempDir, options: Options, more: u64) -> (Waldo, u64) {
    let waldo = open(dir, Options { file_o_dsync: false, ..options });
    let batches = 60 + more;
    for at in 0..batches {
        waldo.blocking_append(&logs(at * 400 + 1, at * 400 + 400)).unwrap();
    }
    (waldo, batches * 400)
}

fn syncs_end_wherever_the_ring_is(options: Options) {
    for more in 0..24 {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, tip) = turned(&dir, options, more);
        let other = waldo.clone();
        ends(more, move || other.blocking_sync().unwrap());
        assert_eq!(waldo.durable_seq_no(), Some(tip));
        let other = waldo.clone();
        ends(more, move || other.blocking_append_durable(&logs(tip + 1, tip + 1)).unwrap());
    }
}

fn closes_end_wherever_the_ring_is(options: Options) {
    for more in 0..24 {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, tip) = turned(&dir, options, more);
        ends(more, move || waldo.blocking_close().unwrap());
        assert_eq!(open(&dir, options).durable_seq_no(), Some(tip));
    }
}

fn flushed_in_time(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let interval = Some(Duration::from_millis(10));
    let options = Options { file_o_dsync: false, flush_interval: interval, ..options };
    let waldo = open(&dir, options);
    for at in 0..3 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
        while waldo.durable_seq_no() != Some(at * 10 + 10) {
            std::thread::yield_now();
        }
    }
    let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
    assert_run(&numbers(&found), 1, 30);
}
