//! All interleavings of a few threads that share a pool, under loom.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::thread;

use super::pool::Purpose;
use super::read_pool::{LARGE_READ, SMALL_READ};
use super::{Pool, ReadPool};
use crate::sync::check;

/// Times that a thread may be interrupted where it need not wait.
const PREEMPTIONS: usize = 3;

/// Says to loom when the bytes of a buffer are read and written: it finds two accesses that no
/// order keeps apart.
#[derive(Default)]
struct Bytes(UnsafeCell<()>);

// SAFETY: the test is that the pool gives a buffer to one writer at a time.
unsafe impl Sync for Bytes {}
// SAFETY: as above.
unsafe impl Send for Bytes {}

impl Bytes {
    fn write(&self) {
        self.0.with_mut(|_| ());
    }

    fn read(&self) {
        self.0.with(|_| ());
    }
}

/// Producers that wait for the only buffer all get it, one after the other.
#[test]
fn who_waits_for_a_buffer_gets_it() {
    check(PREEMPTIONS, || {
        let pool = Pool::new(1, 1, 64, false).unwrap();
        let bytes = Arc::new(Bytes::default());
        let produce = {
            let (pool, bytes) = (Arc::clone(&pool), Arc::clone(&bytes));
            move || {
                let buffer = block_on(pool.take());
                bytes.write();
                drop(buffer);
            }
        };
        let other = thread::spawn(produce.clone());
        produce();
        other.join().unwrap();
        assert_eq!(pool.free_count(), 1);
    });
}

/// A permit comes back without its buffer, and a buffer without its permit: who waits for both
/// is woken by whichever comes last.
#[test]
fn permit_and_buffer_come_back_apart() {
    check(PREEMPTIONS, || {
        let pool = Pool::new(1, 1, 64, false).unwrap();
        let mut buffer = pool.try_take(Purpose::Producer).unwrap();
        let slice = buffer.freeze(8);
        let waiter = thread::spawn({
            let pool = Arc::clone(&pool);
            move || drop(block_on(pool.take()))
        });
        let holder = thread::spawn(move || drop(slice));
        drop(buffer);
        holder.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(pool.free_count(), 1);
    });
}

/// A buffer is not filled again while a reader holds a slice of it.
#[test]
fn a_slice_keeps_its_buffer() {
    check(PREEMPTIONS, || {
        let pool = Pool::new(1, 1, 64, false).unwrap();
        let bytes = Arc::new(Bytes::default());
        let mut buffer = pool.try_take(Purpose::Producer).unwrap();
        bytes.write();
        let slice = buffer.freeze(8);
        drop(buffer);
        let reader = thread::spawn({
            let bytes = Arc::clone(&bytes);
            move || {
                bytes.read();
                drop(slice);
            }
        });
        if let Some(buffer) = pool.try_take(Purpose::Producer) {
            bytes.write();
            drop(buffer);
        }
        reader.join().unwrap();
        assert_eq!(pool.free_count(), 1);
    });
}

/// Readers that wait for memory all get some, whatever sizes they want.
#[test]
fn who_waits_for_memory_to_read_gets_it() {
    check(PREEMPTIONS, || {
        let pool = ReadPool::new(LARGE_READ);
        let readers: Vec<_> = [SMALL_READ, LARGE_READ]
            .into_iter()
            .map(|len| {
                let pool = Arc::clone(&pool);
                thread::spawn(move || drop(block_on(pool.take(len))))
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert_eq!(pool.used(), 0);
    });
}
