//! Tickets: operations that were submitted.

use std::sync::Arc;
use std::task::{Poll, Waker};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use waldo_core::{AppendError, Appended, Error};

use crate::awaitable::{Progress, Source, Wait};
use crate::errors::{self, Raise};
use crate::numbers;
use crate::outcome::Outcome;
use crate::process::Local;
use crate::wait;

/// What an operation ended with.
pub enum Ending {
    /// Logs that the store numbered.
    Numbered(Result<Appended, AppendError>),
    /// Logs that came with their numbers.
    Appended(Result<(), AppendError>),
    /// Everything else.
    Managed(Result<(), Error>),
}

/// The duty to tell how an operation ended. Where it is dropped, that is because the store was
/// closed.
pub struct Pledge {
    outcome: Arc<Outcome<Ending>>,
    kind: Kind,
    is_open: bool,
}

/// What kind of an operation it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Numbered,
    Appended,
    Managed,
}

impl Pledge {
    pub fn new(kind: Kind) -> Self {
        Self { outcome: Arc::default(), kind, is_open: true }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn ticket(&self) -> Ticket {
        Ticket::new(Arc::clone(&self.outcome))
    }

    /// Tells.
    pub fn keep(mut self, ending: Ending) {
        self.is_open = false;
        self.outcome.complete(ending);
    }

    /// Has somebody else tell, who is certain to.
    pub fn hand_over(mut self) -> Arc<Outcome<Ending>> {
        self.is_open = false;
        Arc::clone(&self.outcome)
    }

    /// Who is to tell, if he takes it over.
    pub fn outcome(&self) -> Arc<Outcome<Ending>> {
        Arc::clone(&self.outcome)
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        if self.is_open {
            self.outcome.complete(match self.kind {
                Kind::Numbered | Kind::Appended => {
                    Ending::appended(self.kind, Err(AppendError::Closed))
                }
                Kind::Managed => Ending::Managed(Err(Error::Closed)),
            });
        }
    }
}

impl Ending {
    /// How an append ended.
    pub fn appended(kind: Kind, result: Result<Appended, AppendError>) -> Self {
        match kind {
            Kind::Numbered => Self::Numbered(result),
            Kind::Appended | Kind::Managed => Self::Appended(result.map(drop)),
        }
    }

    /// The result for Python.
    pub fn to_python(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Numbered(Ok(appended)) => Ok(numbers::range(py, appended)?.unbind()),
            Self::Numbered(Err(error)) | Self::Appended(Err(error)) => Err(error.raise(py)),
            Self::Managed(Err(error)) => Err(error.raise(py)),
            Self::Appended(Ok(())) | Self::Managed(Ok(())) => Ok(py.None()),
        }
    }
}

/// An operation that was submitted.
#[pyclass(frozen, generic, module = "waldo")]
pub struct Ticket {
    local: Local<Arc<Outcome<Ending>>>,
}

impl Ticket {
    pub fn new(outcome: Arc<Outcome<Ending>>) -> Self {
        Self { local: Local::new(outcome) }
    }
}

#[pymethods]
impl Ticket {
    /// Blocks until the operation has ended, and returns its result.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let outcome = self.local.get(py)?;
        let timeout = wait::duration(timeout)?;
        let ended =
            wait::wait_for(py, timeout, true, |context| outcome.poll(context.waker()).map(drop))?;
        match (ended, outcome.get()) {
            (Some(()), Some(ending)) => ending.to_python(py),
            _ => Err(errors::timeout("not done in time; it goes on")),
        }
    }

    /// Whether the operation has ended.
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.local.get(py)?.get().is_some())
    }

    fn __await__(&self, py: Python<'_>) -> PyResult<Wait> {
        Ok(Wait::new(Awaited(Arc::clone(self.local.get(py)?))))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a waldo.Ticket cannot be pickled; wait for it, and send its result",
        ))
    }
}

struct Awaited(Arc<Outcome<Ending>>);

impl Source for Awaited {
    fn poll(&self, py: Python<'_>, waker: &Waker) -> PyResult<Progress> {
        match self.0.poll(waker) {
            Poll::Ready(ending) => ending.to_python(py).map(Progress::Ready),
            Poll::Pending => Ok(Progress::Pending),
        }
    }

    fn leave(&self, waker: &Waker) {
        self.0.forget(waker);
    }
}
