//! The scenarios, a module each.
//!
//! A scenario turns its options into cases ([`crate::rounds::Case`]) and names the columns of its
//! table; [`crate::report::run_and_print`] does the rest. `append`, `commit` and `fanout` run on
//! any [`Engine`] and are shared with `waldo-peers`; the others need what only Waldo has.

pub mod append;
pub mod ceiling;
pub mod commit;
pub mod fanout;
pub mod idle;

use crate::engine::Engine;

/// The engines that `waldo-bench` itself measures.
#[must_use]
pub fn engines() -> Vec<Box<dyn Engine>> {
    vec![Box::new(crate::waldo::WaldoEngine)]
}
