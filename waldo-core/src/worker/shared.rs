//! What handles and the worker share.
//!
//! **Lanes.** Operations travel through bounded queues. A place is reserved before an operation
//! is put there and given back when its completion runs, so that what is under way is bounded,
//! also inside the engine. Trims have a lane of their own: they must overtake appends that wait
//! for room.
//!
//! **Sleep.** The worker says that it is about to sleep, and looks at the lanes once more;
//! a producer puts its operation there, and looks whether the worker sleeps. With a fence between
//! the two steps on both sides, one of them sees the other. Only then a system call is made, and
//! by one producer only.
//!
//! **The end.** Once the worker has ended, nobody takes operations out of the lanes any more. A
//! producer that finds this out after putting one there empties them itself, on another thread.

use std::sync::Arc;

use super::cold::ColdRead;
use super::ticket::Reservation;
use crate::driver::Notifier;
use crate::engine::{Engine, Operation};
use crate::error::{AppendError, Error, Poison};
use crate::published::Published;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sync::thread::{self, ThreadId};
use crate::sync::{ArrayQueue, Event, Mutex, SegQueue};
use crate::tail::Waiters;

/// Operations that may be under way in the ordered lane.
const ORDERED_CAPACITY: usize = 1024;

/// Operations that may be under way in the urgent lane.
const URGENT_CAPACITY: usize = 64;

/// Which way an operation takes to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// In order: appends, syncs, truncations.
    Ordered,
    /// Past them: trims.
    Urgent,
}

/// Takes the result of a close.
pub(crate) type CloseCompletion = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What handles and the worker share.
pub(crate) struct Shared {
    pub published: Arc<Published>,
    pub waiters: Waiters,
    pub gauges: Gauges,
    ordered: Queue,
    urgent: Queue,
    reads: SegQueue<ColdRead>,
    /// Bytes of small appends under way, and how many there may be.
    small: AtomicUsize,
    small_max: usize,
    /// Told whenever a place in a lane becomes free, and at the end.
    room: Event,
    notifier: Arc<dyn Notifier>,
    sleeping: AtomicBool,
    closing: AtomicBool,
    ended: AtomicBool,
    close: Mutex<Close>,
    worker: ThreadId,
}

struct Queue {
    operations: ArrayQueue<Operation>,
    free: AtomicUsize,
}

enum Close {
    /// Nobody asked for it.
    No,
    /// Who waits for it.
    Asked(Vec<CloseCompletion>),
    /// How it ended.
    Ended(Option<Poison>),
}

/// What the worker does just now, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub syncs: AtomicUsize,
    pub preparing: AtomicUsize,
    pub reads: AtomicUsize,
}

impl Queue {
    fn new(capacity: usize) -> Self {
        Self { operations: ArrayQueue::new(capacity), free: AtomicUsize::new(capacity) }
    }

    fn reserve(&self) -> bool {
        let take = |free: usize| free.checked_sub(1);
        self.free.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok()
    }
}

impl Shared {
    /// Must be called on the worker's thread.
    pub fn new(published: Arc<Published>, notifier: Arc<dyn Notifier>, small_max: usize) -> Self {
        Self {
            published,
            waiters: Waiters::default(),
            gauges: Gauges::default(),
            ordered: Queue::new(ORDERED_CAPACITY),
            urgent: Queue::new(URGENT_CAPACITY),
            reads: SegQueue::new(),
            small: AtomicUsize::new(0),
            small_max,
            room: Event::new(),
            notifier,
            sleeping: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            close: Mutex::new(Close::No),
            worker: thread::current().id(),
        }
    }

    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Ordered => &self.ordered,
            Lane::Urgent => &self.urgent,
        }
    }

    /// Whether this is the worker's thread.
    pub fn is_worker(&self) -> bool {
        thread::current().id() == self.worker
    }

    /// Whether the worker is gone.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Why nothing is accepted any more, as an append would be told.
    pub fn refusal(&self) -> Option<AppendError> {
        if let Some(poison) = self.published.progress.poison() {
            return Some(AppendError::Poisoned(poison.clone()));
        }
        let closed = self.closing.load(Ordering::Acquire) || self.is_ended();
        closed.then_some(AppendError::Closed)
    }

    /// What broke the store, if anything did.
    pub fn end(&self) -> Option<Poison> {
        self.published.progress.poison().cloned()
    }

    /// Takes a place in a lane for an operation, with `bytes` of a small append; `None` where
    /// there is none now.
    pub fn try_reserve(self: &Arc<Self>, lane: Lane, bytes: usize) -> Option<Reservation> {
        if !self.queue(lane).reserve() {
            return None;
        }
        if !self.reserve_small(bytes) {
            // Nobody is told: nothing became free, and who is told might be the one that tries.
            // What keeps the bytes will tell when it ends.
            self.queue(lane).free.fetch_add(1, Ordering::Release);
            return None;
        }
        Some(Reservation::new(Arc::clone(self), lane, bytes))
    }

    fn reserve_small(&self, bytes: usize) -> bool {
        // A single append is let through however large it is.
        let take = |used: usize| {
            let sum = used.checked_add(bytes)?;
            (used == 0 || sum <= self.small_max).then_some(sum)
        };
        bytes == 0 || self.small.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok()
    }

    /// Waits for a place in a lane.
    ///
    /// # Errors
    ///
    /// Why nothing is accepted any more.
    pub async fn reserve(
        self: &Arc<Self>,
        lane: Lane,
        bytes: usize,
    ) -> Result<Reservation, AppendError> {
        loop {
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            if let Some(reservation) = self.try_reserve(lane, bytes) {
                return Ok(reservation);
            }
            let listener = self.room.listen();
            if let Some(reservation) = self.try_reserve(lane, bytes) {
                return Ok(reservation);
            }
            if self.refusal().is_none() {
                listener.await;
            }
        }
    }

    /// Gives a place in a lane back. For reservations only.
    pub(super) fn give_back(&self, lane: Lane, bytes: usize) {
        if bytes > 0 {
            self.small.fetch_sub(bytes, Ordering::Release);
        }
        self.queue(lane).free.fetch_add(1, Ordering::Release);
        // Each place wakes one more, not only the first that waits.
        self.room.notify_additional(1);
    }

    /// Puts an operation into a lane where a place was reserved for it.
    pub fn push(&self, lane: Lane, operation: Operation) {
        // There is room: the reservation is a part of the operation's completion.
        let pushed = self.queue(lane).operations.push(operation);
        debug_assert!(pushed.is_ok(), "an operation without a reservation");
        drop(pushed);
        self.after_push();
    }

    /// Sends a read to the worker.
    pub fn push_read(&self, read: ColdRead) {
        self.reads.push(read);
        self.after_push();
    }

    fn after_push(&self) {
        // Pairs with the fences in `prepare_sleep` and `set_ended`: either this thread sees that
        // the worker sleeps, or is gone, or the worker sees what was pushed.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.wake();
        }
        if self.ended.load(Ordering::Relaxed) {
            self.discard_elsewhere();
        }
    }

    /// Wakes the worker if it sleeps.
    fn wake(&self) {
        if self.sleeping.swap(false, Ordering::AcqRel) {
            self.notifier.notify();
        }
    }

    /// Asks for the store to be closed. The completion runs once it is, on the worker's thread.
    ///
    /// # Errors
    ///
    /// The store is closed already: how that ended. The completion does not run then.
    pub fn ask_close(&self, done: Option<CloseCompletion>) -> Result<(), Result<(), Error>> {
        let mut close = self.close.lock();
        match &mut *close {
            Close::No => *close = Close::Asked(done.into_iter().collect()),
            Close::Asked(waiting) => waiting.extend(done),
            Close::Ended(poison) => {
                return Err(poison.clone().map_or(Ok(()), |poison| Err(poison.into())));
            }
        }
        drop(close);
        self.closing.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        self.wake();
        // Who waits for room waits in vain.
        self.room.notify(usize::MAX);
        Ok(())
    }

    /// Whether somebody asked for the store to be closed.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Moves what is in the lanes to the engine. For the worker only.
    pub(super) fn drain(&self, engine: &mut Engine) {
        // No more than the lanes hold: producers that are as fast as this must not keep the
        // worker from its other work.
        for queue in [&self.urgent, &self.ordered] {
            for _ in 0..queue.operations.capacity() {
                let Some(operation) = queue.operations.pop() else { break };
                engine.submit(operation);
            }
        }
    }

    /// Whether no operation is in the ordered lane. For the worker only.
    pub(super) fn is_drained(&self) -> bool {
        self.ordered.operations.is_empty() && self.urgent.operations.is_empty()
    }

    /// The next read. For the worker only.
    pub(super) fn pop_read(&self) -> Option<ColdRead> {
        self.reads.pop()
    }

    /// Says that the worker is about to sleep; `false` where there is something to do. For the
    /// worker only.
    pub(super) fn prepare_sleep(&self, takes_reads: bool, knows_closing: bool) -> bool {
        // An exchange, because loom lets a store come before exchanges that have seen what came
        // before the store.
        self.sleeping.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let idle = self.is_drained()
            && (!takes_reads || self.reads.is_empty())
            && (knows_closing || !self.closing.load(Ordering::Relaxed));
        if !idle {
            self.sleeping.store(false, Ordering::Relaxed);
        }
        idle
    }

    /// Says that the worker is awake. For the worker only.
    pub(super) fn woke(&self) {
        self.sleeping.store(false, Ordering::Relaxed);
    }

    /// Wakes who waits for room, for them to see that nothing is accepted any more.
    pub(super) fn refuse_waiting(&self) {
        self.room.notify(usize::MAX);
    }

    /// Says that the worker takes nothing any more, and ends what is left in the lanes. For the
    /// worker only.
    pub(super) fn set_ended(&self) {
        self.published.progress.set_closed();
        self.ended.store(true, Ordering::Release);
        // Pairs with the fence in `after_push`.
        fence(Ordering::SeqCst);
        self.discard();
        self.refuse_waiting();
    }

    /// Ends everybody's wait for the close. For the worker only.
    pub(super) fn finish_close(&self) {
        let poison = self.end();
        let mut close = self.close.lock();
        let before = std::mem::replace(&mut *close, Close::Ended(poison.clone()));
        drop(close);
        let Close::Asked(waiting) = before else { return };
        for done in waiting {
            let result = poison.clone().map_or(Ok(()), |poison| Err(poison.into()));
            super::ticket::run(|| done(result));
        }
    }

    /// Drops what is in the lanes, so that it ends with the reason.
    fn discard(&self) {
        while let Some(operation) = self.urgent.operations.pop() {
            drop(operation);
        }
        while let Some(operation) = self.ordered.operations.pop() {
            drop(operation);
        }
        while let Some(read) = self.reads.pop() {
            drop(read);
        }
    }

    /// The same for a producer that came too late: not here, since completions never run inside
    /// the call that submitted.
    fn discard_elsewhere(&self) {
        let mut left: Vec<Operation> = Vec::new();
        left.extend(std::iter::from_fn(|| self.urgent.operations.pop()));
        left.extend(std::iter::from_fn(|| self.ordered.operations.pop()));
        while let Some(read) = self.reads.pop() {
            drop(read);
        }
        if left.is_empty() {
            return;
        }
        let thread = thread::Builder::new().name("waldo-end".to_owned());
        let end = move || {
            crate::tsan::ignore_thread();
            drop(left);
        };
        // Not `crate::thread::start`, for the sake of its model.
        let _blocked = crate::thread::Blocked::new();
        if let Err(error) = thread.spawn(end) {
            // What was moved into the thread that there is not was dropped, and so ended.
            log::warn!("no thread to end operations on: {error}");
        }
    }

    /// Operations under way in all lanes.
    pub fn operations_under_way(&self) -> usize {
        let under_way = |queue: &Queue| {
            let free = queue.free.load(Ordering::Relaxed);
            queue.operations.capacity().saturating_sub(free)
        };
        under_way(&self.ordered) + under_way(&self.urgent)
    }

    /// Cold reads that wait for the worker or are under way.
    pub fn reads_under_way(&self) -> usize {
        self.reads.len() + self.gauges.reads.load(Ordering::Relaxed)
    }
}
