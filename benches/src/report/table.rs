//! A table for people: medians, the extremes of the first column, ratios to the baseline.

use std::io::Write;

use super::header::Header;
use super::stats::{self, Spread};
use crate::outcome::{Metric, Value};
use crate::rounds::Outcome;

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

/// Prints all cases. The first column also gets its extremes and the ratio to the baseline.
pub(super) fn print(
    out: &mut impl Write,
    outcomes: &[Outcome],
    columns: &[Metric],
    baseline: usize,
) -> anyhow::Result<()> {
    let all = || outcomes.iter().flat_map(|outcome| &outcome.samples);
    let columns: Vec<Metric> = columns
        .iter()
        .copied()
        .filter(|metric| all().any(|sample| sample.metric(*metric).is_some()))
        .collect();
    let extras = stats::extra_names(all());
    let reference = columns
        .first()
        .and_then(|metric| Spread::over(&outcomes[baseline].samples, *metric))
        .map(|spread| spread.median);

    let mut head = vec!["configuration".to_owned()];
    for (at, metric) in columns.iter().enumerate() {
        head.push(metric.heading().to_owned());
        if at == 0 {
            head.extend(["min", "max", "ratio"].map(str::to_owned));
        }
    }
    head.extend(extras.iter().map(|name| (*name).to_owned()));

    let mut rows = vec![head];
    for outcome in outcomes {
        let mut row = vec![outcome.name.clone()];
        for (at, metric) in columns.iter().enumerate() {
            let spread = Spread::over(&outcome.samples, *metric);
            row.push(cell(spread.map(|spread| spread.median)));
            if at == 0 {
                row.push(cell(spread.map(|spread| spread.min)));
                row.push(cell(spread.map(|spread| spread.max)));
                row.push(match (spread, reference) {
                    (Some(spread), Some(reference)) if reference > 0.0 => {
                        format!("{:.2}", spread.median / reference)
                    }
                    _ => "–".to_owned(),
                });
            }
        }
        for name in &extras {
            row.push(match stats::extra(&outcome.samples, name) {
                Some(Value::Number(number)) => cell(Some(number)),
                Some(Value::Text(text)) => text,
                None => "–".to_owned(),
            });
        }
        rows.push(row);
    }
    write_rows(out, &rows)?;
    for outcome in outcomes {
        if let Some(error) = &outcome.error {
            writeln!(out, "FAILED      {}: {error}", outcome.name)?;
        }
    }
    Ok(())
}

fn write_rows(out: &mut impl Write, rows: &[Vec<String>]) -> anyhow::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|row| Some(row.get(at)?.chars().count())).max())
        .map(Option::unwrap_or_default)
        .collect();
    for row in rows {
        let mut line = String::new();
        for (at, (text, width)) in row.iter().zip(&widths).enumerate() {
            if at == 0 {
                line.push_str(&format!("{text:<width$}"));
            } else {
                line.push_str(&format!("  {text:>width$}"));
            }
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn cell(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value.abs() >= 100.0 => thousands(value),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(0.0) => "0".to_owned(),
        Some(value) => format!("{value:.3}"),
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
    use crate::outcome::Sample;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(cell(Some(1_234_567.8)), "1,234,568");
        assert_eq!(cell(Some(123.4)), "123");
        assert_eq!(cell(Some(12.34)), "12.3");
        assert_eq!(cell(Some(0.1234)), "0.123");
        assert_eq!(cell(None), "–");
    }

    #[test]
    fn a_failed_case_has_a_row_and_a_reason() {
        let good = Sample { ops: 10, ..Sample::default() };
        let outcomes = [
            Outcome { name: "a".into(), samples: vec![good], error: None },
            Outcome { name: "b".into(), samples: vec![], error: Some("broken".into()) },
        ];
        let mut out = Vec::new();
        print(&mut out, &outcomes, &[Metric::Seconds], 0).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("FAILED      b: broken"), "{text}");
    }
}
