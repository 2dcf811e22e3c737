//! Streams: readers for `for`, `async for`, and loops of one's own.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::exceptions::{PyStopAsyncIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use waldo_core::{Chunk, QueryError};

use crate::awaitable::{Progress, Source, Wait};
use crate::chunk::PyChunk;
use crate::errors::{self, Raise};
use crate::event_fd;
use crate::process::Local;
use crate::reader::Reader;
use crate::wait;

/// Chunks that a task may take one after the other before others have their turn.
const TURN: u32 = 16;

/// Reads logs from a place on.
#[pyclass(frozen, module = "waldo", name = "Stream")]
pub struct PyStream {
    local: Local<Inner>,
}

struct Inner {
    slot: Mutex<Slot>,
    position: AtomicU64,
    /// A task waits for the next chunk.
    is_awaited: AtomicBool,
    is_closed: AtomicBool,
    /// Chunks that tasks have taken without waiting.
    taken: AtomicU32,
    event: OnceLock<(Arc<Event>, Waker)>,
}

struct Slot {
    /// Somebody uses it where it is not there, unless the stream is closed.
    reader: Option<Reader>,
    /// Who waits, for a close to wake him.
    waker: Option<Waker>,
}

/// What a poll of a stream answers: `None` at its end.
type Found = Result<Option<Chunk>, QueryError>;

/// Makes a descriptor readable.
struct Event(OwnedFd);

impl Wake for Event {
    fn wake(self: Arc<Self>) {
        event_fd::signal(&self.0);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        event_fd::signal(&self.0);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the reader; `None` where the stream is closed.
    fn take(&self, py: Python<'_>) -> PyResult<Option<InUse<'_>>> {
        let reader = self.lock().reader.take();
        match reader {
            Some(reader) => Ok(Some(InUse { inner: self, reader: Some(reader) })),
            None if self.is_closed.load(Ordering::Acquire) => Ok(None),
            None => Err(errors::busy(py, "stream")),
        }
    }

    /// Takes the reader, unless a task waits with it.
    fn take_unless_awaited(&self, py: Python<'_>) -> PyResult<Option<InUse<'_>>> {
        if self.is_awaited.load(Ordering::Acquire) {
            return Err(errors::busy(py, "stream"));
        }
        self.take(py)
    }

    /// A program that waits for the descriptor is to look once more: somebody else has polled the
    /// stream, and it wakes only the last who did.
    fn disturb(&self) {
        if let Some((event, _)) = self.event.get() {
            event_fd::signal(&event.0);
        }
    }
}

/// A reader that was taken, and goes back.
struct InUse<'a> {
    inner: &'a Inner,
    reader: Option<Reader>,
}

impl InUse<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Found> {
        let Some(reader) = &mut self.reader else { return Poll::Ready(Ok(None)) };
        let polled = reader.poll(context);
        if polled.is_pending() {
            // Either a close finds the waker here, or this finds the stream closed.
            self.inner.lock().waker = Some(context.waker().clone());
            if self.inner.is_closed.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(None));
            }
        }
        polled.map_ok(|found| {
            // Who keeps what he reads must not wait for himself.
            found.map(|chunk| if chunk.is_scarce() { chunk.into_owned() } else { chunk })
        })
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        self.inner.position.store(reader.position(), Ordering::Release);
        let mut slot = self.inner.lock();
        if !self.inner.is_closed.load(Ordering::SeqCst) {
            slot.reader = Some(reader);
        }
    }
}

impl PyStream {
    pub fn new(reader: Reader) -> Self {
        let inner = Inner {
            position: AtomicU64::new(reader.position()),
            slot: Mutex::new(Slot { reader: Some(reader), waker: None }),
            is_awaited: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            taken: AtomicU32::new(0),
            event: OnceLock::new(),
        };
        Self { local: Local::new(inner) }
    }

    /// Waits for the next chunk; `None` at the end.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Chunk>> {
        let inner = self.local.get(py)?;
        let timeout = wait::duration(timeout)?;
        let Some(mut in_use) = inner.take_unless_awaited(py)? else { return Ok(None) };
        let found = wait::wait_for(py, timeout, false, |context| in_use.poll(context));
        drop(in_use);
        inner.disturb();
        match found? {
            Some(found) => found.map_err(|error| error.raise(py)),
            None => Err(errors::timeout("no logs in time")),
        }
    }
}

#[pymethods]
impl PyStream {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<PyChunk>> {
        Ok(self.wait(py, None)?.map(PyChunk::new))
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Wait> {
        slf.get().local.get(slf.py())?;
        Ok(Wait::new(Next { stream: slf.unbind(), is_waiting: AtomicBool::new(false) }))
    }

    /// Blocks until there is a chunk, and returns it.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<PyChunk> {
        let chunk = self.wait(py, timeout)?;
        chunk.map(PyChunk::new).ok_or_else(|| errors::stream_closed(py))
    }

    /// The next chunk that can be had at once; None where there is none yet.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<PyChunk>> {
        let inner = self.local.get(py)?;
        let event = inner.event.get();
        if let Some((event, _)) = event {
            // Before it is polled: what comes meanwhile makes it readable once more.
            event_fd::clear(&event.0);
        }
        let waker = event.map_or(Waker::noop(), |(_, waker)| waker);
        let found = match inner.take_unless_awaited(py)? {
            Some(mut in_use) => py.detach(|| in_use.poll(&mut Context::from_waker(waker))),
            None => Poll::Ready(Ok(None)),
        };
        if found.is_ready() {
            // There may be more, and nobody was asked to say so.
            inner.disturb();
        }
        match found {
            Poll::Pending => Ok(None),
            Poll::Ready(Ok(Some(chunk))) => Ok(Some(PyChunk::new(chunk))),
            Poll::Ready(Ok(None)) => Err(errors::stream_closed(py)),
            Poll::Ready(Err(error)) => Err(error.raise(py)),
        }
    }

    /// A file descriptor that is readable when try_next may return a chunk.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let inner = self.local.get(py)?;
        if inner.event.get().is_none() {
            // Readable: nobody knows yet whether there is something.
            let event = Arc::new(Event(event_fd::new(1)?));
            let _ = inner.event.set((Arc::clone(&event), Waker::from(event)));
        }
        Ok(inner.event.get().map_or(-1, |(event, _)| event.0.as_raw_fd()))
    }

    /// Number of the last log that was returned; before the first, where the stream starts.
    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.local.get(py)?.position.load(Ordering::Acquire))
    }

    /// Goes on behind a log, forwards or backwards.
    fn seek(&self, py: Python<'_>, seq_no: u64) -> PyResult<()> {
        let inner = self.local.get(py)?;
        let in_use = inner.take_unless_awaited(py)?;
        let mut in_use = in_use.ok_or_else(|| errors::stream_closed(py))?;
        if let Some(reader) = &mut in_use.reader {
            reader.seek(seq_no).map_err(|error| error.raise(py))?;
        }
        drop(in_use);
        inner.disturb();
        Ok(())
    }

    /// Gives up what the stream holds.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let inner = self.local.get(py)?;
        inner.is_closed.store(true, Ordering::SeqCst);
        let mut slot = inner.lock();
        let (reader, waker) = (slot.reader.take(), slot.waker.take());
        drop(slot);
        drop(reader);
        waker.into_iter().for_each(Waker::wake);
        inner.disturb();
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
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
        self.close(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        let message = "a waldo.Stream cannot be pickled; open the store elsewhere by its path, \
            and go on there with After(stream.position)";
        Err(PyTypeError::new_err(message))
    }
}

/// Awaits the next chunk.
struct Next {
    stream: Py<PyStream>,
    /// This is the one that waits.
    is_waiting: AtomicBool,
}

impl Source for Next {
    fn poll(&self, py: Python<'_>, waker: &Waker) -> PyResult<Progress> {
        let inner = self.stream.get().local.get(py)?;
        let is_first = !self.is_waiting.load(Ordering::Relaxed);
        if is_first && inner.is_awaited.swap(true, Ordering::AcqRel) {
            return Err(errors::busy(py, "stream"));
        }
        self.is_waiting.store(true, Ordering::Relaxed);
        if is_first && inner.taken.fetch_add(1, Ordering::Relaxed) >= TURN {
            inner.taken.store(0, Ordering::Relaxed);
            return Ok(Progress::Yield);
        }
        let found = match inner.take(py)? {
            Some(mut in_use) => py.detach(|| in_use.poll(&mut Context::from_waker(waker))),
            None => Poll::Ready(Ok(None)),
        };
        match found {
            Poll::Pending => {
                inner.taken.store(0, Ordering::Relaxed);
                Ok(Progress::Pending)
            }
            Poll::Ready(Ok(Some(chunk))) => {
                let chunk = Bound::new(py, PyChunk::new(chunk))?;
                Ok(Progress::Ready(chunk.into_any().unbind()))
            }
            Poll::Ready(Ok(None)) => Err(PyStopAsyncIteration::new_err(())),
            Poll::Ready(Err(error)) => Err(error.raise(py)),
        }
    }

    fn leave(&self, _: &Waker) {
        let inner = &self.stream.get().local;
        if self.is_waiting.swap(false, Ordering::Relaxed) && inner.is_current() {
            inner.is_awaited.store(false, Ordering::Release);
            inner.disturb();
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.stream)
    }
}
