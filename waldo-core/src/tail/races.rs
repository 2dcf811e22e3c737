//! All interleavings of one thread that publishes and others that read, under loom.
//!
//! A number that is stored and loaded without any order stands for the bytes of the logs: who
//! was told that they are there must find them.

use std::sync::Arc;
use std::task::Poll;

use loom::future::block_on;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::thread;

use super::segment::{Extent, Origin};
use super::{Segment, Tail, Waiters};
use crate::format::seal::IndexEntry;
use crate::memory::pool::Purpose;
use crate::memory::{BufferMut, Pool};
use crate::progress::Progress;
use crate::sync::check;

const LOG: usize = 8;

/// Times that a thread may be interrupted where it need not wait.
const PREEMPTIONS: usize = 3;

fn pool(buffers: usize) -> Arc<Pool> {
    Pool::new(buffers, buffers, 64, false).unwrap()
}

/// A segment whose logs have one unit each, and the numbers `first_prev + 1` and so on.
fn segment(number: u64, first_prev_seq_no: u64, buffer: &BufferMut) -> Arc<Segment> {
    let buffer = Arc::clone(buffer.buffer());
    let origin =
        Origin { number, page_number: 1, page_offset: 4096, buffer, base: 0, first_prev_seq_no };
    Arc::new(Segment::new(origin, 4))
}

fn extent(first_prev_seq_no: u64, count: usize) -> Extent {
    Extent { len: count * LOG, last_seq_no: first_prev_seq_no + count as u64 }
}

/// A reader never sees the length of one extent with the number of another, nor an older extent
/// after a newer one, nor an extent without its bytes and its place in the index.
#[test]
fn an_extent_is_seen_as_a_whole() {
    check(PREEMPTIONS, || {
        let mut buffer = pool(1).try_take(Purpose::Producer).unwrap();
        let segment = segment(0, 0, &buffer);
        let bytes = Arc::new(AtomicU64::new(0));
        let reader = thread::spawn({
            let (segment, bytes) = (Arc::clone(&segment), Arc::clone(&bytes));
            move || {
                let mut before = 0;
                for _ in 0..2 {
                    let seen = segment.extent();
                    assert_eq!(seen.len as u64, seen.last_seq_no * LOG as u64, "torn");
                    assert!(seen.last_seq_no >= before, "backwards");
                    assert!(bytes.load(Relaxed) >= seen.last_seq_no, "before its bytes");
                    assert!(segment.slice(0, seen.len).is_some(), "before its bytes are frozen");
                    let place = segment.find(seen.last_seq_no);
                    assert!(place.prev_seq_no + 1 >= seen.last_seq_no, "before its index");
                    before = seen.last_seq_no;
                }
            }
        });
        for count in 1..=2 {
            bytes.store(count as u64, Relaxed);
            buffer.freeze(LOG);
            let (prev_seq_no, offset) = (count as u64 - 1, count as u32 - 1);
            segment.mark(IndexEntry { prev_seq_no, offset, frame_end: 0 });
            segment.commit(extent(0, count));
        }
        reader.join().unwrap();
    });
}

/// The index is searched while it grows: what is found is an entry as it was added.
#[test]
fn an_index_entry_is_seen_as_a_whole() {
    check(PREEMPTIONS, || {
        let buffer = pool(1).try_take(Purpose::Producer).unwrap();
        let segment = segment(0, 0, &buffer);
        let reader = thread::spawn({
            let segment = Arc::clone(&segment);
            move || {
                let place = segment.find(9);
                assert_eq!(u64::from(place.offset), 3 * place.prev_seq_no);
                assert_eq!(u64::from(place.frame_end), 5 * place.prev_seq_no);
            }
        });
        for at in 1..=2 {
            segment.mark(IndexEntry {
                prev_seq_no: u64::from(at),
                offset: 3 * at,
                frame_end: 5 * at,
            });
        }
        reader.join().unwrap();
    });
}

/// While segments are published and evicted, a search answers with the place of the log, or
/// that the tail does not have it; and a number leads to the segment of that number only.
#[test]
fn a_search_meets_eviction() {
    check(PREEMPTIONS, || {
        let pool = pool(4);
        let tail = Arc::new(Tail::new(Arc::clone(&pool), 1));
        let publish = {
            let (tail, pool) = (Arc::clone(&tail), Arc::clone(&pool));
            move |number: u64| {
                let mut buffer = pool.try_take(Purpose::Engine).unwrap();
                buffer.freeze(2 * LOG);
                let segment = segment(number, number * 2, &buffer);
                segment.commit(extent(number * 2, 2));
                tail.publish(segment);
            }
        };
        publish(0);
        let reader = thread::spawn({
            let tail = Arc::clone(&tail);
            move || {
                for wanted in [1, 3] {
                    if let Some(found) = tail.find(wanted) {
                        let first = found.first_prev_seq_no();
                        assert_eq!(first, found.number() * 2);
                        assert!(first <= wanted, "logs are skipped");
                        let newer = tail.segment(found.number() + 1);
                        assert!(newer.is_none_or(|newer| newer.number() == found.number() + 1));
                    }
                }
            }
        });
        publish(1);
        publish(2);
        reader.join().unwrap();
        assert_eq!(tail.find(4).map(|found| found.number()), Some(2));
        assert!(tail.find(3).is_none(), "evicted");
        assert_eq!((pool.free_count(), pool.detached_count()), (3, 0));
    });
}

/// A buffer that leaves the tail counts as detached until its last holder lets go, however that
/// falls together with the eviction.
#[test]
fn a_held_buffer_is_counted_until_it_is_free() {
    check(PREEMPTIONS, || {
        let pool = pool(2);
        let tail = Arc::new(Tail::new(Arc::clone(&pool), 1));
        let mut buffer = pool.try_take(Purpose::Engine).unwrap();
        buffer.freeze(LOG);
        let held = segment(0, 0, &buffer);
        drop(buffer);
        held.commit(extent(0, 1));
        tail.publish(Arc::clone(&held));
        let slice = held.slice(0, LOG).unwrap();
        drop(held);
        let reader = thread::spawn({
            let pool = Arc::clone(&pool);
            move || {
                assert!(pool.free_count() <= 1, "a buffer is free although it is held");
                drop(slice);
            }
        });
        tail.clear();
        assert!(pool.detached_count() <= 1);
        reader.join().unwrap();
        assert_eq!((pool.free_count(), pool.detached_count()), (2, 0));
    });
}

/// A reader that finds nothing parks, looks once more, and sleeps. The worker publishes, and
/// wakes who is parked. One of them sees the other.
#[test]
fn no_wake_up_is_lost() {
    check(PREEMPTIONS, || {
        let progress = Arc::new(Progress::new(0, 0));
        let waiters = Arc::new(Waiters::default());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (progress, waiters) = (Arc::clone(&progress), Arc::clone(&waiters));
                thread::spawn(move || {
                    let place = waiters.enter();
                    block_on(std::future::poll_fn(|context| {
                        if progress.tip() > 0 {
                            return Poll::Ready(());
                        }
                        waiters.park(&place, 0, context.waker());
                        if progress.tip() > 0 { Poll::Ready(()) } else { Poll::Pending }
                    }));
                    waiters.leave(&place);
                })
            })
            .collect();
        progress.set_tip(1);
        waiters.wake(1, &mut Vec::new());
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(waiters.parked_count(), 0);
    });
}

/// Who waits for a log that is not there yet sleeps on, and is there for the wake-up that says
/// that none will come.
#[test]
fn everybody_is_woken_at_the_end() {
    check(PREEMPTIONS, || {
        let progress = Arc::new(Progress::new(0, 0));
        let waiters = Arc::new(Waiters::default());
        let reader = thread::spawn({
            let (progress, waiters) = (Arc::clone(&progress), Arc::clone(&waiters));
            move || {
                let place = waiters.enter();
                block_on(std::future::poll_fn(|context| {
                    waiters.park(&place, 7, context.waker());
                    if progress.is_closed() { Poll::Ready(()) } else { Poll::Pending }
                }));
            }
        });
        progress.set_tip(1);
        waiters.wake(1, &mut Vec::new());
        progress.set_closed();
        waiters.wake_all(&mut Vec::new());
        reader.join().unwrap();
    });
}

/// A truncation shows its number last: who sees that there was one sees the tip that it left.
#[test]
fn a_truncation_shows_its_tip_first() {
    check(PREEMPTIONS, || {
        let progress = Arc::new(Progress::new(9, 0));
        let reader = thread::spawn({
            let progress = Arc::clone(&progress);
            move || {
                if progress.epoch() == 1 {
                    assert_eq!(progress.tip(), 4);
                    assert_eq!(progress.truncated_since(0), Some(4));
                }
            }
        });
        progress.truncate(4);
        reader.join().unwrap();
    });
}
