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
use waldo_bench::engine::{Engine, Polled, Producer, Setup, Store, Tail};
use waldo_bench::workload::touch::Touching;

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

    /// It flushes and compacts in the background.
    fn rests(&self) -> bool {
        false
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

    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        let next = self.db.latest_sequence_number() + 1;
        Ok(Some(Tail::Polled(Box::new(Follower { db: &self.db, next }))))
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
    touching: &'a mut Touching,
    /// Logs at the front of the batch that were seen before.
    skip: u64,
    count: u64,
}

impl WriteBatchIterator for Visit<'_> {
    fn put(&mut self, _: &[u8], value: &[u8]) {
        if self.count >= self.skip {
            self.touching.take(std::iter::once(value));
        }
        self.count += 1;
    }

    fn delete(&mut self, _: &[u8]) {}
}

impl Polled for Follower<'_> {
    fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()> {
        for batch in self.db.get_updates_since(self.next)? {
            let (first, batch) = batch?;
            let skip = self.next.saturating_sub(first);
            let mut each = Visit { touching: &mut *touching, skip, count: 0 };
            batch.iterate(&mut each);
            self.next += each.count.saturating_sub(skip);
        }
        Ok(())
    }
}
