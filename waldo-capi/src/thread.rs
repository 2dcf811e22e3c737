//! Threads of this library.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::thread::Builder;

use waldo_core::tsan;

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
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both sets are owned here; the first call initialises `all`, the second `before`
    // where it answers 0.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let work = || {
        tsan::ignore_thread();
        work();
    };
    let started = Builder::new().name(name.to_owned()).spawn(work);
    if blocked {
        // SAFETY: `before` is initialised where the signals were blocked.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
    }
    started.map(drop).map_err(|error| Failure::system("cannot start a thread", &error))
}
