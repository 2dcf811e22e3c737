//! Medians and extremes over the rounds.

use crate::outcome::{Extra, Metric, Sample, Value};

/// Median, smallest and largest value over the rounds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// Median; the mean of the middle two where their number is even.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

impl Spread {
    /// The spread of some values; `None` where there are none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (first, last) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min: first, max: last })
    }

    /// The spread of a metric over the runs that have it.
    #[must_use]
    pub fn over(samples: &[Sample], metric: Metric) -> Option<Self> {
        Self::of(samples.iter().filter_map(|sample| sample.metric(metric)).collect())
    }
}

/// Names of the additional columns, in the order of their first appearance.
pub(super) fn extra_names<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for Extra { name, .. } in samples.flat_map(|sample| &sample.extra) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
}

/// The spread of an additional column with numbers.
#[must_use]
pub fn extra_spread(samples: &[Sample], name: &str) -> Option<Spread> {
    let numbers = extra_values(samples, name).filter_map(|value| match value {
        Value::Number(number) => Some(*number),
        Value::Text(_) => None,
    });
    Spread::of(numbers.collect())
}

/// Median of an additional column, or its last remark.
pub(super) fn extra(samples: &[Sample], name: &str) -> Option<Value> {
    match extra_spread(samples, name) {
        Some(spread) => Some(Value::Number(spread.median)),
        None => extra_values(samples, name).last().cloned(),
    }
}

fn extra_values<'a>(samples: &'a [Sample], name: &str) -> impl Iterator<Item = &'a Value> {
    let extras = samples.iter().flat_map(|sample| &sample.extra);
    extras.filter(move |extra| extra.name == name).map(|extra| &extra.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        let odd = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn extras_keep_numbers_and_remarks_apart() {
        let runs = [1.0, 5.0, 2.0]
            .map(|n| Sample::default().with_number("n", n).with_text("t", format!("{n}")));
        assert_eq!(extra_names(runs.iter()), ["n", "t"]);
        assert!(matches!(extra(&runs, "n"), Some(Value::Number(n)) if n == 2.0));
        assert!(matches!(extra(&runs, "t"), Some(Value::Text(t)) if t == "2"));
        assert!(extra(&runs, "none").is_none());
    }
}
