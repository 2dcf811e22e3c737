//! Which driver a store is driven with.

use std::io;
use std::sync::Arc;

use crate::driver::Driver;
use crate::driver::memory::MemoryDriver;
use crate::driver::threads::ThreadsDriver;
use crate::driver::uring::UringDriver;
use crate::error::Error;
use crate::open::Opened;
use crate::options::{Backend, Options};

/// Requests besides writes of appends and reads that may be under way: a seal, syncs, zeros.
const OTHERS: u32 = 4;

/// Makes the driver that the options ask for, on the thread that will use it.
///
/// # Errors
///
/// [`Error::Unsupported`] where io_uring is asked for and refused, [`Error::Io`] where the
/// system refuses the threads that would take its place.
pub(crate) fn make(options: &Options, opened: &Opened) -> Result<Box<dyn Driver>, Error> {
    let files = || Arc::clone(&opened.files);
    let depth = opened.config.writes_max as u32 + reads_max(options) as u32 + OTHERS;
    let threads = || -> Result<Box<dyn Driver>, Error> {
        let driver = ThreadsDriver::new(files(), depth).map_err(|source| Error::Io {
            action: "start threads for",
            path: opened.home.path().to_owned(),
            source,
        })?;
        Ok(Box::new(driver))
    };
    match options.backend {
        Backend::Threads => return threads(),
        Backend::Memory => return Ok(Box::new(MemoryDriver::new(files(), options.memory))),
        Backend::Auto if is_under_valgrind() => {
            log::info!("under valgrind, which stops every thread while one waits for io_uring");
            return threads();
        }
        Backend::Auto | Backend::IoUring => {}
    }
    match UringDriver::new(files(), &opened.published.pool, depth) {
        Ok(driver) => Ok(Box::new(driver)),
        Err(error) if options.backend == Backend::Auto => {
            log::warn!(
                "io_uring cannot be used here ({error}); using threads, which takes more time \
                 for each append. {}",
                hint(&error)
            );
            threads()
        }
        Err(source) => {
            let hint = hint(&source);
            Err(Error::Unsupported { what: "io_uring", source, hint })
        }
    }
}

/// Reads for readers that may be under way: what writes leave of the queue, so that no scan
/// takes a writer's place.
pub(super) fn reads_max(options: &Options) -> usize {
    let writes = options.queue_depth.min(crate::open::WRITES_MAX);
    (options.queue_depth - writes).max(1) as usize
}

/// Whether this program is run by valgrind, which is told by the library that it loads first.
fn is_under_valgrind() -> bool {
    let loaded = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    loaded.to_string_lossy().contains("/vgpreload_")
}

/// What to do about it.
fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "In a container, allow io_uring_setup, io_uring_enter and io_uring_register in its \
             seccomp profile; elsewhere, set the sysctl kernel.io_uring_disabled to 0; or use the \
             option backend = threads"
        }
        Some(libc::ENOMEM) => {
            "Raise the limit for locked memory (ulimit -l, RLIMIT_MEMLOCK), lower queue_depth, or \
             use the option backend = threads"
        }
        Some(libc::ENOSYS | libc::EINVAL) => {
            "Use Linux 6.8 or later, or the option backend = threads"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "Raise the limit for open files (ulimit -n), or use the option backend = threads"
        }
        _ => "Use the option backend = threads",
    }
}
