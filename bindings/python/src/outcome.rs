//! What an operation ended with, for any number of waiting threads and tasks.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Poll, Waker};

/// A result that comes once.
pub struct Outcome<T> {
    value: OnceLock<T>,
    waiting: Mutex<Vec<Waker>>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self { value: OnceLock::new(), waiting: Mutex::default() }
    }
}

impl<T> From<T> for Outcome<T> {
    fn from(value: T) -> Self {
        Self { value: value.into(), waiting: Mutex::default() }
    }
}

impl<T> Outcome<T> {
    /// The result, if it is there.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Sets the result, and wakes everybody who waits. From any thread; only the first counts.
    pub fn complete(&self, value: T) {
        if self.value.set(value).is_err() {
            return;
        }
        // Whoever waits looked before the result was there, and is in the list by now, or looks
        // once more under the lock.
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The result, or else `waker` is woken when it is there.
    pub fn poll(&self, waker: &Waker) -> Poll<&T> {
        if let Some(value) = self.get() {
            return Poll::Ready(value);
        }
        let mut waiting = self.lock();
        if let Some(value) = self.get() {
            return Poll::Ready(value);
        }
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
        Poll::Pending
    }

    /// Does not wake `waker` any more.
    pub fn forget(&self, waker: &Waker) {
        self.lock().retain(|known| !known.will_wake(waker));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
