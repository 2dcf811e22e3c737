//! A table for people: medians, the extremes of the first column, and how cases compare.

use std::io::Write;

use super::compare;
use super::header::Header;
use super::stats::{self, Spread};
use crate::outcome::{Metric, Value};
use crate::rounds::{Outcome, Role};

/// Prints the header.
pub(super) fn header(out: &mut impl Write, header: &Header) -> anyhow::Result<()> {
    writeln!(out, "scenario    {}", header.scenario)?;
    writeln!(out, "options     {}", header.options)?;
    writeln!(
        out,
        "machine     {} × {}, {:.1} GiB, Linux {}",
        header.cpus, header.cpu, header.memory_gib, header.kernel
    )?;
    writeln!(out, "file system {}", header.file_system)?;
    for warning in &header.warnings {
        writeln!(out, "WARNING     {warning}")?;
    }
    Ok(writeln!(out)?)
}

type Cell<'a> = Box<dyn Fn(&Outcome) -> Option<String> + 'a>;

/// A column of the table: a heading, and the cell of each case.
struct Column<'a> {
    heading: String,
    cell: Cell<'a>,
}

impl<'a> Column<'a> {
    fn new(heading: impl Into<String>, cell: impl Fn(&Outcome) -> Option<String> + 'a) -> Self {
        Self { heading: heading.into(), cell: Box::new(cell) }
    }

    fn number(heading: impl Into<String>, value: impl Fn(&Outcome) -> Option<f64> + 'a) -> Self {
        Self::new(heading, move |outcome| value(outcome).map(number))
    }
}

/// Prints all cases. The first metric also gets its extremes, its ratio to the best ceiling of the
/// same work, and Waldo's ratio to it.
pub(super) fn print(
    out: &mut impl Write,
    outcomes: &[Outcome],
    metrics: &[Metric],
) -> anyhow::Result<()> {
    let mut columns = Vec::new();
    for (at, &metric) in metrics.iter().enumerate() {
        columns.push(Column::number(metric.heading(), move |outcome| {
            Some(Spread::over(&outcome.samples, metric)?.median)
        }));
        if at == 0 {
            columns.extend(comparisons(outcomes, metric));
        }
        if metric == Metric::CpuPerGib
            && let Some(first) = metrics.first()
        {
            columns.push(over_ceiling(outcomes, *first, metric));
        }
    }
    for name in stats::extra_names(outcomes.iter().flat_map(|outcome| &outcome.samples)) {
        columns.push(Column::new(name, move |outcome| {
            Some(match stats::extra(&outcome.samples, name)? {
                Value::Number(value) => number(value),
                Value::Text(text) => text,
            })
        }));
    }
    columns.retain(|column| outcomes.iter().any(|outcome| (column.cell)(outcome).is_some()));
    write_rows(out, &rows(outcomes, &columns))?;
    for outcome in outcomes {
        if let Some(error) = &outcome.error {
            writeln!(out, "FAILED      {}: {error}", outcome.label.title())?;
        }
    }
    Ok(())
}

fn comparisons<'a>(outcomes: &'a [Outcome], metric: Metric) -> Vec<Column<'a>> {
    let spread = move |outcome: &Outcome| Spread::over(&outcome.samples, metric);
    let of_ceiling = move |outcome: &Outcome| {
        let ceiling = compare::best_ceiling(outcomes, &outcome.label.work, metric)?;
        compare::ratio(outcome, ceiling, metric).map(range)
    };
    let waldo_to_it = move |outcome: &Outcome| {
        if outcome.label.role == Role::Ceiling {
            return None;
        }
        let waldo = compare::waldo(outcomes, &outcome.label.work)?;
        if std::ptr::eq(waldo, outcome) {
            return None;
        }
        compare::ratio(waldo, outcome, metric).map(range)
    };
    vec![
        Column::number("min", move |outcome| Some(spread(outcome)?.min)),
        Column::number("max", move |outcome| Some(spread(outcome)?.max)),
        Column::new("of ceiling", of_ceiling),
        Column::new("waldo to it", waldo_to_it),
    ]
}

fn over_ceiling(outcomes: &[Outcome], first: Metric, metric: Metric) -> Column<'_> {
    Column::new("over ceiling", move |outcome| {
        let ceiling = compare::best_ceiling(outcomes, &outcome.label.work, first)?;
        let more = compare::difference(outcome, ceiling, metric)?.median;
        (outcome.label.role != Role::Ceiling).then(|| format!("{more:+.3}"))
    })
}

/// One row per case, those of the same work together.
fn rows(outcomes: &[Outcome], columns: &[Column<'_>]) -> Vec<Vec<String>> {
    let mut head = vec![String::new(), String::new()];
    head.extend(columns.iter().map(|column| column.heading.clone()));
    let mut works: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !works.contains(&outcome.label.work.as_str()) {
            works.push(&outcome.label.work);
        }
    }
    let mut rows = vec![head];
    for work in works {
        let mut title = work;
        for outcome in outcomes.iter().filter(|outcome| outcome.label.work == work) {
            let mut row = vec![std::mem::take(&mut title).to_owned(), outcome.label.who.clone()];
            let cells = columns.iter().map(|column| (column.cell)(outcome));
            row.extend(cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned())));
            rows.push(row);
        }
    }
    rows
}

/// Columns of text before those of figures.
const TEXT_COLUMNS: usize = 2;

/// Prints rows, with cells of a column below each other.
pub(super) fn write_rows(out: &mut impl Write, rows: &[Vec<String>]) -> anyhow::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| Some(row.get(at)?.chars().count())).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let mut line = String::new();
        for (at, (text, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if at == 0 { "" } else { "  " };
            if at < TEXT_COLUMNS {
                line.push_str(&format!("{gap}{text:<width$}"));
            } else {
                line.push_str(&format!("{gap}{text:>width$}"));
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A median with its extremes.
pub(super) fn range(spread: Spread) -> String {
    let places = if spread.max >= 10.0 { 1 } else { 2 };
    format!("{:.places$} ({:.places$}–{:.places$})", spread.median, spread.min, spread.max)
}

/// A number as people read it.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value.abs() >= 100.0 => thousands(value),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        value => format!("{value:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Usage;
    use crate::outcome::Sample;
    use crate::rounds::Label;

    fn outcome(role: Role, who: &str, ops: u64) -> Outcome {
        let usage = Usage { seconds: 1.0, ..Usage::default() };
        let samples = vec![Sample { ops, usage, ..Sample::default() }];
        Outcome { label: Label::new(role, "commits", who), samples, error: None }
    }

    fn printed(outcomes: &[Outcome]) -> String {
        let mut out = Vec::new();
        print(&mut out, outcomes, &[Metric::OpsPerSecond]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1_234_567.8), "1,234,568");
        assert_eq!(number(123.4), "123");
        assert_eq!(number(12.34), "12.3");
        assert_eq!(number(0.1234), "0.123");
        assert_eq!(range(Spread { median: 0.9, min: 0.8, max: 1.0 }), "0.90 (0.80–1.00)");
    }

    #[test]
    fn waldo_is_compared_with_the_ceiling_and_peers_with_waldo() {
        let text = printed(&[
            outcome(Role::Ceiling, "pwritev2", 1000),
            outcome(Role::Waldo, "waldo", 900),
            outcome(Role::Peer, "other", 300),
        ]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].contains("0.90 (0.90–0.90)"), "{text}");
        assert!(lines[3].contains("0.30 (0.30–0.30)"), "{text}");
        assert!(lines[3].ends_with("3.00 (3.00–3.00)"), "{text}");
    }

    #[test]
    fn a_failed_case_has_a_row_and_a_reason() {
        let mut bad = outcome(Role::Peer, "other", 1);
        bad.samples.clear();
        bad.error = Some("broken".into());
        let text = printed(&[outcome(Role::Peer, "one", 10), bad]);
        assert!(text.contains("FAILED      commits: other: broken"), "{text}");
    }
}
