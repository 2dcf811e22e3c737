//! `waldo-peers SCENARIO [options]`: other engines on the scenarios of `waldo-bench`, with the
//! same load generators and the same report.

mod engines;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waldo_bench::options::Common;
use waldo_bench::scenario::{Scenario, append, commit, fanout};
use waldo_bench::suite::{self, Suite};
use waldo_bench::warnings;

/// Waldo and the engines that it is compared with, interleaved.
#[derive(Parser)]
#[command(name = "waldo-peers", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Engines to measure besides Waldo [default: all that were built]
    #[arg(long, global = true, value_delimiter = ',')]
    engines: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// Batches of logs.
    Append(append::Options),
    /// Single small appends by many producers.
    Commit(commit::Options),
    /// One writer and many streams that follow it.
    Fanout(fanout::Options),
    /// All of these, in one table, and what they say about the goals.
    Suite(Suite),
}

fn main() -> ExitCode {
    warnings::show();
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { command, engines, common } = cli;
    let engines = engines::named(&engines)?;
    let scenario = match command {
        Command::Append(options) => Scenario::Append(options),
        Command::Commit(options) => Scenario::Commit(options),
        Command::Fanout(options) => Scenario::Fanout(options),
        Command::Suite(suite) => return suite.run(suite::PEERS, &engines, &common),
    };
    scenario.plan(&engines, &common)?.run_and_print(&common)
}
