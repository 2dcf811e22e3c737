//! Where writer and streams note how far they are, for whoever reports it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::latency::{Latency, Submissions};
use crate::lead::Lead;
use crate::message::{Progress, Task};

/// Notable steps of a run: as often, at least, its progress is reported.
const STEPS: u64 = 200;

/// Histograms of delivery.
const DELIVERY_SHARDS: usize = 8;

/// How far a run is.
pub struct Board {
    pub lead: Lead,
    submissions: Submissions,
    /// The newest log of the store before the run.
    first_prev_seq_no: u64,
    submitted: AtomicU64,
    acknowledged: AtomicU64,
    appended_bytes: AtomicU64,
    /// When the first log was submitted, and the last was acknowledged.
    append_started: AtomicU64,
    append_ended: AtomicU64,
    delivered_bytes: AtomicU64,
    delivered_at: AtomicU64,
    /// Streams that have the logs from before the run, and when the last of them had.
    streams_caught_up: AtomicU64,
    caught_up_bytes: AtomicU64,
    caught_up_at: AtomicU64,
    streams_done: AtomicU64,
    /// The last log that each stream has.
    positions: Box<[AtomicU64]>,
    commit: Latency,
    delivery: Latency,
    /// The bell is rung when this log is acknowledged, and every so many logs after.
    next_step: AtomicU64,
    step: u64,
    bell: Bell,
}

/// Wakes who reports.
#[derive(Default)]
struct Bell {
    state: Mutex<State>,
    rung: Condvar,
}

#[derive(Default)]
struct State {
    rung: bool,
    failure: Option<String>,
}

impl Board {
    pub fn new(task: &Task, first_prev_seq_no: u64) -> anyhow::Result<Self> {
        let step = (task.logs / STEPS).max(1);
        Ok(Self {
            lead: Lead::new(task.lead, task.bytes, task.streams),
            submissions: Submissions::new(Instant::now(), task.logs),
            first_prev_seq_no,
            submitted: AtomicU64::new(first_prev_seq_no),
            acknowledged: AtomicU64::new(first_prev_seq_no),
            appended_bytes: AtomicU64::new(0),
            append_started: AtomicU64::new(0),
            append_ended: AtomicU64::new(0),
            delivered_bytes: AtomicU64::new(0),
            delivered_at: AtomicU64::new(0),
            streams_caught_up: AtomicU64::new(0),
            caught_up_bytes: AtomicU64::new(0),
            caught_up_at: AtomicU64::new(0),
            streams_done: AtomicU64::new(0),
            positions: (0..task.streams).map(|_| AtomicU64::new(0)).collect(),
            commit: Latency::new(1)?,
            delivery: Latency::new(DELIVERY_SHARDS)?,
            next_step: AtomicU64::new(first_prev_seq_no + step),
            step,
            bell: Bell::default(),
        })
    }

    /// A log is being submitted; answers when.
    #[inline]
    pub fn submit(&self, seq_no: u64) -> u64 {
        let now = self.submissions.note(seq_no);
        if seq_no == self.first_prev_seq_no + 1 {
            self.append_started.store(now, Ordering::Relaxed);
        }
        self.submitted.store(seq_no, Ordering::Release);
        now
    }

    /// A log that was submitted at an instant is acknowledged. Logs are, one after the other.
    #[inline]
    pub fn acknowledge(&self, seq_no: u64, len: u64, submitted: u64) {
        let now = self.submissions.now();
        self.commit.record(0, now.saturating_sub(submitted));
        self.appended_bytes.fetch_add(len, Ordering::Relaxed);
        self.append_ended.store(now, Ordering::Relaxed);
        self.acknowledged.store(seq_no, Ordering::Release);
        if seq_no >= self.next_step.load(Ordering::Relaxed) {
            self.next_step.store(seq_no + self.step, Ordering::Relaxed);
            self.bell.ring(None);
        }
    }

    /// A stream has logs up to `seq_no`, which end at byte `to` of the input; before it had those
    /// up to byte `from`.
    #[inline]
    pub fn deliver(&self, stream: usize, seq_no: u64, from: u64, to: u64) {
        if let Some(latency) = self.submissions.since(seq_no) {
            self.delivery.record(stream, latency);
        }
        self.delivered_bytes.fetch_add(to - from, Ordering::Relaxed);
        let before = self.positions[stream].swap(seq_no, Ordering::Relaxed);
        if before < self.first_prev_seq_no && seq_no >= self.first_prev_seq_no {
            self.caught_up_at.fetch_max(self.submissions.now(), Ordering::Relaxed);
            self.caught_up_bytes.fetch_add(to, Ordering::Relaxed);
            self.streams_caught_up.fetch_add(1, Ordering::AcqRel);
        }
        self.lead.advance(from, to);
    }

    /// A stream has every log.
    pub fn stream_done(&self) {
        self.delivered_at.fetch_max(self.submissions.now(), Ordering::Relaxed);
        let done = self.streams_done.fetch_add(1, Ordering::AcqRel) + 1;
        if done == self.positions.len() as u64 {
            self.bell.ring(None);
        }
    }

    /// Something is wrong; the run is to end.
    pub fn fail(&self, reason: String) {
        self.bell.ring(Some(reason));
    }

    /// Waits until there is something to report, or for some time.
    ///
    /// # Errors
    ///
    /// What went wrong first.
    pub fn wait(&self, timeout: Duration) -> anyhow::Result<()> {
        let state = self.bell.state.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |state: &mut State| !state.rung && state.failure.is_none();
        let waited = self.bell.rung.wait_timeout_while(state, timeout, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.rung = false;
        state.failure.take().map_or(Ok(()), |failure| Err(anyhow::Error::msg(failure)))
    }

    pub fn progress(&self) -> Progress {
        let streams_done = self.streams_done.load(Ordering::Acquire);
        let is_done = streams_done == self.positions.len() as u64;
        let delivered_at = if is_done {
            self.delivered_at.load(Ordering::Relaxed)
        } else {
            self.submissions.now()
        };
        // In this order: what is under way is more than the difference, rather than less.
        let submitted = self.submitted.load(Ordering::Acquire);
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        let submitted = submitted.max(acknowledged);
        let append_nanos = self
            .append_ended
            .load(Ordering::Relaxed)
            .saturating_sub(self.append_started.load(Ordering::Relaxed));
        let positions = self.positions.iter().map(|seq_no| seq_no.load(Ordering::Relaxed));
        Progress {
            submitted,
            acknowledged,
            appended_logs: acknowledged - self.first_prev_seq_no,
            appended_bytes: self.appended_bytes.load(Ordering::Relaxed),
            append_time: Duration::from_nanos(append_nanos),
            delivered_bytes: self.delivered_bytes.load(Ordering::Relaxed),
            deliver_time: Duration::from_nanos(delivered_at),
            caught_up: self.caught_up(),
            caught_up_bytes: self.caught_up_bytes.load(Ordering::Relaxed),
            streams_done,
            slowest: positions.min().unwrap_or(0),
            commit: self.commit.quantiles(),
            delivery: self.delivery.quantiles(),
        }
    }

    fn caught_up(&self) -> Option<Duration> {
        let all = self.streams_caught_up.load(Ordering::Acquire) == self.positions.len() as u64;
        all.then(|| Duration::from_nanos(self.caught_up_at.load(Ordering::Relaxed)))
    }
}

impl Bell {
    fn ring(&self, failure: Option<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rung = true;
        // What comes later is a consequence.
        state.failure = state.failure.take().or(failure);
        drop(state);
        self.rung.notify_all();
    }
}
