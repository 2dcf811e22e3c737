//! The worker: the one thread that owns the engine, the driver and the lock on the directory.
//!
//! ```text
//! handles --lane--> engine --requests--> driver
//!    ^                |                    |
//!    +-- completions -+ <--- completions --+
//! ```
//!
//! - [`shared`]: what handles and the worker share: lanes, the sleep protocol, the end;
//! - [`ticket`]: a completion that runs exactly once, whatever happens;
//! - [`cold`]: reads for which readers could not be served from memory;
//! - `backend`: which driver it is;
//! - `run`: the loop.

mod backend;
pub(crate) mod cold;
mod run;
pub(crate) mod shared;
mod signals;
pub(crate) mod ticket;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::batch::BatchLimits;
use crate::driver::files::PageFiles;
use crate::error::{Error, Poison};
use crate::memory::ReadPool;
use crate::open::open;
use crate::options::Options;
use crate::recovery::RecoveryReport;

pub(crate) use self::shared::Shared;

/// Name of the worker's thread.
const THREAD_NAME: &str = "waldo-worker";

/// What a handle needs of a store whose worker runs.
pub(crate) struct Started {
    pub path: PathBuf,
    pub shared: Arc<Shared>,
    pub files: Arc<PageFiles>,
    pub read_pool: Arc<ReadPool>,
    pub limits: BatchLimits,
    pub options: Options,
    pub report: RecoveryReport,
    /// The worker's thread, for whoever waits for its end.
    pub thread: Thread,
}

/// The worker's thread, unless somebody waits for its end already.
pub(crate) type Thread = Arc<Mutex<Option<JoinHandle<()>>>>;

/// Starts a thread that opens the store at `path` and then becomes its worker.
///
/// `ready` runs on that thread: with what a handle needs once the worker can take operations, or
/// with the reason why the store could not be opened; then the thread is about to end. It does
/// not run where opening panics.
///
/// # Errors
///
/// [`Error::Io`] where the system refuses a thread.
pub(crate) fn start(
    path: &Path,
    options: &Options,
    ready: impl FnOnce(Result<Started, Error>) + Send + 'static,
) -> Result<(), Error> {
    let thread: Thread = Arc::default();
    let own = Arc::clone(&thread);
    let (path, options) = (path.to_owned(), *options);
    let home = path.clone();
    let _blocked = signals::Blocked::new();
    let mut place = thread.lock();
    let handle = std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(move || work(&home, options, own, ready))
        .map_err(|source| Error::Io { action: "start a thread for", path, source })?;
    *place = Some(handle);
    Ok(())
}

/// What the worker's thread does.
fn work(
    path: &PathBuf,
    options: Options,
    thread: Thread,
    ready: impl FnOnce(Result<Started, Error>),
) {
    let opened = open(path, &options);
    let (opened, driver) = match opened.and_then(|opened| {
        let driver = backend::make(&options, &opened)?;
        Ok((opened, driver))
    }) {
        Ok(both) => both,
        Err(error) => return ready(Err(error)),
    };
    let shared = Arc::new(Shared::new(
        Arc::clone(&opened.published),
        driver.notifier(),
        options.buf_capacity,
    ));
    let started = Started {
        path: opened.home.path().to_owned(),
        shared: Arc::clone(&shared),
        files: Arc::clone(&opened.files),
        read_pool: Arc::clone(&opened.read_pool),
        limits: opened.config.batch_limits(),
        options,
        report: opened.report.clone(),
        thread,
    };
    ready(Ok(started));
    run::run(&shared, opened, driver, backend::reads_max(&options));
}

/// The poison of a store whose worker panicked.
pub(crate) fn panicked() -> Poison {
    Poison { reason: "the worker panicked", errno: None }
}
