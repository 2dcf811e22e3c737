//! Waiting streams while nothing is appended: what an idle log costs.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clap::Args;
use waldo_core::{Cursor, Options as WaldoOptions, Waldo};

use crate::measure::Meter;
use crate::options::{Common, WorkDir};
use crate::outcome::{Metric, Sample};
use crate::report;
use crate::rounds::Case;

/// Options of the scenario.
#[derive(Args, Clone, Copy, Debug)]
pub struct Options {
    /// Streams that wait at the tip.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,

    /// Seconds that they wait.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// Runs the scenario and prints the report.
///
/// # Errors
///
/// Where the store cannot be opened.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<()> {
    let case = Idle { options: *options, common };
    let columns = [Metric::CpuSeconds, Metric::SwitchesPerSecond, Metric::Seconds];
    report::run_and_print("idle", common, vec![Box::new(case)], &columns)
}

struct Idle<'a> {
    options: Options,
    common: &'a Common,
}

impl Case for Idle<'_> {
    fn name(&self) -> String {
        format!("waldo, {} waiting streams, {} s", self.options.streams, self.options.seconds)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let dir = WorkDir::new(&self.common.dir, "idle")?;
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
