//! Batches of N logs of S bytes through several laps: bulk append.

use crate::engine::Engine;
use crate::options::Common;
use crate::outcome::Metric;
use crate::report;
use crate::workload::{self, AppendOptions};

/// Runs the scenario on `engines` and prints the report.
///
/// # Errors
///
/// Where an engine fails or nothing can be run.
pub fn run(
    engines: &[Box<dyn Engine>],
    options: &AppendOptions,
    common: &Common,
) -> anyhow::Result<()> {
    let cases = workload::append_cases(engines, options, common);
    report::run_and_print("append", common, cases, Metric::BULK_WRITE)
}
