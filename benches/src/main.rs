//! `waldo-bench SCENARIO [options]`: measures Waldo and what the hardware allows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waldo_bench::options::Common;
use waldo_bench::scenario::{append, catchup, ceiling, commit, fanout, idle, lookup, recover};
use waldo_bench::warnings;

/// Benches of Waldo.
#[derive(Parser)]
#[command(name = "waldo-bench", version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Scenario {
    /// The I/O patterns of an engine without the engine: what hardware and kernel allow.
    Ceiling(Box<ceiling::Options>),
    /// Batches of logs through several laps of the ring.
    Append(append::Options),
    /// Single small appends by many producers.
    Commit(commit::Options),
    /// One writer and many streams that follow it.
    Fanout(fanout::Options),
    /// Streams that read from the oldest log on, while a writer appends.
    Catchup(catchup::Options),
    /// Random lookups of one log.
    Lookup(lookup::Options),
    /// Opening after a close and after a kill.
    Recover(recover::Options),
    /// Waiting streams while nothing is appended.
    Idle(idle::Options),
    #[command(name = recover::Appender::COMMAND, hide = true)]
    AppendUntilKilled(recover::Appender),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    warnings::show();
    let Cli { scenario, common } = cli;
    let plan = match scenario {
        Scenario::Ceiling(options) => ceiling::plan(&options, &common)?,
        Scenario::Append(options) => append::plan(&[], &options, &common)?,
        Scenario::Commit(options) => commit::plan(&[], &options, &common)?,
        Scenario::Fanout(options) => fanout::plan(&[], &options, &common),
        Scenario::Catchup(options) => catchup::plan(&options, &common),
        Scenario::Lookup(options) => lookup::plan(&options, &common)?,
        Scenario::Recover(options) => recover::plan(&options, &common),
        Scenario::Idle(options) => idle::plan(&options, &common),
        Scenario::AppendUntilKilled(appender) => return appender.run(),
    };
    plan.run_and_print(&common)
}
