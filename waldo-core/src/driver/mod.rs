//! How requests of the engine reach files.
//!
//! A driver takes [`Request`]s and gives [`Completion`]s, in any order. It knows pages by their
//! number and nothing of what is in them. Four exist:
//!
//! - [`uring`]: io_uring, the one for production;
//! - [`threads`]: a few threads with `pwritev2`, where io_uring is refused;
//! - [`memory`]: files in memory that fail on demand, for those who test programs with it;
//! - `simulation::disk`: a disk made of memory and mischief, for tests.

pub mod files;
pub mod memory;
mod memory_home;
pub mod threads;
pub mod uring;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::memory::{ReadBuffer, Slice};

/// One I/O operation for a driver.
#[derive(Debug)]
pub struct Request {
    /// Chosen by the caller; comes back in the completion.
    pub id: u64,
    /// What to do.
    pub io: Io,
}

/// What a request asks for. Offsets and lengths are in bytes.
#[derive(Debug)]
pub enum Io {
    /// Writes `parts` back to back at `offset` of a page.
    Write {
        /// Number of the page file.
        page: u32,
        /// Where the first part goes.
        offset: u64,
        /// What is written.
        parts: Parts,
        /// Completes only when the bytes are durable.
        durable: bool,
    },
    /// Writes `len` zeros at `offset` of a page.
    Zero {
        /// Number of the page file.
        page: u32,
        /// Where the zeros start.
        offset: u64,
        /// How many; at most [`ZERO_SIZE_MAX`].
        len: usize,
    },
    /// Makes all that was written to a page durable.
    Sync {
        /// Number of the page file.
        page: u32,
    },
    /// Fills `buffer` from `offset` of a page.
    Read {
        /// Number of the page file.
        page: u32,
        /// Where to read.
        offset: u64,
        /// What is filled; it comes back in the completion, also on failure.
        buffer: ReadBuffer,
    },
}

/// Most zeros that one request writes.
pub const ZERO_SIZE_MAX: usize = 2 * 1024 * 1024;

/// The bytes of one write: one run, or two where an open frame goes before the first data.
#[derive(Debug)]
pub struct Parts {
    /// The first run.
    pub first: Slice,
    /// The second, written right behind it.
    pub second: Option<Slice>,
}

impl Parts {
    /// Bytes of both runs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.second.as_ref().map_or(0, |second| second.len())
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The end of a request. Each request ends exactly once.
#[derive(Debug)]
pub struct Completion {
    /// The request's id.
    pub id: u64,
    /// Bytes read or written (0 for a sync), or the system's positive error number.
    pub result: Result<usize, i32>,
    /// The buffer of a read.
    pub buffer: Option<ReadBuffer>,
}

/// How long [`Driver::wait`] may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    Poll,
    /// Until there is a completion or a notification.
    Forever,
    /// The same, but no longer than this.
    For(Duration),
}

/// Carries out I/O requests. Used by one thread, except for its [`Notifier`].
pub trait Driver {
    /// Takes a request. It may be started at once or at the next [`wait`](Self::wait).
    ///
    /// A failure comes as a completion, never here. The caller keeps no more requests under way
    /// than the driver was made for; a driver with a full queue keeps the request back until it
    /// has room.
    fn submit(&mut self, request: Request);

    /// Starts what was submitted, and adds finished requests to `completions`.
    ///
    /// Waits as `wait` says unless something is there already. Returns early, without
    /// completions, after a notification.
    ///
    /// # Errors
    ///
    /// Where the driver itself is broken, so that no completion can be expected any more.
    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// What other threads end a wait with.
    fn notifier(&self) -> Arc<dyn Notifier>;

    /// The store is open: what is submitted from now on is for its users.
    ///
    /// Matters to a driver only that fails on demand.
    fn handed_out(&mut self) {}
}

/// Ends a driver's wait from any thread.
pub trait Notifier: Send + Sync {
    /// Makes the current wait, or else the next, return early.
    fn notify(&self);
}
