//! What asyncio tasks await.
//!
//! An awaitable looks for its result itself, whenever its task goes on; the future that the task
//! sleeps on carries none. So a task that is cancelled, at whatever moment, has had its result or
//! has not: there is no result under way that could be lost.

use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use pyo3::exceptions::PyStopIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use crate::event_loop::Hub;

/// What an awaitable found.
pub enum Progress {
    /// The result.
    Ready(Py<PyAny>),
    /// Nothing yet: the waker will be woken.
    Pending,
    /// Others shall have their turn.
    Yield,
}

/// Something that can be awaited.
pub trait Source: Send + Sync {
    /// Looks for the result; what is raised ends the wait, too.
    fn poll(&self, py: Python<'_>, waker: &Waker) -> PyResult<Progress>;

    /// Nobody waits with this waker any more.
    fn leave(&self, waker: &Waker);

    /// Shows the Python objects that it holds to the garbage collector.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let _ = visit;
        Ok(())
    }
}

/// Awaits a source, once.
#[pyclass(frozen, module = "waldo._waldo", name = "_Wait")]
pub struct Wait {
    source: Box<dyn Source>,
    place: Mutex<Option<Place>>,
}

/// Where a task waits.
struct Place {
    hub: Py<Hub>,
    key: u64,
    waker: Waker,
    /// What the task sleeps on.
    future: Option<Py<PyAny>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.get().forget(self.key);
    }
}

impl Wait {
    pub fn new(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), place: Mutex::new(None) }
    }

    fn take_place(&self) -> Option<Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn enter(py: Python<'_>) -> PyResult<Place> {
        let hub = Hub::current(py)?;
        let (key, waker) = hub.get().enter();
        Ok(Place { hub: hub.unbind(), key, waker, future: None })
    }

    /// What the task is to sleep on: a future, in the state that tasks expect, or nothing in
    /// particular. Raises the result, and what ended the wait.
    fn step(&self, py: Python<'_>, place: &mut Place) -> PyResult<Py<PyAny>> {
        if let Some(future) = place.future.take() {
            // Raises where it was somebody else that ended it.
            future.call_method0(py, intern!(py, "result"))?;
        }
        match self.source.poll(py, &place.waker)? {
            Progress::Ready(value) => Err(PyStopIteration::new_err((value,))),
            Progress::Yield => Ok(py.None()),
            Progress::Pending => {
                let future = place.hub.get().create_future(py)?;
                future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
                // Wake-ups are looked at on this thread, so that it is not too late.
                place.hub.get().expect(place.key, future.clone().unbind());
                Ok(place.future.insert(future.unbind()).clone_ref(py))
            }
        }
    }
}

#[pymethods]
impl Wait {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let mut place = match self.take_place() {
            Some(place) => place,
            None => Self::enter(py)?,
        };
        let stepped = self.step(py, &mut place);
        if stepped.is_ok() {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        } else {
            self.source.leave(&place.waker);
        }
        stepped
    }

    /// The task was cancelled: nobody waits any more, though something may still hold this.
    #[pyo3(signature = (kind, value=None, traceback=None, /))]
    fn throw(
        &self,
        kind: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        traceback: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = traceback;
        self.close();
        Err(PyErr::from_value(value.unwrap_or(kind).clone()))
    }

    /// Nobody waits any more.
    fn close(&self) {
        if let Some(place) = self.take_place() {
            self.source.leave(&place.waker);
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.source.traverse(&visit)?;
        // Locked: it is in use, and so no garbage.
        if let Ok(place) = self.place.try_lock()
            && let Some(place) = &*place
        {
            visit.call(&place.hub)?;
            visit.call(&place.future)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        drop(self.take_place());
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.close();
    }
}
