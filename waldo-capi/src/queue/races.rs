//! All interleavings of those who post, those who take out, and the end of a queue, under loom:
//!
//! ```text
//! RUSTFLAGS="--cfg waldo_loom --cfg oneshot_loom" cargo test -p waldo-capi --lib races
//! ```

use std::ptr;
use std::sync::Arc;

use loom::thread;

use super::{Callback, Completion, Queue};
use crate::ticket::{Kind, Ticket, Yield};

fn check(test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn queue(is_dispatched: bool) -> Arc<Queue> {
    Queue::new(8, is_dispatched).unwrap_or_else(|_| panic!("no queue"))
}

fn ticket(queue: &Arc<Queue>, user_data: u64) -> Ticket {
    Ticket::new(queue, None, user_data, Kind::WALDO_KIND_SYNC).unwrap_or_else(|_| panic!("full"))
}

fn used(queue: &Queue) -> usize {
    queue.local.used.load(super::Ordering::Relaxed)
}

/// Who waits is woken by each completion, also by those that are posted just when he looks.
#[test]
fn who_waits_gets_what_is_posted() {
    check(|| {
        let queue = queue(false);
        let tickets = [1, 2].map(|user_data| ticket(&queue, user_data));
        let posters = tickets.map(|ticket| thread::spawn(|| ticket.finish(Ok(Yield::Nothing))));
        let mut out = Vec::new();
        while out.len() < 2 {
            assert!(queue.wait(None));
            queue.collect(&mut out, 8);
        }
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        let mut taken: Vec<u64> = out.iter().map(|completion| completion.user_data).collect();
        taken.sort_unstable();
        assert_eq!((taken, used(&queue)), (vec![1, 2], 0));
    });
}

/// While there is something to take out, the file descriptor is readable.
#[test]
fn the_file_descriptor_tells_of_what_is_there() {
    check(|| {
        let queue = queue(false);
        queue.local.state.lock().is_watched = true;
        let tickets = [1, 2].map(|user_data| ticket(&queue, user_data));
        let posters = tickets.map(|ticket| thread::spawn(|| ticket.finish(Ok(Yield::Nothing))));
        let mut out = Vec::new();
        queue.collect(&mut out, 8);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        let mut poll = libc::pollfd { fd: queue.local.event.0, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry that is borrowed for the call.
        let is_readable = unsafe { libc::poll(&raw mut poll, 1, 0) } == 1;
        assert_eq!(is_readable, out.len() < 2, "{} were taken out", out.len());
        queue.collect(&mut out, 8);
        assert_eq!(out.len(), 2);
    });
}

unsafe extern "C" fn count(context: *mut std::ffi::c_void, _: *const Completion, count: usize) {
    // SAFETY: the test gave the address of a counter that outlives the queue's thread.
    let counter = unsafe { &*context.cast::<std::sync::atomic::AtomicUsize>() };
    counter.fetch_add(count, std::sync::atomic::Ordering::SeqCst);
}

/// The thread of a callback queue ends once the queue is released and every operation that was
/// accepted has completed, or was refused after all: not before, and not never.
#[test]
fn a_callback_queue_ends_behind_its_last_operation() {
    for is_refused in [false, true] {
        check(move || {
            let counter = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let queue = queue(true);
            let ticket = ticket(&queue, 1);
            let dispatcher = thread::spawn({
                let (queue, counter) = (Arc::clone(&queue), Arc::clone(&counter));
                move || {
                    let context = ptr::from_ref(&*counter).cast_mut().cast();
                    queue.dispatch(&Callback { function: count, context });
                }
            });
            let worker = thread::spawn(move || match is_refused {
                true => drop(ticket),
                false => ticket.finish(Ok(Yield::Nothing)),
            });
            queue.release();
            worker.join().unwrap();
            dispatcher.join().unwrap();
            let called = counter.load(std::sync::atomic::Ordering::SeqCst);
            assert_eq!((called, used(&queue)), (usize::from(!is_refused), 0));
        });
    }
}

/// What is posted to a queue that is just being released is dropped, and its place given back.
#[test]
fn a_post_meets_the_release() {
    check(|| {
        let queue = queue(false);
        let ticket = ticket(&queue, 1);
        let worker = thread::spawn(move || ticket.finish(Ok(Yield::Nothing)));
        queue.release();
        worker.join().unwrap();
        let mut out = Vec::new();
        queue.collect(&mut out, 8);
        assert_eq!((out.len(), used(&queue)), (0, 0));
    });
}

/// The last place in a queue is given to one of two, and is there again once it is given back.
#[test]
fn a_place_is_given_once() {
    check(|| {
        let queue = Queue::new(1, false).unwrap_or_else(|_| panic!("no queue"));
        let other = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.reserve()
        });
        let mine = queue.reserve();
        let theirs = other.join().unwrap();
        assert!(mine != theirs, "{mine} {theirs}");
        queue.give_back(1);
        assert!(queue.reserve());
    });
}
