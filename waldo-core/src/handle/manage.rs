//! Making durable, trimming, truncating.

use super::blocking::block_on;
use super::read::Cursor;
use super::stream::Stream;
use super::submit::manage_error;
use super::waldo::{Core, Waldo};
use crate::engine::{Census, Operation};
use crate::error::{Error, QueryError};
use crate::memory::ReadPool;
use crate::memory::read_pool::LARGE_READ;
use crate::reader::Appetite;
use crate::sync::oneshot;
use crate::worker::shared::Lane;
use crate::worker::ticket::Reservation;

/// Where a number falls.
struct Place {
    /// The log with this number exists.
    exists: bool,
    /// How many logs of its page come before it, or with it; `None` where the engine knows.
    census: Option<Census>,
}

/// Making durable, trimming, truncating.
///
/// All of these survive a crash once they returned. Where a future is dropped, what was asked
/// for may still be done.
impl Waldo {
    /// Makes durable what was submitted before.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`].
    pub async fn sync(&self) -> Result<(), Error> {
        let core = self.core()?;
        let place = core.place(Lane::Ordered).await?;
        core.manage(place, |done| Operation::Sync { done }).await
    }

    /// Gives up the logs up to and with `up_to_seq_no`: readers do not get them any more, and
    /// their pages may be used anew. More than there is means all that is there now; less than
    /// was trimmed already changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`]; and where numbers have gaps,
    /// so that logs must be counted, [`Error::Query`] where they cannot be read.
    pub async fn trim(&self, up_to_seq_no: u64) -> Result<(), Error> {
        let core = self.core()?;
        let place = core.place(Lane::Urgent).await?;
        let _pass = core.gate.enter().await;
        let census = match self.locate(up_to_seq_no).await {
            Ok(found) => found.census,
            // It is trimmed already, or will be in a moment.
            Err(QueryError::Trimmed { .. }) => None,
            Err(error) => return Err(read_error(error)),
        };
        core.manage(place, |done| Operation::Trim { up_to_seq_no, census, done }).await
    }

    /// Removes the logs after `after_seq_no`, which must be a log that is there, or the trim
    /// point. The log goes on with a `prev_seq_no` of `after_seq_no`. Readers that were further
    /// on get [`QueryError::Truncated`].
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] where no log has this number: nothing was removed;
    /// - [`Error::Query`] where logs that had to be counted cannot be read;
    /// - [`Error::Append`] with [`AppendError::Full`](crate::AppendError::Full) or
    ///   [`AppendError::NoSpace`](crate::AppendError::NoSpace) where there is no room for the
    ///   note that this leaves in the log;
    /// - [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`].
    pub async fn truncate(&self, after_seq_no: u64) -> Result<(), Error> {
        let core = self.core()?;
        loop {
            let place = core.place(Lane::Ordered).await?;
            let _pass = core.gate.enter().await;
            let epoch = core.published.progress.epoch();
            let found = self.locate(after_seq_no).await.map_err(read_error)?;
            if !found.exists {
                return Err(Error::NotFound { seq_no: after_seq_no });
            }
            let census = found.census;
            let operation = |done| Operation::Truncate { after_seq_no, census, epoch, done };
            match core.manage(place, operation).await {
                // What was looked up is no longer true: another truncation was faster.
                Err(Error::NotFound { .. }) if core.published.progress.epoch() != epoch => {}
                result => return result,
            }
        }
    }

    /// Removes every log. The next may have any number.
    ///
    /// # Errors
    ///
    /// [`Error::Append`] where there is no room for the note that this leaves in the log,
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::Forked`].
    pub async fn clear(&self) -> Result<(), Error> {
        let core = self.core()?;
        let place = core.place(Lane::Ordered).await?;
        let _pass = core.gate.enter().await;
        core.manage(place, |done| Operation::Clear { done }).await
    }

    /// The blocking form of [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_sync(&self) -> Result<(), Error> {
        self.assert_may_block();
        block_on(self.sync())
    }

    /// The blocking form of [`trim`](Self::trim).
    ///
    /// # Errors
    ///
    /// As [`trim`](Self::trim).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_trim(&self, up_to_seq_no: u64) -> Result<(), Error> {
        self.assert_may_block();
        block_on(self.trim(up_to_seq_no))
    }

    /// The blocking form of [`truncate`](Self::truncate).
    ///
    /// # Errors
    ///
    /// As [`truncate`](Self::truncate).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_truncate(&self, after_seq_no: u64) -> Result<(), Error> {
        self.assert_may_block();
        block_on(self.truncate(after_seq_no))
    }

    /// The blocking form of [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// As [`clear`](Self::clear).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_clear(&self) -> Result<(), Error> {
        self.assert_may_block();
        block_on(self.clear())
    }

    /// Finds out where a number falls. Reads the logs of its page where its numbers have gaps.
    async fn locate(&self, seq_no: u64) -> Result<Place, QueryError> {
        let core = self.core()?;
        let progress = &core.published.progress;
        let is_edge = || seq_no == progress.trimmed() || seq_no == progress.tip();
        let look = core.published.catalog.with_log(seq_no, |page| {
            let is_dense = page.is_dense();
            (is_dense, page.number, page.first_prev_seq_no, page.trimmed_count)
        });
        let Some((is_dense, page_number, first_prev_seq_no, trimmed_count)) = look else {
            return Ok(Place { exists: is_edge(), census: None });
        };
        if is_dense {
            return Ok(Place { exists: true, census: None });
        }
        let trimmed = progress.trimmed();
        let (start, before) = if trimmed > first_prev_seq_no {
            (trimmed, trimmed_count)
        } else {
            (first_prev_seq_no, 0)
        };
        let (count, found) = self.count(start, seq_no).await?;
        let census = Census { page_number, count: before + count };
        Ok(Place { exists: found || is_edge(), census: Some(census) })
    }

    /// Counts the logs after `start` up to and with `end`, and tells whether the last of them is
    /// `end` itself.
    async fn count(&self, start: u64, end: u64) -> Result<(u64, bool), QueryError> {
        // In memory of its own, since readers may hold on to theirs for ever. The gate lets one
        // count at a time.
        let pool = ReadPool::new(LARGE_READ);
        let cursor = Cursor::After(start);
        let mut stream = Stream::with_pool(self.clone(), cursor, Appetite::Scan, &pool);
        let (mut count, mut last) = (0, start);
        while last < end
            && let Some(chunk) = stream.next_or_tip().await?
        {
            for log in chunk.iter().take_while(|log| log.seq_no() <= end) {
                count += 1;
                last = log.seq_no();
            }
            if chunk.last_seq_no() >= end {
                break;
            }
        }
        Ok((count, last == end))
    }
}

impl Core {
    /// Whether the number falls into a page whose numbers have no gaps, or none at all.
    pub(super) fn is_dense_at(&self, seq_no: u64) -> bool {
        self.published.catalog.with_log(seq_no, |page| page.is_dense()).unwrap_or(true)
    }

    /// Waits for a place in a lane. Never inside the gate: there, whoever waits for room keeps
    /// those out who could make it.
    async fn place(&self, lane: Lane) -> Result<Reservation, Error> {
        self.shared.reserve(lane, 0).await.map_err(manage_error)
    }

    /// Submits an operation, and waits for its end.
    async fn manage(
        &self,
        place: Reservation,
        operation: impl FnOnce(crate::engine::Completion<Result<(), Error>>) -> Operation,
    ) -> Result<(), Error> {
        let lane = place.lane();
        let (sender, receiver) = oneshot::channel();
        let done = place.completion(move |result| {
            let _ = sender.send(result);
        });
        self.shared.push(lane, operation(done));
        // The completion runs in any case.
        receiver.await.unwrap_or(Err(Error::Closed))
    }
}

/// Why logs could not be counted.
fn read_error(error: QueryError) -> Error {
    match error {
        QueryError::Poisoned(poison) => Error::Poisoned(poison),
        QueryError::Closed => Error::Closed,
        QueryError::Forked => Error::Forked,
        other => Error::Query(other),
    }
}
