//! How far each stream is, for a writer that keeps no more than a window ahead of the slowest.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Instant;

/// Logs that each stream has read. Made by the writer's thread.
#[derive(Debug)]
pub struct Pace {
    read: Vec<AtomicU64>,
    /// The writer waits for the slowest stream.
    waiting: AtomicBool,
    writer: Thread,
}

impl Pace {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        Self {
            read: (0..streams).map(|_| AtomicU64::new(0)).collect(),
            waiting: AtomicBool::new(false),
            writer: thread::current(),
        }
    }

    /// Logs that the slowest stream has read.
    #[must_use]
    pub fn slowest(&self) -> u64 {
        let read = self.read.iter().map(|read| read.load(Ordering::Acquire));
        read.min().unwrap_or(u64::MAX)
    }

    /// Logs that were read in all.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.read.iter().map(|read| read.load(Ordering::Acquire)).sum()
    }

    /// A stream got further.
    pub fn advance(&self, stream: usize, read: u64) {
        self.read[stream].store(read, Ordering::Release);
        if self.waiting.load(Ordering::SeqCst) && self.waiting.swap(false, Ordering::SeqCst) {
            self.writer.unpark();
        }
    }

    /// Waits until the slowest stream has read so many logs, or the time is up. For the writer.
    pub fn wait_for_slowest(&self, read: u64, end: Instant) {
        while self.slowest() < read {
            self.waiting.store(true, Ordering::SeqCst);
            if self.slowest() >= read {
                break;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        self.waiting.store(false, Ordering::SeqCst);
    }
}
