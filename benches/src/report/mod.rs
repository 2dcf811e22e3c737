//! Header, table and JSON lines.

mod header;
mod json;
mod stats;
mod table;

use std::io::Write;

pub use header::Header;
pub use stats::Spread;

use crate::measure;
use crate::options::Common;
use crate::outcome::Metric;
use crate::rounds::{self, Case};

/// Runs `cases` and prints what they yield.
///
/// # Errors
///
/// Where nothing can be run or printed, or a case failed (after all others were reported).
pub fn run_and_print(
    scenario: &str,
    common: &Common,
    mut cases: Vec<Box<dyn Case + '_>>,
    columns: &[Metric],
) -> anyhow::Result<()> {
    anyhow::ensure!(!cases.is_empty(), "no combination of these options can be run");
    anyhow::ensure!(common.rounds > 0, "--rounds must be at least 1");
    measure::watch_device_of(&common.dir)?;
    let header = Header::collect(scenario, &common.dir)?;
    let mut out = std::io::stdout();
    if common.json {
        json::header(&mut out, &header)?;
    } else {
        table::header(&mut out, &header)?;
    }
    let mut printed = Ok(());
    let outcomes = rounds::run(&mut cases, common.rounds, |round, name, sample| {
        if common.json
            && let Ok(sample) = sample
            && printed.is_ok()
        {
            printed = json::run(&mut out, scenario, name, round, sample);
        } else if !common.json {
            eprintln!("round {}: {name}", round + 1);
        }
    });
    printed?;
    let baseline = match &common.baseline {
        None => 0,
        Some(part) => outcomes
            .iter()
            .position(|outcome| outcome.name == *part)
            .or_else(|| outcomes.iter().position(|outcome| outcome.name.contains(part)))
            .ok_or_else(|| anyhow::anyhow!("no configuration is named like {part:?}"))?,
    };
    if common.json {
        json::summary(&mut out, scenario, &outcomes, columns, baseline)?;
    } else {
        table::print(&mut out, &outcomes, columns, baseline)?;
    }
    out.flush()?;
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    anyhow::ensure!(failed == 0, "{failed} of {} configurations failed", outcomes.len());
    Ok(())
}
