//! Load generators over [`crate::engine`], and the command-line options that go with them.

pub mod fanout;
pub mod produce;

use std::path::Path;

use clap::Args;

use crate::engine::{Engine, Setup};
use crate::files;
use crate::options::{Common, WorkDir};
use crate::outcome::Sample;
use crate::rounds::Case;
use crate::size;

/// Options of the scenario `append`.
#[derive(Args, Clone, Debug)]
pub struct AppendOptions {
    /// Logs of one append.
    #[arg(long, value_delimiter = ',', default_value = "2048")]
    pub batch: Vec<usize>,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Payload that is appended and measured, in all.
    #[arg(long, value_parser = size::parse, default_value = "10GiB")]
    pub bytes: u64,
    /// Payload that is appended before, to reach the steady state.
    #[arg(long, value_parser = size::parse, default_value = "0")]
    pub lead_in: u64,
    /// Producers at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub producers: Vec<usize>,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "true,false")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "4GiB")]
    pub disk: u64,
}

/// Options of the scenario `commit`.
#[derive(Args, Clone, Debug)]
pub struct CommitOptions {
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "256")]
    pub log_size: u64,
    /// Producers at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    pub producers: Vec<usize>,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "true")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub disk: u64,
}

/// Options of the scenario `fanout`.
#[derive(Args, Clone, Debug)]
pub struct FanoutOptions {
    /// Streams that follow the writer.
    #[arg(long, value_delimiter = ',', default_value = "300")]
    pub streams: Vec<usize>,
    /// Payload that the writer appends per second; 0: as fast as it can.
    #[arg(long, value_parser = size::parse, default_value = "10MiB")]
    pub rate: u64,
    /// Logs of one append.
    #[arg(long, default_value_t = 256)]
    pub batch: usize,
    /// Bytes of one log, at least 16.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 6.0)]
    pub seconds: f64,
    /// Threads that serve the streams.
    #[arg(long, default_value_t = 2)]
    pub reader_threads: usize,
    /// Read every byte of each log, not only one.
    #[arg(long)]
    pub every_byte: bool,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "false")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub disk: u64,
}

/// What is done with an open store.
#[derive(Clone, Debug)]
enum Load {
    Produce(produce::Load),
    Fanout(fanout::Load),
}

/// One engine under one load.
struct EngineCase<'a> {
    engine: &'a dyn Engine,
    setup: Setup,
    load: Load,
    common: &'a Common,
    label: String,
}

impl Case for EngineCase<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.engine.name(), self.label)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let dir = WorkDir::new(&self.common.dir, &self.engine.name())?;
        self.common.warm(self.setup.disk_bytes)?;
        let sample = self.run_in(dir.path());
        // What one run leaves to be written back must not disturb the next.
        drop(dir);
        files::sync_file_system(&self.common.dir)?;
        sample
    }
}

impl EngineCase<'_> {
    fn run_in(&self, dir: &Path) -> anyhow::Result<Sample> {
        let store = self.engine.open(dir, &self.setup)?;
        let sample = match &self.load {
            Load::Produce(load) => produce::run(&*store, &self.setup, load, self.common.seed),
            Load::Fanout(load) => fanout::run(&*store, &self.setup, load, self.common.seed),
        };
        store.close()?;
        sample
    }
}

/// The cases of `append`: every engine with every combination that it does not refuse.
#[must_use]
pub fn append_cases<'a>(
    engines: &'a [Box<dyn Engine>],
    options: &AppendOptions,
    common: &'a Common,
) -> Vec<Box<dyn Case + 'a>> {
    let mut plans = Vec::new();
    for &durable in &options.durable {
        for &producers in &options.producers {
            for &batch_logs in &options.batch {
                let setup = Setup {
                    durable,
                    batch_logs,
                    log_bytes: options.log_size as usize,
                    producers,
                    disk_bytes: options.disk,
                };
                let load = Load::Produce(produce::Load {
                    until: produce::Until::Bytes(options.bytes),
                    lead_in: options.lead_in,
                });
                let label = format!(
                    "{}, {batch_logs} × {}, {producers} producers",
                    durability(durable),
                    size::show(options.log_size)
                );
                plans.push((setup, load, label));
            }
        }
    }
    cross(engines, common, plans)
}

/// The cases of `commit`.
#[must_use]
pub fn commit_cases<'a>(
    engines: &'a [Box<dyn Engine>],
    options: &CommitOptions,
    common: &'a Common,
) -> Vec<Box<dyn Case + 'a>> {
    let mut plans = Vec::new();
    for &durable in &options.durable {
        for &producers in &options.producers {
            let setup = Setup {
                durable,
                batch_logs: 1,
                log_bytes: options.log_size as usize,
                producers,
                disk_bytes: options.disk,
            };
            let load = Load::Produce(produce::Load {
                until: produce::Until::Seconds(options.seconds),
                lead_in: 0,
            });
            let label = format!(
                "{}, {}, {producers} producers",
                durability(durable),
                size::show(options.log_size)
            );
            plans.push((setup, load, label));
        }
    }
    cross(engines, common, plans)
}

/// The cases of `fanout`.
#[must_use]
pub fn fanout_cases<'a>(
    engines: &'a [Box<dyn Engine>],
    options: &FanoutOptions,
    common: &'a Common,
) -> Vec<Box<dyn Case + 'a>> {
    let mut plans = Vec::new();
    for &durable in &options.durable {
        for &streams in &options.streams {
            let setup = Setup {
                durable,
                batch_logs: options.batch,
                log_bytes: options.log_size as usize,
                producers: 1,
                disk_bytes: options.disk,
            };
            let load = Load::Fanout(fanout::Load {
                streams,
                bytes_per_second: options.rate,
                seconds: options.seconds,
                threads: options.reader_threads,
                every_byte: options.every_byte,
            });
            let rate = match options.rate {
                0 => "flat out".to_owned(),
                rate => format!("{}/s", size::show(rate)),
            };
            plans.push((
                setup,
                load,
                format!("{}, {streams} streams, {rate}", durability(durable)),
            ));
        }
    }
    cross(engines, common, plans)
}

fn durability(durable: bool) -> &'static str {
    if durable { "durable" } else { "not durable" }
}

fn cross<'a>(
    engines: &'a [Box<dyn Engine>],
    common: &'a Common,
    plans: Vec<(Setup, Load, String)>,
) -> Vec<Box<dyn Case + 'a>> {
    let mut cases: Vec<Box<dyn Case + 'a>> = Vec::new();
    for (setup, load, label) in plans {
        for engine in engines {
            let cannot_follow = matches!(load, Load::Fanout(_)) && !engine.follows();
            let reason = cannot_follow.then_some("it cannot follow its log");
            if let Some(reason) = reason.or_else(|| engine.refuses(&setup)) {
                eprintln!("left out: {} {label}: {reason}", engine.name());
                continue;
            }
            let (load, label) = (load.clone(), label.clone());
            cases.push(Box::new(EngineCase { engine: &**engine, setup, load, common, label }));
        }
    }
    cases
}
