//! Waldo: an embedded, asynchronous, append-only ring buffer of log records on disk.

pub mod driver;
mod error;
pub mod format;
pub mod memory;
mod options;

pub use error::{AppendError, Corruption, Error, LogError, Poison, QueryError};
pub use options::{Backend, CorruptionPolicy, IoMode, Options, Recovery, Retention};
