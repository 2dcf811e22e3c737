//! Waldo: an embedded, asynchronous, append-only ring buffer of log records on disk.

pub mod batch;
pub mod catalog;
mod chunk;
pub mod driver;
pub mod engine;
mod error;
pub mod format;
mod handle;
pub mod index;
mod log;
pub mod memory;
mod open;
mod options;
pub mod progress;
pub mod published;
pub mod reader;
pub mod recovery;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod tail;
mod worker;

pub use chunk::{Chunk, LogIter, QueryLogs};
pub use engine::Appended;
pub use error::{AppendError, Corruption, Error, LogError, Poison, QueryError};
pub use handle::{AppendOptions, BlockingIter, Cursor, Metadata, Sink, Stream, Waldo};
pub use log::Log;
pub use options::{Backend, CorruptionPolicy, IoMode, Options, Recovery, Retention};
pub use recovery::{Dropped, RecoveryReport};
