//! Header, table and JSON lines.

pub mod compare;
mod header;
pub mod html;
mod json;
mod overview;
mod stats;
mod table;

use std::io::{IsTerminal, Write};

pub use header::Header;
pub use stats::{Spread, extra_spread};

use crate::goals::Goal;
use crate::measure;
use crate::options::Common;
use crate::outcome::Metric;
use crate::rounds::{self, Outcome, Set};

/// What a scenario runs, and what its report shows of it.
pub struct Plan {
    /// Name of the scenario.
    pub scenario: &'static str,
    /// The cases. Those of a set are interleaved; the sets are run one after the other, each
    /// with the whole disk to itself.
    pub sets: Vec<Set>,
    /// Columns of its table; the first is what cases are compared by.
    pub columns: &'static [Metric],
}

impl Plan {
    /// Runs the cases, and prints what they yield.
    ///
    /// # Errors
    ///
    /// Where nothing can be run or printed, or a case failed (after all others were reported).
    pub fn run_and_print(self, common: &Common) -> anyhow::Result<()> {
        let (scenario, columns) = (self.scenario, self.columns);
        let mut out = std::io::stdout();
        let header = Header::collect(scenario, &common.dir)?;
        if !common.json {
            table::header(&mut out, &header)?;
        }
        let outcomes = self.run(&header, common)?;
        if !common.json {
            table::print(&mut out, &outcomes, columns)?;
        }
        out.flush()?;
        let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
        anyhow::ensure!(failed == 0, "{failed} of {} configurations failed", outcomes.len());
        Ok(())
    }

    /// Runs the cases. Prints JSON lines as they come, where those are asked for, and nothing
    /// else.
    ///
    /// # Errors
    ///
    /// Where nothing can be run or printed. A case that failed is among the outcomes.
    pub fn run(self, header: &Header, common: &Common) -> anyhow::Result<Vec<Outcome>> {
        let Self { scenario, sets, columns } = self;
        anyhow::ensure!(
            sets.iter().any(|set| !set.is_empty()),
            "no combination of these options can be run"
        );
        anyhow::ensure!(common.rounds > 0, "--rounds must be at least 1");
        measure::watch_device_of(&common.dir)?;
        let mut out = std::io::stdout();
        if common.json {
            json::header(&mut out, header)?;
        }
        let show_progress = std::io::stderr().is_terminal();
        let mut printed = Ok(());
        let mut outcomes = Vec::new();
        for set in sets {
            outcomes.extend(rounds::run(set, common.rounds, |round, label, sample| {
                if show_progress {
                    eprintln!("round {}: {}", round + 1, label.title());
                }
                if let (true, Ok(sample), Ok(())) = (common.json, sample, &printed) {
                    printed = json::run(&mut out, scenario, label, round, sample);
                }
            }));
        }
        printed?;
        if common.json {
            json::summary(&mut out, scenario, &outcomes, columns)?;
        }
        Ok(outcomes)
    }
}

/// Prints what several scenarios yielded, and what that says about the goals.
///
/// # Errors
///
/// Where it cannot be printed.
pub fn print_suite(
    out: &mut impl Write,
    header: &Header,
    parts: &[(Metric, Vec<Outcome>)],
    goals: &[Goal],
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        return json::goals(out, goals);
    }
    table::header(out, header)?;
    overview::print(out, parts)?;
    if !goals.is_empty() {
        writeln!(out)?;
        overview::goals(out, goals)?;
    }
    Ok(())
}
