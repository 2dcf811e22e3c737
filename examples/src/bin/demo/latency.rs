//! Latencies, in histograms that many threads may write to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::message::Quantiles;

/// Significant digits of a latency.
const DIGITS: u8 = 2;

/// Histograms of a latency; who writes to different ones is not in the other's way.
pub struct Latency {
    shards: Box<[Mutex<Histogram<u64>>]>,
}

impl Latency {
    pub fn new(shards: usize) -> anyhow::Result<Self> {
        // A nanosecond to an hour; what takes longer is counted as an hour.
        let empty = Histogram::new_with_bounds(1, 3_600_000_000_000, DIGITS)?;
        Ok(Self { shards: (0..shards.max(1)).map(|_| Mutex::new(empty.clone())).collect() })
    }

    #[inline]
    pub fn record(&self, shard: usize, nanos: u64) {
        let shard = &self.shards[shard % self.shards.len()];
        shard.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(nanos);
    }

    /// The quantiles of all together; zeros where there is nothing yet.
    pub fn quantiles(&self) -> Quantiles {
        let mut all: Option<Histogram<u64>> = None;
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut all {
                None => all = Some(shard.clone()),
                // They have the same bounds, so this cannot fail.
                Some(all) => all.add(&*shard).unwrap_or_default(),
            }
        }
        let at = |quantile| {
            let nanos = all.as_ref().filter(|all| !all.is_empty());
            nanos
                .map_or(Duration::ZERO, |all| Duration::from_nanos(all.value_at_quantile(quantile)))
        };
        Quantiles { p50: at(0.5), p99: at(0.99) }
    }
}

/// When logs were submitted.
///
/// Memory is bounded: where there are many logs, only every so manyth is kept. A latency is then
/// counted from the submission of a log a few before it, and comes out a little too long, never
/// too short.
pub struct Submissions {
    origin: Instant,
    stride: u64,
    nanos: Box<[AtomicU64]>,
}

/// No log was submitted yet. Instants are kept with 1 added.
const NEVER: u64 = 0;

impl Submissions {
    /// Room for logs up to and with `last`.
    pub fn new(origin: Instant, last: u64) -> Self {
        const SLOTS_MAX: u64 = 1 << 20;

        let stride = last / SLOTS_MAX + 1;
        let slots = last / stride + 1;
        Self { origin, stride, nanos: (0..slots).map(|_| AtomicU64::new(NEVER)).collect() }
    }

    /// Notes that a log is submitted now; answers when that is.
    #[inline]
    pub fn note(&self, seq_no: u64) -> u64 {
        let now = self.now();
        let slot = self.slot(seq_no);
        if let Some(slot) = slot.filter(|slot| slot.load(Ordering::Relaxed) == NEVER) {
            slot.store(now + 1, Ordering::Release);
        }
        now
    }

    /// Nanoseconds since a log was submitted; `None` where that was not in this process.
    #[inline]
    pub fn since(&self, seq_no: u64) -> Option<u64> {
        let submitted = self.slot(seq_no)?.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.now().saturating_sub(submitted))
    }

    /// Nanoseconds since the start.
    #[inline]
    pub fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn slot(&self, seq_no: u64) -> Option<&AtomicU64> {
        self.nanos.get((seq_no / self.stride) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_come_from_all_shards() {
        let latency = Latency::new(4).unwrap();
        assert_eq!(latency.quantiles(), Quantiles::default());
        (0..98).for_each(|at| latency.record(at, 10_000));
        (0..2).for_each(|at| latency.record(at, 1_000_000));
        let Quantiles { p50, p99 } = latency.quantiles();
        assert!(p50.abs_diff(Duration::from_micros(10)) < Duration::from_nanos(200));
        assert!(p99.abs_diff(Duration::from_millis(1)) < Duration::from_micros(20));
    }

    #[test]
    fn submissions_are_bounded_and_never_too_late() {
        for last in [0, 1, 1 << 20, 10 << 20] {
            let submissions = Submissions::new(Instant::now(), last);
            assert!(submissions.nanos.len() <= 1 << 20);
            assert_eq!(submissions.since(last), None);
            let before = submissions.now();
            submissions.note(last);
            assert!(submissions.since(last).unwrap() <= submissions.now() - before);
        }
    }
}
