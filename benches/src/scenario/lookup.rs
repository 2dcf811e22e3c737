//! Random lookups of one log each.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use waldo_core::{Cursor, Options as WaldoDefaults, Waldo};

use crate::ceiling::{Cache, Check, Layout, Pread, PreadShape};
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::{Metric, Sample};
use crate::payload::Random;
use crate::report::Plan;
use crate::rounds::{self, Case, Label, Point, Role, Set};
use crate::size;
use crate::stock::{Shape, Stock};

/// Where the logs are that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// In the hot tail: among the newest logs, which are in memory.
    Hot,
    /// In the page cache.
    Warm,
    /// On disk, at the start of a run.
    Cold,
}

impl Place {
    fn label(self) -> &'static str {
        match self {
            Self::Hot => "hot tail",
            Self::Warm => "page cache",
            Self::Cold => "cold",
        }
    }

    fn cache(self) -> Cache {
        if self == Self::Cold { Cache::Cold } else { Cache::Warm }
    }
}

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the logs are.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "hot,warm,cold")]
    pub place: Vec<Place>,
    /// Lookups at the same time, each on a thread of its own.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub threads: Vec<usize>,
    /// Length of a run, seconds.
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Payload that the store holds.
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
    pub bytes: u64,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Bytes of the hot tail, for lookups in it.
    #[arg(long, value_parser = size::parse, default_value = "64MiB")]
    pub tail: u64,
    /// Do not measure what the same reads achieve without an engine.
    #[arg(long)]
    pub no_ceiling: bool,
}

/// The name of a work.
#[must_use]
pub fn work(place: Place, threads: usize) -> String {
    format!("{}, {threads} at once", place.label())
}

/// What the scenario runs.
///
/// # Errors
///
/// Where options do not fit each other.
pub fn plan(options: &Options, common: &Common) -> anyhow::Result<Plan> {
    let log_bytes = options.log_size as usize;
    let usual = Shape::three_quarters(options.bytes, log_bytes, common.seed);
    let cold = Stock::new(&common.dir, usual);
    let hot_shape = Shape {
        tail_bytes: options.tail as usize,
        ..Shape::three_quarters(2 * options.tail, log_bytes, common.seed)
    };
    let hot = Stock::new(&common.dir, hot_shape);
    let spacing = WaldoDefaults::default().index_sparse_bytes;
    let layout = Layout::filling(spacing, log_bytes)?;
    let file_bytes = (options.bytes / 4).next_multiple_of(1 << 20);
    let files = PreadShape::files(layout, &common.dir, 4, file_bytes, common.seed);
    let mut set: Set = Vec::new();
    for &place in &options.place {
        for &threads in &options.threads {
            let work = work(place, threads);
            let mut cases: Set = Vec::new();
            let (seconds, cache) = (options.seconds, place.cache());
            if !options.no_ceiling && place != Place::Hot {
                for check in [Check::Wanted, Check::All] {
                    let shape = PreadShape { layout, threads, check, cache, seconds };
                    cases.push(Box::new(Pread::new(&work, shape, &files, common.seed)));
                }
            }
            cases.push(Box::new(Lookup {
                work,
                stock: Rc::clone(if place == Place::Hot { &hot } else { &cold }),
                place,
                threads,
                seconds,
                seed: common.seed,
            }));
            let series = place.label().to_owned();
            let point = Point { axis: "lookups at once", x: threads as f64, series };
            set.extend(rounds::placed(cases, &point));
        }
    }
    let columns = &[
        Metric::OpsPerSecond,
        Metric::P50,
        Metric::P99,
        Metric::P999,
        Metric::Max,
        Metric::CpuPerOp,
        Metric::FetchedPerOp,
        Metric::ReadPerOp,
    ];
    Ok(Plan { scenario: "lookup", sets: vec![set], columns })
}

struct Lookup {
    work: String,
    stock: Rc<Stock>,
    place: Place,
    threads: usize,
    seconds: f64,
    seed: u64,
}

impl Case for Lookup {
    fn label(&self) -> Label {
        Label::new(Role::Waldo, &self.work, "waldo")
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.stock.waldo().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let waldo = self.stock.waldo()?;
        self.place.cache().apply(self.stock.files()?)?;
        let log_bytes = self.stock.shape().log_bytes as u64;
        let numbers = numbers(waldo, self.stock.shape(), self.place);
        let ready = Barrier::new(self.threads + 1);
        let length = Duration::from_secs_f64(self.seconds);
        let (latency, meter) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads as u64)
                .map(|index| {
                    let (ready, numbers) = (&ready, numbers.clone());
                    let random = Random::new(self.seed ^ (index << 32));
                    scope.spawn(move || {
                        ready.wait();
                        look_up(waldo, numbers, random, length)
                    })
                })
                .collect();
            let meter = Meter::start();
            ready.wait();
            let mut all = Latency::new()?;
            for thread in threads {
                all.merge(&thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??)?;
            }
            anyhow::Ok((all, meter?))
        })?;
        let usage = meter.stop()?;
        Ok(Sample {
            payload_bytes: latency.count() * log_bytes,
            ops: latency.count(),
            usage,
            latency: latency.percentiles(),
            ..Sample::default()
        })
    }
}

/// The logs that are looked for.
fn numbers(waldo: &Waldo, shape: &Shape, place: Place) -> RangeInclusive<u64> {
    let newest = waldo.prev_seq_no().unwrap_or(0);
    let first = match place {
        // Not to its very end: that is about to leave it.
        Place::Hot => newest - shape.tail_bytes as u64 / 4 * 3 / (shape.log_bytes as u64 + 32),
        Place::Warm | Place::Cold => 1,
    };
    first..=newest
}

fn look_up(
    waldo: &Waldo,
    numbers: RangeInclusive<u64>,
    mut random: Random,
    length: Duration,
) -> anyhow::Result<Latency> {
    let mut latency = Latency::new()?;
    let end = Instant::now() + length;
    let (first, count) = (*numbers.start(), numbers.end() - numbers.start() + 1);
    let mut sum = 0u64;
    loop {
        let wanted = first + random.below(count);
        let before = Instant::now();
        if before >= end {
            std::hint::black_box(sum);
            return Ok(latency);
        }
        let found = waldo.blocking_query(Cursor::From(wanted), false)?;
        let log = found.iter().next().filter(|log| log.seq_no() == wanted);
        let log = log.ok_or_else(|| anyhow::anyhow!("log {wanted} was not found"))?;
        sum = sum.wrapping_add(u64::from(log.data().first().copied().unwrap_or(0)));
        latency.record(before.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_found_wherever_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape { tail_bytes: 8 << 20, ..Shape::three_quarters(30 << 20, 1024, 1) };
        let stock = Stock::new(dir.path(), shape);
        for place in [Place::Hot, Place::Warm, Place::Cold] {
            let (work, stock) = (work(place, 2), Rc::clone(&stock));
            let mut case = Lookup { work, stock, place, threads: 2, seconds: 0.05, seed: 1 };
            assert!(case.run().unwrap().ops > 0);
        }
        let waldo = stock.waldo().unwrap();
        let fetched_by = |place| {
            let before = fetched_by_this_thread();
            let numbers = numbers(waldo, &shape, place);
            look_up(waldo, numbers, Random::new(1), Duration::from_millis(20)).unwrap();
            fetched_by_this_thread() - before
        };
        assert!(fetched_by(Place::Hot) < 4096, "the hot tail is in memory");
        assert!(fetched_by(Place::Warm) > 100 << 10);
    }

    fn fetched_by_this_thread() -> u64 {
        let io = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        line.unwrap().trim().parse().unwrap()
    }
}
