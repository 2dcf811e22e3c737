//! How an asyncio event loop is told that something is done.
//!
//! Each loop has one eventfd, which it watches as it watches its sockets. Who completes something,
//! on whatever thread, puts a key into the loop's [`Mailbox`] and writes to the eventfd, unless
//! that is to be read anyway: many completions are one wake-up. The loop's thread then ends the
//! futures that belong to the keys. No other thread touches anything of Python's.
//!
//! The loop holds its [`Hub`], as the callback for the eventfd; nobody else does, so that both go
//! together. A loop that is closed lets go of it, and of every future in it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::event_fd;
use crate::process;

/// What is done, for a loop to look at.
pub struct Mailbox {
    fd: OwnedFd,
    ready: Mutex<Vec<u64>>,
    /// The eventfd was written to, and not read since.
    is_signalled: AtomicBool,
}

impl Mailbox {
    fn post(&self, key: u64) {
        lock(&self.ready).push(key);
        if !self.is_signalled.swap(true, Ordering::AcqRel) {
            event_fd::signal(&self.fd);
        }
    }

    fn take(&self) -> Vec<u64> {
        event_fd::clear(&self.fd);
        // Before the keys are taken: one that comes later signals once more.
        self.is_signalled.store(false, Ordering::SeqCst);
        std::mem::take(&mut lock(&self.ready))
    }
}

/// Wakes what waits in a loop under a key.
struct LoopWaker {
    mailbox: Arc<Mailbox>,
    key: u64,
}

impl Wake for LoopWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.mailbox.post(self.key);
    }
}

/// The futures that wait in a loop.
#[pyclass(frozen, weakref, module = "waldo._waldo", name = "_Hub")]
pub struct Hub {
    event_loop: Py<PyWeakrefReference>,
    /// A forked child shares the eventfd with its parent, and must have one of its own.
    generation: u32,
    mailbox: Arc<Mailbox>,
    futures: Mutex<HashMap<u64, Py<PyAny>>>,
    next_key: AtomicU64,
}

thread_local! {
    /// The hubs of loops that ran in this thread.
    static HUBS: RefCell<Vec<Py<PyWeakrefReference>>> = const { RefCell::new(Vec::new()) };
}

/// The event loop that runs in this thread.
pub fn running(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

    let function = match RUNNING.get(py) {
        Some(function) => function,
        None => {
            let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
            if !modules.contains(intern!(py, "asyncio"))? {
                // Nobody can have started one; and importing it takes time.
                return Ok(None);
            }
            let function = py.import("asyncio")?.getattr("_get_running_loop")?;
            RUNNING.get_or_init(py, || function.unbind())
        }
    };
    let found = function.bind(py).call0()?;
    Ok((!found.is_none()).then_some(found))
}

impl Hub {
    /// The hub of the loop that runs in this thread.
    pub fn current(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let event_loop =
            running(py)?.ok_or_else(|| PyRuntimeError::new_err("no running event loop"))?;
        let known = HUBS.with_borrow(|hubs| {
            let hubs = hubs.iter().filter_map(|hub| hub.bind(py).upgrade());
            let mut hubs = hubs.filter_map(|hub| hub.cast_into::<Self>().ok());
            hubs.find(|hub| {
                let own = hub.get().event_loop.bind(py).upgrade();
                own.is_some_and(|own| own.is(&event_loop))
                    && hub.get().generation == process::generation()
            })
        });
        known.map_or_else(|| Self::install(py, &event_loop), Ok)
    }

    fn install<'py>(py: Python<'py>, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let mailbox = Mailbox {
            fd: event_fd::new(0)?,
            ready: Mutex::default(),
            is_signalled: AtomicBool::new(false),
        };
        let hub = Self {
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            generation: process::generation(),
            mailbox: Arc::new(mailbox),
            futures: Mutex::default(),
            next_key: AtomicU64::new(0),
        };
        let fd = hub.mailbox.fd.as_raw_fd();
        let hub = Bound::new(py, hub)?;
        event_loop.call_method1(intern!(py, "add_reader"), (fd, &hub))?;
        let own = PyWeakrefReference::new(hub.as_any())?.unbind();
        HUBS.with_borrow_mut(|hubs| {
            hubs.retain(|hub| hub.bind(py).upgrade().is_some());
            hubs.push(own);
        });
        Ok(hub)
    }

    /// A new future of the loop.
    pub fn create_future<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop.bind(py).upgrade();
        let event_loop =
            event_loop.ok_or_else(|| PyRuntimeError::new_err("the event loop is gone"))?;
        event_loop.call_method0(intern!(py, "create_future"))
    }

    /// A key, and what wakes whoever waits under it.
    pub fn enter(&self) -> (u64, Waker) {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let waker = LoopWaker { mailbox: Arc::clone(&self.mailbox), key };
        (key, Waker::from(Arc::new(waker)))
    }

    /// Ends `future` when somebody wakes the key.
    pub fn expect(&self, key: u64, future: Py<PyAny>) {
        let before = lock(&self.futures).insert(key, future);
        // Outside of the lock: it may run anything.
        drop(before);
    }

    /// Nobody waits under the key any more.
    pub fn forget(&self, key: u64) {
        let before = lock(&self.futures).remove(&key);
        drop(before);
    }
}

#[pymethods]
impl Hub {
    /// What the loop calls when the eventfd is readable.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        for key in self.mailbox.take() {
            let future = lock(&self.futures).remove(&key);
            let Some(future) = future else { continue };
            let future = future.bind(py);
            // It may have been cancelled since.
            if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
                future.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // Locked: it is in use, and so no garbage.
        if let Ok(futures) = self.futures.try_lock() {
            futures.values().try_for_each(|future| visit.call(future))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let futures = std::mem::take(&mut *lock(&self.futures));
        drop(futures);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
