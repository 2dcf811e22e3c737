//! What the JSON lines say.

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::super::stats::Spread;
use crate::outcome::Metric;
use crate::rounds::Role;

/// Everything that was read.
#[derive(Debug, Default)]
pub(super) struct Data {
    /// Scenarios, in the order in which they were run; the same one may be there several times.
    pub parts: Vec<Part>,
    pub goals: Vec<Goal>,
}

/// One run of a scenario.
#[derive(Debug)]
pub(super) struct Part {
    pub header: Header,
    pub cases: Vec<Case>,
}

/// Where and how it ran.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub scenario: String,
    pub options: String,
    pub cpu: String,
    pub cpus: u64,
    pub kernel: String,
    pub memory_gib: f64,
    pub file_system: String,
    pub warnings: Vec<String>,
}

/// The summary of one case.
#[derive(Debug)]
pub(super) struct Case {
    pub work: String,
    pub who: String,
    pub role: Role,
    /// What it is compared by.
    pub metric: Metric,
    pub figure: Option<Spread>,
    pub of_ceiling: Option<Spread>,
    pub waldo_to_it: Option<Spread>,
    /// Medians of p50, p99, p99.9 and the maximum, µs.
    pub latency: Option<[f64; 4]>,
    pub cpu_percent: Option<Spread>,
    pub point: Option<Point>,
    pub runs: u64,
    pub error: Option<String>,
}

/// Its place in a plot.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Point {
    pub axis: String,
    pub x: f64,
    pub series: String,
}

/// A goal, and what was measured.
#[derive(Debug, Deserialize)]
pub(super) struct Goal {
    pub what: String,
    pub wanted: Value,
    pub measured: Option<Spread>,
    pub met: Option<bool>,
}

impl Data {
    /// Reads lines; what else may be among them is an error.
    pub fn read(&mut self, text: &str) -> anyhow::Result<()> {
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            self.read_line(line).with_context(|| format!("line {}", number + 1))?;
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str) -> anyhow::Result<()> {
        let value: Value = serde_json::from_str(line)?;
        match value["kind"].as_str() {
            Some("header") => {
                let header = Header::deserialize(&value)?;
                self.parts.push(Part { header, cases: Vec::new() });
            }
            // The summaries say all that is plotted.
            Some("run") => {}
            Some("summary") => {
                let part = self.parts.last_mut().context("a summary comes before any header")?;
                part.cases.push(Case::read(&value)?);
            }
            Some("goal") => self.goals.push(Goal::deserialize(&value)?),
            other => anyhow::bail!("a line of the kind {other:?}"),
        }
        Ok(())
    }
}

impl Case {
    fn read(value: &Value) -> anyhow::Result<Self> {
        let text = |name: &str| {
            value[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"))
        };
        let spread = |name: &str| Spread::deserialize(&value[name]).ok();
        let measure = text("measure")?;
        let metric = Metric::ALL
            .into_iter()
            .find(|metric| metric.key() == measure)
            .with_context(|| format!("the measure {measure:?} is not known"))?;
        let latency = [Metric::P50, Metric::P99, Metric::P999, Metric::Max]
            .map(|metric| spread(metric.key()).map(|spread| spread.median));
        let latency = match latency {
            [Some(p50), Some(p99), Some(p999), Some(max)] => Some([p50, p99, p999, max]),
            _ => None,
        };
        Ok(Self {
            work: text("work")?,
            who: text("who")?,
            role: Role::deserialize(&value["role"])?,
            metric,
            figure: spread(metric.key()),
            of_ceiling: spread("of_ceiling"),
            waldo_to_it: spread("waldo_to_it"),
            latency,
            cpu_percent: spread(Metric::CpuShare.key()),
            point: Option::deserialize(&value["point"])?,
            runs: value["runs"].as_u64().unwrap_or(0),
            error: value["error"].as_str().map(str::to_owned),
        })
    }
}
