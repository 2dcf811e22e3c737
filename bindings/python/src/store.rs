//! The life of a store: opening, closing, and what becomes of one that is simply dropped.

use std::ffi::OsStr;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use pyo3::prelude::*;
use waldo_core::{Backend, Error, Options, Retention, Waldo};

use crate::backlog::Backlog;
use crate::errors::{self, Raise};
use crate::event_loop;
use crate::logging;
use crate::outcome::Outcome;
use crate::process::Local;
use crate::ticket::Ending;
use crate::wait;

/// A store that is open, or about to be.
pub struct Store {
    local: Local<Inner>,
}

/// How opening ended.
pub type Opened = Result<Waldo, OpenError>;

struct Inner {
    path: PathBuf,
    opened: Arc<Outcome<Opened>>,
    backlog: Arc<Backlog>,
    closing: Mutex<Option<Arc<Outcome<Ending>>>>,
}

/// Every store that is still there.
static STORES: Mutex<Vec<Weak<Store>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether there is a store in a directory.
pub fn exists(path: &Path) -> io::Result<bool> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        // Not a directory: the core says what is wrong.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        if Path::new(&entry?.file_name()).extension() == Some(OsStr::new("page")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every store of this process that is still there.
pub fn all() -> Vec<Arc<Store>> {
    let stores = lock(&STORES).iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
    stores.into_iter().filter(|store| store.local.is_current()).collect()
}

impl Store {
    /// Opens a store: where an event loop runs in this thread, in the background.
    pub fn open(
        py: Python<'_>,
        path: PathBuf,
        create: bool,
        options: Options,
    ) -> PyResult<Arc<Self>> {
        // Absolute, so that a later change of the working directory changes nothing.
        let path = std::path::absolute(&path).unwrap_or(path);
        let opened = if event_loop::running(py)?.is_some() {
            open_elsewhere(py, path.clone(), create, options)?
        } else {
            let waldo = wait::block_on(py, false, open(path.clone(), create, options))?;
            logging::deliver(py)?;
            Arc::new(Outcome::from(Ok(waldo.map_err(|error| error.raise(py))?)))
        };
        let (backlog, closing) = (Arc::default(), Mutex::default());
        let store = Arc::new(Self { local: Local::new(Inner { path, opened, backlog, closing }) });
        let mut stores = lock(&STORES);
        stores.retain(|store| store.strong_count() > 0);
        stores.push(Arc::downgrade(&store));
        Ok(store)
    }

    /// The core's handle. Waits until the store is open.
    pub fn waldo(&self, py: Python<'_>) -> PyResult<&Waldo> {
        let inner = self.local.get(py)?;
        let opened = match inner.opened.get() {
            Some(opened) => opened,
            None => {
                wait::block_on(
                    py,
                    true,
                    std::future::poll_fn(|context| inner.opened.poll(context.waker()).map(drop)),
                )?;
                inner.opened.get().ok_or_else(|| errors::store_closed(py))?
            }
        };
        opened.as_ref().map_err(|error| error.raise(py))
    }

    /// The core's handle, unless somebody closes the store, or did.
    pub fn open_waldo(&self, py: Python<'_>) -> PyResult<&Waldo> {
        let waldo = self.waldo(py)?;
        if self.is_closed() { Err(errors::store_closed(py)) } else { Ok(waldo) }
    }

    /// Waits until nothing of what was submitted before waits for room.
    pub fn settle(&self, py: Python<'_>) -> PyResult<()> {
        let backlog = self.backlog();
        if !backlog.is_running() {
            return Ok(());
        }
        wait::block_on(py, true, std::future::poll_fn(|context| backlog.poll_settled(context)))
    }

    /// How opening ends.
    pub fn opened(&self, py: Python<'_>) -> PyResult<&Outcome<Opened>> {
        Ok(&self.local.get(py)?.opened)
    }

    /// Does not wake `waker` any more when the store is open.
    pub fn forget_opening(&self, waker: &Waker) {
        if self.local.is_current() {
            self.local.opened.forget(waker);
        }
    }

    pub fn backlog(&self) -> &Arc<Backlog> {
        &self.local.backlog
    }

    /// The directory. Also a forked child may know it.
    pub fn path(&self) -> &Path {
        &self.local.path
    }

    /// Whether the store is closed, or being closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.local.closing).is_some()
    }

    /// Closes the store, unless somebody does already; answers how that ends.
    pub fn close(&self, py: Python<'_>) -> PyResult<Arc<Outcome<Ending>>> {
        let waldo = self.waldo(py)?;
        logging::deliver(py)?;
        Ok(self.local.close(waldo))
    }
}

impl Inner {
    fn close(&self, waldo: &Waldo) -> Arc<Outcome<Ending>> {
        let mut closing = lock(&self.closing);
        if let Some(known) = &*closing {
            return Arc::clone(known);
        }
        let outcome = Arc::new(Outcome::default());
        *closing = Some(Arc::clone(&outcome));
        drop(closing);
        // What waits for room goes first. With `Hold` there may never be any: then a close is
        // what ends the wait.
        let waits = self.backlog.is_running() && waldo.options().retention != Retention::Hold;
        let (waldo, result) = (waldo.clone(), Arc::clone(&outcome));
        if waits {
            let job = Box::pin(async move {
                close(&waldo, result);
                Ok(())
            });
            if self.backlog.push(job).is_ok() {
                return outcome;
            }
        } else {
            close(&waldo, result);
        }
        outcome
    }
}

/// Closes a store. What the core is given last is its handle, too: the last one is dropped on the
/// core's own thread, which does not wait for itself.
fn close(waldo: &Waldo, outcome: Arc<Outcome<Ending>>) {
    let last = waldo.clone();
    let own = Arc::clone(&outcome);
    let done = move |result| {
        own.complete(Ending::Managed(result));
        drop(last);
    };
    if waldo.submit_close(done).is_err() {
        // It has ended by itself, as a store does whose worker fails. This tells how.
        outcome.complete(Ending::Managed(waldo.clone().blocking_close()));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(Ok(waldo)) = self.opened.get() {
            let is_closing = lock(&self.closing).is_some();
            let outcome = self.close(waldo);
            if is_closing && outcome.get().is_none() {
                // Whoever closes may be done before this is: then the last handle is this one.
                let last = waldo.clone();
                let _ = waldo.submit_close(move |_| drop(last));
            }
        }
    }
}

/// Why a store is not open.
pub enum OpenError {
    /// There is none.
    NotFound(PathBuf),
    Core(Error),
}

impl Raise for OpenError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::NotFound(path) => {
                errors::store_not_found(py, path, "there is no store; create=True makes one")
            }
            Self::Core(error) => error.raise(py),
        }
    }
}

async fn open(path: PathBuf, create: bool, options: Options) -> Result<Waldo, OpenError> {
    // In memory a path is only a name.
    if !create && options.backend != Backend::Memory {
        match exists(&path) {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::NotFound(path)),
            Err(source) => return Err(OpenError::Core(Error::Io { action: "list", path, source })),
        }
    }
    Waldo::open(path, options).await.map_err(OpenError::Core)
}

/// Opens a store on a thread of its own.
fn open_elsewhere(
    py: Python<'_>,
    path: PathBuf,
    create: bool,
    options: Options,
) -> PyResult<Arc<Outcome<Opened>>> {
    let opened = Arc::new(Outcome::default());
    let own = Arc::clone(&opened);
    let work = move || {
        let opened = catch_unwind(|| wait::block_on_detached(open(path, create, options)));
        own.complete(opened.unwrap_or(Err(OpenError::Core(Error::Closed))));
    };
    match waldo_core::thread::start("waldo-open", work) {
        Ok(_) => Ok(opened),
        Err(error) => Err(errors::no_thread(py, &error)),
    }
}
