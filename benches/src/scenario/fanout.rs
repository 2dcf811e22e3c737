//! One writer and N streams that follow it.

use std::rc::Rc;

use clap::Args;

use super::append;
use crate::engine::{Engine, Setup};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::Plan;
use crate::rounds::{self, Point};
use crate::size;
use crate::waldo::WaldoEngine;
use crate::workload::touch::Touch;
use crate::workload::{self, Load, Start, Task, fanout};

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Streams that follow the writer.
    #[arg(long, value_delimiter = ',', default_value = "300")]
    pub streams: Vec<usize>,
    /// Payload that the writer appends per second; 0: as fast as it can.
    #[arg(long, value_parser = size::parse, default_value = "10MiB")]
    pub rate: u64,
    /// Without a rate: appends that the writer may be ahead of the slowest stream.
    #[arg(long, default_value_t = 6)]
    pub window: u64,
    /// Waldo: bytes of the newest logs that are kept in memory [default: 32 appends; without a
    /// rate, 8]
    #[arg(long, value_parser = size::parse)]
    pub tail: Option<u64>,
    /// Logs of one append.
    #[arg(long, default_value_t = 2048)]
    pub batch: usize,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 6.0)]
    pub seconds: f64,
    /// Threads that serve the streams.
    #[arg(long, default_value_t = 2)]
    pub reader_threads: usize,
    /// What streams do with a log.
    #[arg(long, value_enum, default_value = "header")]
    pub touch: Touch,
    /// The same as `--touch hash`.
    #[arg(long, conflicts_with = "touch")]
    pub hash: bool,
    /// Whether each append is durable before it is acknowledged.
    #[arg(long, value_delimiter = ',', default_value = "false")]
    pub durable: Vec<bool>,
    /// Bytes on disk that an engine may keep.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub disk: u64,
}

impl Options {
    /// With a rate, a moment in which the machine does something else must not send all streams
    /// to the disk; without one, all keep up, and memory that is used again is in the cache.
    fn tail(&self) -> u64 {
        let append = self.batch as u64 * (self.log_size + 24) + 8192;
        self.tail.unwrap_or(append * if self.rate == 0 { 8 } else { 32 })
    }

    fn touch(&self) -> Touch {
        if self.hash { Touch::Hash } else { self.touch }
    }
}

/// The name of a work.
#[must_use]
pub fn work(durable: bool, streams: usize, rate: u64, touch: Touch) -> String {
    format!("{}, {}", append::count(streams, "stream"), pace(durable, rate, touch))
}

/// A work without the number of its streams.
fn pace(durable: bool, rate: u64, touch: Touch) -> String {
    let rate = match rate {
        0 => "flat out".to_owned(),
        rate => format!("{}/s", size::show(rate)),
    };
    let touch = match touch {
        Touch::Header => "",
        Touch::EveryByte => ", every byte",
        Touch::Hash => ", hashed",
    };
    format!("{}, {rate}{touch}", append::durability(durable))
}

/// What the scenario runs.
#[must_use]
pub fn plan(peers: &[Rc<dyn Engine>], options: &Options, common: &Common) -> Plan {
    let mut engines: Vec<Rc<dyn Engine>> = vec![Rc::new(WaldoEngine::default())];
    engines.extend(peers.iter().cloned());
    let mut works = Vec::new();
    for &durable in &options.durable {
        for &streams in &options.streams {
            let setup = Setup {
                durable,
                batch_logs: options.batch,
                log_bytes: options.log_size as usize,
                producers: 1,
                tail_bytes: options.tail(),
                disk_bytes: options.disk,
            };
            let load = Load::Fanout(fanout::Load {
                streams,
                bytes_per_second: options.rate,
                window: options.window,
                seconds: options.seconds,
                threads: options.reader_threads,
                touch: options.touch(),
            });
            let work = work(durable, streams, options.rate, options.touch());
            let start = Start::Steady { lead_in: 0 };
            let set = workload::cases(&engines, &Task { work, setup, start, load }, common);
            let series = pace(durable, options.rate, options.touch());
            let point = Point { axis: "streams", x: streams as f64, series };
            works.push(rounds::placed(set, &point));
        }
    }
    let columns = if options.rate == 0 { Metric::WRITER } else { Metric::DELIVERY };
    Plan { scenario: "fanout", sets: workload::sets(works), columns }
}
