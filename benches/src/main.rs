//! `waldo-bench SCENARIO [options]`: measures Waldo and what the hardware allows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waldo_bench::options::Common;
use waldo_bench::scenario::{self, append, ceiling, commit, fanout, idle};
use waldo_bench::workload::{AppendOptions, CommitOptions, FanoutOptions};

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
    Append(AppendOptions),
    /// Single small appends by many producers.
    Commit(CommitOptions),
    /// One writer and many streams that follow it.
    Fanout(FanoutOptions),
    /// Waiting streams while nothing is appended.
    Idle(idle::Options),
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
    let Cli { scenario, common } = cli;
    match scenario {
        Scenario::Ceiling(options) => ceiling::run(&options, &common),
        Scenario::Append(options) => append::run(&scenario::engines(), &options, &common),
        Scenario::Commit(options) => commit::run(&scenario::engines(), &options, &common),
        Scenario::Fanout(options) => fanout::run(&scenario::engines(), &options, &common),
        Scenario::Idle(options) => idle::run(&options, &common),
    }
}
