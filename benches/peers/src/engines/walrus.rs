//! walrus-rust: one topic per producer, as a topic takes one batch at a time.
//!
//! It takes at most 2,000 entries per batch, so a larger append is cut into several. Durable is
//! its schedule `SyncEach`. It finds its directory through the environment, so stores of one
//! process are opened one after the other; and whether its files are opened with `O_SYNC` is
//! decided by the first store of a process, so one process measures it durable or not durable,
//! never both.

use std::path::Path;
use std::sync::OnceLock;

use waldo_bench::engine::{Engine, Producer, Setup, Store};
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus as Log};

const MAX_BATCH: usize = 2000;

/// Whether the stores of this process are durable.
static DURABLE: OnceLock<bool> = OnceLock::new();

/// The engine.
pub struct Walrus;

struct Open(Log);

impl Engine for Walrus {
    fn name(&self) -> String {
        "walrus-rust".to_owned()
    }

    fn refuses(&self, setup: &Setup) -> Option<&'static str> {
        let first = *DURABLE.get_or_init(|| setup.durable);
        (first != setup.durable).then_some("one process can have one schedule: run it by itself")
    }

    fn follows(&self) -> bool {
        false
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        // SAFETY: no thread of this process reads the environment at this point: stores are opened
        // by the main thread, between runs.
        unsafe {
            std::env::set_var("WALRUS_DATA_DIR", dir);
            std::env::set_var("WALRUS_QUIET", "1");
        }
        let schedule = if setup.durable { FsyncSchedule::SyncEach } else { FsyncSchedule::NoFsync };
        let reads = ReadConsistency::AtLeastOnce { persist_every: 1000 };
        Ok(Box::new(Open(Log::with_consistency_and_schedule(reads, schedule)?)))
    }
}

impl Store for Open {
    fn producer(&self, index: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        Ok(Box::new(Handle { log: &self.0, topic: format!("topic-{index}") }))
    }
}

struct Handle<'a> {
    log: &'a Log,
    topic: String,
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        if let [log] = logs {
            return Ok(self.log.append_for_topic(&self.topic, log)?);
        }
        for part in logs.chunks(MAX_BATCH) {
            self.log.batch_append_for_topic(&self.topic, part)?;
        }
        Ok(())
    }
}
