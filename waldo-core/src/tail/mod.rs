//! The hot tail: the newest frames, in memory, published so that readers load them without a
//! lock and without asking the worker.
//!
//! One thread, the worker, publishes; any number of threads read. The tail is a ring of slots,
//! each of which holds a [`Segment`]: frames that follow each other both in a page and in a
//! buffer. Segments are numbered; a reader that remembers the number and offset at which it
//! stopped finds its next bytes with one load.
//!
//! Memory stays bounded whatever readers do. The tail keeps a fixed number of buffers; a buffer
//! that leaves it while a reader still holds it is *detached*. Once so many are detached that
//! the buffers of the whole tail, if they were held too, could exhaust the pool, readers are
//! sent to the disk ([`Tail::is_open`]) until some are given back. A writer always finds a buffer.

#[cfg(all(test, waldo_loom))]
mod races;
pub mod segment;
pub mod waiters;

use std::sync::Arc;

pub use segment::Segment;
pub use waiters::Waiters;

use crate::memory::Pool;
use crate::sync::ArcSwapOption;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Slots for each buffer of the tail: a buffer may hold several segments.
const SLOTS_PER_BUFFER: usize = 8;

/// The published segments.
#[derive(Debug)]
pub struct Tail {
    slots: Box<[ArcSwapOption<Segment>]>,
    /// Number of the oldest segment.
    oldest: AtomicU64,
    /// Number that the next segment gets.
    next: AtomicU64,
    pool: Arc<Pool>,
    buffers_max: usize,
}

impl Tail {
    /// Makes an empty tail that keeps at most `buffers_max` buffers of `pool`.
    #[must_use]
    pub fn new(pool: Arc<Pool>, buffers_max: usize) -> Self {
        let slots = (buffers_max * SLOTS_PER_BUFFER).next_power_of_two().max(16);
        Self {
            slots: (0..slots).map(|_| ArcSwapOption::empty()).collect(),
            oldest: AtomicU64::new(0),
            next: AtomicU64::new(0),
            pool,
            buffers_max,
        }
    }

    /// Whether readers may take chunks from the tail now; else they read from disk.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.pool.detached_count() < self.buffers_max
    }

    /// The segment with this number, if it is still there.
    #[inline]
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<Arc<Segment>> {
        let segment = self.slot(number).load_full()?;
        (segment.number() == number).then_some(segment)
    }

    /// The newest segment whose first log comes after no log that is newer than `seq_no`: where
    /// the logs after `seq_no` are, if the tail has all of them.
    #[must_use]
    pub fn find(&self, seq_no: u64) -> Option<Arc<Segment>> {
        let mut low = self.oldest.load(Ordering::Acquire);
        let mut high = self.next.load(Ordering::Acquire);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.segment(middle) {
                Some(segment) if segment.first_prev_seq_no() <= seq_no => {
                    found = Some(segment);
                    low = middle + 1;
                }
                Some(_) => high = middle,
                // It left the tail just now: what is left is newer.
                None => low = middle + 1,
            }
        }
        found
    }

    /// Number that the next published segment will have. For the worker only.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Adds a segment. For the worker only.
    pub(crate) fn publish(&self, segment: Arc<Segment>) {
        let number = segment.number();
        let len = self.slots.len() as u64;
        while number >= self.oldest.load(Ordering::Relaxed) + len {
            self.evict_oldest();
        }
        self.slot(number).store(Some(segment));
        self.next.store(number + 1, Ordering::Release);
        while self.buffer_count() > self.buffers_max {
            self.evict_oldest();
        }
    }

    /// Removes every segment. For the worker only.
    pub(crate) fn clear(&self) {
        while self.oldest.load(Ordering::Relaxed) < self.next.load(Ordering::Relaxed) {
            self.evict_oldest();
        }
    }

    fn evict_oldest(&self) {
        let number = self.oldest.load(Ordering::Relaxed);
        let segment = self.slot(number).swap(None);
        self.oldest.store(number + 1, Ordering::Release);
        let Some(segment) = segment else { return };
        let shared = self.segment(number + 1).is_some_and(|next| next.shares_buffer(&segment));
        if !shared {
            segment.detach();
        }
    }

    /// Buffers that the segments lie in. Segments that share one are neighbours.
    fn buffer_count(&self) -> usize {
        let numbers = self.oldest.load(Ordering::Relaxed)..self.next.load(Ordering::Relaxed);
        let mut count = 0;
        let mut last: Option<Arc<Segment>> = None;
        for segment in numbers.filter_map(|number| self.segment(number)) {
            if !last.as_ref().is_some_and(|last| last.shares_buffer(&segment)) {
                count += 1;
            }
            last = Some(segment);
        }
        count
    }

    fn slot(&self, number: u64) -> &ArcSwapOption<Segment> {
        &self.slots[(number as usize) & (self.slots.len() - 1)]
    }
}
