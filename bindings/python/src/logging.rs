//! Log lines of the engine, for Python's `logging`.
//!
//! The engine's threads leave them here; the next call that opens or closes a store, or raises,
//! hands them to the logger `waldo`.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::intern;
use pyo3::prelude::*;

/// Lines that are kept; older ones go.
const LINES_MAX: usize = 1000;

static LINES: Mutex<VecDeque<(Level, String)>> = Mutex::new(VecDeque::new());

fn lines() -> MutexGuard<'static, VecDeque<(Level, String)>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Collector;

impl Log for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut lines = lines();
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back((record.level(), record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// Collects lines from now on.
pub fn start() {
    if log::set_logger(&Collector).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Hands over what was collected.
pub fn deliver(py: Python<'_>) -> PyResult<()> {
    let collected = std::mem::take(&mut *lines());
    if collected.is_empty() {
        return Ok(());
    }
    let logging = py.import(intern!(py, "logging"))?;
    let logger = logging.call_method1(intern!(py, "getLogger"), ("waldo",))?;
    // A library says nothing unless the program asks for it.
    if !logger.call_method0(intern!(py, "hasHandlers"))?.is_truthy()? {
        let handler = logging.call_method0(intern!(py, "NullHandler"))?;
        logger.call_method1(intern!(py, "addHandler"), (handler,))?;
    }
    for (level, line) in collected {
        let level = match level {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info | Level::Debug | Level::Trace => 20,
        };
        logger.call_method1(intern!(py, "log"), (level, "%s", line))?;
    }
    Ok(())
}
