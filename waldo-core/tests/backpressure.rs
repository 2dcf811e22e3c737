//! Appends that wait for room in the queue.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};

use common::{logs, open};
use waldo_core::{AppendError, Options, Waldo};

on_both_backends!(waiting_for_room_costs_nothing);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Submits small appends until there is no room for another. Answers their number.
fn fill(waldo: &Waldo) -> usize {
    for count in 0.. {
        let mut batch = waldo.try_batch(1024, true).unwrap();
        assert!(batch.push_payload(&[7; 1000]).unwrap());
        match waldo.submit_append(batch.finish(), false, |_| ()) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error, AppendError::WouldBlock);
                return count;
            }
        }
    }
    unreachable!()
}

/// There was room in the queue, but not for the bytes of another small append. Who tried took a
/// place in the queue, gave it back, and told those who wait for room of it: himself first of
/// all. So he tried again, for ever, on a busy processor.
fn waiting_for_room_costs_nothing(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let (release, released) = channel::<()>();
    let (entered, is_entered) = channel();
    let mut first = waldo.try_batch(64, true).unwrap();
    assert!(first.push_payload(b"first").unwrap());
    let hold_the_worker = move |_| {
        entered.send(()).unwrap();
        let _ = released.recv();
    };
    waldo.submit_append(first.finish(), false, hold_the_worker).unwrap();
    is_entered.recv().unwrap();
    let count = fill(&waldo);

    let log = logs(count as u64 + 2, count as u64 + 2);
    let mut waiting = Box::pin(waldo.append(&log));
    let wakes = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert!(matches!(waiting.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending));
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "woken, although nothing became free");

    drop(release);
    futures::executor::block_on(waiting).unwrap();
    waldo.blocking_close().unwrap();
}
