//! Numbers to places on an axis, and round numbers between its ends.

/// An axis from `low` to `high`, `length` long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    length: f64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Linear,
    /// With ticks at powers of this.
    Log(f64),
}

/// Ticks of a linear axis, about.
const TICKS: f64 = 5.0;

impl Scale {
    /// From 0 to a round number that is no less than `high`.
    pub fn from_zero(high: f64, length: f64) -> Self {
        let step = step(high.max(f64::MIN_POSITIVE));
        let high = (high / step).ceil().max(1.0) * step;
        Self { low: 0.0, high, length, kind: Kind::Linear }
    }

    /// From 0 on, or logarithmic where the values are so far apart that the small ones could not
    /// be told from 0.
    pub fn of_figures(values: impl Iterator<Item = f64> + Clone, length: f64) -> Self {
        let (low, high) = extremes(values.clone());
        if low > 0.0 && high >= 50.0 * low {
            Self::log10(values, length)
        } else {
            Self::from_zero(high, length)
        }
    }

    /// Logarithmic, between powers of 10 around the values.
    pub fn log10(values: impl Iterator<Item = f64>, length: f64) -> Self {
        let (low, high) = extremes(values.filter(|value| *value > 0.0));
        let (low, mut high) = (low.log10().floor(), high.log10().ceil());
        if high <= low {
            high = low + 1.0;
        }
        Self { low: 10f64.powf(low), high: 10f64.powf(high), length, kind: Kind::Log(10.0) }
    }

    /// Logarithmic with base 2 where the values are far apart, else linear.
    pub fn of_points(values: impl Iterator<Item = f64> + Clone, length: f64) -> Self {
        let (low, high) = extremes(values);
        if low > 0.0 && high >= 8.0 * low {
            Self { low, high, length, kind: Kind::Log(2.0) }
        } else {
            Self::from_zero(high, length)
        }
    }

    /// Where a value is, from the start of the axis on.
    pub fn place(&self, value: f64) -> f64 {
        let share = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Log(_) => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        share.clamp(0.0, 1.0) * self.length
    }

    /// Round numbers on the axis.
    pub fn ticks(&self) -> Vec<f64> {
        match self.kind {
            Kind::Linear => {
                let step = step(self.high);
                let count = (self.high / step).round() as usize;
                (0..=count).map(|tick| tick as f64 * step).collect()
            }
            Kind::Log(base) => {
                let first = self.low.log(base).ceil() as i32;
                let last = (self.high.log(base) + 1e-9).floor() as i32;
                // No more than fit beside each other.
                let every = (last - first) / 8 + 1;
                (first..=last).step_by(every as usize).map(|power| base.powi(power)).collect()
            }
        }
    }
}

fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let fold = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if fold.0.is_finite() { fold } else { (1.0, 10.0) }
}

/// A step of 1, 2 or 5 times a power of 10.
fn step(high: f64) -> f64 {
    let rough = high / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// A number as short as an axis wants it.
pub(super) fn short(value: f64) -> String {
    for (unit, name) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value.abs() >= unit {
            return format!("{}{name}", trimmed(value / unit));
        }
    }
    trimmed(value)
}

/// A number of bytes, in powers of 1024 where it is one.
pub(super) fn short_bytes(value: f64) -> String {
    if value.fract() == 0.0 && value >= 0.0 {
        crate::size::show(value as u64)
    } else {
        short(value)
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_end_at_round_numbers() {
        let scale = Scale::from_zero(4_771.0, 100.0);
        assert_eq!(scale.ticks(), [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0]);
        assert!((scale.place(2500.0) - 50.0).abs() < 1e-9);
        assert_eq!(Scale::from_zero(0.0, 100.0).place(0.0), 0.0);
    }

    #[test]
    fn logarithmic_axes_have_powers() {
        let scale = Scale::log10([30.0, 2500.0].into_iter(), 90.0);
        assert_eq!(scale.ticks(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert!((scale.place(100.0) - 30.0).abs() < 1e-9);
        assert_eq!(scale.place(0.0), 0.0);
        let points = Scale::of_points([1.0, 4.0, 64.0].into_iter(), 60.0);
        assert!((points.place(8.0) - 30.0).abs() < 1e-9);
        assert_eq!(points.ticks().len(), 7);
        assert_eq!(Scale::of_figures([1.0, 40.0].into_iter(), 60.0).ticks()[0], 0.0);
        assert_eq!(Scale::of_figures([3.0, 400.0].into_iter(), 60.0).ticks()[0], 1.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(1500.0), "1.5k");
        assert_eq!(short(0.25), "0.25");
        assert_eq!(short(200_000_000.0), "200M");
        assert_eq!(short_bytes(2_097_152.0), "2MiB");
    }
}
