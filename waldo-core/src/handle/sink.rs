//! Sinks: buffered writers.

use std::collections::VecDeque;
use std::fmt;

use super::append::{Acknowledgement, Logs, acknowledged};
use super::blocking::block_on;
use super::waldo::Waldo;
use crate::batch::check_log;
use crate::error::AppendError;
use crate::log::Log;

/// Bytes that a sink gathers before it appends them, unless it is told otherwise.
const CAPACITY: usize = 64 * 1024;

/// Gathers logs, and appends many at a time.
///
/// Made by [`Waldo::sink`]. A log that was pushed is appended when the buffer is full, or by
/// [`flush`](Self::flush), and acknowledged by the latter. While one buffer is being written the
/// next is filled; where that is full, too, a push waits. So a sink takes up to twice its
/// capacity of memory, besides what the store takes.
///
/// Nothing is lost silently: after an error all logs that were not acknowledged are still in the
/// sink, and the next [`push`](Self::push) or [`flush`](Self::flush) tries again;
/// [`into_unflushed`](Self::into_unflushed) gets them out. A sink that is dropped with such logs
/// loses them, with a line in the log.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let waldo = waldo_core::Waldo::blocking_open(dir.path(), waldo_core::Options::default())?;
/// use waldo_core::Log;
///
/// let mut sink = waldo.sink();
/// for seq_no in 1..=1000 {
///     sink.blocking_push(Log::new_borrowed(seq_no, seq_no - 1, b"payload"))?;
/// }
/// sink.blocking_flush()?;
/// assert_eq!(waldo.prev_seq_no(), Some(1000));
/// # Ok(())
/// # }
/// ```
pub struct Sink {
    waldo: Waldo,
    capacity: usize,
    /// Takes the logs that are pushed.
    filling: Buffer,
    /// To be appended, oldest first.
    full: VecDeque<Buffer>,
    /// Being appended. One at a time: where it is refused, what follows must not be accepted.
    under_way: Option<(Buffer, Acknowledgement)>,
    prev_seq_no: u64,
}

/// Logs in memory of the sink's own.
#[derive(Default)]
struct Buffer {
    payloads: Vec<u8>,
    entries: Vec<Entry>,
    /// Bytes that the logs take on disk.
    size: usize,
}

struct Entry {
    seq_no: u64,
    prev_seq_no: u64,
    /// Where its payload ends.
    end: usize,
}

impl Buffer {
    fn add(&mut self, log: &Log<'_>) {
        self.payloads.extend_from_slice(log.data());
        let (seq_no, prev_seq_no) = (log.seq_no(), log.prev_seq_no());
        self.entries.push(Entry { seq_no, prev_seq_no, end: self.payloads.len() });
        self.size += log.size();
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn logs(&self) -> Vec<Log<'_>> {
        let mut start = 0;
        let log = |entry: &Entry| {
            let payload = self.payloads.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            Log::new_borrowed(entry.seq_no, entry.prev_seq_no, payload)
        };
        self.entries.iter().map(log).collect()
    }
}

impl Waldo {
    /// A buffered writer that goes on behind the newest log.
    #[must_use]
    pub fn sink(&self) -> Sink {
        self.sink_with_capacity(CAPACITY)
    }

    /// A buffered writer that gathers up to `capacity` bytes, headers included, but no more than
    /// one frame holds.
    #[must_use]
    pub fn sink_with_capacity(&self, capacity: usize) -> Sink {
        Sink::with_capacity(self.clone(), capacity)
    }
}

impl Sink {
    /// The same as [`Waldo::sink_with_capacity`].
    #[must_use]
    pub fn with_capacity(waldo: Waldo, capacity: usize) -> Self {
        Self {
            capacity: capacity.min(waldo.batch_limits().size),
            filling: Buffer::default(),
            full: VecDeque::new(),
            under_way: None,
            prev_seq_no: waldo.prev_seq_no().unwrap_or(0),
            waldo,
        }
    }

    /// Adds a log, which must follow the one before.
    ///
    /// Waits where both buffers are full. Cancel safe: where the future is dropped, the log was
    /// not added.
    ///
    /// # Errors
    ///
    /// The log was not added after any of these:
    ///
    /// - [`AppendError::Order`], [`AppendError::ExceedsLimit`] where the log is wrong;
    /// - [`AppendError::Sequence`] where it does not follow the one that was pushed before, or,
    ///   before the first, the newest log of the store;
    /// - what the append of earlier logs ended with; see [`Waldo::append`].
    pub async fn push(&mut self, log: Log<'_>) -> Result<(), AppendError> {
        let limits = self.waldo.batch_limits();
        check_log(&log, &limits)?;
        if log.prev_seq_no() != self.prev_seq_no && self.prev_seq_no != 0 {
            return Err(AppendError::Sequence {
                seq_no: log.seq_no(),
                wanted: self.prev_seq_no,
                actual: log.prev_seq_no(),
            });
        }
        let fits = self.filling.size + log.size() <= self.capacity
            && (self.filling.entries.len() as u64) < limits.count;
        if !fits {
            self.set_aside();
        }
        self.send().await?;
        self.filling.add(&log);
        self.prev_seq_no = log.seq_no();
        Ok(())
    }

    /// Appends what was pushed, and waits until all of it is acknowledged: durable or not, as
    /// the store's default is.
    ///
    /// Where the future is dropped, the next flush goes on.
    ///
    /// # Errors
    ///
    /// See [`Waldo::append`]. What was not acknowledged is still in the sink.
    pub async fn flush(&mut self) -> Result<(), AppendError> {
        self.set_aside();
        self.send().await?;
        self.settle().await
    }

    /// The blocking form of [`push`](Self::push).
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_push(&mut self, log: Log<'_>) -> Result<(), AppendError> {
        self.waldo.assert_may_block();
        block_on(self.push(log))
    }

    /// The blocking form of [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_flush(&mut self) -> Result<(), AppendError> {
        self.waldo.assert_may_block();
        block_on(self.flush())
    }

    /// `seq_no` of the last log that was pushed, which the next must follow; 0 where any may
    /// come.
    #[must_use]
    pub fn prev_seq_no(&self) -> u64 {
        self.prev_seq_no
    }

    /// The logs that were pushed and not acknowledged, oldest first. The first of them may be
    /// appended nevertheless, where their append is under way.
    #[must_use]
    pub fn into_unflushed(mut self) -> Vec<Log<'static>> {
        let mut logs = Vec::new();
        self.set_aside();
        let under_way = self.under_way.take().map(|(buffer, _)| buffer);
        for buffer in under_way.into_iter().chain(self.full.drain(..)) {
            logs.extend(buffer.logs().into_iter().map(Log::into_owned));
        }
        logs
    }

    /// Has the next log go into a new buffer.
    fn set_aside(&mut self) {
        if !self.filling.is_empty() {
            self.full.push_back(std::mem::take(&mut self.filling));
        }
    }

    /// Sends off all buffers that are full; waits for all but the last.
    async fn send(&mut self) -> Result<(), AppendError> {
        while !self.full.is_empty() {
            self.settle().await?;
            let Some(buffer) = self.full.front() else { break };
            let acknowledgement = {
                let logs = buffer.logs();
                self.waldo.core()?.send_all(&Logs(&logs)).await?
            };
            // No waiting from here on: the buffer is either still there, or under way.
            self.under_way = self.full.pop_front().map(|buffer| (buffer, acknowledgement));
        }
        Ok(())
    }

    /// Waits for the append under way. Where it failed, its logs are to be appended again.
    async fn settle(&mut self) -> Result<(), AppendError> {
        let Some((_, acknowledgement)) = &mut self.under_way else { return Ok(()) };
        let result = acknowledged(acknowledgement).await;
        let sent = self.under_way.take();
        if result.is_err()
            && let Some((buffer, _)) = sent
        {
            self.full.push_front(buffer);
        }
        result.map(drop)
    }

    fn unflushed_count(&self) -> usize {
        let under_way = self.under_way.as_ref().map(|(buffer, _)| buffer);
        let buffers = under_way.into_iter().chain(&self.full).chain([&self.filling]);
        buffers.map(|buffer| buffer.entries.len()).sum()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let count = self.unflushed_count();
        if count > 0 {
            log::warn!("a sink was dropped with {count} logs that were not flushed");
        }
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink")
            .field("prev_seq_no", &self.prev_seq_no)
            .field("unflushed_count", &self.unflushed_count())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
