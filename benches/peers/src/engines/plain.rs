//! A plain file: one `write` per append, with `O_DSYNC` where it is to be durable, behind a mutex.
//!
//! The logs have no header and no checksum, and the file only grows until it reaches the disk
//! budget; then it is written from its start again. A tail reads it with `pread`.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use waldo_bench::engine::{Engine, Polled, Producer, Setup, Store, Tail};
use waldo_bench::workload::touch::Touching;

/// The engine.
pub struct PlainFile;

struct Open {
    file: File,
    log_bytes: usize,
    /// Length at which the file starts over.
    limit: u64,
    /// Bytes appended, over all laps; locked while writing.
    end: Mutex<u64>,
    /// The same, for readers.
    tip: AtomicU64,
    writes: AtomicU64,
}

impl Engine for PlainFile {
    fn name(&self) -> String {
        "plain-file".to_owned()
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .custom_flags(if setup.durable { libc::O_DSYNC } else { 0 })
            .open(dir.join("log"))?;
        let batch = (setup.batch_logs * setup.log_bytes) as u64;
        anyhow::ensure!(batch > 0, "an append has no bytes");
        Ok(Box::new(Open {
            file,
            log_bytes: setup.log_bytes,
            limit: (setup.disk_bytes / batch).max(1) * batch,
            end: Mutex::new(0),
            tip: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        }))
    }
}

impl Store for Open {
    fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        Ok(Box::new(Handle { store: self, buffer: Vec::new() }))
    }

    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        let next = self.tip.load(Ordering::Acquire);
        Ok(Some(Tail::Polled(Box::new(Follower { store: self, next, buffer: Vec::new() }))))
    }

    fn writes(&self) -> Option<u64> {
        Some(self.writes.load(Ordering::Relaxed))
    }
}

struct Handle<'a> {
    store: &'a Open,
    buffer: Vec<u8>,
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        self.buffer.clear();
        for log in logs {
            self.buffer.extend_from_slice(log);
        }
        let store = self.store;
        let mut end = store.end.lock().unwrap_or_else(PoisonError::into_inner);
        store.file.write_all_at(&self.buffer, *end % store.limit)?;
        *end += self.buffer.len() as u64;
        store.tip.store(*end, Ordering::Release);
        store.writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Bytes that a tail reads at once, at most.
const READ_BYTES: u64 = 1 << 20;

struct Follower<'a> {
    store: &'a Open,
    next: u64,
    buffer: Vec<u8>,
}

impl Polled for Follower<'_> {
    fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()> {
        let store = self.store;
        let log = store.log_bytes as u64;
        let to_lap_end = store.limit - self.next % store.limit;
        let new = store.tip.load(Ordering::Acquire) - self.next;
        let len = new.min(to_lap_end).min((READ_BYTES / log).max(1) * log);
        self.buffer.resize(len as usize, 0);
        store.file.read_exact_at(&mut self.buffer, self.next % store.limit)?;
        touching.take(self.buffer.chunks_exact(store.log_bytes));
        self.next += len;
        Ok(())
    }
}
