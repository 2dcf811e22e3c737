//! The engine on a disk made of memory and mischief, checked by a model of the log.
//!
//! A [`Run`](run::Run) is determined by its seed: options, operations, the order in which I/O
//! completes, failures, crashes and what each crash leaves on the disk. A seed that fails fails
//! again, so it can be looked at.
//!
//! - [`disk`]: completes requests out of order, late, short or with errors; on a crash keeps,
//!   drops or tears each unsynced sector; flips bits;
//! - [`model`]: what must be there after each operation;
//! - `witness`: a follower that reads the disk meanwhile;
//! - [`run`]: drives the engine and compares.

pub mod disk;
mod flips;
pub mod model;
pub mod random;
pub mod run;
mod session;
mod setup;
mod witness;

#[cfg(test)]
mod tests;
