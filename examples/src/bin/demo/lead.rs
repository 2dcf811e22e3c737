//! How far the writer may be ahead of the slowest stream.
//!
//! A store never makes a writer wait for readers. This demo's writer does so by itself, as a
//! service would that must not bury its consumers: otherwise it would measure how long a queue
//! gets, and not how fast logs are delivered. The input is cut into laps; streams count who
//! finished each, and the writer does not begin one before all streams finished an earlier one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// Laps that the lead consists of.
const LEAD_LAPS: u64 = 4;

/// Most laps, and so counters, of an input.
const LAPS_MAX: u64 = 1 << 16;

/// Keeps the writer near the streams.
pub struct Lead {
    /// Streams that finished each lap; empty where the lead is not limited.
    laps: Box<[AtomicU64]>,
    lap_bytes: u64,
    streams: u64,
    /// Held by who wakes or sleeps, so that no wake-up is missed.
    lock: Mutex<()>,
    moved: Condvar,
}

impl Lead {
    /// For an input of `total` bytes. A `lead` of 0 is no limit.
    pub fn new(lead: u64, total: u64, streams: u64) -> Self {
        let lap_bytes = (lead / LEAD_LAPS).max(total / LAPS_MAX).max(1);
        let laps = if lead == 0 { 0 } else { total / lap_bytes + 1 };
        Self {
            laps: (0..laps).map(|_| AtomicU64::new(0)).collect(),
            lap_bytes,
            streams,
            lock: Mutex::new(()),
            moved: Condvar::new(),
        }
    }

    /// A stream has moved on in the input.
    #[inline]
    pub fn advance(&self, from_bytes: u64, to_bytes: u64) {
        for lap in from_bytes / self.lap_bytes..to_bytes / self.lap_bytes {
            let Some(count) = self.laps.get(lap as usize) else { return };
            if count.fetch_add(1, Ordering::AcqRel) + 1 == self.streams {
                drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
                self.moved.notify_one();
            }
        }
    }

    /// Waits until the input may be appended from here on.
    #[inline]
    pub fn wait(&self, bytes: u64) {
        let Some(lap) = (bytes / self.lap_bytes).checked_sub(LEAD_LAPS) else { return };
        let Some(count) = self.laps.get(lap as usize) else { return };
        let is_far_ahead = || count.load(Ordering::Acquire) < self.streams;
        if is_far_ahead() {
            let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.moved.wait_while(lock, |()| is_far_ahead()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: u64 = 4_000;

    #[test]
    fn the_writer_stays_near_the_slowest_stream() {
        let lead = Lead::new(LEAD, 100_000, 2);
        let written = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for step in [1, 700] {
                let (lead, written) = (&lead, &written);
                scope.spawn(move || {
                    let mut read = 0;
                    while read < 100_000 {
                        let next = (read + step).min(written.load(Ordering::Acquire));
                        assert!(next <= read + LEAD + LEAD / LEAD_LAPS || next <= read + step);
                        lead.advance(read, next);
                        read = next;
                    }
                });
            }
            for at in 0..100_000 {
                lead.wait(at);
                written.store(at + 1, Ordering::Release);
            }
        });
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let lead = Lead::new(0, 100_000, 1);
        (0..100_000).step_by(1000).for_each(|at| lead.wait(at));
        lead.advance(0, 100_000);
    }
}
