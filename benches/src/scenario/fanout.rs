//! One writer and N streams that follow it.

use crate::engine::Engine;
use crate::options::Common;
use crate::outcome::Metric;
use crate::report;
use crate::workload::{self, FanoutOptions};

/// Runs the scenario on `engines` and prints the report.
///
/// # Errors
///
/// Where an engine fails or nothing can be run.
pub fn run(
    engines: &[Box<dyn Engine>],
    options: &FanoutOptions,
    common: &Common,
) -> anyhow::Result<()> {
    let cases = workload::fanout_cases(engines, options, common);
    report::run_and_print("fanout", common, cases, Metric::DELIVERY)
}
