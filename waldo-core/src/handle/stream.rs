//! Streams: readers that follow the log.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::blocking::{block_on, block_on_timeout};
use super::read::{Cursor, Found, Reading};
use super::waldo::{Core, Waldo};
use crate::chunk::Chunk;
use crate::error::QueryError;
use crate::memory::ReadPool;
use crate::reader::Appetite;
use crate::tail::waiters::Place;

/// Reads the log from a place on, chunk by chunk, and then waits for what is appended.
///
/// Made by [`Waldo::stream`]. It keeps the store open as a handle does. It is used by one task
/// or thread at a time; there may be tens of thousands of them. One that waits holds no memory
/// of the store, and costs nothing until something is appended.
///
/// Also a [`futures_core::Stream`] that ends after [`QueryError::Closed`],
/// [`QueryError::Poisoned`] or [`QueryError::Forked`]; and, with
/// [`blocking_iter`](Self::blocking_iter), an iterator.
///
/// # Errors
///
/// All ways to get the next chunk answer the same:
///
/// - [`QueryError::Trimmed`] where logs behind the position were trimmed before they were read.
///   The next call goes on with the oldest log there is;
/// - [`QueryError::Truncated`] where logs that were read were truncated. The next call goes on
///   behind the truncation;
/// - [`QueryError::Closed`] where the store was closed, and all its logs were read;
/// - [`QueryError::Poisoned`] the same, where the store failed;
/// - [`QueryError::Corruption`], [`QueryError::Io`] where logs cannot be read. The position
///   stays; [`seek`](Self::seek) gets past it;
/// - [`QueryError::Forked`] in a forked child.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let waldo = waldo_core::Waldo::blocking_open(dir.path(), waldo_core::Options::default())?;
/// use waldo_core::{Cursor, QueryError};
///
/// let mut stream = waldo.stream(Cursor::Trim);
/// waldo.blocking_append_assigned(&["one", "two"])?;
/// waldo.blocking_close()?;
/// let mut payloads = Vec::new();
/// loop {
///     match stream.blocking_next() {
///         Ok(chunk) => payloads.extend(chunk.iter().map(|log| log.data().to_vec())),
///         Err(QueryError::Closed) => break,
///         Err(error) => return Err(error.into()),
///     }
/// }
/// assert_eq!(payloads, [b"one", b"two"]);
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing unless it is asked for chunks"]
pub struct Stream {
    waldo: Waldo,
    reading: Reading,
    /// Where it is parked when it waits.
    place: Option<Place>,
    /// As an iterator, it has ended.
    over: bool,
}

impl Waldo {
    /// A reader that starts at a cursor and follows the log.
    ///
    /// [`Cursor::Tip`] is resolved now: the stream returns what is appended from now on.
    pub fn stream(&self, cursor: Cursor) -> Stream {
        Stream::new(self.clone(), cursor, Appetite::Scan)
    }
}

impl Stream {
    pub(super) fn new(waldo: Waldo, cursor: Cursor, appetite: Appetite) -> Self {
        let pool = Arc::clone(&waldo.core_anywhere().read_pool);
        Self::with_pool(waldo, cursor, appetite, &pool)
    }

    /// One that does not share its memory with the others.
    pub(super) fn with_pool(
        waldo: Waldo,
        cursor: Cursor,
        appetite: Appetite,
        pool: &Arc<ReadPool>,
    ) -> Self {
        let reading = Reading::new(waldo.core_anywhere(), cursor, appetite, pool);
        Self { waldo, reading, place: None, over: false }
    }

    /// Waits for the next logs: as many as are there, at least one.
    ///
    /// Cancel safe: the position moves only with the chunk that is returned.
    ///
    /// # Errors
    ///
    /// See [`Stream`].
    pub async fn next(&mut self) -> Result<Chunk, QueryError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next logs: the form of [`next`](Self::next) for hand-written futures. Only
    /// the waker of the last call is woken.
    ///
    /// # Errors
    ///
    /// See [`Stream`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, QueryError>> {
        let core = self.waldo.core()?;
        let mut parked = false;
        loop {
            match std::task::ready!(self.reading.poll(core, context))? {
                Found::Chunk(chunk) => return Poll::Ready(Ok(chunk)),
                // The tip may have moved before the stream was parked: it looks once more.
                Found::Tip if parked => return Poll::Pending,
                Found::Tip => {
                    let place = self.place.get_or_insert_with(|| core.shared.waiters.enter());
                    core.shared.waiters.park(place, self.reading.seq_no(), context.waker());
                    parked = true;
                }
            }
        }
    }

    /// The next logs that can be had at once; `None` where there are none.
    ///
    /// Does not wait for anything. Logs that are neither in memory nor in the page cache are
    /// asked for, so that a later call returns them.
    ///
    /// # Errors
    ///
    /// See [`Stream`].
    pub fn try_next(&mut self) -> Result<Option<Chunk>, QueryError> {
        let core = self.waldo.core()?;
        match self.reading.poll(core, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Found::Chunk(chunk))) => Ok(Some(chunk)),
            Poll::Ready(Ok(Found::Tip)) | Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(error),
        }
    }

    /// The blocking form of [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// See [`Stream`].
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_next(&mut self) -> Result<Chunk, QueryError> {
        self.waldo.assert_may_block();
        block_on(self.next())
    }

    /// The blocking form of [`next`](Self::next), for a time.
    ///
    /// # Errors
    ///
    /// [`QueryError::Timeout`] where no log comes in time, and see [`Stream`].
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_next_timeout(&mut self, timeout: Duration) -> Result<Chunk, QueryError> {
        self.waldo.assert_may_block();
        block_on_timeout(self.next(), timeout).unwrap_or(Err(QueryError::Timeout))
    }

    /// The chunks as an iterator that blocks. It ends after an error behind which nothing
    /// comes: [`QueryError::Closed`], [`QueryError::Poisoned`] or [`QueryError::Forked`].
    pub fn blocking_iter(&mut self) -> BlockingIter<'_> {
        BlockingIter { stream: self }
    }

    /// `seq_no` of the last log that was returned; before the first, the place where the stream
    /// starts. `Cursor::After` of it goes on where this stream is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.reading.seq_no()
    }

    /// The same as [`position`](Self::position).
    #[must_use]
    pub fn prev_seq_no(&self) -> u64 {
        self.position()
    }

    /// Goes on behind the log `seq_no`, forwards or backwards.
    pub fn seek(&mut self, seq_no: u64) {
        self.reading.seek(seq_no);
    }

    /// Gives up waiting.
    fn leave(&mut self) {
        if let (Some(place), Ok(core)) = (self.place.take(), self.waldo.core()) {
            core.shared.waiters.leave(&place);
        }
    }

    /// Takes note of an end.
    fn note(&mut self, item: &Result<Chunk, QueryError>) {
        use QueryError::{Closed, Forked, Poisoned};

        if matches!(item, Err(Closed | Poisoned(_) | Forked)) {
            self.over = true;
        }
    }
}

impl futures_core::Stream for Stream {
    type Item = Result<Chunk, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = std::task::ready!(Self::poll_next(&mut self, context));
        self.note(&item);
        Poll::Ready(Some(item))
    }
}

impl futures_core::stream::FusedStream for Stream {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

/// Iterates the chunks of a [`Stream`] and blocks where there are none yet.
pub struct BlockingIter<'a> {
    stream: &'a mut Stream,
}

impl Iterator for BlockingIter<'_> {
    type Item = Result<Chunk, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stream.over {
            return None;
        }
        let item = self.stream.blocking_next();
        self.stream.note(&item);
        Some(item)
    }
}

impl std::iter::FusedIterator for BlockingIter<'_> {}

impl Drop for Stream {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl fmt::Debug for BlockingIter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingIter").field("stream", &self.stream).finish()
    }
}

/// What the store is made of, for a stream that reads on somebody's behalf.
impl Stream {
    /// Finds the next logs, or that there are none; waits for the disk only.
    pub(super) async fn next_or_tip(&mut self) -> Result<Option<Chunk>, QueryError> {
        std::future::poll_fn(|context| {
            let core: &Core = self.waldo.core()?;
            let found = std::task::ready!(self.reading.poll(core, context))?;
            Poll::Ready(Ok(match found {
                Found::Chunk(chunk) => Some(chunk),
                Found::Tip => None,
            }))
        })
        .await
    }
}
