//! Wakes tasks whose engine cannot wake its readers itself.

use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// Wakers of tasks that wait for the next ring.
#[derive(Debug, Default)]
pub(super) struct Bell {
    waiting: Mutex<Vec<Waker>>,
}

impl Bell {
    /// Wakes a task at the next ring.
    pub fn listen(&self, waker: &Waker) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(waker.clone());
    }

    /// Wakes all that listen.
    pub fn ring(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}
