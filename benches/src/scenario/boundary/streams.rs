//! Many streams that follow a writer: tasks that are woken, in Rust; a callback, in C.
//!
//! The writer appends as fast as it can, but never more than a window ahead of the slowest stream.
//! What is measured is what all streams together are handed.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use super::capi::{self, CapiStore, Completion, Log};
use super::{Options, RUST};
use crate::engine::{Engine, Producer, Setup, Store, Tail};
use crate::measure::Meter;
use crate::options::{Common, WorkDir};
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::rounds::{self, Label, Role, Set};
use crate::tasks::{self, Queue, Task};
use crate::workload::pace::Pace;
use crate::workload::touch::{Touch, Touching};

/// Bytes of distinct payload that the batches are cut from.
const POOL_BYTES: usize = 16 << 20;

/// Logs that a callback asks a chunk for at a time: so few that they stay in the fastest cache.
const LOGS_AT_A_TIME: usize = 128;

/// Both ways.
pub fn cases(work: &str, setup: &Setup, options: &Options, common: &Common) -> Set {
    let case = |through_c| -> Box<dyn rounds::Case> {
        let (work, setup, options) = (work.to_owned(), *setup, options.clone());
        let (dir, seed) = (common.dir.clone(), common.seed);
        Box::new(Case { through_c, work, setup, options, dir, seed })
    };
    vec![case(false), case(true)]
}

struct Case {
    through_c: bool,
    work: String,
    setup: Setup,
    options: Options,
    dir: PathBuf,
    seed: u64,
}

impl rounds::Case for Case {
    fn label(&self) -> Label {
        let (role, who) =
            if self.through_c { (Role::Waldo, "C ABI") } else { (Role::Ceiling, RUST) };
        Label::new(role, &self.work, who)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let dir = WorkDir::new(&self.dir, "boundary")?;
        let engine = self.options.engine();
        if self.through_c {
            let store = CapiStore::open(&engine, dir.path(), &self.setup)?;
            let sample = self.through_c(&store);
            Box::new(store).close()?;
            sample
        } else {
            let store = engine.open(dir.path(), &self.setup)?;
            let sample = self.through_rust(&*store);
            store.close()?;
            sample
        }
    }
}

/// How far everybody is.
struct Board {
    pace: Pace,
    ended: AtomicBool,
    /// Streams that are still read from a callback.
    reading: AtomicUsize,
    /// What a stream failed with in a callback.
    failure: AtomicI32,
}

impl Board {
    fn new(streams: usize) -> Self {
        Self {
            pace: Pace::new(streams),
            ended: AtomicBool::new(false),
            reading: AtomicUsize::new(streams),
            failure: AtomicI32::new(capi::OK),
        }
    }
}

impl Case {
    /// Appends until the time is up; answers what the streams were handed meanwhile.
    fn write(&self, board: &Board, producer: &mut dyn Producer) -> anyhow::Result<Sample> {
        let (setup, batch_logs) = (&self.setup, self.setup.batch_logs as u64);
        let payload = Payload::new(self.seed, setup.log_bytes, setup.batch_logs, POOL_BYTES);
        let depth = producer.depth().max(1);
        let mut logs = Vec::with_capacity(setup.batch_logs);
        let mut under_way = 0;
        let meter = Meter::start()?;
        let end = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        for number in 0u64.. {
            let ahead = (number + 1).saturating_sub(self.options.window.max(1));
            board.pace.wait_for_slowest(ahead * batch_logs, end);
            if Instant::now() >= end {
                break;
            }
            payload.batch(number * batch_logs, setup.batch_logs, &mut logs);
            if under_way == depth {
                producer.wait()?;
                under_way -= 1;
            }
            producer.submit(&logs)?;
            under_way += 1;
        }
        let read = board.pace.sum();
        let usage = meter.stop()?;
        for _ in 0..under_way {
            producer.wait()?;
        }
        board.ended.store(true, Ordering::SeqCst);
        let payload_bytes = read * setup.log_bytes as u64;
        Ok(Sample { payload_bytes, ops: read, usage, ..Sample::default() })
    }

    fn through_rust(&self, store: &dyn Store) -> anyhow::Result<Sample> {
        let (streams, threads) = (self.options.streams, self.options.reader_threads.max(1));
        let board = Board::new(streams);
        let mut groups: Vec<Vec<(usize, Tail<'_>)>> = (0..threads).map(|_| Vec::new()).collect();
        for stream in 0..streams {
            let tail = store.tail()?;
            let tail = tail.ok_or_else(|| anyhow::anyhow!("Waldo cannot follow its log"))?;
            groups[stream % threads].push((stream, tail));
        }
        let mut producer = store.producer(0)?;
        let queues: Vec<Arc<Queue>> = groups.iter().map(|_| Arc::default()).collect();
        let parked = Barrier::new(threads + 1);
        thread::scope(|scope| {
            let threads: Vec<_> = groups
                .into_iter()
                .zip(&queues)
                .map(|(tails, queue)| {
                    let (board, parked) = (&board, &parked);
                    scope.spawn(move || {
                        let tasks = tails.into_iter().map(|(stream, tail)| {
                            Box::pin(follow(board, stream, tail)) as Task<'_>
                        });
                        tasks::run(queue, tasks.collect(), || {
                            parked.wait();
                        })
                    })
                })
                .collect();
            parked.wait();
            let sample = self.write(&board, &mut *producer);
            queues.iter().for_each(|queue| queue.stop());
            for thread in threads {
                thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
            }
            sample
        })
    }

    fn through_c(&self, store: &CapiStore) -> anyhow::Result<Sample> {
        let (streams, threads) = (self.options.streams, self.options.reader_threads.max(1));
        let board = Board::new(streams);
        let mut readers = Vec::new();
        for thread in 0..threads {
            readers.push(Reader::new(&board, store, (thread..streams).step_by(threads))?);
        }
        let mut producer = store.producer(0)?;
        readers.iter().try_for_each(|reader| reader.start())?;
        let sample = self.write(&board, &mut *producer);
        // The last append ends all streams.
        board.ended.store(true, Ordering::SeqCst);
        while board.reading.load(Ordering::Acquire) > 0 {
            producer.submit(&[b"end".as_slice(); 2])?;
            producer.wait()?;
            thread::sleep(Duration::from_millis(5));
        }
        drop(readers);
        let failure = board.failure.load(Ordering::Relaxed);
        anyhow::ensure!(failure == capi::OK, "a stream answers status {failure}");
        sample
    }
}

/// Reads one stream.
async fn follow(board: &Board, stream: usize, tail: Tail<'_>) -> anyhow::Result<()> {
    let Tail::Waking(mut tail) = tail else { anyhow::bail!("Waldo wakes its streams") };
    let mut touching = Touching::new(Touch::Header);
    loop {
        poll_fn(|context| tail.poll(context, &mut touching)).await?;
        board.pace.advance(stream, touching.logs());
    }
}

/// Streams that complete through one queue.
struct Reader<'a> {
    board: &'a Board,
    queue: *mut c_void,
    streams: Vec<Followed>,
    /// Used by the queue's own thread only.
    logs: UnsafeCell<Vec<Log>>,
}

struct Followed {
    stream: *mut c_void,
    number: usize,
    /// Used by the queue's own thread only.
    touching: UnsafeCell<Touching>,
}

impl<'a> Reader<'a> {
    fn new(
        board: &'a Board,
        store: &CapiStore,
        numbers: impl Iterator<Item = usize>,
    ) -> anyhow::Result<Box<Self>> {
        let mut reader = Box::new(Self {
            board,
            queue: std::ptr::null_mut(),
            streams: Vec::new(),
            logs: UnsafeCell::new(Vec::with_capacity(LOGS_AT_A_TIME)),
        });
        for number in numbers {
            let touching = UnsafeCell::new(Touching::new(Touch::Header));
            reader.streams.push(Followed { stream: store.stream()?, number, touching });
        }
        let depth = u32::try_from(reader.streams.len().max(1))?;
        let context = (&raw mut *reader).cast();
        reader.queue = CapiStore::callback_queue(depth, completed, context)?;
        Ok(reader)
    }

    fn start(&self) -> anyhow::Result<()> {
        for at in 0..self.streams.len() {
            let status = self.next(at);
            anyhow::ensure!(status == capi::OK, "status {status}");
        }
        Ok(())
    }

    fn next(&self, at: usize) -> i32 {
        let stream = self.streams[at].stream;
        // SAFETY: the stream and the queue are released in the drop.
        unsafe {
            capi::waldo_stream_next_async(stream, self.queue, at as u64, std::ptr::null_mut())
        }
    }

    /// Takes a chunk, and asks for the next.
    ///
    /// # Safety
    ///
    /// On the queue's own thread, with a completion of one of the streams.
    unsafe fn take(&self, done: &Completion) {
        let at = done.user_data as usize;
        let followed = &self.streams[at];
        // SAFETY: this thread is the only one that uses them.
        let (logs, touching) = unsafe { (&mut *self.logs.get(), &mut *followed.touching.get()) };
        let mut first = 0;
        loop {
            // SAFETY: there is room for as many, and as many are written as it answers; their
            // payloads are valid until the chunk is released.
            unsafe {
                let count =
                    capi::waldo_chunk_logs(done.chunk, first, logs.as_mut_ptr(), LOGS_AT_A_TIME);
                logs.set_len(count);
                touching.take_all(logs.iter(), |log| {
                    std::slice::from_raw_parts(log.data, log.len as usize)
                });
            }
            first += logs.len();
            if logs.len() < LOGS_AT_A_TIME {
                break;
            }
        }
        // SAFETY: it is this completion's.
        unsafe { capi::waldo_chunk_release(done.chunk) };
        self.board.pace.advance(followed.number, touching.logs());
        let mut status = done.status;
        if status == capi::OK && !self.board.ended.load(Ordering::Relaxed) {
            status = self.next(at);
            if status == capi::OK {
                return;
            }
        }
        if status != capi::OK {
            self.board.failure.store(status, Ordering::Relaxed);
        }
        self.board.reading.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        for followed in &self.streams {
            // SAFETY: it is this value's reference.
            unsafe { capi::waldo_stream_release(followed.stream) };
        }
        // SAFETY: as above; nothing is under way, so that the callback does not run any more.
        unsafe { capi::waldo_queue_release(self.queue) };
    }
}

/// The callback.
unsafe extern "C" fn completed(context: *mut c_void, done: *const Completion, count: usize) {
    // SAFETY: the context is a reader that is there as long as something is under way; there are
    // `count` completions.
    unsafe {
        let reader = &*context.cast::<Reader<'_>>();
        std::slice::from_raw_parts(done, count).iter().for_each(|done| reader.take(done));
    }
}
