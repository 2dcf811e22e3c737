//! Threads of the library. They take no signals.
//!
//! A program expects its signals on its own threads, where the interpreter or the runtime that it
//! is written in knows how to handle them. And a write past the file size limit answers with an
//! error then, rather than with a `SIGXFSZ` that ends the process.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

use crate::tsan;

/// Starts a thread that takes no signals.
///
/// # Errors
///
/// The system refuses a thread; `work` was dropped.
pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let _blocked = Blocked::new();
    Builder::new().name(name.to_owned()).spawn(move || {
        tsan::ignore_thread();
        work();
    })
}

/// While it lives, this thread takes no signals, and neither do threads that it starts, ever.
pub(crate) struct Blocked {
    before: Option<libc::sigset_t>,
}

impl Blocked {
    /// Blocks all signals on this thread.
    pub fn new() -> Self {
        let mut all = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: both sets are owned here. The first call initialises `all`; the second reads it
        // and initialises `before` where it returns 0.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let result =
                libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self { before: (result == 0).then(|| before.assume_init()) }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: `before` is an initialised set that is borrowed for the call.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
        }
    }
}
