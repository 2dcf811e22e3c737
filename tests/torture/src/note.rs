//! What a writer reports: each operation before it is submitted, and its end.

use std::io::Write;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::payload::Op;

/// One report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The store is about to be opened.
    Opening,
    /// It is open, and says what it holds.
    Opened {
        /// `seq_no` of the newest log, or 0.
        tip: u64,
        /// Everything up to this was gone.
        trimmed: u64,
    },
    /// Logs are about to be appended.
    Appending {
        /// Which append.
        op: Op,
        /// How many logs.
        count: u16,
        /// It may be appended in several parts, of which the first may stay alone.
        parts: bool,
        /// `prev_seq_no` of the first log, where the caller chose it.
        prev: Option<u64>,
    },
    /// They are appended.
    Appended {
        /// Which append.
        op: Op,
        /// What came before them.
        prev: u64,
        /// Their numbers.
        numbers: Numbers,
        /// A power loss does not take them any more.
        durable: bool,
    },
    /// None of them is appended, for certain.
    Refused {
        /// Which append.
        op: Op,
    },
    /// A sync is about to be asked for.
    Syncing {
        /// The producer that asks.
        by: u16,
    },
    /// It is done.
    Synced {
        /// The producer that asked.
        by: u16,
    },
    /// `durable_seq_no` answered this.
    Durable {
        /// The number.
        seq_no: u64,
    },
    /// A trim is about to be asked for.
    Trimming {
        /// Up to where.
        up_to: u64,
    },
    /// It is done.
    Trimmed {
        /// Up to where.
        up_to: u64,
        /// It is on disk, and not in memory only.
        kept: bool,
    },
    /// A truncation is about to be asked for.
    Truncating {
        /// After which log.
        after: u64,
    },
    /// It is done.
    Truncated,
    /// All logs are about to be removed.
    Clearing,
    /// They are.
    Cleared,
    /// The truncation or clear was refused.
    Kept,
    /// The store is about to be closed.
    Closing,
    /// It is closed.
    Closed,
    /// An append was refused for lack of room on the disk.
    NoSpace,
    /// The store failed; nothing more will be acknowledged.
    Poisoned {
        /// The system's error number.
        errno: Option<i32>,
    },
    /// The writer itself saw something that must not be.
    Violation(String),
}

/// Numbers of the logs of one append: `first`, `first + step`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The first.
    pub first: u64,
    /// From one to the next.
    pub step: u64,
    /// How many.
    pub count: u16,
}

impl Numbers {
    /// The number of the log `index`.
    pub fn at(&self, index: u16) -> u64 {
        self.first + self.step * u64::from(index)
    }

    /// The last.
    pub fn last(&self) -> u64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// Takes reports, from any thread, in the order in which things happened.
pub trait Witness: Sync {
    /// Takes a report. What happens after this call is reported after it.
    fn note(&self, note: Note);
}

/// Keeps reports in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<Note>>);

impl Memory {
    /// The reports since the last call.
    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Witness for Memory {
    fn note(&self, note: Note) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(note);
    }
}

/// Writes reports to standard output, one a line.
///
/// A line is shorter than what a pipe takes as a whole (4,096 bytes), so that a kill leaves no
/// part of one.
#[derive(Debug)]
pub struct Pipe;

impl Witness for Pipe {
    fn note(&self, note: Note) {
        let line = serde_json::to_string(&note).map(|line| line + "\n");
        let sent =
            line.is_ok_and(|line| std::io::stdout().lock().write_all(line.as_bytes()).is_ok());
        if !sent {
            // Nobody is there to be told of anything.
            std::process::exit(3);
        }
    }
}
