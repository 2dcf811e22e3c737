//! Telling whether the process was forked since an object was made.
//!
//! A child has the memory of its parent but not its threads, and a lock that another thread held
//! at the fork is locked for ever. So an object that finds itself in a child touches nothing of
//! what it holds that needs either; dropped there, it frees nothing.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;

use crate::errors;

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Forks since the module was loaded. Grows in the child.
pub fn generation() -> u32 {
    static REGISTER: Once = Once::new();

    REGISTER.call_once(|| {
        // SAFETY: the handler stays valid for the life of the process, and only counts.
        unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn count_fork() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// What belongs to the process that made it.
pub struct Local<T> {
    generation: u32,
    value: ManuallyDrop<T>,
}

impl<T> Local<T> {
    pub fn new(value: T) -> Self {
        Self { generation: generation(), value: ManuallyDrop::new(value) }
    }

    pub fn is_current(&self) -> bool {
        generation() == self.generation
    }

    /// The value, where it may be used; else `ForkedError`.
    pub fn get(&self, py: Python<'_>) -> PyResult<&T> {
        if self.is_current() { Ok(&self.value) } else { Err(errors::forked(py)) }
    }
}

/// The value, for what needs neither threads nor locks.
impl<T> Deref for Local<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Local<T> {
    fn drop(&mut self) {
        if self.is_current() {
            // SAFETY: nothing uses it after this.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}
