//! Waldo: an embedded, asynchronous, append-only ring buffer of log records on disk.

pub mod batch;
pub mod catalog;
mod chunk;
pub mod driver;
pub mod engine;
mod error;
pub mod format;
pub mod index;
mod log;
pub mod memory;
mod options;
pub mod progress;
pub mod published;
pub mod reader;
pub mod recovery;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod tail;

pub use chunk::{Chunk, LogIter, QueryLogs};
pub use error::{AppendError, Corruption, Error, LogError, Poison, QueryError};
pub use log::Log;
pub use options::{Backend, CorruptionPolicy, IoMode, Options, Recovery, Retention};
