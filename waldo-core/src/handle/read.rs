//! Reading, without waiting for logs that are not there yet: from memory, from the page cache,
//! or through the worker.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::waldo::Core;
use crate::chunk::Chunk;
use crate::error::QueryError;
use crate::memory::read_pool::SMALL_READ;
use crate::memory::{ReadBuffer, ReadPool};
use crate::reader::{self, Appetite, Plan, Position, Step};
use crate::sync::{oneshot, spin_loop};
use crate::worker::cold::{ColdRead, ReadDone};

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// The oldest log there is. Never fails because logs were trimmed, also where that happens
    /// just now.
    Trim,
    /// Behind the newest log.
    Tip,
    /// The first log whose `seq_no` is greater than this.
    After(u64),
    /// The first log whose `seq_no` is this or greater. `From(0)` is the same as `After(0)`.
    From(u64),
}

/// What a reader found.
pub(super) enum Found {
    /// Logs.
    Chunk(Chunk),
    /// There is nothing newer.
    Tip,
}

/// A reader's place in the log, and the read that it waits for.
pub(super) struct Reading {
    position: Position,
    appetite: Appetite,
    /// Wants the oldest logs, and has had none yet: what is trimmed meanwhile is no error.
    oldest: bool,
    /// A read may be made smaller than would be efficient.
    may_shrink: bool,
    /// What logs from disk are read into.
    pool: Arc<ReadPool>,
    io: Io,
}

enum Io {
    Idle,
    /// Waits for memory to read into.
    Buffer(Plan, Pin<Box<dyn Future<Output = ReadBuffer> + Send>>),
    /// Waits for the worker.
    Cold(Plan, oneshot::Receiver<ReadDone>),
}

impl Reading {
    /// Starts at a cursor, and reads into memory of a pool.
    pub fn new(core: &Core, cursor: Cursor, appetite: Appetite, pool: &Arc<ReadPool>) -> Self {
        let progress = &core.published.progress;
        loop {
            let epoch = progress.epoch();
            let seq_no = match cursor {
                Cursor::Trim => progress.trimmed(),
                Cursor::Tip => progress.tip(),
                Cursor::After(seq_no) => seq_no,
                Cursor::From(seq_no) => seq_no.saturating_sub(1),
            };
            let position = Position::after(&core.published, seq_no);
            // A truncation in between would go unnoticed.
            if progress.epoch() == epoch {
                return Self {
                    position,
                    appetite,
                    oldest: cursor == Cursor::Trim,
                    may_shrink: true,
                    pool: Arc::clone(pool),
                    io: Io::Idle,
                };
            }
        }
    }

    /// The last log that was returned, or came before the first.
    pub fn seq_no(&self) -> u64 {
        self.position.seq_no()
    }

    /// Moves behind a log.
    pub fn seek(&mut self, seq_no: u64) {
        self.position.seek(seq_no);
        self.oldest = false;
        self.may_shrink = true;
        self.io = Io::Idle;
    }

    /// Finds the next logs. Waits for memory and for the disk, not for newer logs.
    ///
    /// The position moves only with the logs that are returned, and behind what cannot be read
    /// any more; so nothing is lost where the caller stops polling.
    pub fn poll(
        &mut self,
        core: &Core,
        context: &mut Context<'_>,
    ) -> Poll<Result<Found, QueryError>> {
        let progress = &core.published.progress;
        loop {
            // Looked at first: what is found afterwards is all that there will ever be.
            let end = end(core);
            let epoch = progress.epoch();
            let before = self.position.clone();
            let step = match std::mem::replace(&mut self.io, Io::Idle) {
                Io::Idle => self.next(core),
                io => ready!(self.poll_io(core, context, io)),
            };
            match step {
                // The log was truncated meanwhile, and may have grown again behind that: these
                // logs need not be the ones that follow.
                Ok(Step::Chunk(_)) if progress.epoch() != epoch => self.position = before,
                Ok(Step::Chunk(chunk)) => {
                    self.oldest = false;
                    self.may_shrink = true;
                    return Poll::Ready(Ok(Found::Chunk(chunk)));
                }
                Ok(Step::Wait) => {
                    return Poll::Ready(end.map_or(Ok(Found::Tip), Err));
                }
                // Where the worker is just truncating the log, it has not said so yet.
                Ok(Step::Again | Step::Read(_)) => spin_loop(),
                Err(QueryError::Trimmed { .. } | QueryError::Truncated { .. }) if self.oldest => {}
                // The store was opened again since it was closed here, and overwrote them.
                Err(QueryError::Corruption(_)) if progress.is_closed() => {
                    return Poll::Ready(Err(end.unwrap_or(QueryError::Closed)));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn next(&mut self, core: &Core) -> Result<Step, QueryError> {
        match reader::next(&core.published, &mut self.position, self.appetite) {
            Ok(Step::Read(plan)) => self.start(core, plan),
            Err(QueryError::Trimmed { oldest }) => {
                // The next call goes on from there.
                self.position.seek(oldest.saturating_sub(1));
                Err(QueryError::Trimmed { oldest })
            }
            other => other,
        }
    }

    /// Starts a read: at once, where the memory for it is there.
    fn start(&mut self, core: &Core, mut plan: Plan) -> Result<Step, QueryError> {
        let pool = &self.pool;
        if let Some(buffer) = pool.try_take(plan.len) {
            return self.read(core, plan, buffer);
        }
        // Others hold what they read. A part of the memory is kept for small reads; a reader
        // that got nothing from one does not try that twice.
        let may_shrink = plan.len > SMALL_READ && std::mem::replace(&mut self.may_shrink, false);
        if may_shrink && let Some(buffer) = pool.try_take(SMALL_READ) {
            plan.len = SMALL_READ;
            return self.read(core, plan, buffer);
        }
        let (pool, len) = (Arc::clone(pool), plan.len);
        self.io = Io::Buffer(plan, Box::pin(async move { pool.take(len).await }));
        Ok(Step::Again)
    }

    fn poll_io(
        &mut self,
        core: &Core,
        context: &mut Context<'_>,
        io: Io,
    ) -> Poll<Result<Step, QueryError>> {
        match io {
            Io::Idle => Poll::Ready(Ok(Step::Again)),
            Io::Buffer(plan, mut future) => match future.as_mut().poll(context) {
                Poll::Pending => {
                    self.io = Io::Buffer(plan, future);
                    Poll::Pending
                }
                Poll::Ready(buffer) => Poll::Ready(self.read(core, plan, buffer)),
            },
            Io::Cold(plan, mut receiver) => match Pin::new(&mut receiver).poll(context) {
                Poll::Pending => {
                    self.io = Io::Cold(plan, receiver);
                    Poll::Pending
                }
                Poll::Ready(Ok((buffer, result))) => {
                    Poll::Ready(self.read_done(core, &plan, buffer, result))
                }
                // The worker ended: the caller's own thread reads.
                Poll::Ready(Err(_)) => Poll::Ready(Ok(Step::Again)),
            },
        }
    }

    /// Reads from the page cache, or else has the worker read.
    fn read(
        &mut self,
        core: &Core,
        plan: Plan,
        mut buffer: ReadBuffer,
    ) -> Result<Step, QueryError> {
        let place = &plan.place;
        let failed = |error: io::Error| QueryError::Io {
            page: place.page,
            errno: error.raw_os_error().unwrap_or(libc::EIO),
        };
        let Some(file) = core.files.get(place.page) else {
            return Err(failed(io::Error::from_raw_os_error(libc::EBADF)));
        };
        let cached = file.read_at_now(place.offset, &mut buffer).map_err(failed)?;
        if cached != Some(buffer.len()) {
            if !core.shared.is_ended() {
                let (done, receiver) = oneshot::channel();
                let (page, offset) = (place.page, place.offset);
                core.shared.push_read(ColdRead { page, offset, buffer, done });
                self.io = Io::Cold(plan, receiver);
                return Ok(Step::Again);
            }
            file.read_exact_at(place.offset, &mut buffer).map_err(failed)?;
        }
        reader::absorb(&core.published, &mut self.position, &plan, buffer)
    }

    fn read_done(
        &mut self,
        core: &Core,
        plan: &Plan,
        mut buffer: ReadBuffer,
        result: Result<usize, i32>,
    ) -> Result<Step, QueryError> {
        let failed = |errno| QueryError::Io { page: plan.place.page, errno };
        let len = result.map_err(failed)?;
        let is_short = len < buffer.len();
        buffer.truncate(len);
        let step = reader::absorb(&core.published, &mut self.position, plan, buffer)?;
        if is_short && matches!(step, Step::Again) {
            // Files have their full size: the rest is not to be had.
            return Err(failed(libc::EIO));
        }
        Ok(step)
    }
}

/// Why no newer logs will come, where that is certain.
fn end(core: &Core) -> Option<QueryError> {
    let progress = &core.published.progress;
    match progress.poison() {
        Some(poison) => Some(QueryError::Poisoned(poison.clone())),
        None => progress.is_closed().then_some(QueryError::Closed),
    }
}
