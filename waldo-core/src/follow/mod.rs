//! Following a store from outside: read-only, without its lock, also while somebody writes to it.
//!
//! - `changes`: what was written to since somebody looked last;
//! - `mirror`: what the writer publishes, made once more by reading its page files;
//! - `tracker`: keeping that up to date, and telling what is being written from what is damaged;
//! - `pages`: the page files; `watch`: waiting for something to be written;
//! - `follower`: the public type; `metadata`: what it tells of a store; `verify`: a check of
//!   everything; `options`.
//!
//! The first three touch no file and know no time: the simulation runs them, too.

mod changes;
mod follower;
mod metadata;
mod mirror;
mod options;
mod pages;
mod tracker;
mod verify;
mod watch;

#[cfg(any(test, feature = "simulation"))]
pub(crate) use changes::Changes;
pub use follower::Follower;
pub use metadata::FollowMetadata;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use mirror::Terms;
pub use options::{FollowOptions, Watch};
#[cfg(any(test, feature = "simulation"))]
pub(crate) use tracker::{Fault, Found, Place, Tracker};
pub use verify::{VerifyProgress, verify};
pub use watch::Interrupter;
