//! Waiting streams while nothing is appended: what an idle log costs.

use std::path::PathBuf;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clap::Args;
use waldo_core::{Cursor, Options as WaldoOptions, Waldo};

use crate::measure::Meter;
use crate::options::{Common, WorkDir};
use crate::outcome::{Metric, Sample};
use crate::report::Plan;
use crate::rounds::{Case, Label, Role};

/// Streams that wait, unless others are asked for.
pub const STREAMS: usize = 10_000;

/// Options of the scenario.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Streams that wait at the tip.
    #[arg(long, default_value_t = STREAMS)]
    streams: usize,

    /// Seconds that they wait.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// What the scenario runs.
#[must_use]
pub fn plan(options: &Options, common: &Common) -> Plan {
    let case = Idle { options: *options, dir: common.dir.clone() };
    let columns = &[Metric::CpuSeconds, Metric::SwitchesPerSecond, Metric::Seconds];
    Plan { scenario: "idle", sets: vec![vec![Box::new(case)]], columns }
}

struct Idle {
    options: Options,
    dir: PathBuf,
}

impl Case for Idle {
    fn label(&self) -> Label {
        let Options { streams, seconds } = self.options;
        Label::new(Role::Waldo, format!("{streams} waiting streams, {seconds} s"), "waldo")
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let dir = WorkDir::new(&self.dir, "idle")?;
        let waldo = Waldo::blocking_open(dir.path(), WaldoOptions::default())?;
        waldo.blocking_append_assigned(&[b"one"])?;
        // Until the pages are prepared the worker has something to do.
        while waldo.blocking_metadata().is_some_and(|metadata| metadata.pending_resets > 0) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut streams: Vec<_> =
            (0..self.options.streams).map(|_| waldo.stream(Cursor::Tip)).collect();
        for stream in &mut streams {
            let poll = stream.poll_next(&mut Context::from_waker(Waker::noop()));
            anyhow::ensure!(matches!(poll, Poll::Pending), "a stream at the tip has logs");
        }
        let meter = Meter::start()?;
        std::thread::sleep(Duration::from_secs_f64(self.options.seconds));
        let usage = meter.stop()?;
        drop(streams);
        waldo.blocking_close()?;
        Ok(Sample { usage, ..Sample::default() })
    }
}
