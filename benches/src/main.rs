//! `waldo-bench SCENARIO [options]`: measures Waldo and what the hardware allows.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use waldo_bench::options::Common;
use waldo_bench::report::html;
use waldo_bench::scenario::Scenario;
use waldo_bench::scenario::recover::Appender;
use waldo_bench::suite::{self, Suite};
use waldo_bench::warnings;

/// Benches of Waldo.
#[derive(Parser)]
#[command(name = "waldo-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    /// All scenarios, in one table, and what they say about the goals.
    Suite(Suite),
    /// A page with plots, from what `--json` printed.
    Report(html::Options),
    #[command(name = Appender::COMMAND, hide = true)]
    AppendUntilKilled(Appender),
}

fn main() -> ExitCode {
    warnings::show();
    let Cli { command, common } = Cli::parse();
    let done = match command {
        Command::Scenario(scenario) => {
            scenario.plan(&[], &common).and_then(|plan| plan.run_and_print(&common))
        }
        Command::Suite(suite) => suite.run(suite::WALDO, &[], &common),
        Command::Report(options) => options.run(),
        Command::AppendUntilKilled(appender) => appender.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
