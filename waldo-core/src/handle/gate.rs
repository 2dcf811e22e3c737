//! A lock that is waited for without blocking a thread.

use std::sync::Arc;

use crate::sync::Event;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Lets one through at a time.
#[derive(Debug, Default)]
pub(super) struct Gate {
    taken: AtomicBool,
    freed: Event,
}

/// The right to be inside.
pub(super) struct Pass(Arc<Gate>);

impl Gate {
    /// Waits until nobody else is inside.
    pub async fn enter(self: &Arc<Self>) -> Pass {
        loop {
            if let Some(pass) = self.try_enter() {
                return pass;
            }
            let listener = self.freed.listen();
            if let Some(pass) = self.try_enter() {
                return pass;
            }
            listener.await;
        }
    }

    /// Enters, unless somebody is inside.
    pub fn try_enter(self: &Arc<Self>) -> Option<Pass> {
        let was_taken = self.taken.swap(true, Ordering::Acquire);
        (!was_taken).then(|| Pass(Arc::clone(self)))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
        self.0.freed.notify(1);
    }
}
