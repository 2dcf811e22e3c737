//! The class `Waldo`, and opening.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use waldo_core::{AppendOptions, Memory};

use crate::awaitable::{Progress, Source, Wait};
use crate::cursor::PyCursor;
use crate::errors::{self, Raise};
use crate::logging;
use crate::management;
use crate::numbers;
use crate::payloads::{self, Items, Logs, Payloads};
use crate::reader::Reader;
use crate::records::{Metadata, Options, RecoveryReport, choice};
use crate::sink::PySink;
use crate::store::Store;
use crate::stream::PyStream;
use crate::submission;
use crate::ticket::Ticket;
use crate::wait;

/// An open store.
#[pyclass(frozen, weakref, module = "waldo", name = "Waldo")]
pub struct PyWaldo {
    store: Arc<Store>,
}

/// Opens the store in a directory.
#[expect(clippy::too_many_arguments, reason = "in Python they are given by name")]
#[pyfunction]
#[pyo3(signature = (
    path,
    *,
    create = false,
    ring_size = None,
    queue_depth = 64,
    pool_size = 8,
    huge_buf = false,
    buf_capacity = 1048576,
    page_capacity = 18446744073709551615,
    index_capacity = 4096,
    index_sparse_bytes = 16384,
    index_sparse_count = 1024,
    file_o_dsync = true,
    file_capacity = None,
    tail_capacity = 4194304,
    read_capacity = 8388608,
    backend = "auto",
    io = "auto",
    retention = "overwrite",
    recovery = "full",
    corruption = "refuse",
    flush_interval = None,
    memory_keep = true,
    memory_fail = "none",
    memory_fail_after = 0,
    memory_fail_count = 1,
    memory_errno = 5,
))]
pub fn open(
    py: Python<'_>,
    path: PathBuf,
    create: bool,
    ring_size: Option<u32>,
    queue_depth: u32,
    pool_size: u16,
    huge_buf: bool,
    buf_capacity: usize,
    page_capacity: u64,
    index_capacity: usize,
    index_sparse_bytes: usize,
    index_sparse_count: usize,
    file_o_dsync: bool,
    file_capacity: Option<u64>,
    tail_capacity: usize,
    read_capacity: usize,
    backend: &str,
    io: &str,
    retention: &str,
    recovery: &str,
    corruption: &str,
    flush_interval: Option<f64>,
    memory_keep: bool,
    memory_fail: &str,
    memory_fail_after: u64,
    memory_fail_count: u64,
    memory_errno: i32,
) -> PyResult<PyWaldo> {
    let options = waldo_core::Options {
        ring_size,
        queue_depth,
        pool_size,
        huge_buf,
        buf_capacity,
        page_capacity,
        index_capacity,
        index_sparse_bytes,
        index_sparse_count,
        file_o_dsync,
        file_capacity,
        tail_capacity,
        read_capacity,
        backend: choice(py, "backend", backend)?,
        io: choice(py, "io", io)?,
        retention: choice(py, "retention", retention)?,
        recovery: choice(py, "recovery", recovery)?,
        corruption: choice(py, "corruption", corruption)?,
        flush_interval: interval(py, flush_interval)?,
        memory: Memory {
            keep: memory_keep,
            fail: choice(py, "memory_fail", memory_fail)?,
            fail_after: memory_fail_after,
            fail_count: memory_fail_count,
            errno: memory_errno,
        },
    };
    Ok(PyWaldo { store: Store::open(py, path, create, options)? })
}

fn interval(py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else { return Ok(None) };
    match Duration::try_from_secs_f64(seconds) {
        Ok(interval) if !interval.is_zero() => Ok(Some(interval)),
        _ => {
            let reason = "it must be a number of seconds greater than 0, or None";
            Err(errors::option(py, "flush_interval", &seconds.to_string(), reason))
        }
    }
}

#[pymethods]
impl PyWaldo {
    /// Appends one log, numbered by the store, and blocks until it is acknowledged.
    #[pyo3(signature = (payload, *, durable=false))]
    fn append(&self, payload: &Bound<'_, PyAny>, durable: bool) -> PyResult<u64> {
        let options = AppendOptions { durable, ..AppendOptions::default() };
        let bytes = payloads::bytes(payload)?;
        let items = [bytes.as_bytes()];
        let items = Items::Payloads(&items);
        Ok(submission::append(payload.py(), &self.store, items, options)?.last_seq_no)
    }

    /// Appends logs in one crossing, and blocks until all are acknowledged.
    #[pyo3(signature = (payloads, *, durable=false, atomic=false))]
    fn append_many<'py>(
        &self,
        payloads: &Bound<'py, PyAny>,
        durable: bool,
        atomic: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = payloads.py();
        let held = Payloads::new(payloads)?;
        let items = held.slices();
        let options = AppendOptions { durable, atomic };
        let appended = submission::append(py, &self.store, Items::Payloads(&items), options)?;
        numbers::range(py, &appended)
    }

    /// Appends logs with numbers of your own, and blocks until all are acknowledged.
    #[pyo3(signature = (logs, *, durable=false, atomic=false))]
    fn append_logs(&self, logs: &Bound<'_, PyAny>, durable: bool, atomic: bool) -> PyResult<()> {
        let held = Logs::new(logs)?;
        let items = held.borrow();
        let options = AppendOptions { durable, atomic };
        submission::append(logs.py(), &self.store, Items::Logs(&items), options)?;
        Ok(())
    }

    /// Appends logs, numbered by the store, without waiting for the end.
    #[pyo3(signature = (payloads, *, durable=false, atomic=false))]
    fn submit(&self, payloads: &Bound<'_, PyAny>, durable: bool, atomic: bool) -> PyResult<Ticket> {
        let held = Payloads::new(payloads)?;
        let items = held.slices();
        let options = AppendOptions { durable, atomic };
        let items = Items::Payloads(&items);
        submission::submit(payloads.py(), &self.store, items, options).map(Ticket::new)
    }

    /// Appends logs with numbers of your own, without waiting for the end.
    #[pyo3(signature = (logs, *, durable=false, atomic=false))]
    fn submit_logs(
        &self,
        logs: &Bound<'_, PyAny>,
        durable: bool,
        atomic: bool,
    ) -> PyResult<Ticket> {
        let held = Logs::new(logs)?;
        let items = held.borrow();
        let options = AppendOptions { durable, atomic };
        submission::submit(logs.py(), &self.store, Items::Logs(&items), options).map(Ticket::new)
    }

    /// Makes durable what was submitted before, and blocks until it is.
    fn sync(&self, py: Python<'_>) -> PyResult<()> {
        let waldo = self.store.open_waldo(py)?;
        self.store.settle(py)?;
        wait::block_on(py, true, waldo.sync())?.map_err(|error| error.raise(py))
    }

    /// Makes durable what was submitted before, without waiting for the end.
    fn submit_sync(&self, py: Python<'_>) -> PyResult<Ticket> {
        management::sync(py, &self.store)
    }

    /// Gives up the logs up to and with a number, and blocks until that is recorded.
    fn trim(&self, py: Python<'_>, up_to_seq_no: u64) -> PyResult<()> {
        let waldo = self.store.open_waldo(py)?;
        wait::block_on(py, false, waldo.trim(up_to_seq_no))?.map_err(|error| error.raise(py))
    }

    /// Gives up the logs up to and with a number, without waiting for the end.
    fn submit_trim(&self, py: Python<'_>, up_to_seq_no: u64) -> PyResult<Ticket> {
        management::trim(py, &self.store, up_to_seq_no)
    }

    /// Removes the logs after a number, and blocks until that is durable.
    fn truncate(&self, py: Python<'_>, after_seq_no: u64) -> PyResult<()> {
        let waldo = self.store.open_waldo(py)?;
        self.store.settle(py)?;
        wait::block_on(py, false, waldo.truncate(after_seq_no))?.map_err(|error| error.raise(py))
    }

    /// Removes the logs after a number, without waiting for the end.
    fn submit_truncate(&self, py: Python<'_>, after_seq_no: u64) -> PyResult<Ticket> {
        management::truncate(py, &self.store, after_seq_no)
    }

    /// Removes every log, and blocks until that is durable.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let waldo = self.store.open_waldo(py)?;
        self.store.settle(py)?;
        wait::block_on(py, true, waldo.clear())?.map_err(|error| error.raise(py))
    }

    /// Removes every log, without waiting for the end.
    fn submit_clear(&self, py: Python<'_>) -> PyResult<Ticket> {
        management::clear(py, &self.store)
    }

    /// Reads the logs from a place on that are there now: a stream that ends.
    fn query(&self, py: Python<'_>, cursor: PyRef<'_, PyCursor>) -> PyResult<PyStream> {
        let waldo = self.store.waldo(py)?;
        Ok(PyStream::new(Reader::query(Arc::clone(&self.store), waldo, cursor.cursor())))
    }

    /// Reads the logs from a place on, and then waits for what is appended.
    fn stream(&self, py: Python<'_>, cursor: PyRef<'_, PyCursor>) -> PyResult<PyStream> {
        let waldo = self.store.waldo(py)?;
        Ok(PyStream::new(Reader::stream(Arc::clone(&self.store), waldo, cursor.cursor())))
    }

    /// A buffered writer.
    #[pyo3(signature = (capacity=65536))]
    fn sink(&self, py: Python<'_>, capacity: usize) -> PyResult<PySink> {
        self.store.open_waldo(py)?;
        Ok(PySink::new(Arc::clone(&self.store), capacity))
    }

    /// Directory of the store, as an absolute path.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.store.path().as_os_str().into_pyobject(py)?.into_any())
    }

    /// What the store was opened with.
    #[getter]
    fn options(&self, py: Python<'_>) -> PyResult<Options> {
        Ok(self.store.waldo(py)?.options().into())
    }

    /// What opening the store found.
    #[getter]
    fn recovery_report(&self, py: Python<'_>) -> PyResult<RecoveryReport> {
        Ok(self.store.waldo(py)?.recovery_report().into())
    }

    /// The newest log that readers see; 0 where there is none.
    #[getter]
    fn prev_seq_no(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.store.waldo(py)?.prev_seq_no().unwrap_or(0))
    }

    /// The newest log that survives a power loss; 0 where there is none.
    #[getter]
    fn durable_seq_no(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.store.waldo(py)?.durable_seq_no().unwrap_or(0))
    }

    /// Whether the store is closed, or being closed.
    #[getter]
    fn closed(&self, py: Python<'_>) -> PyResult<bool> {
        self.store.waldo(py)?;
        Ok(self.store.is_closed())
    }

    /// What the store holds and does just now.
    fn metadata(&self, py: Python<'_>) -> PyResult<Metadata> {
        Ok(Metadata::of(self.store.waldo(py)?))
    }

    /// Finishes what was submitted, makes it durable, seals, and blocks until all that is done.
    #[pyo3(signature = (timeout=None))]
    fn close(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
        let timeout = wait::duration(timeout)?;
        let outcome = self.store.close(py)?;
        let closed =
            wait::wait_for(py, timeout, true, |context| outcome.poll(context.waker()).map(drop))?;
        match (closed, outcome.get()) {
            (Some(()), Some(ending)) => ending.to_python(py).map(drop),
            _ => Err(errors::timeout("not closed in time; the close goes on")),
        }
    }

    /// Closes the store without waiting for the end.
    fn aclose(&self, py: Python<'_>) -> PyResult<Ticket> {
        self.store.close(py).map(Ticket::new)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().store.waldo(slf.py())?;
        Ok(slf)
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close(py, None)
    }

    fn __await__(slf: Py<Self>) -> Wait {
        Wait::new(Opening(slf))
    }

    fn __aenter__(slf: Py<Self>) -> Wait {
        Wait::new(Opening(slf))
    }

    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __aexit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<Ticket> {
        let _ = (exc_type, exc_value, traceback);
        self.aclose(py)
    }

    fn __repr__(&self) -> String {
        format!("<waldo.Waldo at {:?}>", self.store.path())
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message = "a waldo.Waldo cannot be pickled: one process at a time has a store open; \
            pass its path, and open it there, or follow it";
        Err(PyTypeError::new_err(message))
    }
}

/// Awaits that a store is open.
struct Opening(Py<PyWaldo>);

impl Source for Opening {
    fn poll(&self, py: Python<'_>, waker: &Waker) -> PyResult<Progress> {
        match self.0.get().store.opened(py)?.poll(waker) {
            Poll::Pending => Ok(Progress::Pending),
            Poll::Ready(Ok(_)) => {
                logging::deliver(py)?;
                Ok(Progress::Ready(self.0.clone_ref(py).into_any()))
            }
            Poll::Ready(Err(error)) => Err(error.raise(py)),
        }
    }

    fn leave(&self, waker: &Waker) {
        self.0.get().store.forget_opening(waker);
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}
