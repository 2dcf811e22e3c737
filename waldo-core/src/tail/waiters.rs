//! Readers that wait for logs which are not there yet.
//!
//! They are parked in shards, so that ten thousand of them do not meet at one lock, and woken
//! outside every lock after the tail was published. A parked reader costs nothing.

use std::task::Waker;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering, fence};

const SHARDS: usize = if cfg!(waldo_loom) { 1 } else { 64 };

/// The parked readers.
#[derive(Debug)]
pub struct Waiters {
    shards: Box<[Shard]>,
    next_shard: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    /// Number of parked readers, so that an empty shard is passed without its lock.
    parked: AtomicUsize,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    entries: Vec<Option<Parked>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Parked {
    after_seq_no: u64,
    waker: Waker,
}

/// A reader's place among the waiters. It belongs to one [`Waiters`] and is given back to it.
#[derive(Debug)]
pub struct Place {
    shard: usize,
    slot: usize,
}

impl Default for Waiters {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            next_shard: AtomicUsize::new(0),
        }
    }
}

impl Waiters {
    /// Takes a place. It costs nothing until something is parked there.
    #[must_use]
    pub fn enter(&self) -> Place {
        let shard = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut slots = self.shards[shard].slots.lock();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.entries.push(None);
            slots.entries.len() - 1
        });
        Place { shard, slot }
    }

    /// Parks a reader until a log after `after_seq_no` is there. Replaces what was parked at
    /// this place before.
    ///
    /// The caller looks at the tip once more afterwards: it may have moved before the reader
    /// was parked.
    pub fn park(&self, place: &Place, after_seq_no: u64, waker: &Waker) {
        let shard = &self.shards[place.shard];
        let mut slots = shard.slots.lock();
        match &mut slots.entries[place.slot] {
            Some(parked) => {
                parked.after_seq_no = after_seq_no;
                parked.waker.clone_from(waker);
            }
            empty => {
                *empty = Some(Parked { after_seq_no, waker: waker.clone() });
                shard.parked.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(slots);
        // Pairs with the fence in `wake`: either this reader sees the new tip when it looks
        // again, or the worker sees that somebody is parked.
        fence(Ordering::SeqCst);
    }

    /// Gives the place back.
    pub fn leave(&self, place: &Place) {
        let shard = &self.shards[place.shard];
        let mut slots = shard.slots.lock();
        if slots.entries[place.slot].take().is_some() {
            shard.parked.fetch_sub(1, Ordering::Relaxed);
        }
        slots.free.push(place.slot);
    }

    /// Wakes every reader that waits for a log up to `tip`.
    ///
    /// `scratch` is empty before and after; it saves an allocation at each call.
    pub fn wake(&self, tip: u64, scratch: &mut Vec<Waker>) {
        // Pairs with the fence in `park`; the tip was stored before.
        fence(Ordering::SeqCst);
        for shard in &self.shards {
            if shard.parked.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut slots = shard.slots.lock();
            for entry in &mut slots.entries {
                if entry.as_ref().is_some_and(|parked| parked.after_seq_no < tip) {
                    scratch.extend(entry.take().map(|parked| parked.waker));
                    shard.parked.fetch_sub(1, Ordering::Relaxed);
                }
            }
            drop(slots);
            // Shard by shard, outside the lock: the first readers run while others are woken.
            for waker in scratch.drain(..) {
                waker.wake();
            }
        }
    }

    /// Wakes everybody: the store was closed, trimmed or truncated under them.
    pub fn wake_all(&self, scratch: &mut Vec<Waker>) {
        self.wake(u64::MAX, scratch);
        // `u64::MAX` itself may be waited for.
        for shard in &self.shards {
            let mut slots = shard.slots.lock();
            for entry in &mut slots.entries {
                if let Some(parked) = entry.take() {
                    scratch.push(parked.waker);
                    shard.parked.fetch_sub(1, Ordering::Relaxed);
                }
            }
            drop(slots);
            scratch.drain(..).for_each(Waker::wake);
        }
    }

    /// Number of parked readers.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.parked.load(Ordering::Relaxed)).sum()
    }
}
