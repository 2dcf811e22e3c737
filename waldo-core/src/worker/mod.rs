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
//! - `repair`: what must be written before anybody sees the store;
//! - `run`: the loop.

pub(crate) mod backend;
pub(crate) mod cold;
#[cfg(all(test, waldo_loom))]
mod races;
mod repair;
mod run;
pub(crate) mod shared;
#[cfg(test)]
mod tests;
pub(crate) mod ticket;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::batch::BatchLimits;
use crate::driver::Driver;
use crate::driver::files::{Home, PageFiles};
use crate::engine::Engine;
use crate::error::{Error, Poison};
use crate::memory::ReadPool;
use crate::open::{Opened, open};
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
    start_with(path, options, ready, backend::make)
}

/// Like [`start`], with a driver of the caller's choice.
pub(crate) fn start_with(
    path: &Path,
    options: &Options,
    ready: impl FnOnce(Result<Started, Error>) + Send + 'static,
    make: impl FnOnce(&Options, &Opened) -> Result<Box<dyn Driver>, Error> + Send + 'static,
) -> Result<(), Error> {
    let thread: Thread = Arc::default();
    let own = Arc::clone(&thread);
    let (path, options) = (path.to_owned(), *options);
    let home = path.clone();
    let mut place = thread.lock();
    let handle = crate::thread::start(THREAD_NAME, move || work(&home, options, own, ready, make))
        .map_err(|source| Error::Io { action: "start a thread for", path, source })?;
    *place = Some(handle);
    Ok(())
}

/// What the worker's thread does.
fn work(
    path: &Path,
    options: Options,
    thread: Thread,
    ready: impl FnOnce(Result<Started, Error>),
    make: impl FnOnce(&Options, &Opened) -> Result<Box<dyn Driver>, Error>,
) {
    match launch(path, options, thread, make) {
        Ok((started, home, engine, driver)) => {
            let shared = Arc::clone(&started.shared);
            ready(Ok(started));
            run::run(&shared, home, engine, driver, backend::reads_max(&options));
        }
        // Everything was released before.
        Err(error) => ready(Err(error)),
    }
}

/// Opens the store, up to the point where handles may be given out.
fn launch(
    path: &Path,
    options: Options,
    thread: Thread,
    make: impl FnOnce(&Options, &Opened) -> Result<Box<dyn Driver>, Error>,
) -> Result<(Started, Home, Engine, Box<dyn Driver>), Error> {
    let opened = open(path, &options)?;
    let driver = make(&options, &opened)?;
    let Opened { home, files, config, recovered, published, read_pool, report, options } = opened;
    // Behind the home: what ends early waits for its I/O before it releases the lock.
    let mut driver = driver;
    let mut report = report;
    let limits = config.batch_limits();
    let needs_repair = recovered.repair;
    let mut engine = Engine::new(config, Arc::clone(&published), recovered);
    if needs_repair {
        repair::repair(&mut engine, &mut *driver, home.path())?;
        // In a full ring that takes the oldest page.
        let totals = published.catalog.totals();
        report.after_seq_no = published.progress.trimmed();
        report.log_count = totals.log_count;
        report.page_count = totals.page_count;
    }
    driver.handed_out();
    let shared = Shared::new(published, driver.notifier(), options.buf_capacity);
    let started = Started {
        path: home.path().to_owned(),
        shared: Arc::new(shared),
        files,
        read_pool,
        limits,
        options,
        report,
        thread,
    };
    Ok((started, home, engine, driver))
}

/// The poison of a store whose worker panicked.
pub(crate) fn panicked() -> Poison {
    Poison { reason: "the worker panicked", errno: None }
}
