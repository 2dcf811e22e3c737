//! Single small appends from many producers at the same time.

use std::rc::Rc;

use clap::Args;
use waldo_core::IoMode;

use super::{WaldoOptions, append};
use crate::ceiling::{Commit, CommitShape, Method};
use crate::engine::{Engine, Setup};
use crate::files::{BLOCK, Io, Scratch};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::Plan;
use crate::rounds::{self, Point, Set};
use crate::size;
use crate::workload::{self, Load, Start, Task, produce};

/// Files of a ceiling.
const FILES: usize = 4;

/// Bytes of headers that a frame with one log has.
const HEADERS: usize = 88;

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "256")]
    pub log_size: u64,
    /// Producers at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    pub producers: Vec<usize>,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "true")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "512MiB")]
    pub disk: u64,
    /// Threads that tasks are spread over; 0: no run with tasks.
    #[arg(long, default_value_t = 1)]
    pub task_threads: usize,
    /// Do not measure what the same I/O achieves without an engine.
    #[arg(long)]
    pub no_ceiling: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would print it")]
    pub waldo: WaldoOptions,
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
            for io in options.waldo.io_modes(durable) {
                let setup = Setup {
                    durable,
                    batch_logs: 1,
                    log_bytes: options.log_size as usize,
                    producers,
                    tail_bytes: 0,
                    disk_bytes: options.disk,
                };
                let set = cases(peers, options, common, setup, io)?;
                let x = producers as f64;
                let series = append::work_of_all(durable, io, 1, options.log_size);
                works.push(rounds::placed(set, &Point { axis: "producers", x, series }));
            }
        }
    }
    Ok(Plan { scenario: "commit", sets: workload::sets(works), columns: Metric::SMALL_OPS })
}

/// All that do one work. One write after the other is the ceiling of one producer; of more there
/// is none, as they share writes.
fn cases(
    peers: &[Rc<dyn Engine>],
    options: &Options,
    common: &Common,
    setup: Setup,
    io: IoMode,
) -> anyhow::Result<Set> {
    let work = append::work(setup.durable, io, 1, options.log_size, setup.producers);
    let mut set = if options.no_ceiling || setup.producers > 1 {
        Vec::new()
    } else {
        let io = append::effective_io(io, setup.durable, &common.dir);
        ceilings(&work, options, common, &setup, io)?
    };
    let load = produce::Load { bytes: u64::MAX, seconds: options.seconds, task_threads: None };
    let start = Start::Steady { lead_in: options.disk / 64 };
    let task = Task { work, setup, start, load: Load::Produce(load) };
    let waldos = options.waldo.engines(io);
    set.extend(workload::cases(&waldos, &task, common));
    if options.task_threads > 0 {
        let task_threads = Some(options.task_threads);
        let load = Load::Produce(produce::Load { task_threads, ..load });
        let task = Task { load, ..task.clone() };
        set.extend(workload::cases(&waldos, &task, common));
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
    let log_bytes = setup.log_bytes;
    let frame = (HEADERS + log_bytes).next_multiple_of(8);
    let write_bytes = match io {
        Io::Direct => frame.next_multiple_of(BLOCK),
        Io::Buffered => frame,
    };
    let (seconds, durable) = (options.seconds, setup.durable);
    let files = Scratch::zeros(&common.dir, FILES, options.disk / FILES as u64);
    let mut set: Set = Vec::new();
    for method in [Method::Uring, Method::Call] {
        let shape = CommitShape { log_bytes, write_bytes, seconds, io, durable, method };
        set.push(Box::new(Commit::new(work, shape, &files, common.seed)?));
    }
    Ok(set)
}
