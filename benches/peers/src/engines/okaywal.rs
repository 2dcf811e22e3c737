//! okaywal: segments that are preallocated and used again after a checkpoint.
//!
//! One entry per append, one chunk per log. A commit is always durable. The checkpoint does
//! nothing, so segments are recycled as soon as they are full. Segments are larger than the
//! default of 1 MiB, which one batch would overflow, and so is the buffer.

use std::path::Path;

use okaywal::{Configuration, LogVoid, WriteAheadLog};
use waldo_bench::engine::{Engine, Producer, Setup, Store};

const SEGMENT_BYTES: u32 = 256 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// The engine.
pub struct OkayWal;

struct Open(WriteAheadLog);

struct Handle<'a>(&'a WriteAheadLog);

impl Engine for OkayWal {
    fn name(&self) -> String {
        "okaywal".to_owned()
    }

    fn refuses(&self, setup: &Setup) -> Option<&'static str> {
        (!setup.durable).then_some("each commit is durable")
    }

    fn follows(&self) -> bool {
        false
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let segment = u64::from(SEGMENT_BYTES).min((setup.disk_bytes / 4).max(1 << 20));
        let batch = (setup.batch_logs * (setup.log_bytes + 16)) as u64;
        let log = Configuration::default_for(dir)
            .preallocate_bytes(segment as u32)
            .checkpoint_after_bytes(segment.saturating_sub(batch).max(segment / 2))
            .buffer_bytes(BUFFER_BYTES)
            .open(LogVoid)?;
        Ok(Box::new(Open(log)))
    }
}

impl Store for Open {
    fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        Ok(Box::new(Handle(&self.0)))
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.shutdown()?)
    }
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        let mut entry = self.0.begin_entry()?;
        for log in logs {
            entry.write_chunk(log)?;
        }
        entry.commit()?;
        Ok(())
    }
}
