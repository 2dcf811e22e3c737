//! Queries: one chunk from a cursor on.

use std::time::Duration;

use super::blocking::{block_on, block_on_timeout};
use super::read::Cursor;
use super::stream::Stream;
use super::waldo::Waldo;
use crate::chunk::QueryLogs;
use crate::error::QueryError;
use crate::reader::Appetite;

impl Waldo {
    /// Finds the logs from `cursor` on: at least one, where there is one.
    ///
    /// How many it returns depends on where they are: from the hot tail all that lie together
    /// in memory, from disk about as many as lie between two entries of the index. Where there
    /// are none yet, it waits for the next one if `wait` says so, and else returns an empty
    /// chunk. Whoever reads on and on has more of a [`stream`](Self::stream).
    ///
    /// Cancel safe: a query changes nothing.
    ///
    /// # Errors
    ///
    /// - [`QueryError::Trimmed`] where the log at the cursor is gone; not with
    ///   [`Cursor::Trim`];
    /// - [`QueryError::Truncated`] where the log is truncated before the cursor while this
    ///   waits;
    /// - [`QueryError::Closed`], [`QueryError::Poisoned`] where there is none, and none will
    ///   come;
    /// - [`QueryError::Corruption`], [`QueryError::Io`] where logs cannot be read;
    /// - [`QueryError::Forked`] in a forked child.
    pub async fn query(&self, cursor: Cursor, wait: bool) -> Result<QueryLogs, QueryError> {
        self.core()?;
        let mut stream = Stream::new(self.clone(), cursor, Appetite::Lookup);
        if wait { stream.next().await } else { Ok(stream.next_or_tip().await?.unwrap_or_default()) }
    }

    /// The blocking form of [`query`](Self::query).
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_query(&self, cursor: Cursor, wait: bool) -> Result<QueryLogs, QueryError> {
        self.assert_may_block();
        block_on(self.query(cursor, wait))
    }

    /// Finds the logs from `cursor` on, and waits for one no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`QueryError::Timeout`] where no log comes in time, and as [`query`](Self::query).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_query_timeout(
        &self,
        cursor: Cursor,
        timeout: Duration,
    ) -> Result<QueryLogs, QueryError> {
        self.assert_may_block();
        let found = block_on_timeout(self.query(cursor, true), timeout);
        found.unwrap_or(Err(QueryError::Timeout))
    }
}
