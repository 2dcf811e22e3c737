//! The engines, a module each. Each is configured for this work as its documentation advises, and
//! the module says how.

mod commitlog;
mod okaywal;
mod plain;
mod raft_engine;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod walrus;

use waldo_bench::engine::Engine;

/// The engines with these names; all where there is none.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Box<dyn Engine>>> {
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

fn all() -> Vec<Box<dyn Engine>> {
    vec![
        Box::new(okaywal::OkayWal),
        Box::new(raft_engine::RaftEngine),
        Box::new(commitlog::CommitLog),
        Box::new(walrus::Walrus),
        Box::new(plain::PlainFile),
        #[cfg(feature = "rocksdb")]
        Box::new(rocksdb::RocksDb),
    ]
}
