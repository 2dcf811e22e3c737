//! One writer and N streams that follow it.

use std::rc::Rc;

use clap::Args;

use super::append;
use crate::engine::{Engine, Setup};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::Plan;
use crate::size;
use crate::waldo::WaldoEngine;
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
                followed: true,
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
            let work = format!("{}, {streams} streams, {rate}", append::durability(durable));
            let start = Start::Steady { lead_in: 0 };
            works.push(workload::cases(&engines, &Task { work, setup, start, load }, common));
        }
    }
    Plan { scenario: "fanout", sets: workload::sets(works), columns: Metric::DELIVERY }
}
