//! commitlog: segments that only grow, behind a mutex, as its methods need exclusive access.
//!
//! It is measured without durability: its `flush` syncs the log and its index, and nothing calls
//! it per append. It has no way to drop old segments, so a run needs all its bytes on disk.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::commitlog::message::{MessageBuf, MessageSet};
use ::commitlog::{CommitLog as Log, LogOptions, ReadLimit};
use waldo_bench::engine::{Engine, Polled, Producer, Setup, Store, Tail};
use waldo_bench::workload::touch::Touching;

/// Bytes that a tail reads at once, at least.
const READ_BYTES: usize = 1 << 20;

/// The engine.
pub struct CommitLog;

struct Open {
    log: Mutex<Log>,
    read_bytes: usize,
}

impl Engine for CommitLog {
    fn name(&self) -> String {
        "commitlog".to_owned()
    }

    fn refuses(&self, setup: &Setup) -> Option<&'static str> {
        setup.durable.then_some("appends are not durable")
    }

    /// It only grows.
    fn rests(&self) -> bool {
        false
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let mut options = LogOptions::new(dir.join("log"));
        options.message_max_bytes(setup.batch_logs * (setup.log_bytes + 64));
        let read_bytes = READ_BYTES.max(2 * (setup.log_bytes + 64));
        Ok(Box::new(Open { log: Mutex::new(Log::new(options)?), read_bytes }))
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Open {
    fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        Ok(Box::new(Handle { store: self, messages: MessageBuf::default() }))
    }

    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        let next = self.lock().next_offset();
        Ok(Some(Tail::Polled(Box::new(Follower { store: self, next }))))
    }
}

struct Handle<'a> {
    store: &'a Open,
    messages: MessageBuf,
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        self.messages.clear();
        for log in logs {
            let pushed = self.messages.push(log);
            pushed.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        self.store.lock().append(&mut self.messages)?;
        Ok(())
    }
}

struct Follower<'a> {
    store: &'a Open,
    next: u64,
}

impl Polled for Follower<'_> {
    fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()> {
        let limit = ReadLimit::max_bytes(self.store.read_bytes);
        let messages = self.store.lock().read(self.next, limit)?;
        let before = touching.logs();
        touching.take_all(messages.iter(), |message| message.payload());
        self.next += touching.logs() - before;
        Ok(())
    }
}
