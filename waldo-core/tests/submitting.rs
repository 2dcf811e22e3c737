//! Appends that are submitted while the store has no room for them.

mod common;

use std::future::Future;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};

use common::{assert_run, numbers, open};
use waldo_core::batch::Batch;
use waldo_core::{AppendError, Cursor, Options, Waldo};

on_both_backends!(
    a_batch_that_waits_for_room_is_under_way_once_there_is_some,
    a_batch_that_waits_for_room_is_refused_by_a_close,
);

fn batch(waldo: &Waldo, seq_no: u64) -> Batch {
    let payload = common::payload(seq_no);
    let mut builder = waldo.try_batch(payload.len() + 32, true).unwrap();
    assert!(builder.push_payload(&payload).unwrap());
    builder.finish()
}

/// A store whose queue is full, since its worker waits in a completion. Answers the number of the
/// last log that was submitted, and what lets the worker go on.
fn full(dir: &tempfile::TempDir, options: Options) -> (Waldo, u64, Sender<()>) {
    let waldo = open(dir, options);
    let (release, released) = channel();
    let (entered, is_entered) = channel();
    let wait = move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    };
    waldo.submit_append(batch(&waldo, 1), false, wait).unwrap();
    is_entered.recv().unwrap();
    let mut last = 1;
    while let Ok(()) = waldo.submit_append(batch(&waldo, last + 1), false, |_| ()) {
        last += 1;
    }
    let refused = waldo.submit_append(batch(&waldo, last + 1), false, |_| ());
    assert_eq!(refused, Err(AppendError::WouldBlock));
    (waldo, last, release)
}

fn a_batch_that_waits_for_room_is_under_way_once_there_is_some(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, last, release) = full(&dir, options);
    let (sender, receiver) = channel();
    let waiting = waldo.send_append(batch(&waldo, last + 1), true, move |result| {
        sender.send(result).unwrap();
    });
    let mut waiting = Box::pin(waiting);
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));
    assert!(receiver.try_recv().is_err());

    drop(release);
    futures::executor::block_on(waiting).unwrap();
    let appended = receiver.recv().unwrap().unwrap();
    assert_eq!((appended.first_seq_no, appended.count), (last + 1, 1));
    let found = numbers(&waldo.blocking_query(Cursor::From(last + 1), false).unwrap());
    assert_run(&found, last + 1, last + 1);
    waldo.blocking_close().unwrap();
}

fn a_batch_that_waits_for_room_is_refused_by_a_close(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, last, release) = full(&dir, options);
    let waiting = waldo.send_append(batch(&waldo, last + 1), false, |_| {
        unreachable!("it was refused");
    });
    let mut waiting = Box::pin(waiting);
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(waiting.as_mut().poll(&mut context), Poll::Pending));

    let (sender, receiver) = channel();
    waldo.submit_close(move |result| sender.send(result).unwrap()).unwrap();
    assert_eq!(futures::executor::block_on(waiting), Err(AppendError::Closed));
    drop(release);
    receiver.recv().unwrap().unwrap();
    // What was accepted before is there.
    assert_eq!(waldo.prev_seq_no(), Some(last));
}
