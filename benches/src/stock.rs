//! A store that is full of logs, for scenarios that read.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use waldo_core::{Options, Waldo};

use crate::files::{PageFiles, sync_file_system};
use crate::options::WorkDir;
use crate::payload::Payload;

/// Logs of one append.
const BATCH_LOGS: usize = 2048;

/// Bytes of headers of a log.
const LOG_HEADER: u64 = 24;

/// Bytes of distinct payload.
const POOL_BYTES: usize = 16 << 20;

/// How a store is filled.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Payload that is appended.
    pub payload_bytes: u64,
    /// Bytes of one log.
    pub log_bytes: usize,
    /// Pages of the ring.
    pub ring_size: u32,
    /// Bytes of each page.
    pub page_bytes: u64,
    /// Bytes of the newest logs that are kept in memory.
    pub tail_bytes: usize,
    /// Each append is durable.
    pub durable: bool,
    /// Seed of the payloads.
    pub seed: u64,
}

impl Shape {
    /// A ring of four pages, three of which `payload_bytes` fill; the fourth has room for a
    /// writer.
    #[must_use]
    pub fn three_quarters(payload_bytes: u64, log_bytes: usize, seed: u64) -> Self {
        let share = (log_bytes as u64 + LOG_HEADER) as f64 / log_bytes.max(1) as f64;
        // Some more, for headers of frames and for what a page has no room for.
        let page_bytes = (payload_bytes as f64 * share * 1.02 / 3.0) as u64 + (4 << 20);
        Self {
            payload_bytes,
            log_bytes,
            ring_size: 4,
            page_bytes: page_bytes.next_multiple_of(1 << 20),
            tail_bytes: Options::default().tail_capacity,
            durable: true,
            seed,
        }
    }

    /// The options that the store is opened with.
    #[must_use]
    pub fn options(&self) -> Options {
        let batch = BATCH_LOGS * (self.log_bytes + 32) + 8192;
        let buf_capacity = batch.max(1 << 20).next_multiple_of(4096);
        Options {
            ring_size: Some(self.ring_size),
            file_capacity: Some(self.page_bytes),
            buf_capacity,
            tail_capacity: self.tail_bytes,
            file_o_dsync: self.durable,
            index_capacity: (self.page_bytes / (8 << 10)).max(4096) as usize,
            read_capacity: 64 << 20,
            ..Options::default()
        }
    }

    /// Opens a store in `dir`, and fills it.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn fill(&self, dir: &Path) -> anyhow::Result<Waldo> {
        let waldo = Waldo::blocking_open(dir, self.options())?;
        let payload = Payload::new(self.seed, self.log_bytes, BATCH_LOGS, POOL_BYTES);
        let mut logs = Vec::new();
        let batch_bytes = (BATCH_LOGS * self.log_bytes.max(1)) as u64;
        for number in 0..self.payload_bytes.div_ceil(batch_bytes) {
            payload.batch(number * BATCH_LOGS as u64, BATCH_LOGS, &mut logs);
            waldo.blocking_append_assigned(&logs)?;
        }
        waldo.blocking_sync()?;
        Ok(waldo)
    }
}

/// A filled store that several cases share: made when it is first needed, closed and removed with
/// the last reference.
pub struct Stock {
    parent: PathBuf,
    shape: Shape,
    made: OnceCell<Open>,
}

/// Dropped in this order: the store before its files.
struct Open {
    waldo: Waldo,
    files: PageFiles,
    _dir: WorkDir,
}

impl Stock {
    /// A store in a directory of its own inside `parent`.
    #[must_use]
    pub fn new(parent: &Path, shape: Shape) -> Rc<Self> {
        Rc::new(Self { parent: parent.to_owned(), shape, made: OnceCell::new() })
    }

    /// How it is filled.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    fn get(&self) -> anyhow::Result<&Open> {
        if self.made.get().is_none() {
            let dir = WorkDir::new(&self.parent, "stock")?;
            let waldo = self.shape.fill(dir.path())?;
            while waldo.blocking_metadata().is_some_and(|metadata| metadata.pending_resets > 0) {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            sync_file_system(&self.parent)?;
            let files = PageFiles::find(dir.path())?;
            // It was empty, and this is the only thread.
            let _ = self.made.set(Open { waldo, files, _dir: dir });
        }
        self.made.get().context("the store is gone")
    }

    /// The store, open.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn waldo(&self) -> anyhow::Result<&Waldo> {
        Ok(&self.get()?.waldo)
    }

    /// Its page files.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn files(&self) -> anyhow::Result<&PageFiles> {
        Ok(&self.get()?.files)
    }
}

#[cfg(test)]
mod tests {
    use waldo_core::Cursor;

    use super::*;

    #[test]
    fn a_filled_store_holds_all_its_logs() {
        let parent = tempfile::tempdir().unwrap();
        let shape = Shape::three_quarters(40 << 20, 1000, 1);
        let stock = Stock::new(parent.path(), shape);
        let waldo = stock.waldo().unwrap();
        let metadata = waldo.blocking_metadata().unwrap();
        assert_eq!(metadata.after_seq_no, 0);
        assert!(metadata.log_count * 1000 >= 40 << 20);
        assert_eq!(stock.files().unwrap().total_bytes(), metadata.disk_size);
        let payload = Payload::new(1, 1000, BATCH_LOGS, POOL_BYTES);
        let found = waldo.blocking_query(Cursor::From(30_000), false).unwrap();
        assert_eq!(found.iter().next().unwrap().data(), payload.log(29_999));
    }
}
