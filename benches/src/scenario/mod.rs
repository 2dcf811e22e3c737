//! The scenarios, a module each.
//!
//! A scenario turns its options into a [`Plan`]: cases
//! ([`crate::rounds::Case`]), and the columns of their table. `append`, `commit` and `fanout` run
//! on any [`Engine`] and are shared with `waldo-peers`; the others need what only Waldo has.

pub mod append;
pub mod boundary;
pub mod catchup;
pub mod ceiling;
pub mod commit;
pub mod fanout;
pub mod idle;
pub mod lookup;
pub mod recover;

use std::rc::Rc;

use clap::{Args, Parser, Subcommand, ValueEnum};
use waldo_core::{Backend, IoMode};

use crate::engine::Engine;
use crate::options::{Common, vary};
use crate::report::Plan;
use crate::waldo::WaldoEngine;

/// All scenarios, with their options.
#[derive(Subcommand, Clone, Debug)]
pub enum Scenario {
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
    /// The same work through Rust and through the C ABI.
    Boundary(boundary::Options),
    /// The I/O patterns of an engine without the engine: what hardware and kernel allow.
    Ceiling(Box<ceiling::Options>),
}

/// A scenario by itself, as a line of text names it.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(subcommand)]
    scenario: Scenario,
}

impl Scenario {
    /// Reads a scenario and its options as they are on the command line.
    ///
    /// # Errors
    ///
    /// Where there is no such scenario or option.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        Ok(Line::try_parse_from(line.split_whitespace())?.scenario)
    }

    /// What the scenario runs: Waldo, and the peers where it is one for any engine.
    ///
    /// # Errors
    ///
    /// Where options do not fit each other.
    pub fn plan(&self, peers: &[Rc<dyn Engine>], common: &Common) -> anyhow::Result<Plan> {
        match self {
            Self::Append(options) => append::plan(peers, options, common),
            Self::Commit(options) => commit::plan(peers, options, common),
            Self::Fanout(options) => Ok(fanout::plan(peers, options, common)),
            Self::Catchup(options) => Ok(catchup::plan(options, common)),
            Self::Lookup(options) => lookup::plan(options, common),
            Self::Recover(options) => Ok(recover::plan(options, common)),
            Self::Idle(options) => Ok(idle::plan(options, common)),
            Self::Boundary(options) => Ok(boundary::plan(options, common)),
            Self::Ceiling(options) => ceiling::plan(options, common),
        }
    }
}

/// Ways to open Waldo; lists make one configuration per combination.
#[derive(Args, Clone, Debug)]
pub struct WaldoOptions {
    /// Waldo: through the page cache or past it; auto: direct where durable.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    pub io: Vec<IoArg>,
    /// Waldo: how the system is asked for I/O.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "auto")]
    pub backend: Vec<BackendArg>,
    /// Waldo: appends that a producer of batches keeps under way.
    #[arg(long, value_delimiter = ',', default_value = "3")]
    pub depth: Vec<usize>,
}

/// [`IoMode`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the same as in the engine")]
pub enum IoArg {
    Auto,
    Buffered,
    Direct,
}

/// [`Backend`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the same as in the engine")]
pub enum BackendArg {
    Auto,
    IoUring,
    Threads,
    Memory,
}

impl From<IoArg> for IoMode {
    fn from(arg: IoArg) -> Self {
        match arg {
            IoArg::Auto => Self::Auto,
            IoArg::Buffered => Self::Buffered,
            IoArg::Direct => Self::Direct,
        }
    }
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Auto => Self::Auto,
            BackendArg::IoUring => Self::IoUring,
            BackendArg::Threads => Self::Threads,
            BackendArg::Memory => Self::Memory,
        }
    }
}

impl WaldoOptions {
    /// Ways to reach the files that differ for appends of this durability.
    #[must_use]
    pub fn io_modes(&self, durable: bool) -> Vec<IoMode> {
        let mut modes: Vec<IoMode> = self.io.iter().map(|io| (*io).into()).collect();
        if !durable && modes.contains(&IoMode::Auto) {
            // It is the same.
            modes.retain(|io| *io != IoMode::Buffered);
        }
        modes
    }

    /// Waldo in all the other ways.
    #[must_use]
    pub fn engines(&self, io: IoMode) -> Vec<Rc<dyn Engine>> {
        let ways = [WaldoEngine { io, ..WaldoEngine::default() }];
        let ways = vary(&ways, &self.backend, |way, backend| way.backend = backend.into());
        let ways = vary(&ways, &self.depth, |way, depth| way.depth = depth);
        ways.into_iter().map(|way| Rc::new(way) as Rc<dyn Engine>).collect()
    }
}
