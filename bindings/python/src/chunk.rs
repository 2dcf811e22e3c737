//! Chunks: runs of logs in memory.

use std::ffi::c_int;
use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PyMemoryView};
use waldo_core::Chunk;

use crate::arrow;
use crate::log::PyLog;
use crate::numbers;
use crate::process::Local;

/// A run of consecutive logs.
#[pyclass(frozen, sequence, module = "waldo", name = "Chunk")]
pub struct PyChunk {
    // Only read, so that a forked child may, too.
    chunk: Local<Chunk>,
    entries: OnceLock<Vec<Entry>>,
}

/// Where a log is.
#[derive(Clone, Copy)]
pub struct Entry {
    pub seq_no: u64,
    pub prev_seq_no: u64,
    /// Offset of its payload in the chunk's bytes.
    pub start: usize,
    pub len: usize,
}

impl Entry {
    /// The payload, in the chunk's bytes.
    pub fn payload<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

impl PyChunk {
    pub fn new(chunk: Chunk) -> Self {
        Self { chunk: Local::new(chunk), entries: OnceLock::new() }
    }

    fn entries(&self) -> &[Entry] {
        self.entries.get_or_init(|| {
            let start = self.chunk.bytes().as_ptr().addr();
            let entry = |log: waldo_core::Log<'_>| Entry {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                start: log.data().as_ptr().addr().saturating_sub(start),
                len: log.data().len(),
            };
            self.chunk.iter().map(entry).collect()
        })
    }

    fn log(&self, py: Python<'_>, at: usize) -> Option<PyLog> {
        let entry = self.entries().get(at)?;
        let data = PyBytes::new(py, entry.payload(self.chunk.bytes()));
        let Entry { seq_no, prev_seq_no, .. } = *entry;
        Some(PyLog { seq_no, prev_seq_no, data: data.unbind() })
    }
}

#[pymethods]
impl PyChunk {
    fn __len__(&self) -> usize {
        self.entries().len()
    }

    fn __iter__(slf: Py<Self>) -> Logs {
        Logs { chunk: slf, next: AtomicUsize::new(0) }
    }

    fn __getitem__(&self, py: Python<'_>, index: isize) -> PyResult<PyLog> {
        let at = if index < 0 { index + self.__len__() as isize } else { index };
        let log = usize::try_from(at).ok().and_then(|at| self.log(py, at));
        log.ok_or_else(|| PyIndexError::new_err("chunk index out of range"))
    }

    /// Number of the first log; 0 where the chunk is empty.
    #[getter]
    fn first_seq_no(&self) -> u64 {
        self.entries().first().map_or(0, |entry| entry.seq_no)
    }

    /// Number of the last log; 0 where the chunk is empty.
    #[getter]
    fn last_seq_no(&self) -> u64 {
        self.chunk.last_seq_no()
    }

    /// Bytes that the logs take on disk, headers and padding included.
    #[getter]
    fn size(&self) -> usize {
        self.chunk.size()
    }

    /// The numbers of all logs, as unsigned 64-bit integers.
    #[getter]
    fn seq_nos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let entries = self.entries();
        numbers::view(py, entries.len(), entries.iter().map(|entry| entry.seq_no))
    }

    /// The numbers of the logs before each log, as unsigned 64-bit integers.
    #[getter]
    fn prev_seq_nos<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let entries = self.entries();
        numbers::view(py, entries.len(), entries.iter().map(|entry| entry.prev_seq_no))
    }

    /// The payloads of all logs, copied.
    fn payloads<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let bytes = self.chunk.bytes();
        expect_again(bytes.len());
        PyList::new(py, self.entries().iter().map(|entry| PyBytes::new(py, entry.payload(bytes))))
    }

    /// The payloads of all logs, read-only and not copied.
    fn views<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let memory = Memory { chunk: Local::new(Chunk::clone(&self.chunk)) };
        let whole = PyMemoryView::from(Bound::new(py, memory)?.as_any())?;
        let views = PyList::empty(py);
        for entry in self.entries() {
            views.append(whole.get_item(slice(py, entry.start, entry.start + entry.len)?)?)?;
        }
        Ok(views)
    }

    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, arrow::Layout::View)
    }

    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyCapsule>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        let layout = match requested_schema {
            Some(schema) => arrow::Layout::requested(schema)?,
            None => arrow::Layout::View,
        };
        let array = arrow::array(py, layout, &self.chunk, self.entries())?;
        Ok((arrow::schema(py, layout)?, array))
    }

    fn __repr__(&self) -> String {
        let (count, size) = (self.__len__(), self.size());
        let (first, last) = (self.first_seq_no(), self.last_seq_no());
        format!("<waldo.Chunk of {count} logs, {first} to {last}, {size} bytes>")
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a waldo.Chunk cannot be pickled; pickle list(chunk)"))
    }
}

/// `start:end`. Not by `PySlice::new`, which never frees the numbers that it makes.
fn slice(py: Python<'_>, start: usize, end: usize) -> PyResult<Bound<'_, PyAny>> {
    let (start, end) = (start.into_pyobject(py)?, end.into_pyobject(py)?);
    // SAFETY: both are objects that live during the call, which takes references of its own, and
    // no step is allowed. What it answers is NULL with an exception, or a new reference.
    unsafe {
        let slice = ffi::PySlice_New(start.as_ptr(), end.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, slice)
    }
}

/// Tells the allocator that this many bytes come and go.
///
/// The payloads of a chunk end at the top of the heap, and glibc gives that back to the system
/// when they are freed, page by page, only to get it again for those of the next: that costs
/// several times what copying does. It adapts when it sees a single block of that size freed, as
/// it does in most programs sooner or later.
fn expect_again(size: usize) {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    /// Larger blocks change nothing.
    const SIZE_MAX: usize = 16 * 1024 * 1024;

    if KNOWN.load(Ordering::Relaxed) < size.min(SIZE_MAX) {
        // With some room, so that this is rare. Nothing of it is ever touched.
        let size = size.saturating_mul(2).min(SIZE_MAX);
        KNOWN.fetch_max(size, Ordering::Relaxed);
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}

/// Iterates the logs of a chunk.
#[pyclass(frozen, module = "waldo._waldo", name = "_Logs")]
struct Logs {
    chunk: Py<PyChunk>,
    next: AtomicUsize,
}

#[pymethods]
impl Logs {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<PyLog> {
        self.chunk.get().log(py, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// The memory of a chunk, for views into it.
#[pyclass(frozen, module = "waldo._waldo", name = "_Memory")]
struct Memory {
    chunk: Local<Chunk>,
}

#[pymethods]
impl Memory {
    /// # Safety
    ///
    /// `view` is valid for writing, or NULL.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let bytes = slf.get().chunk.bytes();
        // SAFETY: the bytes never change, are marked as read-only, and stay where they are as
        // long as this object is there, which the view holds. `view` is valid by contract, and
        // NULL is answered with an exception.
        let filled = unsafe {
            let start = bytes.as_ptr().cast_mut().cast();
            let size = bytes.len() as ffi::Py_ssize_t;
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, size, 1, flags)
        };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
