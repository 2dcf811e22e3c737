//! Telling whether the process was forked since a handle was made.
//!
//! A child has the memory of its parent but not its threads, and a lock that another thread held
//! at the fork is locked for ever. So a handle that finds itself in a child touches nothing that
//! it holds; releasing it there frees its own memory only.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Where a handle was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(u32);

impl Process {
    pub fn current() -> Self {
        static REGISTER: Once = Once::new();

        REGISTER.call_once(|| {
            // SAFETY: the handler stays valid for the life of the process, and only counts.
            unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
        });
        Self(GENERATION.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn is_current(self) -> bool {
        GENERATION.load(Ordering::Relaxed) == self.0
    }
}

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// What a handle holds. Not dropped in a forked child, but leaked.
pub(crate) struct Local<T> {
    process: Process,
    value: ManuallyDrop<T>,
}

impl<T> Local<T> {
    pub fn new(value: T) -> Self {
        Self { process: Process::current(), value: ManuallyDrop::new(value) }
    }

    #[inline]
    pub fn process(&self) -> Process {
        self.process
    }
}

impl<T> Deref for Local<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if self.process.is_current() {
            // SAFETY: nothing uses it after this.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
