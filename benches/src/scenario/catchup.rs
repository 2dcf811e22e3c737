//! Streams that read the whole log from its oldest end, while a writer appends.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use waldo_core::{Cursor, Log, Stream, Waldo};

use crate::ceiling::scan::{FilesOf, has_fio};
use crate::ceiling::{Cache, Scan, Scanner};
use crate::files::Io;
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::{Metric, Sample};
use crate::payload::Payload;
use crate::report::Plan;
use crate::rounds::{Case, Label, Role, Set};
use crate::size;
use crate::stock::{Shape, Stock};
use crate::tasks::{self, Queue, Task};
use crate::workload::touch::{Touch, Touching};

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Streams that read at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,8")]
    pub streams: Vec<usize>,
    /// State of the page cache at the start of a run.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cold,warm")]
    pub cache: Vec<Cache>,
    /// Payload that the store holds.
    #[arg(long, value_parser = size::parse, default_value = "3GiB")]
    pub bytes: u64,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Threads that poll the streams [default: one per stream, at most one per CPU]
    #[arg(long)]
    pub reader_threads: Option<usize>,
    /// Streams that read beside a writer; 0: no run with a writer.
    #[arg(long, default_value_t = 8)]
    pub beside_writer: usize,
    /// Durable appends of one log that the writer makes per second.
    #[arg(long, default_value_t = 1000)]
    pub writer_rate: u32,
    /// Bytes of one log of the writer.
    #[arg(long, value_parser = size::parse, default_value = "256")]
    pub writer_log_size: u64,
    /// Length of a run of the writer, seconds.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Do not measure what reading the same files achieves without an engine.
    #[arg(long)]
    pub no_ceiling: bool,
}

/// The name of the work of streams without a writer.
#[must_use]
pub fn reading(cache: Cache, streams: usize) -> String {
    let s = if streams == 1 { "" } else { "s" };
    format!("{}, {streams} stream{s}", cache.label())
}

/// The name of the work of a writer beside so many streams.
#[must_use]
pub fn writing(beside: Option<(Cache, usize)>) -> String {
    match beside {
        None => "a writer alone".to_owned(),
        Some((cache, streams)) => format!("a writer beside {streams} streams, {}", cache.label()),
    }
}

/// What the scenario runs.
#[must_use]
pub fn plan(options: &Options, common: &Common) -> Plan {
    let shape = Shape::three_quarters(options.bytes, options.log_size as usize, common.seed);
    let stock = Stock::new(&common.dir, shape);
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let usual = CatchUp {
        stock: Rc::clone(&stock),
        streams: 0,
        threads: 1,
        cache: Cache::Warm,
        writer: None,
        seed: common.seed,
    };
    let threads = |streams: usize| options.reader_threads.unwrap_or(streams.min(cpus)).max(1);
    let mut set: Set = Vec::new();
    for &cache in &options.cache {
        for &streams in options.streams.iter().filter(|streams| **streams > 0) {
            if !options.no_ceiling {
                set.extend(ceilings(&reading(cache, streams), &stock, cache, threads(streams)));
            }
            let case = CatchUp { streams, threads: threads(streams), cache, ..usual.clone() };
            set.push(Box::new(case));
        }
    }
    if options.beside_writer > 0 {
        let streams = options.beside_writer;
        let writer = Some(Writer {
            per_second: options.writer_rate.max(1),
            log_bytes: options.writer_log_size as usize,
            length: Duration::from_secs_f64(options.seconds),
        });
        set.push(Box::new(CatchUp { writer, ..usual.clone() }));
        for &cache in &options.cache {
            let threads = threads(streams);
            set.push(Box::new(CatchUp { streams, threads, cache, writer, ..usual.clone() }));
        }
    }
    let columns = &[
        Metric::MegabytesPerSecond,
        Metric::P50,
        Metric::P99,
        Metric::P999,
        Metric::Max,
        Metric::CpuPerGib,
        Metric::ReadPerPayload,
        Metric::Seconds,
    ];
    Plan { scenario: "catchup", sets: vec![set], columns }
}

fn ceilings(work: &str, stock: &Rc<Stock>, cache: Cache, threads: usize) -> Set {
    let mut scanners = vec![Scanner::Pread { threads, crc: false }];
    match cache {
        Cache::Warm => scanners.push(Scanner::Pread { threads, crc: true }),
        Cache::Cold if threads == 1 && has_fio() => {
            scanners.push(Scanner::Fio { io: Io::Buffered });
            scanners.push(Scanner::Fio { io: Io::Direct });
        }
        Cache::Cold => {}
    }
    let case = |scanner| {
        let stock = Rc::clone(stock);
        let files: FilesOf = Box::new(move || stock.files().cloned());
        Box::new(Scan::new(work, scanner, cache, files)) as Box<dyn Case>
    };
    scanners.into_iter().map(case).collect()
}

/// Small durable appends at a rate: open loop.
#[derive(Clone, Copy, Debug)]
struct Writer {
    per_second: u32,
    log_bytes: usize,
    length: Duration,
}

#[derive(Clone)]
struct CatchUp {
    stock: Rc<Stock>,
    streams: usize,
    threads: usize,
    cache: Cache,
    writer: Option<Writer>,
    seed: u64,
}

impl Case for CatchUp {
    fn label(&self) -> Label {
        let work = match (self.writer, self.streams) {
            (None, streams) => reading(self.cache, streams),
            (Some(_), 0) => writing(None),
            (Some(_), streams) => writing(Some((self.cache, streams))),
        };
        Label::new(Role::Waldo, work, "waldo")
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.stock.waldo().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let waldo = self.stock.waldo()?;
        let cached = self.cache.apply(self.stock.files()?)?;
        let end = waldo.prev_seq_no().unwrap_or(0);
        // A writer wants readers as long as it writes; once all was read it is no longer cold.
        let again = self.writer.is_some() && self.cache == Cache::Warm;
        let spanned = AtomicU64::new(0);
        let queues: Vec<Arc<Queue>> = (0..self.threads).map(|_| Arc::default()).collect();
        let ready = Barrier::new(self.threads + 1);
        let (latency, usage) = thread::scope(|scope| {
            let readers: Vec<_> = queues
                .iter()
                .enumerate()
                .map(|(index, queue)| {
                    let streams = share(self.streams, self.threads, index);
                    let reader = Reader { waldo, end, again, spanned: &spanned };
                    let ready = &ready;
                    scope.spawn(move || {
                        ready.wait();
                        reader.run(queue, streams)
                    })
                })
                .collect();
            let meter = Meter::start();
            ready.wait();
            let latency = self.writer.map(|writer| writer.run(waldo, self.seed));
            if again || self.streams == 0 {
                queues.iter().for_each(|queue| queue.stop());
            }
            for reader in readers {
                reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            }
            anyhow::Ok((latency.transpose()?, meter?.stop()?))
        })?;
        let sample = Sample {
            payload_bytes: spanned.into_inner(),
            ops: self.streams as u64,
            usage,
            latency: latency.and_then(|latency| latency.percentiles()),
            ..Sample::default()
        };
        if self.streams == 0 {
            return Ok(sample);
        }
        Ok(sample.with_number("cached before %", cached * 100.0))
    }
}

/// How many of `count` the `index`-th of `parts` gets.
fn share(count: usize, parts: usize, index: usize) -> usize {
    count / parts + usize::from(index < count % parts)
}

/// What one thread of readers does.
struct Reader<'a> {
    waldo: &'a Waldo,
    /// Where a stream has read all.
    end: u64,
    /// Streams start again then.
    again: bool,
    /// Bytes that the chunks spanned in the files.
    spanned: &'a AtomicU64,
}

impl Reader<'_> {
    fn run(&self, queue: &Arc<Queue>, streams: usize) -> anyhow::Result<()> {
        let touching = RefCell::new(Touching::new(Touch::Header));
        let tasks = (0..streams).map(|_| Box::pin(self.read(&touching)) as Task<'_>).collect();
        tasks::run(queue, tasks, || ())
    }

    async fn read(&self, touching: &RefCell<Touching>) -> anyhow::Result<()> {
        loop {
            let mut stream = self.waldo.stream(Cursor::Trim);
            self.read_to_end(&mut stream, touching).await?;
            if !self.again {
                return Ok(());
            }
        }
    }

    async fn read_to_end(
        &self,
        stream: &mut Stream,
        touching: &RefCell<Touching>,
    ) -> anyhow::Result<()> {
        while stream.position() < self.end {
            let chunk = stream.next().await?;
            touching.borrow_mut().take_all(chunk.iter(), Log::data);
            self.spanned.fetch_add(chunk.size() as u64, Ordering::Relaxed);
            drop(chunk);
            tasks::yield_now().await;
        }
        Ok(())
    }
}

impl Writer {
    /// Appends until the time is up.
    fn run(&self, waldo: &Waldo, seed: u64) -> anyhow::Result<Latency> {
        let payload = Payload::new(seed, self.log_bytes, 1, 1 << 20);
        let mut latency = Latency::new()?;
        let start = Instant::now();
        for number in 0.. {
            let due = start + Duration::from_secs(1) * number / self.per_second;
            if due.max(Instant::now()).duration_since(start) >= self.length {
                return Ok(latency);
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            waldo.blocking_append_assigned(&[payload.log(u64::from(number))])?;
            latency.record(due.elapsed());
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(dir: &std::path::Path, streams: usize, writer: Option<Writer>) -> CatchUp {
        let stock = Stock::new(dir, Shape::three_quarters(30 << 20, 1024, 1));
        CatchUp { stock, streams, threads: 2, cache: Cache::Warm, writer, seed: 1 }
    }

    #[test]
    fn all_streams_read_all() {
        let dir = tempfile::tempdir().unwrap();
        let sample = case(dir.path(), 3, None).run().unwrap();
        assert!(sample.payload_bytes >= 3 * (30 << 20), "{}", sample.payload_bytes);
        assert!(sample.payload_bytes <= 3 * (32 << 20), "{}", sample.payload_bytes);
    }

    #[test]
    fn a_writer_is_timed_beside_streams_and_alone() {
        let dir = tempfile::tempdir().unwrap();
        let length = Duration::from_millis(200);
        let writer = Writer { per_second: 100, log_bytes: 256, length };
        for streams in [0, 3] {
            let sample = case(dir.path(), streams, Some(writer)).run().unwrap();
            assert!(sample.latency.is_some());
            assert_eq!(sample.payload_bytes > 0, streams > 0);
        }
    }
}
