//! The C ABI of Waldo. `include/waldo.h` is generated from this crate, and is where its users
//! read about it.
//!
//! - `boundary`: what every entry point does first and last: arguments, outputs, panics;
//! - `status`, `error`: what calls answer; `process`: forks; `thread`, `sync`: threads of this
//!   library, and locks;
//! - `queue`: completion queues; `ticket`: a place in one, for one operation; `reader`: queries
//!   and streams that wait;
//! - `log`: what goes in and comes out; `store`, `append`, `manage`, `read`, `chunk`, `metadata`,
//!   `options`, `version`: the calls.

// Names that C programs see are written as they see them.
#![allow(non_camel_case_types, reason = "enumerators carry their C names")]

mod append;
mod boundary;
mod chunk;
mod error;
mod log;
mod manage;
mod metadata;
mod options;
mod process;
mod queue;
mod read;
mod reader;
mod status;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod thread;
mod ticket;
mod version;
