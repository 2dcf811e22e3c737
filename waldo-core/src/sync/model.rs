//! Models of the primitives, as weak as what they stand for promises to be.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

pub(crate) use loom::hint::spin_loop;
pub(crate) use loom::sync::atomic;
use loom::sync::atomic::{AtomicUsize, Ordering, fence};
use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use loom::thread;

/// A lock without poisoning, as that of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock for many readers or one writer, as that of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

impl<T> RwLock<T> {
    pub fn new(value: T) -> Self {
        Self(loom::sync::RwLock::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted reference that is replaced as a whole.
#[derive(Debug)]
pub(crate) struct ArcSwapOption<T>(Mutex<Option<Arc<T>>>);

impl<T> ArcSwapOption<T> {
    pub fn empty() -> Self {
        Self(Mutex::new(None))
    }

    pub fn load_full(&self) -> Option<Arc<T>> {
        self.0.lock().clone()
    }

    pub fn store(&self, value: Option<Arc<T>>) {
        drop(self.swap(value));
    }

    pub fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        std::mem::replace(&mut *self.0.lock(), value)
    }
}

/// A queue of any number of producers. Whoever finds it empty may be wrong about what was pushed
/// just before: only a fence on both sides says more.
#[derive(Debug)]
pub(crate) struct SegQueue<T> {
    items: Mutex<VecDeque<T>>,
    len: AtomicUsize,
}

impl<T> SegQueue<T> {
    pub fn new() -> Self {
        Self { items: Mutex::new(VecDeque::new()), len: AtomicUsize::new(0) }
    }

    pub fn push(&self, item: T) {
        let mut items = self.items.lock();
        items.push_back(item);
        self.len.store(items.len(), Ordering::Relaxed);
    }

    pub fn pop(&self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        let mut items = self.items.lock();
        let item = items.pop_front();
        self.len.store(items.len(), Ordering::Relaxed);
        item
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The same, of bounded room.
#[derive(Debug)]
pub(crate) struct ArrayQueue<T> {
    queue: SegQueue<T>,
    capacity: usize,
}

impl<T> ArrayQueue<T> {
    pub fn new(capacity: usize) -> Self {
        Self { queue: SegQueue::new(), capacity }
    }

    pub fn push(&self, item: T) -> Result<(), T> {
        if self.queue.items.lock().len() == self.capacity {
            return Err(item);
        }
        self.queue.push(item);
        Ok(())
    }

    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

/// Something that tasks wait for. A fence comes with every call.
#[derive(Debug, Default)]
pub(crate) struct Event(Mutex<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    /// Oldest first.
    waiting: Vec<Waiting>,
    next_number: u64,
}

/// A task that waits, or is about to.
#[derive(Debug)]
struct Waiting {
    number: u64,
    notified: bool,
    waker: Option<Waker>,
}

impl Tasks {
    fn position(&self, number: u64) -> Option<usize> {
        self.waiting.iter().position(|waiting| waiting.number == number)
    }
}

impl Event {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn listen(&self) -> Listener<'_> {
        let mut tasks = self.0.lock();
        let number = tasks.next_number;
        tasks.next_number += 1;
        tasks.waiting.push(Waiting { number, notified: false, waker: None });
        drop(tasks);
        fence(Ordering::SeqCst);
        Listener { event: self, number }
    }

    /// Sees to it that `count` tasks are notified.
    pub fn notify(&self, count: usize) {
        fence(Ordering::SeqCst);
        let notified = self.0.lock().waiting.iter().filter(|waiting| waiting.notified).count();
        self.notify_more(count.saturating_sub(notified));
    }

    /// Notifies `count` tasks besides those that are.
    pub fn notify_additional(&self, count: usize) {
        fence(Ordering::SeqCst);
        self.notify_more(count);
    }

    fn notify_more(&self, count: usize) {
        let mut tasks = self.0.lock();
        let mut wakers = Vec::new();
        for waiting in tasks.waiting.iter_mut().filter(|waiting| !waiting.notified).take(count) {
            waiting.notified = true;
            wakers.extend(waiting.waker.take());
        }
        drop(tasks);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A task's wait for an [`Event`].
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    event: &'a Event,
    number: u64,
}

impl Future for Listener<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut tasks = self.event.0.lock();
        let Some(at) = tasks.position(self.number) else { return Poll::Ready(()) };
        if tasks.waiting[at].notified {
            tasks.waiting.remove(at);
            return Poll::Ready(());
        }
        tasks.waiting[at].waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        let mut tasks = self.event.0.lock();
        let Some(at) = tasks.position(self.number) else { return };
        let was_notified = tasks.waiting.remove(at).notified;
        drop(tasks);
        if was_notified {
            // It was meant for somebody who waits.
            self.event.notify_more(1);
        }
    }
}

/// Runs `test` in all interleavings in which a thread is interrupted only so many times where it
/// need not wait. Most races need two.
#[cfg(test)]
pub(crate) fn check(preemptions: usize, test: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(test);
}
