//! Producers that append, each on a thread or a task of its own: the load of `append` and
//! `commit`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::engine::{Producer, Setup, Store, TaskProducer};
use crate::measure::{Latency, Meter, Usage};
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::tasks::{self, Task};

/// Bytes of distinct payload that the batches are cut from.
const POOL_BYTES: usize = 16 << 20;

/// What the producers do: they stop at whichever limit they reach first.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Payload of all producers together.
    pub bytes: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Producers are tasks on so many threads, rather than threads.
    pub task_threads: Option<usize>,
}

/// What all producers share.
struct Shared<'a> {
    payload: &'a Payload,
    batch_logs: usize,
    /// Batches that are left to start.
    left: AtomicU64,
    /// How long batches are started.
    length: Duration,
    /// Set by a producer that failed.
    failed: AtomicBool,
    start: Barrier,
}

/// Runs the load on an open store.
///
/// # Errors
///
/// The first error of a producer.
pub fn run(store: &dyn Store, setup: &Setup, load: &Load, seed: u64) -> anyhow::Result<Sample> {
    let payload = Payload::new(seed, setup.log_bytes, setup.batch_logs, POOL_BYTES);
    let batch_bytes = (setup.batch_logs * setup.log_bytes).max(1) as u64;
    let batches = load.bytes.div_ceil(batch_bytes);
    let shared = Shared {
        payload: &payload,
        batch_logs: setup.batch_logs,
        left: AtomicU64::new(batches),
        length: Duration::from_secs_f64(load.seconds),
        failed: AtomicBool::new(false),
        start: Barrier::new(
            load.task_threads.map_or(setup.producers, |threads| threads.max(1)) + 1,
        ),
    };
    let writes_before = store.writes();
    let (latency, appends, usage) = match load.task_threads {
        None => from_threads(store, setup, &shared)?,
        Some(threads) => from_tasks(store, setup, &shared, threads.max(1))?,
    };
    let logs = appends * setup.batch_logs as u64;
    let mut sample = Sample {
        payload_bytes: logs * setup.log_bytes as u64,
        ops: appends,
        usage,
        latency: latency.percentiles(),
        ..Sample::default()
    };
    if setup.batch_logs > 1 {
        sample = sample.with_number("logs/s", logs as f64 / usage.seconds);
    }
    if let (Some(before), Some(after)) = (writes_before, store.writes()) {
        sample = sample.with_number("logs/write", logs as f64 / (after - before).max(1) as f64);
    }
    Ok(sample)
}

/// Each producer is a thread.
fn from_threads(
    store: &dyn Store,
    setup: &Setup,
    shared: &Shared<'_>,
) -> anyhow::Result<(Latency, u64, Usage)> {
    let producers: anyhow::Result<Vec<_>> =
        (0..setup.producers).map(|index| store.producer(index)).collect();
    let producers = producers?;
    thread::scope(|scope| {
        let threads = producers
            .into_iter()
            .enumerate()
            .map(|(index, producer)| {
                scope.spawn(move || produce_on_thread(producer, index, shared))
            })
            .collect();
        measured(threads, shared)
    })
}

/// Each producer is a task; the tasks are spread over some threads.
fn from_tasks(
    store: &dyn Store,
    setup: &Setup,
    shared: &Shared<'_>,
    threads: usize,
) -> anyhow::Result<(Latency, u64, Usage)> {
    let mut groups: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
    for index in 0..setup.producers {
        let producer = store.task_producer(index)?;
        let producer = producer.context("its appends block the thread")?;
        groups[index % threads].push((index, producer));
    }
    thread::scope(|scope| {
        let threads = groups
            .into_iter()
            .map(|group| scope.spawn(move || produce_in_tasks(group, shared)))
            .collect();
        measured(threads, shared)
    })
}

/// Starts the producers, and waits for them.
fn measured(
    threads: Vec<ScopedJoinHandle<'_, anyhow::Result<(Latency, u64)>>>,
    shared: &Shared<'_>,
) -> anyhow::Result<(Latency, u64, Usage)> {
    let meter = Meter::start();
    shared.start.wait();
    let (mut all, mut appends) = (Latency::new()?, 0);
    for thread in threads {
        let (latency, count) =
            thread.join().map_err(|_| anyhow::anyhow!("a producer panicked"))??;
        all.merge(&latency)?;
        appends += count;
    }
    Ok((all, appends, meter?.stop()?))
}

fn produce_in_tasks(
    producers: Vec<(usize, Box<dyn TaskProducer + '_>)>,
    shared: &Shared<'_>,
) -> anyhow::Result<(Latency, u64)> {
    let latency = RefCell::new(Latency::new()?);
    let tasks = producers
        .into_iter()
        .map(|(index, producer)| {
            Box::pin(produce_in_task(producer, index, shared, &latency)) as Task<'_>
        })
        .collect();
    shared.start.wait();
    let done = tasks::run(&Arc::default(), tasks, || ());
    if done.is_err() {
        shared.failed.store(true, Ordering::Relaxed);
    }
    done?;
    let latency = latency.into_inner();
    let count = latency.count();
    Ok((latency, count))
}

async fn produce_in_task(
    mut producer: Box<dyn TaskProducer + '_>,
    index: usize,
    shared: &Shared<'_>,
    latency: &RefCell<Latency>,
) -> anyhow::Result<()> {
    let mut logs = Vec::with_capacity(shared.batch_logs);
    let mut next = index as u64 * 7919;
    let end = Instant::now() + shared.length;
    while !shared.failed.load(Ordering::Relaxed) && take_one(&shared.left) {
        shared.payload.batch(next, shared.batch_logs, &mut logs);
        next += shared.batch_logs as u64;
        let started = Instant::now();
        if started >= end {
            break;
        }
        producer.append(&logs).await?;
        latency.borrow_mut().record(started.elapsed());
    }
    Ok(())
}

fn produce_on_thread(
    mut producer: Box<dyn Producer + '_>,
    index: usize,
    shared: &Shared<'_>,
) -> anyhow::Result<(Latency, u64)> {
    let mut latency = Latency::new()?;
    shared.start.wait();
    let count = produce_until_told(&mut *producer, index, shared, &mut latency);
    if count.is_err() {
        shared.failed.store(true, Ordering::Relaxed);
    }
    Ok((latency, count?))
}

fn produce_until_told(
    producer: &mut dyn Producer,
    index: usize,
    shared: &Shared<'_>,
    latency: &mut Latency,
) -> anyhow::Result<u64> {
    let depth = producer.depth().max(1);
    let mut under_way = VecDeque::with_capacity(depth);
    let mut logs = Vec::with_capacity(shared.batch_logs);
    let mut next = index as u64 * 7919;
    let mut done = 0;
    let end = Instant::now() + shared.length;
    while !shared.failed.load(Ordering::Relaxed) && take_one(&shared.left) {
        shared.payload.batch(next, shared.batch_logs, &mut logs);
        next += shared.batch_logs as u64;
        if under_way.len() == depth {
            wait(producer, &mut under_way, latency)?;
            done += 1;
        }
        let started = Instant::now();
        if started >= end {
            break;
        }
        under_way.push_back(started);
        producer.submit(&logs)?;
        if depth == 1 {
            wait(producer, &mut under_way, latency)?;
            done += 1;
        }
    }
    while !under_way.is_empty() {
        wait(producer, &mut under_way, latency)?;
        done += 1;
    }
    Ok(done)
}

fn wait(
    producer: &mut dyn Producer,
    under_way: &mut VecDeque<Instant>,
    latency: &mut Latency,
) -> anyhow::Result<()> {
    producer.wait()?;
    if let Some(started) = under_way.pop_front() {
        latency.record(started.elapsed());
    }
    Ok(())
}

fn take_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
        u64::MAX => Some(u64::MAX),
        left => left.checked_sub(1),
    })
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    /// Counts what it is given; two appends may be in flight.
    #[derive(Default)]
    struct Counting {
        logs: AtomicU64,
    }

    struct Handle<'a>(&'a Counting);

    impl Store for Counting {
        fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
            Ok(Box::new(Handle(self)))
        }
    }

    impl Producer for Handle<'_> {
        fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
            anyhow::ensure!(logs.iter().all(|log| log.len() == 100));
            self.0.logs.fetch_add(logs.len() as u64, Ordering::Relaxed);
            Ok(())
        }

        fn depth(&self) -> usize {
            2
        }
    }

    #[test]
    fn exactly_the_bytes_asked_for_are_appended() {
        let store = Counting::default();
        let setup = Setup {
            durable: false,
            batch_logs: 10,
            log_bytes: 100,
            producers: 3,
            tail_bytes: 0,
            disk_bytes: 0,
        };
        let load = Load { bytes: 50_000, seconds: 60.0, task_threads: None };
        let sample = run(&store, &setup, &load, 1).unwrap();
        assert_eq!(sample.payload_bytes, 50_000);
        assert_eq!(sample.ops, 50);
        assert_eq!(store.logs.load(Ordering::Relaxed), 500);
        assert!(sample.latency.is_some());
    }

    #[test]
    fn time_ends_a_run_too() {
        let store = Counting::default();
        let setup = Setup {
            durable: false,
            batch_logs: 1,
            log_bytes: 100,
            producers: 2,
            tail_bytes: 0,
            disk_bytes: 0,
        };
        let load = Load { bytes: u64::MAX, seconds: 0.01, task_threads: None };
        let sample = run(&store, &setup, &load, 1).unwrap();
        assert!(sample.ops > 0 && sample.ops == store.logs.load(Ordering::Relaxed));
    }

    #[test]
    fn tasks_append_like_threads_where_the_engine_can() {
        let dir = tempfile::tempdir().unwrap();
        let setup = Setup {
            durable: false,
            batch_logs: 1,
            log_bytes: 100,
            producers: 5,
            tail_bytes: 0,
            disk_bytes: 64 << 20,
        };
        let load = Load { bytes: 100_000, seconds: 60.0, task_threads: Some(2) };
        let waldo = crate::waldo::WaldoEngine::default().open(dir.path(), &setup).unwrap();
        assert_eq!(run(&*waldo, &setup, &load, 1).unwrap().ops, 1000);
        waldo.close().unwrap();
        assert!(run(&Counting::default(), &setup, &load, 1).is_err());
    }
}
