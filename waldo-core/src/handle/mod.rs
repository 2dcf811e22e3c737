//! What users call: thin layers over one primitive, [`submit`](Waldo::submit_append), and over
//! the reader.
//!
//! - `waldo`: the handle, opening and closing;
//! - `submit`: operations with completions; `append`, `manage`: their futures;
//! - `read`: reading without waiting for newer logs; `query`, `stream`: with it;
//! - `sink`: a buffered writer; `metadata`: numbers;
//! - `blocking`: waiting for a future on the calling thread; `gate`: a lock for tasks.

mod append;
mod blocking;
mod gate;
mod manage;
mod metadata;
mod query;
mod read;
mod sink;
mod stream;
mod submit;
#[cfg(test)]
mod tests;
mod waldo;

pub use append::AppendOptions;
pub use metadata::Metadata;
pub use read::Cursor;
pub use sink::Sink;
pub use stream::{BlockingIter, Stream};
pub use waldo::Waldo;
