//! Threads of this library.

use std::cell::Cell;

use crate::error::Failure;

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread runs callbacks: what waits here may wait for itself.
pub(crate) fn mark_dispatcher() {
    IN_CALLBACK.set(true);
}

/// Whether this thread runs callbacks.
pub(crate) fn is_dispatcher() -> bool {
    IN_CALLBACK.get()
}

/// Starts a thread that takes no signals: a program expects those on its own threads.
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = waldo_core::thread::start(name, work);
    started.map(drop).map_err(|error| Failure::system("cannot start a thread", &error))
}
