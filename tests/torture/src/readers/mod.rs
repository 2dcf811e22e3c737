//! Hostile readers: thousands of streams, of which most stop for ever with a chunk in their hands, at
//! every lap of the ring. Whoever appends does not notice them, memory stays what the options say,
//! those who go on miss nothing unless they are told, and what is held keeps its bytes.

mod crowd;
mod memory;
mod reader;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use fastrand::Rng;
use waldo_core::{Backend, Cursor, IoMode, Options as Store, Retention, Waldo};

use self::crowd::{Crowd, Message};
use self::reader::{Reader, Role};
use crate::payload::{self, Ident, Op};
use crate::run::{Limits, Row, Run};

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Streams of each round.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    /// What is appended in each round, in MiB; an eighth of it where each append is durable.
    #[arg(long, default_value_t = 128)]
    mebibytes: u64,
    /// Where the stores are made [default: the system's directory for such files]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// An append that takes longer than this was stopped by somebody.
const APPEND_TIME_MAX: Duration = Duration::from_secs(20);

const THREADS: usize = 2;

/// The largest tail: with so many buffers, chunks from [`PLACES`] places leave most of them free.
const TAIL_MAX: usize = 2 << 20;
const PLACES: u64 = 6;

/// Streams that are met so often keep up with the tail.
const PACE_MIN: u64 = 64 << 10;

/// Runs the class.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Row> {
    // Memory is that of the process: one round at a time.
    let run = Run::start(Limits { jobs: 1, ..options.limits });
    let top = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    thread::scope(|scope| {
        let _watch = run.watch(scope);
        let mut seed = run.seed(0);
        while run.next() {
            let again = format!(
                "waldo-torture readers --rounds 1 --seed {seed} --streams {} --mebibytes {}",
                options.streams, options.mebibytes
            );
            let under_way = run.begin(again);
            let dir = tempfile::Builder::new().prefix("waldo-readers-").tempdir_in(&top)?;
            let round = Round::new(&run, options, seed, dir.path());
            match round.play() {
                Ok(said) => println!("seed {seed}: {said}"),
                Err(violation) => run.violation(&under_way, &format!("{violation:#}: {round:?}")),
            }
            seed += 1;
        }
        Ok(run.row("readers"))
    })
}

/// How the store ends, and when the streams that hold chunks let go of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The store is closed while chunks are held.
    CloseFirst,
    /// The chunks go first.
    ReleaseFirst,
    /// The handle is dropped; the streams keep the store open.
    Drop,
}

struct Round<'a> {
    run: &'a Run,
    dir: &'a Path,
    seed: u64,
    streams: usize,
    store: Store,
    bytes: u64,
    /// Streams stop at a few places only, so that what they hold leaves memory for others, and
    /// nobody who goes on waits.
    shared: bool,
    /// How many of a hundred streams go back to hold old logs.
    old: u8,
    /// The appends wait for the streams whenever so many bytes are written.
    pace: u64,
    end: End,
}

impl std::fmt::Debug for Round<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, shared, old, pace, end, store, .. } = self;
        write!(f, "{end:?}, {bytes} bytes, shared {shared}, old {old}, pace {pace}, {store:?}")
    }
}

impl<'a> Round<'a> {
    fn new(run: &'a Run, options: &Options, seed: u64, dir: &'a Path) -> Self {
        let mut random = Rng::with_seed(seed);
        let file_o_dsync = random.u8(..4) == 0;
        // In turn, so that four rounds see each with each backend.
        let shared = (seed / 2).is_multiple_of(2);
        let tails = [0, 256 << 10, TAIL_MAX];
        let store = Store {
            ring_size: Some(random.u32(2..=4)),
            pool_size: random.u16(1..8),
            buf_capacity: 64 * 1024,
            file_capacity: Some(random.u64(2..=4) << 19),
            index_capacity: 256,
            tail_capacity: if shared { TAIL_MAX } else { random.choice(tails).unwrap_or(0) },
            read_capacity: random.choice([256 << 10, 1 << 20]).unwrap_or(1 << 20),
            file_o_dsync,
            backend: if seed.is_multiple_of(2) { Backend::Threads } else { Backend::IoUring },
            io: random.choice([IoMode::Auto, IoMode::Buffered]).unwrap_or_default(),
            retention: if random.u8(..4) == 0 { Retention::Hold } else { Retention::Overwrite },
            ..Store::default()
        };
        let bytes = (options.mebibytes << 20) / if file_o_dsync { 8 } else { 1 };
        let ends = [End::CloseFirst, End::ReleaseFirst, End::Drop];
        let end = random.choice(ends).unwrap_or(End::Drop);
        let paces = [PACE_MIN, 512 << 10, u64::MAX];
        let (old, pace) = if shared {
            (0, PACE_MIN)
        } else {
            (random.choice([0, 1, 40]).unwrap_or(0), random.choice(paces).unwrap_or(PACE_MIN))
        };
        Self { run, dir, seed, streams: options.streams, store, bytes, shared, old, pace, end }
    }

    fn play(&self) -> anyhow::Result<String> {
        let memory = memory::Limit::now(&self.store, self.streams);
        let waldo = Waldo::blocking_open(self.dir, self.store)?;
        let crowd = Crowd::default();
        let said = thread::scope(|scope| {
            let mut random = Rng::with_seed(!self.seed);
            let mut readers: Vec<_> =
                (0..self.streams).map(|_| self.reader(&waldo, &mut random)).collect();
            for part in 0..THREADS {
                let rest = readers.len() / (THREADS - part);
                let part = readers.split_off(readers.len() - rest);
                crowd.start(scope, self.run, &waldo, part);
            }
            let result = self.go_through(waldo, &crowd, &memory, &mut random);
            // Also where something is wrong: everybody ends.
            crowd.tell(|| Message::Leave);
            result
        })?;
        crowd.verdict()?;
        self.reopen(&crowd)?;
        Ok(format!("{said}; {}", crowd.tally()))
    }

    /// A stream, and what it is going to do.
    fn reader(&self, waldo: &Waldo, random: &mut Rng) -> Reader {
        // About as many logs as there will be, so that somebody stops all the time.
        let last = self.bytes / PAYLOAD_MEAN;
        let after = if self.shared {
            random.u64(1..=PLACES) * last / (PLACES + 1)
        } else {
            random.u64(..last.max(1))
        };
        let role = match random.u8(..100) {
            0..2 => Role::Goes,
            2..4 => Role::Lags,
            4..20 => Role::Leaves { after },
            at if at < 20 + self.old => Role::HoldsOld { after },
            _ => Role::HoldsNew { after },
        };
        let cursor = if random.bool() { Cursor::Trim } else { Cursor::Tip };
        Reader::new(waldo.stream(cursor), role, random.u64(..))
    }

    fn go_through(
        &self,
        waldo: Waldo,
        crowd: &Crowd,
        memory: &memory::Limit,
        random: &mut Rng,
    ) -> anyhow::Result<String> {
        let (tip, slowest) = self.append(&waldo, crowd, memory, random)?;
        let metadata = waldo.blocking_metadata().context("no metadata")?;
        let detached_max = 2 * (self.store.tail_capacity / self.store.buf_capacity).max(1);
        ensure!(metadata.buffers_detached <= detached_max, "too much is held: {metadata:?}");
        ensure!(metadata.read_memory_used <= self.store.read_capacity, "{metadata:?}");

        crowd.tip.store(tip, Ordering::Release);
        crowd.tell(|| Message::End);
        if self.shared {
            crowd.wait_for_readers().with_context(|| format!("{metadata:?}"))?;
        }
        let release = || crowd.tell(|| Message::Release);
        match self.end {
            End::CloseFirst => {
                waldo.blocking_close()?;
                release();
            }
            End::ReleaseFirst => {
                release();
                waldo.blocking_close()?;
            }
            End::Drop => {
                drop(waldo);
                release();
            }
        }
        crowd.wait_for_all()?;
        let used = memory.check()?;
        let laps = tip * PAYLOAD_MEAN / self.store.disk_size();
        Ok(format!(
            "{:?}, {tip} logs in about {laps} laps, slowest append {} ms, memory {} of {} KiB",
            self.store.backend,
            slowest.as_millis(),
            used >> 10,
            memory.allowed() >> 10
        ))
    }

    /// Appends all that there is, and answers the last log, and how long one append took at most.
    fn append(
        &self,
        waldo: &Waldo,
        crowd: &Crowd,
        memory: &memory::Limit,
        random: &mut Rng,
    ) -> anyhow::Result<(u64, Duration)> {
        let (mut tip, mut written, mut lap, mut slowest) = (0, 0, 0, Duration::ZERO);
        let mut met = 0;
        while written < self.bytes {
            let payloads: Vec<_> =
                (1..=random.u64(1..40)).map(|at| log(tip + at, random)).collect();
            let started = Instant::now();
            let appended = waldo.blocking_append_assigned(&payloads)?;
            slowest = slowest.max(started.elapsed());
            ensure!(slowest < APPEND_TIME_MAX, "an append took {slowest:?}");
            written += payloads.iter().map(|payload| payload.len() as u64).sum::<u64>();
            tip = appended.last_seq_no;
            if self.store.retention == Retention::Hold {
                // About half a page is kept.
                waldo.blocking_trim(tip.saturating_sub(200))?;
            }
            if written / self.pace > met {
                met = written / self.pace;
                crowd.meet();
            }
            if written / self.store.disk_size() > lap {
                lap = written / self.store.disk_size();
                memory.check()?;
                crowd.tell(|| Message::Lap);
            }
        }
        Ok((tip, slowest))
    }

    /// Nobody has it open any more, and it holds what was appended.
    fn reopen(&self, crowd: &Crowd) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let waldo = loop {
            match Waldo::blocking_open(self.dir, self.store) {
                // The last handle closes it from behind.
                Err(waldo_core::Error::Locked { .. }) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(1));
                }
                opened => break opened.context("after all streams are gone")?,
            }
        };
        let (tip, wanted) = (waldo.prev_seq_no(), crowd.tip.load(Ordering::Acquire));
        ensure!(tip == Some(wanted), "the last log is {tip:?}, and was {wanted}");
        waldo.blocking_close()?;
        Ok(())
    }
}

/// Bytes of a payload, on average.
const PAYLOAD_MEAN: u64 = 2_000;

fn log(seq_no: u64, random: &mut Rng) -> Vec<u8> {
    let ident = Ident { op: Op { session: 0, producer: 0, number: 0 }, index: 0 };
    payload::build(0, ident, seq_no, random.usize(..2 * PAYLOAD_MEAN as usize))
}
