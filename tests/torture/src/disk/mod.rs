//! A disk of our own: a file system in user space that keeps apart what was synced and what was
//! not, loses power at any call, and fails calls as it is told.
//!
//! ```text
//! this process                      the disk's process
//! store ──── kernel ───── FUSE ───► serve ─► state ─► image, file
//! client ─── orders, one a line ──► server ────┘
//! ```
//!
//! It lives in a process of its own, because a process that waits in the kernel for itself could
//! not even be killed.

mod client;
mod delay;
mod fault;
mod file;
mod image;
mod loss;
mod order;
mod serve;
mod server;
mod state;

pub use client::{Missing, RemoteDisk};
pub use fault::{Call, Failure, Fault};
pub use order::Caching;
pub use server::serve;
