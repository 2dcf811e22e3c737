//! What threads share state with.
//!
//! In every build but one these are the primitives of the standard library, `parking_lot`,
//! `arc-swap` and `crossbeam`. Under `cfg(loom)` they are models of them: the tests named `races`
//! walk through all interleavings of a few threads, and through all that the memory model allows
//! each load to see. Reference counts stay those of the standard library.

#[cfg(loom)]
mod model;

#[cfg(loom)]
pub(crate) use model::{ArcSwapOption, ArrayQueue, Mutex, SegQueue, atomic, spin_loop};

#[cfg(not(loom))]
pub(crate) use {
    arc_swap::ArcSwapOption,
    crossbeam_queue::{ArrayQueue, SegQueue},
    parking_lot::Mutex,
    std::hint::spin_loop,
    std::sync::atomic,
};
