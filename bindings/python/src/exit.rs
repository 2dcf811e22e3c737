//! The end of the interpreter.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::store;
use crate::wait;

/// Stores were closed because the interpreter exits.
static IS_EXITING: AtomicBool = AtomicBool::new(false);

/// Whether this thread is one that the interpreter leaves behind when it exits.
pub fn is_daemon_at_exit(py: Python<'_>) -> PyResult<bool> {
    Ok(IS_EXITING.load(Ordering::Relaxed) && !wait::is_main_thread(py)?)
}

/// Closes every store that is still open, and waits for that.
#[pyfunction]
#[pyo3(name = "_close_all")]
pub fn close_all(py: Python<'_>) -> PyResult<()> {
    IS_EXITING.store(true, Ordering::Relaxed);
    // A store that could not be opened need not be closed.
    let closing: Vec<_> = store::all().iter().filter_map(|store| store.close(py).ok()).collect();
    for outcome in closing {
        // Nobody is left who could do something about a store that failed.
        wait::wait_for(py, None, true, |context| outcome.poll(context.waker()).map(drop))?;
    }
    Ok(())
}
