//! Appending.

use super::blocking::block_on;
use super::submit::small_bytes;
use super::waldo::{Core, Waldo};
use crate::batch::{Batch, BatchBuilder, BatchLimits, Body, check_log, check_payload};
use crate::engine::Appended;
use crate::error::AppendError;
use crate::format::record::record_size;
use crate::log::Log;
use crate::memory::pool::Purpose;
use crate::sync::oneshot;
use crate::worker::shared::Lane;

/// How logs are appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// All logs or none, also after a crash; a batch that is too large for that is refused.
    pub atomic: bool,
    /// Acknowledged when they are durable, whatever the store's default
    /// ([`Options::file_o_dsync`](crate::Options::file_o_dsync)) is.
    pub durable: bool,
}

/// Appending.
///
/// Any number of threads and tasks may append at once. Logs come with the caller's numbers
/// (*conditional*: the first log is accepted where its `prev_seq_no` is the tip, so that of
/// several callers who want to go on at the same place one wins), or the store numbers them from
/// the tip on (*assigned*). Appends of one caller that are submitted one after the other are
/// carried out in that order, whether it waits for the first or not.
///
/// An append that fits one frame is all or nothing. A larger one is appended in several parts,
/// one after the other; an error then says nothing of the parts before, of which
/// [`Waldo::prev_seq_no`] tells. [`AppendOptions::atomic`] refuses such a batch.
///
/// # Cancelling
///
/// Where the future of an append is dropped, the logs, or the first parts of them, may be
/// appended nevertheless.
impl Waldo {
    /// Appends logs with the caller's numbers. An empty batch is fine, and does nothing.
    ///
    /// # Errors
    ///
    /// - [`AppendError::Order`], [`AppendError::Sequence`], [`AppendError::ExceedsLimit`] where the
    ///   batch itself is wrong: nothing was appended. The whole batch is checked first;
    /// - [`AppendError::Sequence`] where its first log does not follow the tip;
    /// - [`AppendError::BatchTooLarge`] where it was to be atomic and cannot be;
    /// - [`AppendError::Exhausted`] where no numbers are left to be assigned;
    /// - [`AppendError::Full`] where the ring is full and nothing may be overwritten;
    /// - [`AppendError::NoSpace`] where the disk is full, so that the next page cannot be made;
    /// - [`AppendError::Poisoned`] where a write or a sync failed. The logs may be on disk or not;
    /// - [`AppendError::Closed`], [`AppendError::Forked`] where the store cannot be used any more.
    ///
    /// After [`AppendError::Full`] and [`AppendError::NoSpace`] the same append can be tried again.
    pub async fn append(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.append_with(logs, AppendOptions::default()).await
    }

    /// Appends logs, and returns when they are durable.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_durable(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.append_with(logs, AppendOptions { durable: true, ..AppendOptions::default() }).await
    }

    /// Appends all logs or none.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_atomic(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.append_with(logs, AppendOptions { atomic: true, ..AppendOptions::default() }).await
    }

    /// Appends logs as the options say.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_with(
        &self,
        logs: &[Log<'_>],
        options: AppendOptions,
    ) -> Result<(), AppendError> {
        self.core()?.append(&Logs(logs), options).await.map(drop)
    }

    /// Appends payloads that the store numbers from the tip on: the first gets the tip's number
    /// plus 1. An empty batch answers the tip, with a count of 0.
    ///
    /// Logs of a batch that is appended in several parts may have others in between.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_assigned(
        &self,
        payloads: &[impl AsRef<[u8]>],
    ) -> Result<Appended, AppendError> {
        self.append_assigned_with(payloads, AppendOptions::default()).await
    }

    /// Appends payloads that the store numbers, as the options say.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_assigned_with(
        &self,
        payloads: &[impl AsRef<[u8]>],
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        self.core()?.append(&Payloads(payloads), options).await
    }

    /// Appends all logs or none, without waiting for room: only for the acknowledgement.
    ///
    /// # Errors
    ///
    /// [`AppendError::WouldBlock`] where the queue or the pool of buffers is full: nothing was
    /// appended. [`AppendError::BatchTooLarge`] where the batch does not fit one frame. And as
    /// [`append`](Self::append).
    pub async fn try_append(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.core()?.try_append(&Logs(logs)).await.map(drop)
    }

    /// The blocking form of [`append`](Self::append).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.blocking_append_with(logs, AppendOptions::default())
    }

    /// The blocking form of [`append_durable`](Self::append_durable).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append_durable(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.assert_may_block();
        block_on(self.append_durable(logs))
    }

    /// The blocking form of [`append_atomic`](Self::append_atomic).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append_atomic(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.assert_may_block();
        block_on(self.append_atomic(logs))
    }

    /// The blocking form of [`append_with`](Self::append_with).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append_with(
        &self,
        logs: &[Log<'_>],
        options: AppendOptions,
    ) -> Result<(), AppendError> {
        self.assert_may_block();
        block_on(self.append_with(logs, options))
    }

    /// The blocking form of [`append_assigned`](Self::append_assigned).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append_assigned(
        &self,
        payloads: &[impl AsRef<[u8]>],
    ) -> Result<Appended, AppendError> {
        self.blocking_append_assigned_with(payloads, AppendOptions::default())
    }

    /// The blocking form of [`append_assigned_with`](Self::append_assigned_with).
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_append_assigned_with(
        &self,
        payloads: &[impl AsRef<[u8]>],
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        self.assert_may_block();
        block_on(self.append_assigned_with(payloads, options))
    }

    /// The blocking form of [`try_append`](Self::try_append).
    ///
    /// # Errors
    ///
    /// As [`try_append`](Self::try_append).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_try_append(&self, logs: &[Log<'_>]) -> Result<(), AppendError> {
        self.assert_may_block();
        block_on(self.try_append(logs))
    }
}

/// The result of an append that is under way.
pub(super) type Acknowledgement = oneshot::Receiver<Result<Appended, AppendError>>;

/// Waits for an append that is under way.
pub(super) async fn acknowledged(
    acknowledgement: &mut Acknowledgement,
) -> Result<Appended, AppendError> {
    // Its completion runs in any case.
    acknowledgement.await.unwrap_or(Err(AppendError::Closed))
}

/// What is appended.
pub(super) trait Items {
    /// Whether the numbers are the store's.
    const ASSIGNED: bool;
    /// How many logs.
    fn count(&self) -> usize;
    /// Bytes that one of them takes.
    fn size(&self, at: usize) -> usize;
    /// Finds everything that can be wrong.
    fn check(&self, limits: &BatchLimits) -> Result<(), AppendError>;
    /// Adds one of them to a batch.
    fn push(&self, at: usize, batch: &mut BatchBuilder) -> Result<bool, AppendError>;
}

/// Logs with the caller's numbers.
pub(super) struct Logs<'a>(pub &'a [Log<'a>]);

/// Payloads that the worker numbers.
struct Payloads<'a, P>(&'a [P]);

impl Items for Logs<'_> {
    const ASSIGNED: bool = false;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn size(&self, at: usize) -> usize {
        self.0.get(at).map_or(0, Log::size)
    }

    fn check(&self, limits: &BatchLimits) -> Result<(), AppendError> {
        let mut before: Option<&Log<'_>> = None;
        for log in self.0 {
            check_log(log, limits)?;
            if let Some(before) = before.filter(|before| before.seq_no() != log.prev_seq_no()) {
                return Err(AppendError::Sequence {
                    seq_no: log.seq_no(),
                    wanted: before.seq_no(),
                    actual: log.prev_seq_no(),
                });
            }
            before = Some(log);
        }
        Ok(())
    }

    fn push(&self, at: usize, batch: &mut BatchBuilder) -> Result<bool, AppendError> {
        self.0.get(at).map_or(Ok(true), |log| batch.push(log))
    }
}

impl<P: AsRef<[u8]>> Payloads<'_, P> {
    fn payload(&self, at: usize) -> &[u8] {
        self.0.get(at).map(AsRef::as_ref).unwrap_or_default()
    }
}

impl<P: AsRef<[u8]>> Items for Payloads<'_, P> {
    const ASSIGNED: bool = true;

    fn count(&self) -> usize {
        self.0.len()
    }

    fn size(&self, at: usize) -> usize {
        record_size(self.payload(at).len())
    }

    fn check(&self, limits: &BatchLimits) -> Result<(), AppendError> {
        (0..self.count())
            .try_for_each(|at| check_payload(at as u64, self.payload(at).len(), limits))
    }

    fn push(&self, at: usize, batch: &mut BatchBuilder) -> Result<bool, AppendError> {
        batch.push_payload(self.payload(at))
    }
}

/// A run of items that fits one frame.
struct Part {
    start: usize,
    end: usize,
    size: usize,
}

impl Part {
    /// The longest part from `start` on.
    fn next(items: &impl Items, start: usize, limits: &BatchLimits) -> Self {
        let count_max = usize::try_from(limits.count).unwrap_or(usize::MAX);
        let last = start.saturating_add(count_max).min(items.count());
        let mut part = Self { start, end: start, size: 0 };
        while part.end < last {
            let size = items.size(part.end);
            if part.size + size > limits.size {
                break;
            }
            part.size += size;
            part.end += 1;
        }
        part
    }
}

/// The limits of a batch, as errors name them.
pub(super) struct BatchSize {
    pub size_limit: usize,
    pub count_limit: u64,
}

impl BatchSize {
    pub fn of(limits: &BatchLimits) -> Self {
        Self { size_limit: limits.size, count_limit: limits.count }
    }
}

impl Core {
    /// Appends items in as few parts as fit.
    ///
    /// The next part is built while the one before is written, but not submitted: where one is
    /// refused, none of those behind it must be accepted.
    pub(super) async fn append(
        &self,
        items: &impl Items,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        items.check(&self.limits)?;
        if options.atomic {
            self.check_atomic(items)?;
        }
        let mut sum: Option<Appended> = None;
        let mut under_way: Option<Acknowledgement> = None;
        let mut start = 0;
        while start < items.count() {
            let part = Part::next(items, start, &self.limits);
            start = part.end;
            let batch = self.build(items, &part).await?;
            if let Some(mut before) = under_way.take() {
                extend(&mut sum, acknowledged(&mut before).await?);
            }
            // Once the last part is durable, so are those before it.
            let durable = options.durable && start == items.count();
            under_way = Some(self.send(batch, durable).await?);
        }
        if let Some(mut last) = under_way {
            extend(&mut sum, acknowledged(&mut last).await?);
        }
        Ok(sum.unwrap_or_else(|| self.nothing()))
    }

    async fn try_append(&self, items: &impl Items) -> Result<Appended, AppendError> {
        items.check(&self.limits)?;
        self.check_atomic(items)?;
        if items.count() == 0 {
            return Ok(self.nothing());
        }
        let part = Part::next(items, 0, &self.limits);
        let builder = if self.is_small(part.size) {
            self.small_batch(part.size, false)
        } else {
            let buffer = self.published.pool.try_take(Purpose::Producer);
            self.batch(Body::Pooled(buffer.ok_or(AppendError::WouldBlock)?), false)
        };
        let batch = fill(items, &part, builder)?;
        if let Some(refusal) = self.shared.refusal() {
            return Err(refusal);
        }
        let place = self.shared.try_reserve(Lane::Ordered, small_bytes(&batch));
        let place = place.ok_or(AppendError::WouldBlock)?;
        let (sender, mut receiver) = oneshot::channel();
        self.push_append(place, batch, false, move |result| {
            let _ = sender.send(result);
        });
        acknowledged(&mut receiver).await
    }

    fn check_atomic(&self, items: &impl Items) -> Result<(), AppendError> {
        let size = (0..items.count()).map(|at| items.size(at)).sum();
        self.check_size(size, items.count() as u64)
    }

    /// Builds a batch; waits for a buffer.
    async fn build(&self, items: &impl Items, part: &Part) -> Result<Batch, AppendError> {
        let assigned = is_assigned(items);
        let builder = if self.is_small(part.size) {
            self.small_batch(part.size, assigned)
        } else {
            self.batch(Body::Pooled(self.published.pool.take().await), assigned)
        };
        fill(items, part, builder)
    }

    /// Submits items that fit one frame; waits for a buffer, and for a place in the queue.
    pub(super) async fn send_all(
        &self,
        items: &impl Items,
    ) -> Result<Acknowledgement, AppendError> {
        let part = Part::next(items, 0, &self.limits);
        debug_assert_eq!(part.end, items.count(), "more than a frame holds");
        let batch = self.build(items, &part).await?;
        self.send(batch, false).await
    }

    /// Submits a batch; waits for a place in the queue.
    pub(super) async fn send(
        &self,
        batch: Batch,
        durable: bool,
    ) -> Result<Acknowledgement, AppendError> {
        let place = self.shared.reserve(Lane::Ordered, small_bytes(&batch)).await?;
        let (sender, receiver) = oneshot::channel();
        self.push_append(place, batch, durable, move |result| {
            // Where the future was dropped, nobody wants to know.
            let _ = sender.send(result);
        });
        Ok(receiver)
    }

    /// What an append of nothing appended.
    fn nothing(&self) -> Appended {
        let tip = self.published.progress.tip();
        Appended { first_seq_no: tip, last_seq_no: tip, count: 0 }
    }
}

fn is_assigned<I: Items>(_: &I) -> bool {
    I::ASSIGNED
}

fn fill(items: &impl Items, part: &Part, mut builder: BatchBuilder) -> Result<Batch, AppendError> {
    for at in part.start..part.end {
        let fits = items.push(at, &mut builder)?;
        debug_assert!(fits, "a part is as large as fits");
    }
    Ok(builder.finish())
}

fn extend(sum: &mut Option<Appended>, part: Appended) {
    match sum {
        Some(sum) => {
            sum.last_seq_no = part.last_seq_no;
            sum.count += part.count;
        }
        None => *sum = Some(part),
    }
}
