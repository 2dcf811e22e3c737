//! One writer and many streams that follow it, each a task that is woken.
//!
//! Open loop: an append is due at a time, and latencies count from there, not from when the writer
//! came to it. So a writer that is held up shows.
//!
//! Without a rate the writer appends as fast as it can, but never more than a window ahead of the
//! slowest stream: then all keep up by definition, and the writer's rate is what is measured.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::pace::Pace;
use super::touch::{Touch, Touching};
use crate::engine::{Polled, Producer, Setup, Store, Tail, Waking};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::tasks::{self, Queue, Task};

/// Bytes of distinct payload that the batches are cut from.
const POOL_BYTES: usize = 16 << 20;

/// Batches whose due time is remembered; a power of two.
const REMEMBERED: usize = 1 << 16;

/// A stream that is more batches behind than this does not keep up.
const BEHIND_MAX: u64 = 2;

/// What writer and streams do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Number of streams; 0: the writer alone.
    pub streams: usize,
    /// Payload per second of the writer; 0: as fast as it can.
    pub bytes_per_second: u64,
    /// Without a rate: batches that the writer may be ahead of the slowest stream.
    pub window: u64,
    /// Length of the run.
    pub seconds: f64,
    /// Threads that poll the streams.
    pub threads: usize,
    /// What a stream does with a log.
    pub touch: Touch,
}

/// What writer and streams share.
struct Shared {
    /// All times are counted from here.
    base: Instant,
    batch_logs: u64,
    /// Due time and content of the latest batches, by number.
    batches: Vec<Batch>,
    /// Logs that were acknowledged.
    published: AtomicU64,
    pace: Pace,
    /// Wakes streams of engines that cannot.
    bell: Bell,
    /// Nothing more is to be read.
    ended: AtomicBool,
    touch: Touch,
}

#[derive(Debug, Default)]
struct Batch {
    due_ns: AtomicU64,
    /// Hash of everything up to and with it.
    hash: AtomicU64,
}

impl Shared {
    fn batch(&self, number: u64) -> &Batch {
        &self.batches[number as usize % REMEMBERED]
    }
}

/// What the streams of one thread saw.
struct Seen {
    latency: Latency,
    logs: u64,
    bytes: u64,
    /// Most logs that a stream had to read when it came to read.
    behind_max: u64,
    /// Streams that did not keep up at some time.
    behind: u64,
}

impl Seen {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { latency: Latency::new()?, logs: 0, bytes: 0, behind_max: 0, behind: 0 })
    }

    fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latency.merge(&other.latency)?;
        self.logs += other.logs;
        self.bytes += other.bytes;
        self.behind_max = self.behind_max.max(other.behind_max);
        self.behind += other.behind;
        Ok(())
    }
}

/// Runs the load on an open store.
///
/// # Errors
///
/// The first error of the writer or of a stream.
pub fn run(store: &dyn Store, setup: &Setup, load: &Load, seed: u64) -> anyhow::Result<Sample> {
    anyhow::ensure!(setup.batch_logs > 0 && setup.log_bytes > 0, "nothing to append");
    anyhow::ensure!(load.threads > 0, "no thread to poll streams");
    let shared = Shared {
        base: Instant::now(),
        batch_logs: setup.batch_logs as u64,
        batches: (0..REMEMBERED).map(|_| Batch::default()).collect(),
        published: AtomicU64::new(0),
        pace: Pace::new(load.streams),
        bell: Bell::default(),
        ended: AtomicBool::new(false),
        touch: load.touch,
    };
    let mut groups: Vec<Vec<(usize, Tail<'_>)>> = (0..load.threads).map(|_| Vec::new()).collect();
    for stream in 0..load.streams {
        let tail = store.tail()?;
        let tail = tail.ok_or_else(|| anyhow::anyhow!("the engine cannot follow its log"))?;
        groups[stream * load.threads / load.streams].push((stream, tail));
    }
    let mut producer = store.producer(0)?;
    let parked = Barrier::new(load.threads + 1);
    let queues: Vec<Arc<Queue>> = groups.iter().map(|_| Arc::default()).collect();
    let (written, seen, meter) = thread::scope(|scope| {
        let threads: Vec<_> = groups
            .into_iter()
            .zip(&queues)
            .map(|(tails, queue)| {
                let (shared, parked) = (&shared, &parked);
                scope.spawn(move || follow_all(tails, queue, shared, parked))
            })
            .collect();
        parked.wait();
        let meter = Meter::start();
        let written = write(&mut *producer, setup, load, seed, &shared);
        shared.ended.store(true, Ordering::Relaxed);
        queues.iter().for_each(|queue| queue.stop());
        let mut all = Seen::new()?;
        for thread in threads {
            all.merge(&thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??)?;
        }
        anyhow::Ok((written?, all, meter?))
    })?;
    let usage = meter.stop()?;
    let sample = Sample {
        payload_bytes: seen.bytes,
        written_bytes: written,
        ops: seen.logs,
        usage,
        latency: seen.latency.percentiles(),
        ..Sample::default()
    };
    if load.streams == 0 {
        return Ok(sample);
    }
    let behind_max = seen.behind_max as f64 / setup.batch_logs as f64;
    Ok(sample
        .with_number("most batches behind", behind_max)
        .with_number("streams behind", seen.behind as f64)
        .with_number("batches left", batches_left(&shared) as f64))
}

/// Batches that the slowest stream has not read at the end.
fn batches_left(shared: &Shared) -> u64 {
    let left = shared.published.load(Ordering::Acquire).saturating_sub(shared.pace.slowest());
    left.div_ceil(shared.batch_logs)
}

/// Appends until the time is up; answers how many bytes.
fn write(
    producer: &mut dyn Producer,
    setup: &Setup,
    load: &Load,
    seed: u64,
    shared: &Shared,
) -> anyhow::Result<u64> {
    let payload = Payload::new(seed, setup.log_bytes, setup.batch_logs, POOL_BYTES);
    let batch_bytes = (setup.batch_logs * setup.log_bytes) as u64;
    let depth = producer.depth().max(1);
    let mut writer = Writer { producer, shared, under_way: VecDeque::new(), acknowledged: 0 };
    let mut hash = Touching::new(Touch::Hash);
    let mut logs = Vec::with_capacity(setup.batch_logs);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(load.seconds);
    for number in 0u64.. {
        let due = if load.bytes_per_second == 0 {
            let ahead = (number + 1).saturating_sub(load.window.max(1));
            shared.pace.wait_for_slowest(ahead * shared.batch_logs, end);
            Instant::now()
        } else {
            let offset = number as f64 * batch_bytes as f64 / load.bytes_per_second as f64;
            start + Duration::from_secs_f64(offset)
        };
        if due.max(Instant::now()) >= end {
            break;
        }
        if due > Instant::now() {
            // Who has time sees what was acknowledged at once.
            writer.wait_until(0)?;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        payload.batch(number * shared.batch_logs, setup.batch_logs, &mut logs);
        let batch = shared.batch(number);
        batch.due_ns.store((due - shared.base).as_nanos() as u64, Ordering::Relaxed);
        if load.touch == Touch::Hash {
            hash.take(logs.iter().copied());
            batch.hash.store(hash.hash(), Ordering::Relaxed);
        }
        writer.wait_until(depth - 1)?;
        writer.producer.submit(&logs)?;
        writer.under_way.push_back(shared.batch_logs);
        if depth == 1 {
            writer.wait_until(0)?;
        }
    }
    writer.wait_until(0)?;
    Ok(writer.acknowledged / shared.batch_logs * batch_bytes)
}

struct Writer<'a> {
    producer: &'a mut dyn Producer,
    shared: &'a Shared,
    /// Logs of the appends under way.
    under_way: VecDeque<u64>,
    acknowledged: u64,
}

impl Writer<'_> {
    /// Waits until no more than so many appends are under way.
    fn wait_until(&mut self, count: usize) -> anyhow::Result<()> {
        while self.under_way.len() > count
            && let Some(logs) = self.under_way.pop_front()
        {
            self.producer.wait()?;
            self.acknowledged += logs;
            self.shared.published.store(self.acknowledged, Ordering::Release);
            self.shared.bell.ring();
        }
        Ok(())
    }
}

/// Polls streams on this thread until the queue is stopped.
fn follow_all(
    tails: Vec<(usize, Tail<'_>)>,
    queue: &Arc<Queue>,
    shared: &Shared,
    parked: &Barrier,
) -> anyhow::Result<Seen> {
    let seen = RefCell::new(Seen::new()?);
    let tasks: Vec<Task<'_>> = tails
        .into_iter()
        .map(|(stream, tail)| -> Task<'_> {
            let mut stream = Follower::new(stream, shared, &seen);
            match tail {
                Tail::Waking(mut tail) => {
                    Box::pin(poll_fn(move |context| stream.follow(&mut *tail, context)))
                }
                Tail::Polled(tail) => {
                    let mut tail = Rung { tail, shared };
                    Box::pin(poll_fn(move |context| stream.follow(&mut tail, context)))
                }
            }
        })
        .collect();
    let mut is_parked = false;
    let result = tasks::run(queue, tasks, || {
        is_parked = true;
        parked.wait();
    });
    if !is_parked {
        // Nobody must wait for a thread that failed.
        parked.wait();
    }
    result?;
    Ok(seen.into_inner())
}

/// One stream.
struct Follower<'a> {
    stream: usize,
    shared: &'a Shared,
    seen: &'a RefCell<Seen>,
    touching: Touching,
    was_behind: bool,
}

impl<'a> Follower<'a> {
    fn new(stream: usize, shared: &'a Shared, seen: &'a RefCell<Seen>) -> Self {
        let touching = Touching::new(shared.touch);
        Self { stream, shared, seen, touching, was_behind: false }
    }

    /// Reads all that is there, and then waits.
    fn follow(
        &mut self,
        tail: &mut (impl Waking + ?Sized),
        context: &mut Context<'_>,
    ) -> Poll<anyhow::Result<()>> {
        while !self.shared.ended.load(Ordering::Relaxed) {
            let (before, bytes) = (self.touching.logs(), self.touching.bytes());
            let behind = self.shared.published.load(Ordering::Acquire).saturating_sub(before);
            ready!(tail.poll(context, &mut self.touching))?;
            self.note(before, bytes, behind)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes note of what was just read.
    fn note(&mut self, before: u64, bytes: u64, behind: u64) -> anyhow::Result<()> {
        let (shared, read) = (self.shared, self.touching.logs());
        anyhow::ensure!(read > before, "a stream was handed no logs");
        let now_ns = shared.base.elapsed().as_nanos() as u64;
        let mut seen = self.seen.borrow_mut();
        for batch in before / shared.batch_logs..read / shared.batch_logs {
            let due_ns = shared.batch(batch).due_ns.load(Ordering::Relaxed);
            let latency = Duration::from_nanos(now_ns.saturating_sub(due_ns));
            seen.latency.record(latency);
        }
        seen.logs += read - before;
        seen.bytes += self.touching.bytes() - bytes;
        seen.behind_max = seen.behind_max.max(behind);
        if behind > BEHIND_MAX * shared.batch_logs && !self.was_behind {
            self.was_behind = true;
            seen.behind += 1;
        }
        if shared.touch == Touch::Hash && read.is_multiple_of(shared.batch_logs) {
            let wanted = shared.batch(read / shared.batch_logs - 1).hash.load(Ordering::Relaxed);
            anyhow::ensure!(
                self.touching.hash() == wanted,
                "a stream did not read what was appended, up to log {read}"
            );
        }
        shared.pace.advance(self.stream, read);
        Ok(())
    }
}

/// Wakes an engine's reader with the harness's bell.
struct Rung<'a> {
    tail: Box<dyn Polled + 'a>,
    shared: &'a Shared,
}

impl Waking for Rung<'_> {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        touching: &mut Touching,
    ) -> Poll<anyhow::Result<()>> {
        let published = || self.shared.published.load(Ordering::Acquire);
        let before = touching.logs();
        if published() <= before {
            self.shared.bell.listen(context.waker());
            // It may have rung in between.
            if published() <= before {
                return Poll::Pending;
            }
        }
        self.tail.poll(touching)?;
        if touching.logs() == before {
            return Poll::Ready(Err(anyhow::anyhow!(
                "a stream does not see logs that were acknowledged"
            )));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps all logs, and gives them out changed where it is told to.
    #[derive(Default)]
    struct InMemory {
        logs: Mutex<Vec<Vec<u8>>>,
        lies: bool,
    }

    struct Reader<'a>(&'a InMemory, usize);

    impl Store for InMemory {
        fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
            Ok(Box::new(self))
        }

        fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
            Ok(Some(Tail::Polled(Box::new(Reader(self, 0)))))
        }
    }

    impl Producer for &InMemory {
        fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
            self.logs.lock().unwrap().extend(logs.iter().map(|log| log.to_vec()));
            Ok(())
        }
    }

    impl Polled for Reader<'_> {
        fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()> {
            let mut logs = self.0.logs.lock().unwrap();
            if self.0.lies && logs.len() > 20 {
                logs[20][5] ^= 1;
            }
            touching.take(logs[self.1..].iter().map(Vec::as_slice));
            self.1 = logs.len();
            Ok(())
        }
    }

    fn load(bytes_per_second: u64) -> Load {
        Load {
            streams: 5,
            bytes_per_second,
            window: 2,
            seconds: 0.2,
            threads: 2,
            touch: Touch::Hash,
        }
    }

    const SETUP: Setup = Setup {
        durable: false,
        batch_logs: 4,
        log_bytes: 64,
        producers: 1,
        tail_bytes: 0,
        disk_bytes: 0,
    };

    #[test]
    fn every_stream_gets_every_log_and_its_content_is_checked() {
        let store = InMemory::default();
        let sample = run(&store, &SETUP, &load(25_600), 1).unwrap();
        let written = store.logs.lock().unwrap().len() as u64;
        assert_eq!(sample.written_bytes, written * 64);
        assert!(written >= 40 && sample.ops <= 5 * written);
        assert!(sample.ops >= 5 * (written - 8));
        let liar = InMemory { lies: true, ..InMemory::default() };
        let error = run(&liar, &SETUP, &load(25_600), 1).unwrap_err();
        assert!(error.to_string().contains("did not read what was appended"), "{error}");
    }

    #[test]
    fn a_writer_without_a_rate_waits_for_the_slowest_stream() {
        let store = InMemory::default();
        let sample = run(&store, &SETUP, &load(0), 1).unwrap();
        let behind = sample.extra.iter().find(|extra| extra.name == "most batches behind");
        let Some(crate::outcome::Value::Number(behind)) = behind.map(|extra| extra.value.clone())
        else {
            panic!("no column")
        };
        assert!(behind <= 2.0, "{behind}");
        assert!(sample.ops > 0);
    }

    #[test]
    fn the_writer_may_be_alone() {
        let sample = run(&InMemory::default(), &SETUP, &Load { streams: 0, ..load(0) }, 1).unwrap();
        assert!(sample.written_bytes > 0 && sample.ops == 0);
    }
}
