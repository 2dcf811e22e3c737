//! commitlog: segments that only grow, behind a mutex, as its methods need exclusive access.
//!
//! It is measured without durability: its `flush` syncs the log and its index, and nothing calls
//! it per append. It has no way to drop old segments, so a run needs all its bytes on disk.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::commitlog::message::{MessageBuf, MessageSet};
use ::commitlog::{CommitLog as Log, LogOptions, ReadLimit};
use waldo_bench::engine::{Engine, Producer, Setup, Store, Tail};

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

    fn tail(&self) -> anyhow::Result<Option<Box<dyn Tail + '_>>> {
        Ok(Some(Box::new(Follower { store: self, next: self.lock().next_offset() })))
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

impl Tail for Follower<'_> {
    fn poll(&mut self, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<usize> {
        let limit = ReadLimit::max_bytes(self.store.read_bytes);
        let messages = self.store.lock().read(self.next, limit)?;
        let mut count = 0;
        for message in messages.iter() {
            visit(message.payload());
            self.next = message.offset() + 1;
            count += 1;
        }
        Ok(count)
    }
}
