//! One stream, and what it makes of the logs that it gets.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::task::{Context, Poll};

use anyhow::{bail, ensure};
use waldo_core::{Chunk, Cursor, QueryError, Stream, Waldo};

use crate::payload;

/// One chunk in as many is looked at log by log by streams that are there to stop.
const SAMPLE: u64 = 64;

/// What a stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads everything.
    Goes,
    /// Reads a chunk in every lap, and everything at the end.
    Lags,
    /// Goes back to the oldest log behind some log, begins to read it, and is gone.
    Leaves { after: u64 },
    /// Stops behind some log, with the chunk that it has there.
    HoldsNew { after: u64 },
    /// Goes back to the oldest log behind some log, and stops with the chunk that it gets there.
    HoldsOld { after: u64 },
}

/// What a stream does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It has something to do at once.
    Again,
    /// It waits.
    Waits,
    /// It stopped, with a chunk.
    Stops,
    /// It is done.
    Over,
}

pub struct Reader {
    stream: Stream,
    role: Role,
    /// The last log that it had, unless it has not begun.
    at: Option<u64>,
    /// It is back at the oldest log.
    returned: bool,
    held: Option<(Chunk, u64)>,
    sample: u64,
    /// How often it was told that logs are gone.
    pub trimmed: u64,
}

impl Reader {
    pub fn new(stream: Stream, role: Role, sample: u64) -> Self {
        Self { stream, role, at: None, returned: false, held: None, sample, trimmed: 0 }
    }

    pub fn lags(&self) -> bool {
        self.role == Role::Lags
    }

    /// Whether it is not there to read all.
    pub fn is_hostile(&self) -> bool {
        !matches!(self.role, Role::Goes | Role::Lags)
    }

    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Goes one chunk further. `tip` is the last log that there will be, once that is certain.
    ///
    /// # Errors
    ///
    /// What must not be.
    pub fn poll(
        &mut self,
        waldo: Option<&Waldo>,
        tip: Option<u64>,
        context: &mut Context<'_>,
    ) -> anyhow::Result<Next> {
        if self.held.is_some() {
            return Ok(Next::Stops);
        }
        match self.stream.poll_next(context) {
            Poll::Ready(Ok(chunk)) => self.take(chunk, waldo, tip, context),
            Poll::Ready(Err(QueryError::Trimmed { oldest })) => {
                self.note_trimmed(oldest, waldo)?;
                Ok(Next::Again)
            }
            Poll::Ready(Err(QueryError::Closed)) => {
                let at = self.stream.position();
                ensure!(
                    tip.is_some_and(|tip| at >= tip),
                    "closed at log {at}, the last is {tip:?}"
                );
                Ok(Next::Over)
            }
            Poll::Ready(Err(error)) => bail!("a stream fails behind {:?}: {error}", self.at),
            Poll::Pending => {
                let over = tip.is_some_and(|tip| self.stream.position() >= tip);
                Ok(if over { Next::Over } else { Next::Waits })
            }
        }
    }

    fn take(
        &mut self,
        chunk: Chunk,
        waldo: Option<&Waldo>,
        tip: Option<u64>,
        context: &mut Context<'_>,
    ) -> anyhow::Result<Next> {
        self.check(&chunk)?;
        let last = chunk.last_seq_no();
        self.at = Some(last);
        match self.role {
            Role::Goes => {}
            Role::Lags if tip.is_some() => {}
            Role::Lags => return Ok(Next::Waits),
            Role::Leaves { after } | Role::HoldsNew { after } | Role::HoldsOld { after }
                if last < after && !self.returned => {}
            Role::HoldsNew { .. } => return Ok(self.stop(chunk)),
            Role::HoldsOld { .. } if self.returned => return Ok(self.stop(chunk)),
            Role::HoldsOld { .. } => {
                let Some(waldo) = waldo else { return Ok(self.stop(chunk)) };
                self.stream = waldo.stream(Cursor::Trim);
                (self.at, self.returned) = (None, true);
            }
            Role::Leaves { .. } => {
                if let Some(waldo) = waldo {
                    self.stream = waldo.stream(Cursor::Trim);
                    let _ = self.stream.poll_next(context);
                }
                return Ok(Next::Over);
            }
        }
        Ok(Next::Again)
    }

    fn stop(&mut self, chunk: Chunk) -> Next {
        let hash = hash(&chunk);
        self.held = Some((chunk, hash));
        Next::Stops
    }

    /// What was held is what it was.
    ///
    /// # Errors
    ///
    /// Where it is not.
    pub fn check_held(&self) -> anyhow::Result<()> {
        let Some((chunk, wanted)) = &self.held else { return Ok(()) };
        ensure!(hash(chunk) == *wanted, "a chunk that was held is not what it was: {chunk:?}");
        check_logs(chunk)
    }

    fn check(&mut self, chunk: &Chunk) -> anyhow::Result<()> {
        let Some(first) = chunk.iter().next() else { bail!("a chunk without logs") };
        let wanted = self.at.unwrap_or(first.prev_seq_no());
        ensure!(first.prev_seq_no() == wanted, "log {} comes after log {wanted}", first.seq_no());
        self.sample += 1;
        if !self.is_hostile() || self.sample.is_multiple_of(SAMPLE) {
            check_logs(chunk)?;
        }
        Ok(())
    }

    /// Logs may be gone that it had not read, and only these.
    fn note_trimmed(&mut self, oldest: u64, waldo: Option<&Waldo>) -> anyhow::Result<()> {
        let at = self.at.unwrap_or(0);
        ensure!(oldest > at + 1, "told of log {oldest} as the oldest behind log {at}");
        if let Some(metadata) = waldo.and_then(Waldo::blocking_metadata) {
            let gone = metadata.after_seq_no;
            ensure!(oldest <= gone + 1, "told that all before {oldest} is gone, and {gone} is");
        }
        self.at = Some(oldest - 1);
        self.trimmed += 1;
        Ok(())
    }
}

/// All logs of a chunk were appended so.
fn check_logs(chunk: &Chunk) -> anyhow::Result<()> {
    let mut prev = None;
    for log in chunk {
        let follows = prev.is_none_or(|prev| prev == log.prev_seq_no());
        ensure!(
            follows && log.seq_no() == log.prev_seq_no() + 1,
            "log {} has no place",
            log.seq_no()
        );
        payload::check(0, log.seq_no(), log.data()).map_err(anyhow::Error::msg)?;
        prev = Some(log.seq_no());
    }
    Ok(())
}

fn hash(chunk: &Chunk) -> u64 {
    let mut hasher = DefaultHasher::new();
    for log in chunk {
        (log.seq_no(), log.prev_seq_no(), log.data()).hash(&mut hasher);
    }
    hasher.finish()
}
