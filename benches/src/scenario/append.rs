//! Batches of N logs of S bytes through several laps: bulk append.

use std::path::Path;
use std::rc::Rc;

use clap::Args;
use waldo_core::IoMode;
use waldo_core::driver::files::direct_supported;

use super::WaldoOptions;
use crate::ceiling::{Bulk, BulkShape, Layout};
use crate::engine::{Engine, Setup};
use crate::files::{Io, Scratch};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::Plan;
use crate::rounds::{self, Point, Set};
use crate::size;
use crate::workload::{self, EngineCase, Load, Start, Task, produce};

/// Files of a ceiling: as many as Waldo has pages.
const FILES: usize = 4;

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Logs of one append.
    #[arg(long, value_delimiter = ',', default_value = "2048")]
    pub batch: Vec<usize>,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Payload that is appended in one run.
    #[arg(long, value_parser = size::parse, default_value = "2GiB")]
    pub bytes: u64,
    /// The longest run, seconds.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Payload that is appended before the first run [default: 5/4 of --disk]
    #[arg(long, value_parser = size::parse)]
    pub lead_in: Option<u64>,
    /// Producers at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub producers: Vec<usize>,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "true,false")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub disk: u64,
    /// Also measure the first lap of a new store.
    #[arg(long)]
    pub first_lap: bool,
    /// Do not measure what the same I/O achieves without an engine.
    #[arg(long)]
    pub no_ceiling: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it")]
    pub waldo: WaldoOptions,
}

impl Options {
    /// Plots are over the size of a batch, or over producers where only their number differs.
    fn point(&self, setup: &Setup, io: IoMode) -> Point {
        let (durable, batch, producers) = (setup.durable, setup.batch_logs, setup.producers);
        let mode = mode(durable, io);
        if self.batch.len() == 1 && self.producers.len() > 1 {
            let series = work_of_all(durable, io, batch, self.log_size);
            return Point { axis: "producers", x: producers as f64, series };
        }
        let series = format!("{mode}, {}", count(producers, "producer"));
        Point { axis: "bytes of one append", x: (batch * setup.log_bytes) as f64, series }
    }
}

/// What is acknowledged, as works are named.
#[must_use]
pub fn durability(durable: bool) -> &'static str {
    if durable { "durable" } else { "not durable" }
}

/// What is acknowledged, and how it reaches the files where that was asked for.
fn mode(durable: bool, io: IoMode) -> String {
    let io = match io {
        IoMode::Auto => "",
        IoMode::Buffered => ", buffered",
        IoMode::Direct => ", direct",
    };
    format!("{}{io}", durability(durable))
}

/// A number of things.
pub(super) fn count(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

/// The name of a work.
#[must_use]
pub fn work(durable: bool, io: IoMode, batch: usize, log_size: u64, producers: usize) -> String {
    let work = work_of_all(durable, io, batch, log_size);
    format!("{work}, {}", count(producers, "producer"))
}

/// A work without the number of its producers.
pub(super) fn work_of_all(durable: bool, io: IoMode, batch: usize, log_size: u64) -> String {
    format!("{}, {batch} × {}", mode(durable, io), size::show(log_size))
}

/// How Waldo's appends reach the files, in this mode and directory.
#[must_use]
pub fn effective_io(io: IoMode, durable: bool, dir: &Path) -> Io {
    let direct = match io {
        IoMode::Auto => durable && direct_supported(dir).unwrap_or(false),
        IoMode::Buffered => false,
        IoMode::Direct => true,
    };
    if direct { Io::Direct } else { Io::Buffered }
}

/// What the scenario runs.
///
/// # Errors
///
/// Where options do not fit each other.
pub fn plan(peers: &[Rc<dyn Engine>], options: &Options, common: &Common) -> anyhow::Result<Plan> {
    let mut works = Vec::new();
    for &durable in &options.durable {
        for &producers in &options.producers {
            for &batch in &options.batch {
                for io in options.waldo.io_modes(durable) {
                    let setup = Setup {
                        durable,
                        batch_logs: batch,
                        log_bytes: options.log_size as usize,
                        producers,
                        tail_bytes: 0,
                        disk_bytes: options.disk,
                    };
                    let set = cases(peers, options, common, setup, io)?;
                    works.push(rounds::placed(set, &options.point(&setup, io)));
                }
            }
        }
    }
    Ok(Plan { scenario: "append", sets: workload::sets(works), columns: Metric::BULK_WRITE })
}

/// All that do one work.
fn cases(
    peers: &[Rc<dyn Engine>],
    options: &Options,
    common: &Common,
    setup: Setup,
    io: IoMode,
) -> anyhow::Result<Set> {
    let Setup { durable, batch_logs, producers, .. } = setup;
    let work = work(durable, io, batch_logs, options.log_size, producers);
    let mut set = if options.no_ceiling {
        Vec::new()
    } else {
        ceilings(&work, options, common, &setup, effective_io(io, durable, &common.dir))?
    };
    let lead_in = options.lead_in.unwrap_or(options.disk / 4 * 5);
    let load = produce::Load { bytes: options.bytes, seconds: options.seconds, task_threads: None };
    let start = Start::Steady { lead_in };
    let task = Task { work, setup, start, load: Load::Produce(load) };
    let waldos = options.waldo.engines(io);
    set.extend(workload::cases(&waldos, &task, common));
    if options.first_lap {
        // Less than the whole ring: the last page has room for other things, too.
        let bytes = options.bytes.min(options.disk / 10 * 9);
        let load = Load::Produce(produce::Load { bytes, ..load });
        let task = Task { start: Start::Fresh, load, ..task.clone() };
        for waldo in waldos {
            set.push(Box::new(EngineCase::new(waldo, task.clone(), common)));
        }
    }
    if io == IoMode::Auto {
        set.extend(workload::cases(peers, &task, common));
    }
    Ok(set)
}

fn ceilings(
    work: &str,
    options: &Options,
    common: &Common,
    setup: &Setup,
    io: Io,
) -> anyhow::Result<Set> {
    let layout = Layout::holding(setup.batch_logs, setup.log_bytes);
    let usual = BulkShape::like_an_engine(layout, io, setup.durable);
    let files = Scratch::zeros(&common.dir, FILES, options.disk / FILES as u64);
    let limits = (options.bytes, options.seconds);
    let mut set: Set = Vec::new();
    for (in_flight, build_thread) in [(1, false), (2, false), (2, true)] {
        let shape = BulkShape { in_flight, build_thread, ..usual };
        let case = Bulk::new(work, shape, &files, limits, common.seed)?;
        set.push(Box::new(case));
    }
    Ok(set)
}
