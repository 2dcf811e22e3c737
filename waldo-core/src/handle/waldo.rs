//! The handle: opening, closing, and what every call checks first.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocking::block_on;
use super::gate::Gate;
use crate::batch::BatchLimits;
use crate::driver::files::PageFiles;
use crate::error::{AppendError, Error, QueryError};
use crate::fork::Process;
use crate::memory::ReadPool;
use crate::options::Options;
use crate::published::Published;
use crate::recovery::RecoveryReport;
use crate::sync::oneshot;
use crate::worker::{self, Shared, Started, Thread};

/// A handle to an open store.
///
/// Cloning it is cheap, and all clones are the same store. It may be used from any thread, and
/// its futures on any executor. Every asynchronous call has a blocking form whose name starts
/// with `blocking_`; one of those must not be called from a task of an executor, nor from a
/// completion callback.
///
/// The store stays open until it is [closed](Self::close), or the last handle, [`Stream`] and
/// [`Sink`] is dropped. Dropping the last one finishes what was submitted, as a close does, and
/// waits for that; what goes wrong then is only logged. So a program that wants to know closes.
///
/// In a process that was forked, handles of the parent answer
/// [`Error::Forked`](crate::Error::Forked).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use waldo_core::{Cursor, Log, Options, Waldo};
///
/// let waldo = Waldo::blocking_open(dir.path(), Options::default())?;
/// waldo.blocking_append(&[Log::new_borrowed(1, 0, b"one"), Log::new_borrowed(2, 1, b"two")])?;
///
/// let found = waldo.blocking_query(Cursor::Trim, false)?;
/// assert_eq!(found.iter().map(|log| log.data().to_vec()).collect::<Vec<_>>(), [b"one", b"two"]);
/// waldo.blocking_close()?;
/// # Ok(())
/// # }
/// ```
///
/// [`Stream`]: crate::Stream
/// [`Sink`]: crate::Sink
#[derive(Clone)]
pub struct Waldo {
    inner: Arc<Inner>,
}

/// What all handles of a store share. Not dropped in a forked child, but leaked.
struct Inner(ManuallyDrop<Core>);

/// What a store consists of, seen from outside the worker.
pub(super) struct Core {
    pub path: PathBuf,
    pub shared: Arc<Shared>,
    pub published: Arc<Published>,
    pub files: Arc<PageFiles>,
    pub read_pool: Arc<ReadPool>,
    pub limits: BatchLimits,
    pub options: Options,
    pub report: RecoveryReport,
    /// Lets one call at a time count logs and change where the log starts or ends.
    pub gate: Arc<Gate>,
    thread: Thread,
    process: Process,
}

impl Waldo {
    /// Opens the store at `path`, or makes one there.
    ///
    /// Recovers what is there, so it may take as long as reading the store takes. All of that
    /// happens on another thread. A future that is dropped before it is done leaves the store
    /// closed, shortly after.
    ///
    /// # Errors
    ///
    /// - [`Error::Option`] where an option has a value that cannot work, here or for this store;
    /// - [`Error::Locked`] where the store is open already, in this process or another;
    /// - [`Error::NotAStore`], [`Error::Newer`] where the directory holds something else;
    /// - [`Error::Corruption`] where logs that had been durable are damaged, unless
    ///   [`Options::corruption`] says that they are to be cut;
    /// - [`Error::Unsupported`] where the system lacks what was asked for explicitly;
    /// - [`Error::Io`] where the system refuses a call.
    pub async fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        let (sender, receiver) = oneshot::channel();
        worker::start(path.as_ref(), &options, move |started| {
            // Where nobody waits any more, the handle is dropped here, and that closes the store.
            let _ = sender.send(started.map(Self::new));
        })?;
        receiver.await.unwrap_or_else(|_| Err(worker::panicked().into()))
    }

    /// Like [`open`](Self::open), and says what recovery found.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_with_report(
        path: impl AsRef<Path>,
        options: Options,
    ) -> Result<(Self, RecoveryReport), Error> {
        let waldo = Self::open(path, options).await?;
        let report = waldo.recovery_report().clone();
        Ok((waldo, report))
    }

    /// The blocking form of [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn blocking_open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        block_on(Self::open(path, options))
    }

    /// The blocking form of [`open_with_report`](Self::open_with_report).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn blocking_open_with_report(
        path: impl AsRef<Path>,
        options: Options,
    ) -> Result<(Self, RecoveryReport), Error> {
        block_on(Self::open_with_report(path, options))
    }

    /// What recovery found when the store was opened.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.inner.report
    }

    /// The directory that holds the store, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The options that the store was opened with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Closes the store, for every clone of the handle.
    ///
    /// Finishes what was submitted before, makes it durable, seals, and releases the lock on the
    /// directory: it can be opened again once this returns. Appends that wait for room
    /// (`Retention::Hold`) fail with [`AppendError::Full`]. Later calls answer `Closed`; queries
    /// and streams go on to return the logs that are there, and answer `Closed` behind the last.
    ///
    /// Closing a store that was closed answers how that ended. Where the future is dropped, the
    /// store is closed all the same.
    ///
    /// # Errors
    ///
    /// - [`Error::Poisoned`] where a write or a sync failed, earlier or now: not everything that
    ///   was submitted may be on disk. The store is closed nevertheless;
    /// - [`Error::Forked`] in a forked child.
    pub async fn close(self) -> Result<(), Error> {
        self.core()?;
        let (sender, receiver) = oneshot::channel();
        let done = Box::new(move |result| {
            let _ = sender.send(result);
        });
        match self.inner.shared.ask_close(Some(done)) {
            // It runs in any case; a panic of the worker ends in the same place.
            Ok(()) => receiver.await.unwrap_or(Ok(())),
            Err(ended) => ended,
        }
    }

    /// The blocking form of [`close`](Self::close). Waits for the worker's thread to end, too.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    ///
    /// # Panics
    ///
    /// In a completion callback.
    pub fn blocking_close(self) -> Result<(), Error> {
        self.assert_may_block();
        // In a forked child there is no thread to wait for.
        self.core()?;
        let thread = Arc::clone(&self.inner.thread);
        let result = block_on(self.close());
        join(&thread);
        result
    }

    /// Opens a store with a driver that a test makes of the real one.
    #[cfg(test)]
    pub(super) fn open_with_driver(
        path: &Path,
        options: Options,
        wrap: impl FnOnce(Box<dyn crate::driver::Driver>) -> Box<dyn crate::driver::Driver>
        + Send
        + 'static,
    ) -> Result<Self, Error> {
        let (sender, receiver) = oneshot::channel();
        let ready = move |started: Result<Started, Error>| {
            let _ = sender.send(started.map(Self::new));
        };
        worker::start_with(path, &options, ready, move |options, opened| {
            worker::backend::make(options, opened).map(wrap)
        })?;
        block_on(receiver).unwrap_or_else(|_| Err(worker::panicked().into()))
    }

    pub(crate) fn new(started: Started) -> Self {
        let Started { path, shared, files, read_pool, limits, options, report, thread } = started;
        let core = Core {
            path,
            published: Arc::clone(&shared.published),
            shared,
            files,
            read_pool,
            limits,
            options,
            report,
            gate: Arc::default(),
            thread,
            process: Process::current(),
        };
        Self { inner: Arc::new(Inner(ManuallyDrop::new(core))) }
    }

    /// What the store consists of, for a call that makes sense in this process only.
    pub(super) fn core(&self) -> Result<&Core, Forked> {
        let core: &Core = &self.inner;
        if core.process.is_current() { Ok(core) } else { Err(Forked) }
    }

    /// What the store consists of, for what makes sense in every process.
    pub(super) fn core_anywhere(&self) -> &Core {
        &self.inner
    }

    /// A blocking call on the worker's thread would wait for itself.
    pub(super) fn assert_may_block(&self) {
        assert!(
            !self.inner.shared.is_worker(),
            "a blocking call in a completion callback would wait for itself for ever"
        );
    }
}

impl fmt::Debug for Waldo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = &self.inner.published.progress;
        f.debug_struct("Waldo")
            .field("after_seq_no", &progress.trimmed())
            .field("prev_seq_no", &progress.tip())
            .field("durable_seq_no", &progress.durable())
            .field("closed", &progress.is_closed())
            .finish_non_exhaustive()
    }
}

impl Deref for Inner {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.0
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // The worker and the lock are the parent's, and another thread may have held any
            // lock in here when the process was forked.
            return;
        }
        let waits = self.shared.ask_close(None).is_ok();
        // A callback on the worker's thread cannot wait for it; it ends by itself soon.
        if waits && !self.shared.is_worker() {
            join(&self.thread);
        }
        // SAFETY: nothing uses it after this.
        unsafe { ManuallyDrop::drop(&mut self.0) };
    }
}

fn join(thread: &Thread) {
    let handle = thread.lock().take();
    if handle.is_some_and(|handle| handle.join().is_err()) {
        log::error!("the worker's thread panicked at its end");
    }
}

/// A handle of the parent, used in a child.
pub(super) struct Forked;

impl From<Forked> for Error {
    fn from(_: Forked) -> Self {
        Self::Forked
    }
}

impl From<Forked> for AppendError {
    fn from(_: Forked) -> Self {
        Self::Forked
    }
}

impl From<Forked> for QueryError {
    fn from(_: Forked) -> Self {
        Self::Forked
    }
}
