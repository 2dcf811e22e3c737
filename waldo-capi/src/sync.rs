//! Locks that know no poisoning: panics are caught at the boundary, and nothing is left half
//! changed under a lock here.
//!
//! They are those of the standard library, which keep no list of waiting threads of their own:
//! in a forked child such a list would name threads that are not there, and whoever opens a
//! store there would follow it.
//!
//! Under `cfg(waldo_loom)` they are models, for the tests named `races`.

#[cfg(waldo_loom)]
use loom::sync as primitives;
#[cfg(not(waldo_loom))]
use std::sync as primitives;
use std::sync::PoisonError;
use std::time::Duration;

use primitives::MutexGuard;
pub(crate) use primitives::atomic;

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(primitives::Mutex<T>);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(primitives::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(primitives::Condvar);

impl Condvar {
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits no longer than `timeout`.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait_timeout(guard, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }
}
