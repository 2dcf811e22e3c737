//! Following a store from outside, and checking one.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use waldo_core::{Chunk, Error, FollowOptions, Follower, QueryError};

use crate::cursor::PyCursor;
use crate::errors::{self, Raise};
use crate::logging;
use crate::process::Local;
use crate::reader::Reader;
use crate::records::{FollowMetadata, RecoveryReport, VerifyProgress, choice};
use crate::store;
use crate::stream::PyStream;
use crate::watcher::Watched;

/// A store that is read while another process may write it.
#[pyclass(frozen, module = "waldo", name = "Follower")]
pub struct PyFollower {
    path: PathBuf,
    options: FollowOptions,
    /// Reads on behalf of the calls that are not streams; `None` once it is closed.
    own: Local<Mutex<Option<Follower>>>,
}

/// Opens a store for reading, without its writer's lock.
#[pyfunction]
#[pyo3(signature = (
    path,
    *,
    durable_only = false,
    index_capacity = 256,
    corruption = "refuse",
    watch = "auto",
    poll_interval = 0.02,
))]
pub fn follow(
    py: Python<'_>,
    path: PathBuf,
    durable_only: bool,
    index_capacity: usize,
    corruption: &str,
    watch: &str,
    poll_interval: f64,
) -> PyResult<PyFollower> {
    let reason = "it must be a number of seconds";
    let interval = Duration::try_from_secs_f64(poll_interval);
    let options = FollowOptions {
        durable_only,
        index_capacity,
        corruption: choice(py, "corruption", corruption)?,
        watch: choice(py, "watch", watch)?,
        poll_interval: interval
            .map_err(|_| errors::option(py, "poll_interval", &poll_interval.to_string(), reason))?,
    };
    let path = std::path::absolute(&path).unwrap_or(path);
    let own = open(py, &path, options)?;
    Ok(PyFollower { path, options, own: Local::new(Mutex::new(Some(own))) })
}

fn open(py: Python<'_>, path: &PathBuf, options: FollowOptions) -> PyResult<Follower> {
    expect_store(py, path)?;
    let opened = py.detach(|| Follower::open(path, options));
    logging::deliver(py)?;
    opened.map_err(|error| error.raise(py))
}

/// Raises `StoreNotFoundError` where there is no store.
fn expect_store(py: Python<'_>, path: &Path) -> PyResult<()> {
    match store::exists(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(errors::store_not_found(py, path, "there is no store")),
        Err(source) => Err(Error::Io { action: "list", path: path.to_owned(), source }.raise(py)),
    }
}

impl PyFollower {
    /// Has the own follower do something, with the interpreter free for others.
    fn with_own<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&mut Follower) -> Result<T, QueryError> + Send,
    ) -> PyResult<T> {
        let own = self.own.get(py)?;
        // Locked only while this thread does not have the interpreter, which another one that
        // waits for the lock would not let go.
        let result = py.detach(|| {
            let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
            own.as_mut().map(call)
        });
        let result = result.ok_or_else(|| errors::follower_closed(py))?;
        result.map_err(|error| error.raise(py))
    }

    fn reader(&self, py: Python<'_>, cursor: PyCursor, ends: bool) -> PyResult<PyStream> {
        self.with_own(py, |_| Ok(()))?;
        let mut follower = open(py, &self.path, self.options)?;
        let followed = py.detach(|| {
            follower.seek(cursor.cursor())?;
            let end = if ends { Some(follower.metadata()?.prev_seq_no) } else { None };
            Ok(Followed { watched: None, follower, end })
        });
        let followed = followed.map_err(|error: QueryError| error.raise(py))?;
        Ok(PyStream::new(Reader::Followed(Box::new(followed))))
    }
}

#[pymethods]
impl PyFollower {
    /// Reads the logs from a place on that are there now: a stream that ends.
    fn query(&self, py: Python<'_>, cursor: PyRef<'_, PyCursor>) -> PyResult<PyStream> {
        self.reader(py, *cursor, true)
    }

    /// Reads the logs from a place on, and then waits for what the writer appends.
    fn stream(&self, py: Python<'_>, cursor: PyRef<'_, PyCursor>) -> PyResult<PyStream> {
        self.reader(py, *cursor, false)
    }

    /// The place before the newest logs.
    fn cursor_of_last(&self, py: Python<'_>, count: u64) -> PyResult<PyCursor> {
        self.with_own(py, |own| own.cursor_of_last(count)).map(PyCursor::from)
    }

    /// What the store holds now.
    fn metadata(&self, py: Python<'_>) -> PyResult<FollowMetadata> {
        self.with_own(py, Follower::metadata).map(FollowMetadata::from)
    }

    /// Directory of the store, as an absolute path.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.path.as_os_str().into_pyobject(py)?.into_any())
    }

    /// Gives up the files.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let own = self.own.get(py)?;
        py.detach(|| drop(own.lock().unwrap_or_else(PoisonError::into_inner).take()));
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

    fn __repr__(&self) -> String {
        format!("<waldo.Follower of {:?}>", self.path)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a waldo.Follower cannot be pickled; pass its path, and follow that",
        ))
    }
}

/// A reader of a store that is followed.
pub struct Followed {
    // Before the follower, whose descriptor it watches.
    watched: Option<Watched>,
    follower: Follower,
    /// A query ends here.
    end: Option<u64>,
}

impl Followed {
    /// The next chunk; `None` at the end of a query.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Chunk>, QueryError>> {
        if self.end.is_some_and(|end| self.follower.position() >= end) {
            return Poll::Ready(self.follower.check_end().map(|()| None));
        }
        match self.follower.try_next() {
            Ok(Some(chunk)) => return Poll::Ready(Ok(Some(chunk))),
            // There is less than there was.
            Ok(None) if self.end.is_some() => {
                return Poll::Ready(self.follower.check_end().map(|()| None));
            }
            Ok(None) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        match self.wait(context) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                Poll::Ready(Err(QueryError::Io { page: 0, errno }))
            }
        }
    }

    fn wait(&mut self, context: &Context<'_>) -> std::io::Result<()> {
        let watched = match &mut self.watched {
            Some(watched) => watched,
            empty => empty.insert(Watched::new(self.follower.as_fd().as_raw_fd())?),
        };
        watched.wake(context.waker())
    }

    pub fn position(&self) -> u64 {
        self.follower.position()
    }

    pub fn seek(&mut self, seq_no: u64) -> Result<(), QueryError> {
        self.follower.seek(waldo_core::Cursor::After(seq_no))
    }
}

/// Checks every checksum of a store, without its writer's lock.
#[pyfunction]
#[pyo3(signature = (path, progress=None))]
pub fn verify(
    py: Python<'_>,
    path: PathBuf,
    progress: Option<Py<PyAny>>,
) -> PyResult<RecoveryReport> {
    expect_store(py, &path)?;
    let mut raised = None;
    let told = |seen: waldo_core::VerifyProgress| {
        let told = Python::attach(|py| {
            py.check_signals()?;
            match &progress {
                Some(progress) => progress.call1(py, (VerifyProgress::from(seen),)).map(drop),
                None => Ok(()),
            }
        });
        match told {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                raised = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let report = py.detach(|| waldo_core::verify(&path, told));
    logging::deliver(py)?;
    match raised {
        Some(error) => Err(error),
        None => report.map(|report| (&report).into()).map_err(|error| error.raise(py)),
    }
}
