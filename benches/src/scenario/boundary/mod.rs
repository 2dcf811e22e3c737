//! What the C ABI costs: the same work through Rust and through `waldo.h`.
//!
//! The calls go through the exported symbols of `waldo-capi`, as those of a program in C do. What
//! is a ceiling elsewhere is the Rust API here.

mod capi;
mod streams;

use std::path::Path;
use std::rc::Rc;

use clap::Args;
use waldo_core::Backend;

use self::capi::CapiEngine;
use crate::engine::{Engine, Setup, Store};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::Plan;
use crate::rounds::{Role, Set};
use crate::size;
use crate::waldo::WaldoEngine;
use crate::workload::{self, Load, Start, Task, produce};

/// What the Rust API is called in reports.
const RUST: &str = "Rust API";

/// What streams find in memory, a few batches.
const TAIL_BYTES: u64 = 16 << 20;

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Logs of one append, and of what streams read.
    #[arg(long, default_value_t = 2048)]
    pub batch: usize,
    /// Bytes of one of these logs.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Payload of one run of appends.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub bytes: u64,
    /// Threads that append single logs.
    #[arg(long, default_value_t = 16)]
    pub producers: usize,
    /// Bytes of a single log.
    #[arg(long, value_parser = size::parse, default_value = "256")]
    pub single_size: u64,
    /// Streams that follow a writer.
    #[arg(long, default_value_t = 1000)]
    pub streams: usize,
    /// Threads that serve the streams.
    #[arg(long, default_value_t = 2)]
    pub reader_threads: usize,
    /// Appends that the writer may be ahead of the slowest stream.
    #[arg(long, default_value_t = 6)]
    pub window: u64,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Bytes on disk that a store may keep.
    #[arg(long, value_parser = size::parse, default_value = "512MiB")]
    pub disk: u64,
    /// Without a disk: what is left are the calls, the worker and copying.
    #[arg(long)]
    pub in_memory: bool,
}

impl Options {
    fn engine(&self) -> WaldoEngine {
        let backend = if self.in_memory { Backend::Memory } else { Backend::Auto };
        WaldoEngine { backend, ..WaldoEngine::default() }
    }
}

/// What the scenario runs.
#[must_use]
pub fn plan(options: &Options, common: &Common) -> Plan {
    let setup = Setup {
        durable: false,
        batch_logs: options.batch,
        log_bytes: options.log_size as usize,
        producers: 1,
        tail_bytes: 0,
        disk_bytes: options.disk,
    };
    let batch = format!("{} × {}", options.batch, size::show(options.log_size));
    let mut set = appends(
        format!("not durable, {batch}"),
        setup,
        produce::Load { bytes: options.bytes, seconds: options.seconds, task_threads: None },
        options.engine(),
        common,
    );
    let single = format!("durable, 1 × {}", size::show(options.single_size));
    set.extend(appends(
        format!("{single}, {} producers", options.producers),
        Setup {
            durable: true,
            batch_logs: 1,
            log_bytes: options.single_size as usize,
            producers: options.producers,
            ..setup
        },
        produce::Load { bytes: u64::MAX, seconds: options.seconds, task_threads: None },
        options.engine(),
        common,
    ));
    let work = format!("{} streams, {batch}", options.streams);
    set.extend(streams::cases(&work, &Setup { tail_bytes: TAIL_BYTES, ..setup }, options, common));
    Plan { scenario: "boundary", sets: vec![set], columns: COLUMNS }
}

const COLUMNS: &[Metric] = &[
    Metric::MegabytesPerSecond,
    Metric::OpsPerSecond,
    Metric::P50,
    Metric::P99,
    Metric::CpuPerOp,
    Metric::CpuPerGib,
    Metric::SwitchesPerSecond,
];

/// Both ways to append.
fn appends(
    work: String,
    setup: Setup,
    load: produce::Load,
    engine: WaldoEngine,
    common: &Common,
) -> Set {
    let engines: [Rc<dyn Engine>; 2] = [Rc::new(Inside(engine)), Rc::new(CapiEngine(engine))];
    let start = Start::Steady { lead_in: setup.disk_bytes * 5 / 4 };
    workload::cases(&engines, &Task { work, setup, start, load: Load::Produce(load) }, common)
}

/// Waldo without the boundary: what is compared with.
struct Inside(WaldoEngine);

impl Engine for Inside {
    fn name(&self) -> String {
        RUST.to_owned()
    }

    fn role(&self) -> Role {
        Role::Ceiling
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        self.0.open(dir, setup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every work, both ways: each has done something, and nothing has failed.
    #[test]
    fn both_ways_work() {
        let dir = tempfile::tempdir().unwrap();
        let common =
            Common { dir: dir.path().into(), rounds: 1, json: false, no_warm: true, seed: 1 };
        let options = Options {
            batch: 64,
            log_size: 1024,
            bytes: 8 << 20,
            producers: 3,
            single_size: 256,
            streams: 20,
            reader_threads: 2,
            window: 4,
            seconds: 0.2,
            disk: 32 << 20,
            in_memory: true,
        };
        let mut who = Vec::new();
        for mut case in plan(&options, &common).sets.into_iter().flatten() {
            case.prepare().unwrap();
            let sample = case.run().unwrap();
            assert!(sample.ops > 0 && sample.payload_bytes > 0, "{}", case.label().title());
            case.finish().unwrap();
            who.push(case.label().who);
        }
        assert_eq!(who, [RUST, "C ABI", RUST, "C ABI", RUST, "C ABI"]);
    }
}
