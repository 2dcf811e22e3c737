//! The bounded memory that cold reads go into.
//!
//! Readers have a budget of their own, so that however long they hold what they read, no append
//! waits for it. A reader that asks for more than is left waits for others to finish; the last
//! part of the budget is kept for small reads, so that a few readers with large buffers do not
//! stop all others.

use std::sync::Arc;

use crate::fork::Process;
use crate::sync::{Event, Mutex};

/// Bytes of the buffers that looking up single logs uses.
pub const SMALL_READ: usize = 32 * 1024;

/// Bytes of the buffers that scans use: small enough to stay in a core's second-level cache
/// between the copy into it and the check of its checksums.
pub const LARGE_READ: usize = 256 * 1024;

/// Part of the budget that only small reads may use: one in this many bytes.
const RESERVE_DIVISOR: usize = 4;

/// Memory for cold reads, limited in total.
#[derive(Debug)]
pub struct ReadPool {
    capacity: usize,
    state: Mutex<State>,
    returned: Event,
    /// Where it was made. In a forked child somebody else may have the lock, for ever.
    process: Process,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    idle_small: Vec<Box<[u8]>>,
    idle_large: Vec<Box<[u8]>>,
}

impl State {
    fn idle(&mut self, size: usize) -> Option<&mut Vec<Box<[u8]>>> {
        match size {
            SMALL_READ => Some(&mut self.idle_small),
            LARGE_READ => Some(&mut self.idle_large),
            _ => None,
        }
    }

    fn idle_bytes(&self) -> usize {
        self.idle_small.len() * SMALL_READ + self.idle_large.len() * LARGE_READ
    }
}

impl ReadPool {
    /// Makes a pool that gives out at most `capacity` bytes at a time, or one buffer where a
    /// single one is larger than that.
    #[must_use]
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            state: Mutex::default(),
            returned: Event::new(),
            process: Process::current(),
        })
    }

    /// Bytes in readers' hands.
    #[must_use]
    pub fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Takes a buffer for at least `len` bytes, if the budget allows it now.
    #[must_use]
    pub fn try_take(self: &Arc<Self>, len: usize) -> Option<ReadBuffer> {
        let size = size_class(len);
        let limit = if size > SMALL_READ {
            self.capacity - self.capacity / RESERVE_DIVISOR
        } else {
            self.capacity
        };
        let mut state = self.state.lock();
        if state.used != 0 && state.used + size > limit {
            return None;
        }
        state.used += size;
        let idle = state.idle(size).and_then(Vec::pop);
        if idle.is_none() {
            // Idle buffers of the other size count against the budget too.
            while state.used + state.idle_bytes() > self.capacity {
                if state.idle_large.pop().is_none() && state.idle_small.pop().is_none() {
                    break;
                }
            }
        }
        drop(state);
        let bytes = idle.unwrap_or_else(|| vec![0; size].into_boxed_slice());
        Some(ReadBuffer { bytes: Some(bytes), len, pool: Arc::clone(self) })
    }

    /// Waits until the budget allows it, and takes a buffer for at least `len` bytes.
    pub async fn take(self: &Arc<Self>, len: usize) -> ReadBuffer {
        loop {
            if let Some(buffer) = self.try_take(len) {
                return buffer;
            }
            let listener = self.returned.listen();
            if let Some(buffer) = self.try_take(len) {
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

    fn give_back(&self, bytes: Box<[u8]>) {
        if !self.process.is_current() {
            return;
        }
        let mut state = self.state.lock();
        state.used -= bytes.len();
        let fits = state.used + state.idle_bytes() + bytes.len() <= self.capacity;
        if fits && let Some(idle) = state.idle(bytes.len()) {
            idle.push(bytes);
        }
        drop(state);
        // Waiters want different sizes: let each of them look.
        self.returned.notify(usize::MAX);
    }
}

fn size_class(len: usize) -> usize {
    if len <= SMALL_READ {
        SMALL_READ
    } else if len <= LARGE_READ {
        LARGE_READ
    } else {
        len
    }
}

/// Bytes that a cold read goes into; back in the pool when dropped.
#[derive(Debug)]
pub struct ReadBuffer {
    /// `None` only while it is being dropped.
    bytes: Option<Box<[u8]>>,
    len: usize,
    pool: Arc<ReadPool>,
}

impl ReadBuffer {
    /// Shortens the buffer to its first `len` bytes; longer changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Whether more than half of the budget is in readers' hands.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.pool.used() > self.pool.capacity / 2
    }
}

impl std::ops::Deref for ReadBuffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.as_deref().and_then(|bytes| bytes.get(..self.len)).unwrap_or_default()
    }
}

impl std::ops::DerefMut for ReadBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.bytes.as_deref_mut().and_then(|bytes| bytes.get_mut(..len)).unwrap_or_default()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            self.pool.give_back(bytes);
        }
    }
}
