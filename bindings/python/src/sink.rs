//! Sinks: buffered writers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use waldo_core::AppendOptions;
use waldo_core::format::record_size;

use crate::errors;
use crate::outcome::Outcome;
use crate::payloads::{self, Items, Packed};
use crate::process::Local;
use crate::store::Store;
use crate::submission;
use crate::ticket::Ending;
use crate::wait;

/// Gathers payloads, and appends many at a time.
#[pyclass(frozen, module = "waldo", name = "Sink")]
pub struct PySink {
    local: Local<Inner>,
}

struct Inner {
    store: Arc<Store>,
    capacity: usize,
    /// Locked as long as a call takes: also while it waits.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Takes what is pushed.
    filling: Packed,
    /// To be appended, oldest first.
    full: VecDeque<Packed>,
    /// Being appended. One at a time: where it is refused, what follows must not be accepted.
    under_way: Option<(Packed, Arc<Outcome<Ending>>)>,
}

impl PySink {
    pub fn new(store: Arc<Store>, capacity: usize) -> Self {
        let state = Mutex::new(State { filling: Packed::new(), ..State::default() });
        Self { local: Local::new(Inner { store, capacity, state }) }
    }
}

impl Inner {
    fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(errors::busy(py, "sink")),
        }
    }

    fn push(&self, payload: &Bound<'_, PyBytes>) -> PyResult<()> {
        let py = payload.py();
        let mut state = self.lock(py)?;
        let limits = self.store.open_waldo(py)?.batch_limits();
        submission::check(py, Items::Payloads(&[payload.as_bytes()]), &limits)?;
        let size = state.filling.size() + record_size(payload.as_bytes().len());
        let fits =
            size <= self.capacity.min(limits.size) && (state.filling.count() as u64) < limits.count;
        if !fits {
            state.set_aside();
        }
        self.send(py, &mut state)?;
        state.filling.push(payload.as_bytes());
        Ok(())
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.lock(py)?;
        state.set_aside();
        self.send(py, &mut state)?;
        state.settle(py)
    }

    /// Sends off all buffers that are full; waits for all but the last.
    fn send(&self, py: Python<'_>, state: &mut State) -> PyResult<()> {
        while !state.full.is_empty() {
            state.settle(py)?;
            let Some(buffer) = state.full.front() else { break };
            let options = AppendOptions::default();
            let outcome =
                buffer.with_items(|items| submission::submit(py, &self.store, items, options))?;
            state.under_way = state.full.pop_front().map(|buffer| (buffer, outcome));
        }
        Ok(())
    }
}

impl State {
    /// Has the next payload go into a new buffer.
    fn set_aside(&mut self) {
        if self.filling.count() > 0 {
            self.full.push_back(std::mem::replace(&mut self.filling, Packed::new()));
        }
    }

    /// Waits for the append under way. Where it failed, its payloads are to be appended again.
    fn settle(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some((_, outcome)) = &self.under_way else { return Ok(()) };
        let ended = poll_fn(|context| outcome.poll(context.waker()).map(drop));
        wait::block_on(py, true, ended)?;
        let Some((buffer, outcome)) = self.under_way.take() else { return Ok(()) };
        match outcome.get().map_or(Ok(()), |ending| ending.to_python(py).map(drop)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.full.push_front(buffer);
                Err(error)
            }
        }
    }

    fn unflushed_count(&self) -> usize {
        let under_way = self.under_way.as_ref().map(|(buffer, _)| buffer);
        let buffers = under_way.into_iter().chain(&self.full).chain([&self.filling]);
        buffers.map(Packed::count).sum()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let count = state.unflushed_count();
        if count > 0 {
            log::warn!("a sink was dropped with {count} payloads that were not flushed");
        }
    }
}

#[pymethods]
impl PySink {
    /// Adds a payload.
    fn push(&self, payload: &Bound<'_, PyAny>) -> PyResult<()> {
        self.local.get(payload.py())?.push(&payloads::bytes(payload)?)
    }

    /// Blocks until everything that was pushed is appended and acknowledged.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.local.get(py)?.flush(py)
    }

    /// Payloads that were pushed and are not acknowledged.
    #[getter]
    fn unflushed_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.local.get(py)?.lock(py)?.unflushed_count())
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
        self.flush(py)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a waldo.Sink cannot be pickled; make one where it is used"))
    }
}
