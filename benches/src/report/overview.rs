//! One table of all scenarios, and the goals.

use std::io::Write;

use super::compare::{best_ceiling, ratio, waldo};
use super::stats::Spread;
use super::table::{number, range, write_rows};
use crate::goals::{Goal, Wanted};
use crate::outcome::Metric;
use crate::rounds::{Outcome, Role};

/// Prints one row per case: the figure that its scenario is about.
pub(super) fn print(out: &mut impl Write, parts: &[(Metric, Vec<Outcome>)]) -> anyhow::Result<()> {
    let heads =
        ["", "", "median", "min", "max", "", "of ceiling", "waldo to it", "p99 µs", "CPU %"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for (metric, outcomes) in parts {
        let mut last = "";
        for outcome in outcomes {
            let work = &outcome.label.work;
            let title = if work == last { "" } else { work };
            last = work;
            rows.push(row(title, outcome, outcomes, *metric));
        }
    }
    write_rows(out, &rows)?;
    for outcome in parts.iter().flat_map(|(_, outcomes)| outcomes) {
        if let Some(error) = &outcome.error {
            writeln!(out, "FAILED      {}: {error}", outcome.label.title())?;
        }
    }
    Ok(())
}

fn row(title: &str, outcome: &Outcome, outcomes: &[Outcome], metric: Metric) -> Vec<String> {
    let median = |metric| Some(Spread::over(&outcome.samples, metric)?.median);
    let spread = Spread::over(&outcome.samples, metric);
    let work = &outcome.label.work;
    let of_ceiling = best_ceiling(outcomes, work, metric)
        .and_then(|ceiling| ratio(outcome, ceiling, metric))
        .map(range);
    let to_it = waldo(outcomes, work)
        .filter(|_| outcome.label.role == Role::Peer)
        .and_then(|waldo| ratio(waldo, outcome, metric))
        .map(range);
    let cells = [
        spread.map(|spread| number(spread.median)),
        spread.map(|spread| number(spread.min)),
        spread.map(|spread| number(spread.max)),
        Some(metric.heading().to_owned()),
        of_ceiling,
        to_it,
        median(Metric::P99).map(number),
        median(Metric::CpuShare).map(number),
    ];
    let mut row = vec![title.to_owned(), outcome.label.who.clone()];
    row.extend(cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned())));
    row
}

/// Prints what was wanted and what was measured.
pub(super) fn goals(out: &mut impl Write, goals: &[Goal]) -> anyhow::Result<()> {
    let mut rows = vec![["goal", "", "measured", "wanted"].map(str::to_owned).to_vec()];
    for goal in goals {
        let wanted = match goal.wanted {
            Wanted::AtLeast(limit) => format!("≥ {}", number(limit)),
            Wanted::AtMost(limit) => format!("≤ {}", number(limit)),
        };
        let verdict = match goal.is_met() {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not measured",
        };
        let measured = goal.measured.map_or_else(|| "–".to_owned(), wide_range);
        rows.push(vec![goal.what.clone(), verdict.to_owned(), measured, wanted]);
    }
    write_rows(out, &rows)
}

fn wide_range(spread: Spread) -> String {
    format!("{} ({}–{})", number(spread.median), number(spread.min), number(spread.max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Usage;
    use crate::outcome::Sample;
    use crate::rounds::Label;

    #[test]
    fn parts_with_different_figures_share_a_table() {
        let outcome = |role, who: &str| {
            let usage = Usage { seconds: 2.0, ..Usage::default() };
            let sample = Sample { ops: 4, payload_bytes: 2_000_000, usage, ..Sample::default() };
            Outcome { label: Label::new(role, "work", who), samples: vec![sample], error: None }
        };
        let parts = [
            (Metric::OpsPerSecond, vec![outcome(Role::Ceiling, "c"), outcome(Role::Waldo, "w")]),
            (Metric::MegabytesPerSecond, vec![outcome(Role::Waldo, "w")]),
        ];
        let mut out = Vec::new();
        print(&mut out, &parts).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("2.000") && text.contains("ops/s"), "{text}");
        assert!(text.contains("1.000") && text.contains("MB/s"), "{text}");
        assert!(text.contains("1.00 (1.00–1.00)"), "{text}");
    }

    #[test]
    fn goals_say_whether_they_are_met() {
        let spread = Spread { median: 0.5, min: 0.4, max: 0.6 };
        let goal = |limit| Goal {
            what: "ratio".to_owned(),
            wanted: Wanted::AtLeast(limit),
            measured: Some(spread),
        };
        let mut out = Vec::new();
        goals(&mut out, &[goal(0.4), goal(0.9)]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains(" met") && lines[2].contains("NOT MET"), "{text}");
    }
}
