//! The native module of the Python package: the classes and functions of `waldo`.
//!
//! - `waldo`, `store`: the class `Waldo`, and the life of a store;
//! - `submission`, `payloads`, `backlog`: appending; `management`: what else is submitted;
//! - `stream`, `reader`: streams; `chunk`, `log`, `arrow`, `numbers`: what they return;
//! - `follow`, `watcher`: reading and checking a store from outside;
//! - `sink`: buffered writers; `cursor`, `records`: values;
//! - `ticket`, `outcome`: results to come; `wait`: waiting for them on a thread; `awaitable`,
//!   `event_loop`, `event_fd`: in asyncio and other loops;
//! - `errors`: exceptions; `logging`: log lines; `process`: forks; `exit`: the end
//!   of the interpreter.
//!
//! The threads of the engine never take the interpreter's lock, nor touch an object of Python's:
//! they complete an [`outcome::Outcome`] or wake a waker, and whoever waits does the rest.

mod arrow;
mod awaitable;
mod backlog;
mod chunk;
mod cursor;
mod errors;
mod event_fd;
mod event_loop;
mod exit;
mod follow;
mod log;
mod logging;
mod management;
mod numbers;
mod outcome;
mod payloads;
mod probe;
mod process;
mod reader;
mod records;
mod sink;
mod store;
mod stream;
mod submission;
mod ticket;
mod wait;
mod waldo;
mod watcher;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _waldo {
    use super::*;

    #[pymodule_export]
    use super::chunk::PyChunk;
    #[pymodule_export]
    use super::cursor::{PyCursor, after, from};
    #[pymodule_export]
    use super::exit::close_all;
    #[pymodule_export]
    use super::follow::{PyFollower, follow, verify};
    #[pymodule_export]
    use super::log::PyLog;
    #[pymodule_export]
    use super::probe::probe;
    #[pymodule_export]
    use super::records::{
        Corruption, Dropped, Finding, FollowMetadata, Metadata, Options, RecoveryReport,
        VerifyProgress,
    };
    #[pymodule_export]
    use super::sink::PySink;
    #[pymodule_export]
    use super::stream::PyStream;
    #[pymodule_export]
    use super::ticket::Ticket;
    #[pymodule_export]
    use super::waldo::{PyWaldo, open};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("Trim", cursor::PyCursor::TRIM)?;
        module.add("Tip", cursor::PyCursor::TIP)?;
        let close_all = module.getattr("_close_all")?;
        module.py().import("atexit")?.call_method1("register", (close_all,))?;
        // Notices forks from now on.
        process::generation();
        logging::start();
        Ok(())
    }
}
