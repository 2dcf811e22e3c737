//! Logs, serialised on the thread that appends them.
//!
//! A batch carries everything that can be done before the numbers are certain: checks, copies
//! and checksums. What is left for the worker is one comparison and one header for the whole
//! batch, where the producer guessed right which use of a page it would land in.

use crate::error::AppendError;
use crate::format::record::{self, Stamp, record_size};
use crate::format::{FRAME_HEADER_SIZE, Tag};
use crate::log::Log;
use crate::memory::BufferMut;

/// Limits of one frame, and so of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most bytes of logs, with their headers.
    pub size: usize,
    /// Most logs.
    pub count: u64,
    /// Bytes between two marks.
    pub mark_bytes: usize,
    /// Logs between two marks.
    pub mark_count: usize,
}

/// A place in a batch from which reading may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset of the log from the first log of the batch, in bytes.
    pub offset: u32,
    /// Number of logs of the batch before it.
    pub ordinal: u32,
    /// Its `prev_seq_no`; meaningless until numbers are assigned.
    pub prev_seq_no: u64,
}

/// How a batch is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// The caller's numbers: appended where `prev_seq_no` is the tip, and stamped for a tag.
    Conditional(Tag),
    /// The worker numbers the payloads from the tip on.
    Assigned,
}

/// Where the serialised logs are.
#[derive(Debug)]
pub enum Body {
    /// In memory of their own: the worker copies them into the frame that it gathers.
    Copied(Vec<u8>),
    /// In a pooled buffer, behind room for a frame's header: written from there.
    Pooled(BufferMut),
}

/// Serialised logs, ready for the worker.
#[derive(Debug)]
pub struct Batch {
    pub(crate) body: Body,
    pub(crate) numbering: Numbering,
    pub(crate) len: usize,
    pub(crate) count: u32,
    pub(crate) first_seq_no: u64,
    pub(crate) first_prev_seq_no: u64,
    pub(crate) last_seq_no: u64,
    pub(crate) marks: Vec<Mark>,
}

/// Fills a [`Batch`] log by log.
#[derive(Debug)]
pub struct BatchBuilder {
    batch: Batch,
    limits: BatchLimits,
    since_mark: (usize, usize),
}

impl BatchBuilder {
    /// Starts a batch in `body`.
    #[must_use]
    pub fn new(body: Body, numbering: Numbering, limits: BatchLimits) -> Self {
        let batch = Batch {
            body,
            numbering,
            len: 0,
            count: 0,
            first_seq_no: 0,
            first_prev_seq_no: 0,
            last_seq_no: 0,
            marks: Vec::new(),
        };
        Self { batch, limits, since_mark: (0, 0) }
    }

    /// Adds a log with the caller's numbers.
    ///
    /// Answers `false`, with the batch unchanged, where it does not fit any more.
    ///
    /// # Errors
    ///
    /// What [`check_log`] finds wrong with the log, or that it does not follow the one before.
    pub fn push(&mut self, log: &Log<'_>) -> Result<bool, AppendError> {
        check_log(log, &self.limits)?;
        if self.batch.count > 0 && log.prev_seq_no() != self.batch.last_seq_no {
            return Err(AppendError::Sequence {
                seq_no: log.seq_no(),
                wanted: self.batch.last_seq_no,
                actual: log.prev_seq_no(),
            });
        }
        Ok(self.encode(log.seq_no(), log.prev_seq_no(), log.data()))
    }

    /// Adds a payload that the worker will number.
    ///
    /// Answers `false`, with the batch unchanged, where it does not fit any more.
    ///
    /// # Errors
    ///
    /// [`AppendError::ExceedsLimit`] where it fits no batch at all.
    pub fn push_payload(&mut self, payload: &[u8]) -> Result<bool, AppendError> {
        let ordinal = u64::from(self.batch.count);
        check_size(ordinal, payload.len(), &self.limits)?;
        Ok(self.encode(ordinal + 1, ordinal, payload))
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.count == 0
    }

    /// Bytes of the logs so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len
    }

    /// `seq_no` of the last log added.
    #[must_use]
    pub fn last_seq_no(&self) -> u64 {
        self.batch.last_seq_no
    }

    /// The finished batch.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.batch
    }

    fn encode(&mut self, seq_no: u64, prev_seq_no: u64, payload: &[u8]) -> bool {
        let batch = &mut self.batch;
        let size = record_size(payload.len());
        if batch.len + size > self.limits.size || u64::from(batch.count) >= self.limits.count {
            return false;
        }
        let stamp = match batch.numbering {
            Numbering::Conditional(tag) => Stamp::Complete(tag),
            Numbering::Assigned => Stamp::Payload,
        };
        let out = match &mut batch.body {
            Body::Copied(bytes) => {
                bytes.resize(batch.len + size, 0);
                bytes.get_mut(batch.len..)
            }
            Body::Pooled(buffer) => buffer.unfrozen().get_mut(FRAME_HEADER_SIZE + batch.len..),
        };
        let Some(size) =
            out.and_then(|out| record::encode(seq_no, prev_seq_no, payload, stamp, out))
        else {
            return false;
        };
        self.mark(size, prev_seq_no);
        let batch = &mut self.batch;
        if batch.count == 0 {
            batch.first_seq_no = seq_no;
            batch.first_prev_seq_no = prev_seq_no;
        }
        batch.last_seq_no = seq_no;
        batch.len += size;
        batch.count += 1;
        true
    }

    /// Remembers where the log that comes next starts, if the last place is far enough away.
    fn mark(&mut self, size: usize, prev_seq_no: u64) {
        let (bytes, count) = &mut self.since_mark;
        let far = *bytes > 0
            && (*bytes + size > self.limits.mark_bytes || *count + 1 > self.limits.mark_count);
        if far {
            self.batch.marks.push(Mark {
                offset: self.batch.len as u32,
                ordinal: self.batch.count,
                prev_seq_no,
            });
            (*bytes, *count) = (0, 0);
        }
        *bytes += size;
        *count += 1;
    }
}

impl Batch {
    /// Number of logs.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the logs, with their headers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no logs in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Checks what can be checked of a log by itself.
///
/// # Errors
///
/// [`AppendError::Order`] or [`AppendError::ExceedsLimit`].
pub fn check_log(log: &Log<'_>, limits: &BatchLimits) -> Result<(), AppendError> {
    if log.seq_no() <= log.prev_seq_no() {
        return Err(AppendError::Order { seq_no: log.seq_no(), prev_seq_no: log.prev_seq_no() });
    }
    check_size(log.seq_no(), log.data().len(), limits)
}

/// Checks the size of a payload that the worker is to number; `ordinal` is its place in the batch.
///
/// # Errors
///
/// [`AppendError::ExceedsLimit`].
pub fn check_payload(ordinal: u64, len: usize, limits: &BatchLimits) -> Result<(), AppendError> {
    check_size(ordinal, len, limits)
}

fn check_size(seq_no: u64, len: usize, limits: &BatchLimits) -> Result<(), AppendError> {
    let size = record_size(len);
    if size > limits.size || u32::try_from(len).is_err() {
        return Err(AppendError::ExceedsLimit { seq_no, size, limit: limits.size });
    }
    Ok(())
}
