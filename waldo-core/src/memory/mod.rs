//! Memory for log bytes: allocated once, when a store is opened, and reused.
//!
//! - [`mapping`]: the anonymous mapping behind the pool;
//! - [`pool`]: the buffers that frames are built in, written from, and read from;
//! - [`read_pool`]: the bounded memory that cold reads go into.

#[cfg(all(test, not(waldo_loom)))]
mod forks;
pub mod mapping;
pub mod pool;
#[cfg(all(test, waldo_loom))]
mod races;
pub mod read_pool;

pub use pool::{BufferMut, Pool, Slice};
pub use read_pool::{ReadBuffer, ReadPool};
