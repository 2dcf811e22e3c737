//! Where the chunks of a stream come from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use waldo_core::{Chunk, Cursor, QueryError, Waldo};

use crate::follow::Followed;
use crate::store::Store;

/// A source of chunks.
pub enum Reader {
    Stream(Box<Tail>),
    Query(Box<Query>),
    Followed(Box<Followed>),
}

impl Reader {
    /// Reads what is there, and then waits for more.
    pub fn stream(store: Arc<Store>, waldo: &Waldo, cursor: Cursor) -> Self {
        Self::Stream(Box::new(Tail { stream: waldo.stream(cursor), _store: store }))
    }

    /// Reads what is there now.
    pub fn query(store: Arc<Store>, waldo: &Waldo, cursor: Cursor) -> Self {
        let stream = waldo.stream(cursor);
        let handle = waldo.clone();
        let first = Box::pin(async move { handle.query(cursor, false).await });
        let end = waldo.prev_seq_no().unwrap_or(0);
        let waldo = waldo.clone();
        Self::Query(Box::new(Query { first: Some(first), stream, end, waldo, _store: store }))
    }

    /// The next chunk; `None` at the end.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Chunk>, QueryError>> {
        match self {
            Self::Stream(tail) => match ready!(tail.stream.poll_next(context)) {
                Ok(chunk) => Poll::Ready(Ok(Some(chunk))),
                Err(QueryError::Closed) => Poll::Ready(Ok(None)),
                Err(error) => Poll::Ready(Err(error)),
            },
            Self::Query(query) => query.poll(context),
            Self::Followed(followed) => followed.poll(context),
        }
    }

    /// Number of the last log that was returned.
    pub fn position(&self) -> u64 {
        match self {
            Self::Stream(tail) => tail.stream.position(),
            Self::Query(query) => query.stream.position(),
            Self::Followed(followed) => followed.position(),
        }
    }

    /// Goes on behind a log.
    pub fn seek(&mut self, seq_no: u64) -> Result<(), QueryError> {
        match self {
            Self::Stream(tail) => tail.stream.seek(seq_no),
            Self::Query(query) => {
                query.first = None;
                query.stream.seek(seq_no);
            }
            Self::Followed(followed) => followed.seek(seq_no)?,
        }
        Ok(())
    }
}

// A store is the last in each of these: what reads is never the last that holds the core's
// handle, and so never waits for the end of its worker.

/// Follows the log.
pub struct Tail {
    stream: waldo_core::Stream,
    _store: Arc<Store>,
}

/// A query for one chunk.
type Lookup = dyn Future<Output = Result<Chunk, QueryError>> + Send;

/// Reads up to what was the newest log.
pub struct Query {
    /// The first chunk is looked up: who wants one log reads little more than that.
    first: Option<Pin<Box<Lookup>>>,
    stream: waldo_core::Stream,
    end: u64,
    waldo: Waldo,
    _store: Arc<Store>,
}

impl Query {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Chunk>, QueryError>> {
        if self.stream.position() >= self.end {
            return Poll::Ready(Ok(None));
        }
        let polled = match &mut self.first {
            Some(first) => {
                let found = ready!(first.as_mut().poll(context));
                self.first = None;
                self.note(&found);
                Poll::Ready(found)
            }
            None => self.stream.poll_next(context),
        };
        match polled {
            Poll::Ready(Ok(chunk)) if chunk.is_empty() => Poll::Ready(Ok(None)),
            Poll::Ready(Ok(chunk)) => Poll::Ready(Ok(Some(chunk))),
            // There is no more than was read, whatever the reason.
            Poll::Ready(Err(QueryError::Closed | QueryError::Poisoned(_))) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The log was truncated, so that there is less than there was.
            Poll::Pending if self.stream.position() >= self.waldo.prev_seq_no().unwrap_or(0) => {
                Poll::Ready(Ok(None))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Has the stream go on where the lookup ended.
    fn note(&mut self, found: &Result<Chunk, QueryError>) {
        match found {
            Ok(chunk) if !chunk.is_empty() => self.stream.seek(chunk.last_seq_no()),
            Err(QueryError::Trimmed { oldest }) => self.stream.seek(oldest.saturating_sub(1)),
            Err(QueryError::Truncated { tip }) => self.stream.seek(*tip),
            Ok(_) | Err(_) => {}
        }
    }
}
