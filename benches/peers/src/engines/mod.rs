//! The engines, a module each. Each is configured for this work as its documentation advises, and
//! the module says how.

mod commitlog;
mod okaywal;
mod plain;
mod raft_engine;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod walrus;

use std::rc::Rc;

use waldo_bench::engine::Engine;

/// The engines with these names; all where there is none.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Rc<dyn Engine>>> {
    let mut engines = all();
    let known: Vec<String> = engines.iter().map(|engine| engine.name()).collect();
    for name in names {
        anyhow::ensure!(
            known.contains(name),
            "no engine {name:?}; there are: {}",
            known.join(", ")
        );
    }
    engines.retain(|engine| names.is_empty() || names.contains(&engine.name()));
    Ok(engines)
}

fn all() -> Vec<Rc<dyn Engine>> {
    vec![
        Rc::new(okaywal::OkayWal),
        Rc::new(raft_engine::RaftEngine),
        Rc::new(commitlog::CommitLog),
        Rc::new(walrus::Walrus),
        Rc::new(plain::PlainFile),
        #[cfg(feature = "rocksdb")]
        Rc::new(rocksdb::RocksDb),
    ]
}
