//! One JSON object per line: the header, each run, and a summary of each case.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::header::Header;
use super::stats::{self, Spread};
use crate::outcome::{Metric, Sample};
use crate::rounds::Outcome;

/// Prints the header.
pub(super) fn header(out: &mut impl Write, header: &Header) -> anyhow::Result<()> {
    let mut line = serde_json::to_value(header)?;
    line["kind"] = json!("header");
    Ok(writeln!(out, "{line}")?)
}

/// Prints one run.
pub(super) fn run(
    out: &mut impl Write,
    scenario: &str,
    name: &str,
    round: usize,
    sample: &Sample,
) -> anyhow::Result<()> {
    let mut line = json!({
        "kind": "run", "scenario": scenario, "case": name, "round": round,
        "payload_bytes": sample.payload_bytes, "ops": sample.ops,
        "usage": sample.usage, "latency_us": sample.latency,
    });
    for metric in Metric::ALL {
        if let Some(value) = sample.metric(metric) {
            line[metric.key()] = json!(value);
        }
    }
    let extra: Map<String, Json> =
        sample.extra.iter().map(|extra| (extra.name.to_owned(), json!(extra.value))).collect();
    line["extra"] = Json::Object(extra);
    Ok(writeln!(out, "{line}")?)
}

/// Prints a summary of each case.
pub(super) fn summary(
    out: &mut impl Write,
    scenario: &str,
    outcomes: &[Outcome],
    columns: &[Metric],
    baseline: usize,
) -> anyhow::Result<()> {
    let first = columns.first().copied();
    let reference = first.and_then(|metric| Spread::over(&outcomes[baseline].samples, metric));
    for outcome in outcomes {
        let mut line = json!({
            "kind": "summary", "scenario": scenario, "case": outcome.name,
            "runs": outcome.samples.len(), "error": outcome.error,
        });
        for metric in Metric::ALL {
            if let Some(spread) = Spread::over(&outcome.samples, metric) {
                line[metric.key()] = json!(spread);
            }
        }
        if let (Some(metric), Some(reference)) = (first, reference)
            && let Some(spread) = Spread::over(&outcome.samples, metric)
        {
            line["baseline"] = json!(outcomes[baseline].name);
            line["ratio"] = json!(spread.median / reference.median);
        }
        let extra: Map<String, Json> = stats::extra_names(outcome.samples.iter())
            .into_iter()
            .filter_map(|name| {
                Some((name.to_owned(), json!(stats::extra(&outcome.samples, name)?)))
            })
            .collect();
        line["extra"] = Json::Object(extra);
        writeln!(out, "{line}")?;
    }
    Ok(())
}
