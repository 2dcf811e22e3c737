//! One writer and many streams that follow it.
//!
//! Open loop: a log carries the time at which it was *due*, not the time at which the writer came
//! to append it, so a writer that is held up shows in the latencies.
//!
//! Streams are polled by a few threads, which sleep until the writer has appended. That is the
//! cheapest way to serve an engine that cannot wake its readers itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::{Producer, Setup, Store, Tail};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::payload::Payload;

/// What writer and streams do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Number of streams.
    pub streams: usize,
    /// Payload per second of the writer; 0: as fast as it can.
    pub bytes_per_second: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Threads that serve the streams.
    pub threads: usize,
    /// Read every byte of each log, not only its first ones.
    pub every_byte: bool,
}

/// Tells the reader threads that there is something to read.
#[derive(Default)]
struct Tip {
    /// Logs appended.
    logs: AtomicU64,
    ended: AtomicBool,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Tip {
    fn publish(&self, logs: u64) {
        self.logs.fetch_add(logs, Ordering::Release);
        self.wake();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_all();
    }

    /// Waits until there are more than `seen` logs or the writer has ended.
    fn wait(&self, seen: u64) {
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.logs.load(Ordering::Acquire) <= seen && !self.ended.load(Ordering::Acquire) {
            guard = self.moved.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// What one reader thread saw.
struct Seen {
    latency: Latency,
    logs: u64,
    bytes: u64,
    /// Logs that the slowest of its streams still had to read when time was up.
    behind: u64,
}

/// Runs the load on an open store.
///
/// # Errors
///
/// The first error of the writer or of a stream.
pub fn run(store: &dyn Store, setup: &Setup, load: &Load, seed: u64) -> anyhow::Result<Sample> {
    anyhow::ensure!(setup.log_bytes >= 16, "a log needs 16 bytes to carry its time");
    anyhow::ensure!(load.threads > 0 && load.streams > 0, "no stream, or no thread to serve it");
    let mut groups: Vec<Vec<Box<dyn Tail + '_>>> = (0..load.threads).map(|_| Vec::new()).collect();
    for index in 0..load.streams {
        let tail = store.tail()?;
        let tail = tail.ok_or_else(|| anyhow::anyhow!("the engine cannot follow its log"))?;
        groups[index % load.threads].push(tail);
    }
    let mut producer = store.producer(0)?;
    let tip = Tip::default();
    let origin = Instant::now();
    let meter = Meter::start()?;
    let (written, seen) = thread::scope(|scope| {
        let threads: Vec<_> = groups
            .into_iter()
            .map(|tails| {
                let tip = &tip;
                scope.spawn(move || follow(tails, tip, origin, load.every_byte))
            })
            .collect();
        let written = write(&mut *producer, setup, load, seed, &tip, origin);
        tip.end();
        let mut all = Seen { latency: Latency::new()?, logs: 0, bytes: 0, behind: 0 };
        for thread in threads {
            let seen = thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            all.latency.merge(&seen.latency)?;
            all.logs += seen.logs;
            all.bytes += seen.bytes;
            all.behind = all.behind.max(seen.behind);
        }
        anyhow::Ok((written?, all))
    })?;
    let usage = meter.stop()?;
    let sample = Sample {
        payload_bytes: seen.bytes,
        ops: seen.logs,
        usage,
        latency: seen.latency.percentiles(),
        extra: Vec::new(),
    };
    let asked = load.bytes_per_second as f64 * load.streams as f64 / 1e6;
    let cpus = thread::available_parallelism().map_or(1, usize::from) as f64;
    let busy = (usage.user + usage.system) / usage.seconds / cpus;
    Ok(sample
        .with_number("asked MB/s", asked)
        .with_number("writer MB/s", written as f64 / 1e6 / usage.seconds)
        .with_number("batches behind", seen.behind as f64 / setup.batch_logs.max(1) as f64)
        .with_number("CPU %", busy * 100.0))
}

fn write(
    producer: &mut dyn Producer,
    setup: &Setup,
    load: &Load,
    seed: u64,
    tip: &Tip,
    origin: Instant,
) -> anyhow::Result<u64> {
    let mut batch = vec![0u8; setup.batch_logs * setup.log_bytes];
    let payload = Payload::new(seed, setup.log_bytes, setup.batch_logs, 0);
    for (at, log) in batch.chunks_exact_mut(setup.log_bytes).enumerate() {
        log.copy_from_slice(payload.log(at as u64));
    }
    let length = Duration::from_secs_f64(load.seconds);
    let mut written = 0u64;
    loop {
        let now = origin.elapsed();
        let due = match load.bytes_per_second {
            0 => now,
            rate => Duration::from_secs_f64(written as f64 / rate as f64),
        };
        if due >= length || now >= length {
            return Ok(written);
        }
        if let Some(early) = due.checked_sub(now) {
            thread::sleep(early);
        }
        for log in batch.chunks_exact_mut(setup.log_bytes) {
            log[..8].copy_from_slice(&(due.as_nanos() as u64).to_le_bytes());
        }
        let logs: Vec<&[u8]> = batch.chunks_exact(setup.log_bytes).collect();
        producer.submit(&logs)?;
        producer.wait()?;
        written += batch.len() as u64;
        tip.publish(setup.batch_logs as u64);
    }
}

fn follow(
    mut tails: Vec<Box<dyn Tail + '_>>,
    tip: &Tip,
    origin: Instant,
    every_byte: bool,
) -> anyhow::Result<Seen> {
    let mut seen = Seen { latency: Latency::new()?, logs: 0, bytes: 0, behind: 0 };
    let mut read = vec![0u64; tails.len()];
    let mut published = 0;
    let mut sum = 0u64;
    while !tip.ended.load(Ordering::Acquire) {
        tip.wait(published);
        published = tip.logs.load(Ordering::Acquire);
        for (tail, read) in tails.iter_mut().zip(&mut read) {
            while *read < published && !tip.ended.load(Ordering::Acquire) {
                let mut due = 0;
                let mut bytes = 0;
                let logs = tail.poll(&mut |log| {
                    bytes += log.len() as u64;
                    due = touch(log, every_byte, &mut sum);
                })? as u64;
                anyhow::ensure!(logs > 0, "a stream does not see logs that were acknowledged");
                let latency = origin.elapsed().saturating_sub(Duration::from_nanos(due));
                seen.latency.record_many(latency, logs);
                seen.logs += logs;
                seen.bytes += bytes;
                *read += logs;
            }
        }
    }
    std::hint::black_box(sum);
    let end = tip.logs.load(Ordering::Acquire);
    seen.behind = read.iter().map(|read| end.saturating_sub(*read)).max().unwrap_or(0);
    Ok(seen)
}

/// Reads a log's due time and, if asked to, all its bytes.
fn touch(log: &[u8], every_byte: bool, sum: &mut u64) -> u64 {
    if every_byte {
        for word in log.chunks_exact(8) {
            *sum = sum.wrapping_add(u64_of(word));
        }
    }
    u64_of(log)
}

fn u64_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Log = Vec<Vec<u8>>;

    #[derive(Default)]
    struct InMemory(Mutex<Log>);

    struct Reader<'a>(&'a Mutex<Log>, usize);

    impl Store for InMemory {
        fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
            Ok(Box::new(self))
        }

        fn tail(&self) -> anyhow::Result<Option<Box<dyn Tail + '_>>> {
            Ok(Some(Box::new(Reader(&self.0, 0))))
        }
    }

    impl Producer for &InMemory {
        fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
            self.0.lock().unwrap().extend(logs.iter().map(|log| log.to_vec()));
            Ok(())
        }
    }

    impl Tail for Reader<'_> {
        fn poll(&mut self, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<usize> {
            let logs = self.0.lock().unwrap();
            logs[self.1..].iter().for_each(|log| visit(log));
            let new = logs.len() - self.1;
            self.1 = logs.len();
            Ok(new)
        }
    }

    #[test]
    fn every_stream_gets_every_log() {
        let store = InMemory::default();
        let setup = Setup {
            durable: false,
            batch_logs: 4,
            log_bytes: 64,
            producers: 1,
            followed: false,
            disk_bytes: 0,
        };
        let load = Load {
            streams: 5,
            bytes_per_second: 25_600,
            seconds: 0.2,
            threads: 2,
            every_byte: true,
        };
        let sample = run(&store, &setup, &load, 1).unwrap();
        let written = store.0.lock().unwrap().len() as u64;
        assert!(written >= 40 && sample.ops <= 5 * written);
        assert!(sample.ops >= 5 * (written - 8));
    }
}
