//! RocksDB, used as a log: one write batch per append, keys that grow by one.
//!
//! Its write-ahead log is what is measured. Old keys are dropped by a FIFO compaction, the
//! cheapest way to keep the disk budget; there is no compression. A tail follows with
//! `get_updates_since`, which reads the write-ahead log.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ::rocksdb::{
    DB, DBCompactionStyle, DBCompressionType, FifoCompactOptions, Options, WriteBatch,
    WriteBatchIterator, WriteOptions,
};
use waldo_bench::engine::{Engine, Producer, Setup, Store, Tail};

/// The engine.
pub struct RocksDb;

struct Open {
    db: DB,
    durable: bool,
    next_key: AtomicU64,
}

impl Engine for RocksDb {
    fn name(&self) -> String {
        "rocksdb".to_owned()
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let mut fifo = FifoCompactOptions::default();
        fifo.set_max_table_files_size(setup.disk_bytes / 2);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_compaction_style(DBCompactionStyle::Fifo);
        options.set_fifo_compaction_options(&fifo);
        options.set_compression_type(DBCompressionType::None);
        // Log files stay for tails to read, also after their memtable was flushed.
        options.set_wal_size_limit_mb(setup.disk_bytes >> 22);
        Ok(Box::new(Open {
            db: DB::open(&options, dir)?,
            durable: setup.durable,
            next_key: AtomicU64::new(0),
        }))
    }
}

impl Store for Open {
    fn producer(&self, _: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        let mut options = WriteOptions::default();
        options.set_sync(self.durable);
        Ok(Box::new(Handle { store: self, options }))
    }

    fn tail(&self) -> anyhow::Result<Option<Box<dyn Tail + '_>>> {
        Ok(Some(Box::new(Follower { db: &self.db, next: self.db.latest_sequence_number() + 1 })))
    }
}

struct Handle<'a> {
    store: &'a Open,
    options: WriteOptions,
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        let first = self.store.next_key.fetch_add(logs.len() as u64, Ordering::Relaxed);
        let mut batch = WriteBatch::default();
        for (key, log) in (first..).zip(logs) {
            batch.put(key.to_be_bytes(), log);
        }
        Ok(self.store.db.write_opt(batch, &self.options)?)
    }
}

struct Follower<'a> {
    db: &'a DB,
    next: u64,
}

struct Visit<'a> {
    visit: &'a mut dyn FnMut(&[u8]),
    /// Logs at the front of the batch that were seen before.
    skip: u64,
    count: u64,
}

impl WriteBatchIterator for Visit<'_> {
    fn put(&mut self, _: &[u8], value: &[u8]) {
        if self.count >= self.skip {
            (self.visit)(value);
        }
        self.count += 1;
    }

    fn delete(&mut self, _: &[u8]) {}
}

impl Tail for Follower<'_> {
    fn poll(&mut self, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<usize> {
        let mut seen = 0;
        for batch in self.db.get_updates_since(self.next)? {
            let (first, batch) = batch?;
            let skip = self.next.saturating_sub(first);
            let mut each = Visit { visit, skip, count: 0 };
            batch.iterate(&mut each);
            let new = each.count.saturating_sub(skip);
            self.next += new;
            seen += new;
        }
        Ok(seen as usize)
    }
}
