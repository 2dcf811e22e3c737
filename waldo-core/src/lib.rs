//! Waldo: an embedded, asynchronous, append-only ring buffer of log records on disk, made for
//! write-ahead logs.
//!
//! Start with [`Waldo`]: open a store, append [`Log`]s, query them or follow them with a
//! [`Stream`]. [`Options`] say how large the store is and what an acknowledgement means;
//! [`Error`], [`AppendError`] and [`QueryError`] say what to do when something is wrong. Every call
//! is there as a future for any executor, as a blocking call (`blocking_…`), and, for those who
//! write bindings, with a completion callback (`submit_…`).
//!
//! [`format`](mod@format) and [`batch`] are public for tools and bindings. The other modules are the inside of
//! the engine, visible to its tests and benches; they are hidden from these pages and may change
//! at any time. `ARCHITECTURE.md` in the repository is their map.

pub mod batch;
#[doc(hidden)]
pub mod catalog;
mod chunk;
#[doc(hidden)]
pub mod driver;
#[doc(hidden)]
pub mod engine;
mod error;
mod follow;
mod fork;
pub mod format;
mod handle;
#[doc(hidden)]
pub mod index;
mod log;
#[doc(hidden)]
pub mod memory;
mod open;
mod options;
mod probe;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod published;
#[doc(hidden)]
pub mod reader;
#[doc(hidden)]
pub mod recovery;
#[cfg(any(test, feature = "simulation"))]
#[doc(hidden)]
pub mod simulation;
mod sync;
#[doc(hidden)]
pub mod tail;
#[doc(hidden)]
pub mod thread;
#[doc(hidden)]
pub mod tsan;
mod worker;

pub use chunk::{Chunk, LogIter, LogPlace, QueryLogs};
pub use engine::Appended;
pub use error::{AppendError, Corruption, Error, LogError, Poison, QueryError};
pub use follow::{
    FollowMetadata, FollowOptions, Follower, Interrupter, VerifyProgress, Watch, verify,
};
pub use handle::{AppendOptions, BlockingIter, Cursor, Metadata, Sink, Stream, Waldo};
pub use log::Log;
pub use options::{Backend, CorruptionPolicy, Fault, IoMode, Memory, Options, Recovery, Retention};
pub use probe::{Finding, Fitness, probe};
pub use recovery::{Dropped, RecoveryReport};

/// The README's program is compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
