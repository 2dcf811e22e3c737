//! What threads share state with.
//!
//! In every build but one these are the primitives of the standard library and of well-known
//! crates. Under `cfg(waldo_loom)` they are models of them, and tests named `races` walk through
//! all interleavings of a few threads, and all that the memory model allows each load to see:
//!
//! ```text
//! RUSTFLAGS="--cfg waldo_loom --cfg oneshot_loom" cargo test -p waldo-core --lib races
//! ```
//!
//! Reference counts stay those of the standard library.
//!
//! Under `cfg(waldo_tsan)` the library itself is built with ThreadSanitizer (`tests/races`), and
//! what that cannot follow is replaced.

#[cfg(waldo_loom)]
mod model;
#[cfg(waldo_tsan)]
pub(crate) mod oneshot;

#[cfg(all(test, waldo_loom))]
pub(crate) use model::check;
#[cfg(waldo_loom)]
pub(crate) use model::{
    ArcSwapOption, ArrayQueue, Event, Mutex, RwLock, SegQueue, atomic, spin_loop, thread,
};

#[cfg(not(waldo_tsan))]
pub(crate) use ::oneshot;
#[cfg(not(waldo_loom))]
pub(crate) use {
    arc_swap::ArcSwapOption,
    crossbeam_queue::{ArrayQueue, SegQueue},
    event_listener::Event,
    parking_lot::{Mutex, RwLock},
    std::hint::spin_loop,
    std::sync::atomic,
    std::thread,
};
