//! Readers, and reading everything.

use std::time::Duration;

use fastrand::Rng;
use waldo_core::{Chunk, Cursor, Error, QueryError, Waldo};

use super::Session;
use crate::model::{Found, Placed};
use crate::payload;

/// Marks the message of a log that cannot be read.
const UNREADABLE: &str = "cannot be read: ";

/// How long a reader waits for something newer.
const PATIENCE: Duration = Duration::from_millis(5);

/// Why logs cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// What is read is wrong.
    Wrong(String),
    /// The store answers with an error to whoever wants the logs after this one.
    Refused(u64, QueryError),
}

/// Reads all logs up to `tip` of a store to which nobody appends.
///
/// # Errors
///
/// The first that cannot be read.
pub fn read_through(waldo: &Waldo, store: u32, tip: u64) -> Result<Vec<(u64, Placed)>, Unreadable> {
    let mut logs = Vec::new();
    let mut stream = waldo.stream(Cursor::Trim);
    while stream.position() < tip {
        match stream.blocking_next() {
            Ok(chunk) => check_chunk(&chunk, store, &mut |placed| logs.push(placed))
                .map_err(Unreadable::Wrong)?,
            // A nearly full ring gives the oldest logs up ahead of time.
            Err(QueryError::Trimmed { .. }) => logs.clear(),
            Err(error) => return Err(Unreadable::Refused(stream.position(), error)),
        }
    }
    Ok(logs)
}

/// Reads all logs of a store that was just opened.
///
/// # Errors
///
/// What is wrong with a log, or with what the store says of itself.
pub fn scan(waldo: &Waldo, store: u32) -> Result<Found, String> {
    let report = waldo.recovery_report();
    let tip = report.prev_seq_no;
    if waldo.prev_seq_no().unwrap_or(0) != tip {
        return Err(format!("the tip is {:?}, but {report:?}", waldo.prev_seq_no()));
    }
    let logs = read_through(waldo, store, tip).map_err(|unreadable| match unreadable {
        Unreadable::Wrong(what) => what,
        Unreadable::Refused(position, error) => {
            format!("logs after {position} of {tip} {UNREADABLE}{error}")
        }
    })?;
    let mut found =
        Found { trimmed: report.after_seq_no, tip, page_count: report.page_count, logs };
    if let Some(metadata) = waldo.blocking_metadata() {
        found.trimmed = metadata.after_seq_no;
        found.logs.retain(|(seq_no, _)| *seq_no > found.trimmed);
        if metadata.log_count != found.logs.len() as u64 {
            return Err(format!("{} logs can be read, but {metadata:?}", found.logs.len()));
        }
    }
    if found.trimmed == report.after_seq_no && report.log_count != found.logs.len() as u64 {
        return Err(format!("{} logs can be read, but {report:?}", found.logs.len()));
    }
    Ok(found)
}

/// Checks the payloads of a chunk, and passes its logs on.
fn check_chunk(
    chunk: &Chunk,
    store: u32,
    each: &mut dyn FnMut((u64, Placed)),
) -> Result<(), String> {
    for log in chunk {
        log.validate_data().map_err(|error| error.to_string())?;
        let ident = payload::check(store, log.seq_no(), log.data())?;
        each((log.seq_no(), Placed { prev: log.prev_seq_no(), ident }));
    }
    Ok(())
}

impl Session<'_> {
    /// Reads, from here and there, until the session is over.
    pub(super) fn read(&self, mut random: Rng) {
        let mut held = None;
        while !self.is_over() && self.is_producing() {
            let cursor = match random.u8(..4) {
                0 => Cursor::Trim,
                1 => Cursor::Tip,
                _ => {
                    let tip = self.waldo.prev_seq_no().unwrap_or(0);
                    Cursor::After(tip.saturating_sub(random.u64(..2000)))
                }
            };
            let mut stream = self.waldo.stream(cursor);
            let mut before = None;
            for _ in 0..random.usize(1..60) {
                if self.is_over() {
                    break;
                }
                match stream.blocking_next_timeout(PATIENCE) {
                    Ok(chunk) => {
                        if let Err(what) = self.check_next(&chunk, &mut before) {
                            return self.violation(format!("a reader: {what}"));
                        }
                        held = (random.u8(..8) == 0).then_some(chunk);
                    }
                    Err(QueryError::Timeout) => {}
                    Err(QueryError::Trimmed { .. } | QueryError::Truncated { .. }) => before = None,
                    Err(QueryError::Closed | QueryError::Poisoned(_)) => return,
                    Err(QueryError::Io { .. }) if self.plan.faulty => break,
                    Err(QueryError::Corruption(damage)) if self.is_lost(damage.after_seq_no) => {
                        break;
                    }
                    Err(error) => {
                        return self.violation(format!("a reader: {}", Error::from(error)));
                    }
                }
            }
        }
        drop(held);
    }

    /// Checks a chunk that follows `before`.
    fn check_next(&self, chunk: &Chunk, before: &mut Option<u64>) -> Result<(), String> {
        let mut wrong = Ok(());
        check_chunk(chunk, self.plan.store, &mut |(seq_no, placed)| {
            if before.is_some_and(|before| before != placed.prev) && wrong.is_ok() {
                wrong = Err(format!("log {seq_no} follows {}, not {before:?}", placed.prev));
            }
            *before = Some(seq_no);
        })?;
        wrong
    }
}
