//! Latencies in HDR histograms.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies of one thread or of several merged.
#[derive(Clone, Debug)]
pub struct Latency {
    nanos: Histogram<u64>,
}

/// The percentiles that every scenario prints, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 99 of 100 are no slower.
    pub p99: f64,
    /// 999 of 1,000 are no slower.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The slowest one.
    pub max: f64,
}

impl Latency {
    /// An empty histogram: 1 ns to 1 h, three significant digits.
    ///
    /// # Errors
    ///
    /// Where the histogram cannot be created.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { nanos: Histogram::new_with_bounds(1, 3_600_000_000_000, 3)? })
    }

    /// Records one latency.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.nanos.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records the same latency for `count` operations.
    #[inline]
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.saturating_record_n(nanos, count);
    }

    /// Number of latencies recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.nanos.len()
    }

    /// Adds what `other` recorded.
    ///
    /// # Errors
    ///
    /// Never with histograms made by [`Latency::new`].
    pub fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.nanos.add(&other.nanos)?)
    }

    /// The percentiles; `None` where nothing was recorded.
    #[must_use]
    pub fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| self.nanos.value_at_quantile(quantile) as f64 / 1e3;
        (!self.nanos.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            max: self.nanos.max() as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_from_all_merged() {
        let mut a = Latency::new().unwrap();
        assert_eq!(a.percentiles(), None);
        let mut b = a.clone();
        a.record_many(Duration::from_micros(10), 98);
        b.record_many(Duration::from_micros(1000), 2);
        a.merge(&b).unwrap();
        let all = a.percentiles().unwrap();
        assert!((all.p50 - 10.0).abs() < 0.1);
        assert!((all.p99 - 1000.0).abs() < 1.0);
        assert!((all.max - 1000.0).abs() < 1.0);
    }
}
