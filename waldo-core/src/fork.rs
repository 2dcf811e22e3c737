//! Telling whether the process was forked since a handle was made.
//!
//! A child has the memory of its parent, but not its threads: no worker will ever answer it, and
//! a lock that another thread held at the fork is locked for ever. So a handle that finds itself
//! in a child does nothing at all.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// Forks between the process that loaded this library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Where a handle was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    /// This one.
    pub fn current() -> Self {
        static REGISTER: Once = Once::new();

        REGISTER.call_once(|| {
            // SAFETY: the handler stays valid for the life of the process, and does nothing but
            // what is allowed in a child of a program with threads. Where it cannot be
            // registered for lack of memory, forks go unnoticed.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }

    /// Whether this is still the same process.
    #[inline]
    pub fn is_current(self) -> bool {
        GENERATION.load(Ordering::Relaxed) == self.0
    }
}

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
