//! From the core's errors to the exceptions of `waldo._errors`.

use std::path::Path;

use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PySystemExit, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use waldo_core::{AppendError, Backend, Corruption, Error, IoMode, Poison, QueryError};

use crate::exit;
use crate::logging;
use crate::records::Choice;

/// An error that has an exception.
pub trait Raise {
    fn raise(&self, py: Python<'_>) -> PyErr;
}

/// Makes an exception of `waldo._errors`.
fn exception<'py>(py: Python<'py>, class: &str, arguments: impl PyCallArgs<'py>) -> PyErr {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

    if let Err(error) = logging::deliver(py) {
        return error;
    }
    let module = MODULE.get_or_try_init(py, || py.import("waldo._errors").map(Bound::unbind));
    let instance = module
        .and_then(|module| module.bind(py).getattr(class))
        .and_then(|class| class.call1(arguments));
    instance.map_or_else(|error| error, PyErr::from_value)
}

pub fn store_closed(py: Python<'_>) -> PyErr {
    closed(py, "the store is closed")
}

pub fn stream_closed(py: Python<'_>) -> PyErr {
    closed(py, "the stream has ended")
}

fn closed(py: Python<'_>, message: &'static str) -> PyErr {
    // Threads that are left when the interpreter exits are daemons, which cannot know that their
    // store was closed for that: they end as threads do that exit, without a word.
    match exit::is_daemon_at_exit(py) {
        Ok(false) => exception(py, "ClosedError", (message,)),
        Ok(true) => PySystemExit::new_err(()),
        Err(error) => error,
    }
}

pub fn follower_closed(py: Python<'_>) -> PyErr {
    exception(py, "ClosedError", ("the follower is closed",))
}

pub fn forked(py: Python<'_>) -> PyErr {
    let message = "this belongs to the parent process; open the store anew after the fork";
    exception(py, "ForkedError", (message,))
}

pub fn busy(py: Python<'_>, what: &str) -> PyErr {
    let message = format!("the {what} is in use by another thread or task");
    exception(py, "BusyError", (message,))
}

pub fn timeout(message: &'static str) -> PyErr {
    PyTimeoutError::new_err(message)
}

pub fn option(py: Python<'_>, name: &str, value: &str, reason: &str) -> PyErr {
    let message = format!("option {name} = {value} is not possible: {reason}");
    exception(py, "OptionError", (message, name, value))
}

/// Writes the settings that a text of the core recommends as they are written in Python.
fn settings(text: String) -> String {
    fn quote<T: Choice>(text: String, name: &str) -> String {
        T::WORDS.iter().fold(text, |text, (word, _)| {
            text.replace(&format!("{name} = {word}"), &format!("{name}=\"{word}\""))
        })
    }
    quote::<IoMode>(quote::<Backend>(text, "backend"), "io")
}

pub fn store_not_found(py: Python<'_>, path: &Path, message: &str) -> PyErr {
    exception(py, "StoreNotFoundError", (libc::ENOENT, message, path.as_os_str()))
}

fn storage(py: Python<'_>, errno: i32, message: String, path: Option<&Path>) -> PyErr {
    match path {
        Some(path) => exception(py, "StorageError", (errno, message, path.as_os_str())),
        None => exception(py, "StorageError", (errno, message)),
    }
}

pub fn no_thread(py: Python<'_>, error: &std::io::Error) -> PyErr {
    storage(py, errno(error), format!("cannot start a thread: {}", words(error)), None)
}

/// The system's words for an error, without its number.
fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

impl Raise for Error {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Io { action, path, source } => {
                let message = format!("cannot {action}: {}", words(source));
                storage(py, errno(source), message, Some(path))
            }
            // Here the options of options are options of their own.
            Self::Option { name, value, reason } => {
                option(py, &name.replace('.', "_"), value, &settings(reason.clone()))
            }
            Self::Locked { path, pid } => {
                exception(py, "LockedError", (message, path.as_os_str(), *pid))
            }
            Self::NotAStore { path, .. } => {
                exception(py, "NotAStoreError", (message, path.as_os_str()))
            }
            Self::Newer { path, version, features } => {
                exception(py, "NewerError", (message, path.as_os_str(), *version, *features))
            }
            Self::Corruption(corruption) => corruption.raise(py),
            Self::Unsupported { source, hint, .. } => {
                let arguments =
                    (settings(message), settings((*hint).to_owned()), source.raw_os_error());
                exception(py, "UnsupportedError", arguments)
            }
            Self::NotFound { seq_no } => exception(py, "NotFoundError", (message, *seq_no)),
            Self::Query(error) => error.raise(py),
            Self::Append(error) => error.raise(py),
            Self::Poisoned(poison) => poison.raise(py),
            Self::Closed => store_closed(py),
            Self::Forked => forked(py),
            _ => exception(py, "WaldoError", (message,)),
        }
    }
}

impl Raise for AppendError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Sequence { seq_no, wanted, actual } => {
                exception(py, "SequenceError", (message, *seq_no, *wanted, *actual))
            }
            Self::Order { seq_no, prev_seq_no } => {
                exception(py, "OrderError", (message, *seq_no, *prev_seq_no))
            }
            Self::ExceedsLimit { seq_no, size, limit } => {
                exception(py, "ExceedsLimitError", (message, *seq_no, *size, *limit))
            }
            Self::BatchTooLarge { count, count_limit, size, size_limit } => {
                let arguments = (message, *count, *count_limit, *size, *size_limit);
                exception(py, "BatchTooLargeError", arguments)
            }
            Self::Exhausted { tip } => exception(py, "ExhaustedError", (message, *tip)),
            Self::Full { oldest } => exception(py, "FullError", (message, *oldest)),
            Self::NoSpace { errno } => {
                let source = std::io::Error::from_raw_os_error(*errno);
                let message = format!("no room on disk for the next page: {}", words(&source));
                storage(py, *errno, message, None)
            }
            Self::Timeout => timeout("not acknowledged in time; the logs may have been appended"),
            Self::Poisoned(poison) => poison.raise(py),
            Self::Closed => store_closed(py),
            Self::Forked => forked(py),
            _ => exception(py, "WaldoError", (message,)),
        }
    }
}

impl Raise for QueryError {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let message = self.to_string();
        match self {
            Self::Trimmed { oldest } => exception(py, "TrimmedError", (message, *oldest)),
            Self::Truncated { tip } => exception(py, "TruncatedError", (message, *tip)),
            Self::Corruption(corruption) => corruption.raise(py),
            Self::Io { page, errno } => {
                let source = std::io::Error::from_raw_os_error(*errno);
                let message = format!("cannot read page {page}: {}", words(&source));
                storage(py, *errno, message, None)
            }
            Self::Timeout => timeout("no logs in time"),
            Self::Gone => exception(py, "GoneError", (message,)),
            Self::Poisoned(poison) => poison.raise(py),
            Self::Closed => store_closed(py),
            Self::Forked => forked(py),
            _ => exception(py, "WaldoError", (message,)),
        }
    }
}

impl Raise for Corruption {
    fn raise(&self, py: Python<'_>) -> PyErr {
        let arguments = (self.to_string(), self.page, self.offset, self.after_seq_no);
        exception(py, "CorruptionError", arguments)
    }
}

impl Raise for Poison {
    fn raise(&self, py: Python<'_>) -> PyErr {
        exception(py, "PoisonedError", (self.to_string(), self.errno))
    }
}
