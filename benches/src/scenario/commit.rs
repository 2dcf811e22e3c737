//! Single small appends from many producers at the same time.

use crate::engine::Engine;
use crate::options::Common;
use crate::outcome::Metric;
use crate::report;
use crate::workload::{self, CommitOptions};

/// Runs the scenario on `engines` and prints the report.
///
/// # Errors
///
/// Where an engine fails or nothing can be run.
pub fn run(
    engines: &[Box<dyn Engine>],
    options: &CommitOptions,
    common: &Common,
) -> anyhow::Result<()> {
    let cases = workload::commit_cases(engines, options, common);
    report::run_and_print("commit", common, cases, Metric::SMALL_OPS)
}
