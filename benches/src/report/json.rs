//! One JSON object per line: the header, each run, and a summary of each case.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::compare;
use super::header::Header;
use super::stats::{self, Spread};
use crate::goals::Goal;
use crate::outcome::{Metric, Sample};
use crate::rounds::{Label, Outcome};

/// Prints the header.
pub(super) fn header(out: &mut impl Write, header: &Header) -> anyhow::Result<()> {
    let mut line = serde_json::to_value(header)?;
    line["kind"] = json!("header");
    Ok(writeln!(out, "{line}")?)
}

fn object(kind: &str, scenario: &str, label: &Label) -> Json {
    json!({
        "kind": kind, "scenario": scenario,
        "work": label.work, "who": label.who, "role": label.role, "point": label.point,
    })
}

/// Prints one run.
pub(super) fn run(
    out: &mut impl Write,
    scenario: &str,
    label: &Label,
    round: usize,
    sample: &Sample,
) -> anyhow::Result<()> {
    let mut line = object("run", scenario, label);
    line["round"] = json!(round);
    line["payload_bytes"] = json!(sample.payload_bytes);
    line["ops"] = json!(sample.ops);
    line["usage"] = json!(sample.usage);
    line["latency_us"] = json!(sample.latency);
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
) -> anyhow::Result<()> {
    for outcome in outcomes {
        let mut line = object("summary", scenario, &outcome.label);
        line["runs"] = json!(outcome.samples.len());
        line["error"] = json!(outcome.error);
        for metric in Metric::ALL {
            if let Some(spread) = Spread::over(&outcome.samples, metric) {
                line[metric.key()] = json!(spread);
            }
        }
        if let Some(&metric) = columns.first() {
            line["measure"] = json!(metric.key());
            let work = &outcome.label.work;
            let ceiling = compare::best_ceiling(outcomes, work, metric);
            line["of_ceiling"] =
                json!(ceiling.and_then(|ceiling| compare::ratio(outcome, ceiling, metric)));
            let waldo = compare::waldo(outcomes, work);
            line["waldo_to_it"] =
                json!(waldo.and_then(|waldo| compare::ratio(waldo, outcome, metric)));
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

/// Prints each goal.
pub(super) fn goals(out: &mut impl Write, goals: &[Goal]) -> anyhow::Result<()> {
    for goal in goals {
        let mut line = serde_json::to_value(goal)?;
        line["kind"] = json!("goal");
        line["met"] = json!(goal.is_met());
        writeln!(out, "{line}")?;
    }
    Ok(())
}
