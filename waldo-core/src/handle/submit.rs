//! The primitive under every call: an operation goes to the worker, and a completion takes its
//! result.

use super::append::BatchSize;
use super::waldo::{Core, Waldo};
use crate::batch::{Batch, BatchBuilder, BatchLimits, Body, Numbering};
use crate::engine::{Appended, Census, Operation};
use crate::error::{AppendError, Error};
use crate::memory::pool::Purpose;
use crate::worker::shared::Lane;
use crate::worker::ticket::Reservation;

/// The calls with completions.
///
/// A completion runs exactly once where the call returned `Ok`, and never where it did not: on
/// the worker's thread, outside every lock, not inside the call that submitted. It must not
/// block. It may submit further operations, and drop handles. Where the store ends before the
/// operation was done, it gets `Closed` or `Poisoned`. A panic of it is caught and logged.
impl Waldo {
    /// The limits of one batch.
    #[must_use]
    pub fn batch_limits(&self) -> BatchLimits {
        self.core_anywhere().limits
    }

    /// A builder for a batch of logs with the caller's numbers, or of payloads that the worker
    /// numbers (`assigned`), of `size` bytes in all: the sum of
    /// [`Log::size`](crate::Log::size).
    ///
    /// Does not wait. A large batch is built in a buffer of the pool, which is back there when
    /// the batch was written, or dropped.
    ///
    /// # Errors
    ///
    /// - [`AppendError::WouldBlock`] where no buffer is free;
    /// - [`AppendError::BatchTooLarge`] where `size` is over the limit of a batch.
    pub fn try_batch(&self, size: usize, assigned: bool) -> Result<BatchBuilder, AppendError> {
        let core = self.core()?;
        core.check_size(size, 0)?;
        if core.is_small(size) {
            return Ok(core.small_batch(size, assigned));
        }
        let buffer = core.published.pool.try_take(Purpose::Producer);
        let buffer = buffer.ok_or(AppendError::WouldBlock)?;
        Ok(core.batch(Body::Pooled(buffer), assigned))
    }

    /// Like [`try_batch`](Self::try_batch), but waits for a buffer.
    ///
    /// # Errors
    ///
    /// [`AppendError::BatchTooLarge`] where `size` is over the limit of a batch.
    pub async fn batch(&self, size: usize, assigned: bool) -> Result<BatchBuilder, AppendError> {
        let core = self.core()?;
        core.check_size(size, 0)?;
        if core.is_small(size) {
            return Ok(core.small_batch(size, assigned));
        }
        let buffer = core.published.pool.take().await;
        Ok(core.batch(Body::Pooled(buffer), assigned))
    }

    /// The blocking form of [`batch`](Self::batch).
    ///
    /// # Errors
    ///
    /// As [`batch`](Self::batch).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_batch(&self, size: usize, assigned: bool) -> Result<BatchBuilder, AppendError> {
        self.assert_may_block();
        super::blocking::block_on(self.batch(size, assigned))
    }

    /// Appends a batch: all of it or nothing.
    ///
    /// `durable` has it acknowledged when it is durable, whatever the store's default is.
    ///
    /// # Errors
    ///
    /// The completion does not run, and nothing is appended, after:
    ///
    /// - [`AppendError::WouldBlock`] where the queue is full;
    /// - [`AppendError::BatchTooLarge`] where the batch was built for another store;
    /// - [`AppendError::Closed`], [`AppendError::Poisoned`], [`AppendError::Forked`].
    pub fn submit_append(
        &self,
        batch: Batch,
        durable: bool,
        completion: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let core = self.core()?;
        core.check_batch(&batch)?;
        if batch.is_empty() {
            core.push_nothing(core.try_place(Lane::Urgent, 0)?, completion);
            return Ok(());
        }
        let place = core.try_place(Lane::Ordered, small_bytes(&batch))?;
        core.push_append(place, batch, durable, completion);
        Ok(())
    }

    /// Like [`submit_append`](Self::submit_append), but waits for a place in the queue: the batch
    /// is under way once this returned `Ok`. Where the future is dropped before, nothing is
    /// appended, and the completion does not run.
    ///
    /// # Errors
    ///
    /// As [`submit_append`](Self::submit_append), but never [`AppendError::WouldBlock`].
    pub async fn send_append(
        &self,
        batch: Batch,
        durable: bool,
        completion: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) -> Result<(), AppendError> {
        let core = self.core()?;
        core.check_batch(&batch)?;
        if batch.is_empty() {
            core.push_nothing(core.shared.reserve(Lane::Urgent, 0).await?, completion);
            return Ok(());
        }
        let place = core.shared.reserve(Lane::Ordered, small_bytes(&batch)).await?;
        core.push_append(place, batch, durable, completion);
        Ok(())
    }

    /// Makes durable what was submitted before.
    ///
    /// # Errors
    ///
    /// The completion does not run after [`Error::Append`] with [`AppendError::WouldBlock`],
    /// [`Error::Closed`], [`Error::Poisoned`] or [`Error::Forked`].
    pub fn submit_sync(
        &self,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let core = self.core()?;
        let place = core.try_place(Lane::Ordered, 0).map_err(manage_error)?;
        let lane = place.lane();
        core.shared.push(lane, Operation::Sync { done: place.completion(completion) });
        Ok(())
    }

    /// Gives up the logs up to and with a number. See [`trim`](Self::trim).
    ///
    /// # Errors
    ///
    /// As [`submit_sync`](Self::submit_sync), and [`Error::Io`] where the system refuses a
    /// thread: where numbers have gaps, logs are counted first, on a thread of their own.
    pub fn submit_trim(
        &self,
        up_to_seq_no: u64,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let core = self.core()?;
        if !core.is_dense_at(up_to_seq_no) {
            let waldo = self.clone();
            return self.elsewhere(completion, move || waldo.blocking_trim(up_to_seq_no));
        }
        let place = core.try_place(Lane::Urgent, 0).map_err(manage_error)?;
        core.push_trim(place, up_to_seq_no, None, completion);
        Ok(())
    }

    /// Removes the logs after a number. See [`truncate`](Self::truncate).
    ///
    /// # Errors
    ///
    /// As [`submit_trim`](Self::submit_trim): it always takes a thread.
    pub fn submit_truncate(
        &self,
        after_seq_no: u64,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.core()?;
        let waldo = self.clone();
        self.elsewhere(completion, move || waldo.blocking_truncate(after_seq_no))
    }

    /// Removes every log. See [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// As [`submit_trim`](Self::submit_trim): it always takes a thread.
    pub fn submit_clear(
        &self,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.core()?;
        let waldo = self.clone();
        self.elsewhere(completion, move || waldo.blocking_clear())
    }

    /// Closes the store. See [`close`](Self::close). The completion is the store's last.
    ///
    /// # Errors
    ///
    /// The completion does not run after [`Error::Closed`], where the store is closed already,
    /// or [`Error::Forked`].
    pub fn submit_close(
        &self,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let core = self.core()?;
        core.shared.ask_close(Some(Box::new(completion))).map_err(|_| Error::Closed)
    }

    /// Runs a blocking call on a thread of its own.
    fn elsewhere(
        &self,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
        call: impl FnOnce() -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        if let Some(refusal) = self.core()?.shared.refusal() {
            return Err(manage_error(refusal));
        }
        let work = move || {
            let result = call();
            crate::worker::ticket::run(|| completion(result));
        };
        crate::thread::start("waldo-manage", work).map(drop).map_err(|source| Error::Io {
            action: "start a thread for",
            path: self.core_anywhere().path.clone(),
            source,
        })
    }
}

impl Core {
    /// Batches up to this size travel as copies, and share frames with others; larger ones are
    /// written from the buffer that they are built in.
    pub fn is_small(&self, size: usize) -> bool {
        const SMALL_MAX: usize = 64 * 1024;
        const BUFFER_DIVISOR: usize = 8;

        size <= SMALL_MAX.min(self.options.buf_capacity / BUFFER_DIVISOR)
    }

    pub fn small_batch(&self, size: usize, assigned: bool) -> BatchBuilder {
        self.batch(Body::Copied(Vec::with_capacity(size)), assigned)
    }

    pub fn batch(&self, body: Body, assigned: bool) -> BatchBuilder {
        let numbering = if assigned {
            Numbering::Assigned
        } else {
            Numbering::Conditional(self.published.progress.tag())
        };
        BatchBuilder::new(body, numbering, self.limits)
    }

    /// Refuses what does not fit one frame.
    pub fn check_size(&self, size: usize, count: u64) -> Result<(), AppendError> {
        if size <= self.limits.size && count <= self.limits.count {
            return Ok(());
        }
        let BatchSize { size_limit, count_limit } = BatchSize::of(&self.limits);
        Err(AppendError::BatchTooLarge { count, count_limit, size, size_limit })
    }

    /// A batch may have been built for another store.
    fn check_batch(&self, batch: &Batch) -> Result<(), AppendError> {
        self.check_size(batch.len(), u64::from(batch.count()))?;
        if let Body::Pooled(buffer) = &batch.body
            && buffer.remaining() + buffer.frozen_len() < self.options.buf_capacity
        {
            return self.check_size(usize::MAX, u64::from(batch.count()));
        }
        Ok(())
    }

    /// A place in a lane, if there is one now.
    fn try_place(&self, lane: Lane, bytes: usize) -> Result<Reservation, AppendError> {
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        self.shared.try_reserve(lane, bytes).ok_or(AppendError::WouldBlock)
    }

    /// Sends a batch to the worker.
    pub fn push_append(
        &self,
        place: Reservation,
        batch: Batch,
        durable: bool,
        completion: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        let lane = place.lane();
        let done = place.completion(completion);
        self.shared.push(lane, Operation::Append { batch, durable, done });
    }

    /// Answers an append of nothing. No frame is without logs, so a trim of nothing takes its
    /// place.
    fn push_nothing(
        &self,
        place: Reservation,
        completion: impl FnOnce(Result<Appended, AppendError>) + Send + 'static,
    ) {
        let lane = place.lane();
        let tip = self.published.progress.tip();
        let nothing = Appended { first_seq_no: tip, last_seq_no: tip, count: 0 };
        let done = place.completion(completion);
        let done = Box::new(move |result: Result<(), Error>| {
            done(match result {
                Ok(()) => Ok(nothing),
                Err(Error::Poisoned(poison)) => Err(AppendError::Poisoned(poison)),
                Err(_) => Err(AppendError::Closed),
            });
        });
        self.shared.push(lane, Operation::Trim { up_to_seq_no: 0, census: None, done });
    }

    pub fn push_trim(
        &self,
        place: Reservation,
        up_to_seq_no: u64,
        census: Option<Census>,
        completion: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) {
        let lane = place.lane();
        let done = place.completion(completion);
        self.shared.push(lane, Operation::Trim { up_to_seq_no, census, done });
    }
}

/// Bytes that a batch takes from the budget of small appends.
pub(super) fn small_bytes(batch: &Batch) -> usize {
    if matches!(batch.body, Body::Copied(_)) { batch.len() } else { 0 }
}

/// Why an operation other than an append was refused.
pub(super) fn manage_error(refusal: AppendError) -> Error {
    match refusal {
        AppendError::Poisoned(poison) => Error::Poisoned(poison),
        AppendError::Closed => Error::Closed,
        AppendError::Forked => Error::Forked,
        other => Error::Append(other),
    }
}
