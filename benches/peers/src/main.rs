//! `waldo-peers SCENARIO [options]`: other engines on the scenarios of `waldo-bench`, with the
//! same load generators and the same report.

mod engines;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waldo_bench::options::Common;
use waldo_bench::scenario::{append, commit, fanout};
use waldo_bench::warnings;

/// Benches of engines that Waldo is compared with.
#[derive(Parser)]
#[command(name = "waldo-peers", version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
    /// Engines to measure [default: all that were built]
    #[arg(long, global = true, value_delimiter = ',')]
    engines: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Scenario {
    /// Batches of logs.
    Append(append::Options),
    /// Single small appends by many producers.
    Commit(commit::Options),
    /// One writer and many streams that follow it.
    Fanout(fanout::Options),
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
    let Cli { scenario, engines, common } = cli;
    let engines = engines::named(&engines)?;
    let plan = match scenario {
        Scenario::Append(options) => append::plan(&engines, &options, &common)?,
        Scenario::Commit(options) => commit::plan(&engines, &options, &common)?,
        Scenario::Fanout(options) => fanout::plan(&engines, &options, &common),
    };
    plan.run_and_print(&common)
}
