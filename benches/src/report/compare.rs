//! Comparisons of cases, round by round.

use super::stats::Spread;
use crate::outcome::Metric;
use crate::rounds::{Outcome, Role};

/// How many times as good as `b` is `a`, of each round that both have.
///
/// Above 1 is better, also where less is better.
#[must_use]
pub fn ratio(a: &Outcome, b: &Outcome, metric: Metric) -> Option<Spread> {
    pairs(a, b, metric, |a, b| {
        let (above, below) = if metric.less_is_better() { (b, a) } else { (a, b) };
        (below > 0.0).then(|| above / below)
    })
}

/// How much more than `b` is `a`, of each round that both have.
#[must_use]
pub fn difference(a: &Outcome, b: &Outcome, metric: Metric) -> Option<Spread> {
    pairs(a, b, metric, |a, b| Some(a - b))
}

fn pairs(
    a: &Outcome,
    b: &Outcome,
    metric: Metric,
    compare: impl Fn(f64, f64) -> Option<f64>,
) -> Option<Spread> {
    let rounds = a.samples.iter().zip(&b.samples);
    let values = rounds.filter_map(|(a, b)| compare(a.metric(metric)?, b.metric(metric)?));
    Spread::of(values.collect())
}

/// The best of the ceilings of some work: that with the best median.
#[must_use]
pub fn best_ceiling<'a>(
    outcomes: &'a [Outcome],
    work: &str,
    metric: Metric,
) -> Option<&'a Outcome> {
    let ceilings = outcomes
        .iter()
        .filter(|outcome| outcome.label.work == work && outcome.label.role == Role::Ceiling);
    let rated = ceilings.filter_map(|outcome| {
        let median = Spread::over(&outcome.samples, metric)?.median;
        Some((if metric.less_is_better() { -median } else { median }, outcome))
    });
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, outcome)| outcome)
}

/// Waldo at some work; the first, where there are several.
#[must_use]
pub fn waldo<'a>(outcomes: &'a [Outcome], work: &str) -> Option<&'a Outcome> {
    outcomes.iter().find(|outcome| outcome.label.work == work && outcome.label.role == Role::Waldo)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Percentiles, Usage};
    use crate::outcome::Sample;
    use crate::rounds::Label;

    fn outcome(role: Role, who: &str, ops: &[u64]) -> Outcome {
        let usage = Usage { seconds: 1.0, ..Usage::default() };
        let sample = |ops: &u64| Sample {
            ops: *ops,
            usage,
            latency: Some(Percentiles { p99: *ops as f64, ..Percentiles::default() }),
            ..Sample::default()
        };
        let samples = ops.iter().map(sample).collect();
        Outcome { label: Label::new(role, "work", who), samples, error: None }
    }

    #[test]
    fn ratios_are_of_the_same_round_and_above_one_is_better() {
        let a = outcome(Role::Waldo, "a", &[90, 30, 200]);
        let b = outcome(Role::Ceiling, "b", &[100, 60, 200]);
        let more = ratio(&a, &b, Metric::OpsPerSecond).unwrap();
        assert_eq!((more.min, more.median, more.max), (0.5, 0.9, 1.0));
        let less = ratio(&a, &b, Metric::P99).unwrap();
        assert_eq!((less.min, less.max), (1.0, 2.0));
        let difference = difference(&a, &b, Metric::OpsPerSecond).unwrap();
        assert_eq!(difference.median, -10.0);
    }

    #[test]
    fn the_best_ceiling_is_that_with_the_best_median() {
        let outcomes = [
            outcome(Role::Ceiling, "lucky once", &[10, 10, 900]),
            outcome(Role::Waldo, "waldo", &[99, 99, 99]),
            outcome(Role::Ceiling, "steady", &[20, 20, 20]),
        ];
        let best = best_ceiling(&outcomes, "work", Metric::OpsPerSecond).unwrap();
        assert_eq!(best.label.who, "steady");
        let quickest = best_ceiling(&outcomes, "work", Metric::P99).unwrap();
        assert_eq!(quickest.label.who, "lucky once");
        assert!(best_ceiling(&outcomes, "other work", Metric::P99).is_none());
        assert_eq!(waldo(&outcomes, "work").unwrap().label.who, "waldo");
    }
}
