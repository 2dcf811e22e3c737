//! The buffers that frames are built in, written from, and read from.
//!
//! A buffer is filled from front to back. What is filled is *frozen*: it never changes again, so
//! the kernel may write it to disk and any number of readers may hold [`Slice`]s of it while the
//! rest is still being filled through the one [`BufferMut`]. When the last of them is dropped the
//! buffer goes back to its pool.
//!
//! The pool has more buffers than it gives out for writing: `write_limit` may be in the hands of
//! producers and the engine at a time, and the others are what the hot tail and slow readers
//! hold. That is why a reader cannot starve a writer; see `tail` for the other half of the rule.

use std::io;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use super::mapping::Mapping;
use crate::fork::Process;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Event, Mutex};

/// A fixed number of buffers of equal size.
#[derive(Debug)]
pub struct Pool {
    mapping: Mapping,
    buffer_capacity: usize,
    state: Mutex<State>,
    /// Buffers that left the tail while somebody still held them.
    detached: AtomicUsize,
    returned: Event,
    /// Where it was made. In a forked child somebody else may have the lock, for ever.
    process: Process,
}

#[derive(Debug)]
struct State {
    free: Vec<u32>,
    write_permits: usize,
}

/// Who a buffer is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A producer: counts against the pool's write limit.
    Producer,
    /// The engine's own: the pool was made with room for these.
    Engine,
}

impl Pool {
    /// Makes a pool of `count` buffers, of which producers may hold `write_limit` at a time.
    ///
    /// # Errors
    ///
    /// The system's error where the memory cannot be mapped, `OutOfMemory` where the size cannot
    /// be expressed.
    pub fn new(
        count: usize,
        write_limit: usize,
        buffer_capacity: usize,
        huge: bool,
    ) -> io::Result<Arc<Self>> {
        let count_u32 = u32::try_from(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let size = count.checked_mul(buffer_capacity).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Arc::new(Self {
            mapping: Mapping::new(size, huge)?,
            buffer_capacity,
            // Lowest numbers last: the same few buffers are reused while traffic is light, and
            // memory that is never needed is never touched.
            state: Mutex::new(State {
                free: (0..count_u32).rev().collect(),
                write_permits: write_limit,
            }),
            detached: AtomicUsize::new(0),
            returned: Event::new(),
            process: Process::current(),
        }))
    }

    /// Bytes of each buffer.
    #[must_use]
    pub fn buffer_capacity(&self) -> usize {
        self.buffer_capacity
    }

    /// The memory behind all buffers, for a driver that registers it with the kernel.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Buffers that nobody holds.
    #[must_use]
    pub fn free_count(&self) -> usize {
        self.state.lock().free.len()
    }

    /// Buffers that left the hot tail and are still held by readers.
    #[must_use]
    pub fn detached_count(&self) -> usize {
        self.detached.load(Ordering::Relaxed)
    }

    /// Takes a buffer, if one may be had now.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, purpose: Purpose) -> Option<BufferMut> {
        let mut state = self.state.lock();
        if purpose == Purpose::Producer {
            state.write_permits = state.write_permits.checked_sub(1)?;
        }
        let Some(index) = state.free.pop() else {
            state.write_permits += usize::from(purpose == Purpose::Producer);
            return None;
        };
        drop(state);
        let buffer = Arc::new(Buffer {
            pool: Arc::clone(self),
            index,
            frozen: AtomicUsize::new(0),
            detached: AtomicBool::new(false),
        });
        Some(BufferMut { buffer, frozen: 0, permit: purpose == Purpose::Producer })
    }

    /// Waits until a producer's buffer may be had, and takes it.
    pub async fn take(self: &Arc<Self>) -> BufferMut {
        loop {
            if let Some(buffer) = self.try_take(Purpose::Producer) {
                return buffer;
            }
            let listener = self.returned.listen();
            if let Some(buffer) = self.try_take(Purpose::Producer) {
                return buffer;
            }
            listener.await;
        }
    }

    /// Does something while it has the lock.
    #[cfg(all(test, not(waldo_loom)))]
    pub(super) fn locked<T>(&self, act: impl FnOnce() -> T) -> T {
        let _held = self.state.lock();
        act()
    }

    fn return_permit(&self) {
        if !self.process.is_current() {
            return;
        }
        self.state.lock().write_permits += 1;
        self.returned.notify_additional(1);
    }
}

/// One buffer while anybody holds it.
#[derive(Debug)]
pub struct Buffer {
    pool: Arc<Pool>,
    index: u32,
    /// Bytes from the front that will never change again.
    frozen: AtomicUsize,
    detached: AtomicBool,
}

impl Buffer {
    /// A view of bytes that are frozen; `None` where `range` reaches past them.
    #[must_use]
    pub fn slice(self: &Arc<Self>, range: Range<usize>) -> Option<Slice> {
        // Acquire: pairs with the release in `freeze`, so that the bytes are seen as they were
        // when they were frozen.
        let frozen = self.frozen.load(Ordering::Acquire);
        (range.start <= range.end && range.end <= frozen).then(|| Slice {
            buffer: Arc::clone(self),
            start: range.start,
            end: range.end,
        })
    }

    /// Marks that the tail no longer keeps the buffer: what it costs now is its holders'.
    pub fn detach(&self) {
        if !self.detached.swap(true, Ordering::Relaxed) {
            self.pool.detached.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of the buffer in its pool.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: `index` is below the pool's count, so the offset lies inside the mapping.
        unsafe { self.pool.mapping.start().add(self.index as usize * self.pool.buffer_capacity) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !self.pool.process.is_current() {
            return;
        }
        if self.detached.swap(false, Ordering::Relaxed) {
            self.pool.detached.fetch_sub(1, Ordering::Relaxed);
        }
        self.pool.state.lock().free.push(self.index);
        self.pool.returned.notify_additional(1);
    }
}

/// The right to fill a buffer. There is one for each buffer in use, and it is not cloned.
#[derive(Debug)]
pub struct BufferMut {
    buffer: Arc<Buffer>,
    frozen: usize,
    permit: bool,
}

impl BufferMut {
    /// The part that may still be filled. It holds whatever an earlier use left there.
    pub fn unfrozen(&mut self) -> &mut [u8] {
        let len = self.buffer.pool.buffer_capacity - self.frozen;
        // SAFETY: the bytes from `frozen` on lie inside the buffer. No slice reaches past
        // `frozen` (see `Buffer::slice`), this value is the only one that gives out the rest,
        // and `&mut self` makes that once at a time.
        unsafe {
            std::slice::from_raw_parts_mut(self.buffer.start().as_ptr().add(self.frozen), len)
        }
    }

    /// Freezes the first `len` unfrozen bytes, and returns them.
    ///
    /// # Panics
    ///
    /// Where fewer than `len` bytes are left: an error of the engine, not of its input.
    pub fn freeze(&mut self, len: usize) -> Slice {
        assert!(len <= self.remaining(), "freeze past the end of a buffer");
        let start = self.frozen;
        self.frozen += len;
        // Release: what was filled is visible to whoever sees the new length.
        self.buffer.frozen.store(self.frozen, Ordering::Release);
        Slice { buffer: Arc::clone(&self.buffer), start, end: self.frozen }
    }

    /// Bytes that may still be filled.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.buffer.pool.buffer_capacity - self.frozen
    }

    /// Bytes that are frozen.
    #[must_use]
    pub fn frozen_len(&self) -> usize {
        self.frozen
    }

    /// The buffer, for the tail to keep.
    #[must_use]
    pub fn buffer(&self) -> &Arc<Buffer> {
        &self.buffer
    }

    /// Gives the producer's place in the pool back, while the buffer itself lives on in the tail.
    pub fn release_permit(&mut self) {
        if std::mem::take(&mut self.permit) {
            self.buffer.pool.return_permit();
        }
    }
}

impl Drop for BufferMut {
    fn drop(&mut self) {
        self.release_permit();
    }
}

/// Frozen bytes of a buffer. Keeps the buffer alive; cloning counts a reference.
#[derive(Clone, Debug)]
pub struct Slice {
    buffer: Arc<Buffer>,
    start: usize,
    end: usize,
}

impl Slice {
    /// Number of the buffer in its pool.
    #[must_use]
    pub fn buffer_index(&self) -> u32 {
        self.buffer.index
    }
}

impl Deref for Slice {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `start..end` was checked to be frozen when the slice was made. Frozen bytes
        // lie inside the buffer and are not written until the buffer is back in the pool, which
        // this slice prevents by holding it.
        unsafe {
            std::slice::from_raw_parts(
                self.buffer.start().as_ptr().add(self.start),
                self.end - self.start,
            )
        }
    }
}
