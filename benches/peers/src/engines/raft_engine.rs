//! raft-engine: one Raft group per producer, an entry per log.
//!
//! Compression is off, as the payloads cannot be compressed. Old entries are compacted away and
//! files purged as the disk budget asks; purged files are recycled, which is the default.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as Raft, LogBatch, MessageExt, ReadableSize};
use waldo_bench::engine::{Engine, Polled, Producer, Setup, Store, Tail};
use waldo_bench::workload::touch::Touching;

/// Raft group of the first producer.
const FIRST_GROUP: u64 = 1;
/// Entries that a tail fetches at once.
const FETCH: u64 = 256;

/// The engine.
pub struct RaftEngine;

struct Open {
    raft: Raft,
    durable: bool,
    /// Entries of each producer that are kept.
    keep: u64,
    /// Index of the last entry of the first producer.
    tip: AtomicU64,
}

impl Engine for RaftEngine {
    fn name(&self) -> String {
        "raft-engine".to_owned()
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let dir = dir.to_str().ok_or_else(|| anyhow::anyhow!("the path is not UTF-8"))?;
        let file = (setup.disk_bytes / 8).clamp(1 << 20, 128 << 20);
        let raft = Raft::open(Config {
            dir: dir.to_owned(),
            batch_compression_threshold: ReadableSize(0),
            target_file_size: ReadableSize(file),
            purge_threshold: ReadableSize((setup.disk_bytes / 2).max(file)),
            ..Config::default()
        })?;
        let logs = setup.disk_bytes / 4 / (setup.log_bytes as u64 + 32);
        let keep = (logs / setup.producers.max(1) as u64).max(setup.batch_logs as u64);
        Ok(Box::new(Open { raft, durable: setup.durable, keep, tip: AtomicU64::new(0) }))
    }
}

impl Store for Open {
    fn producer(&self, index: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        let group = FIRST_GROUP + index as u64;
        let next = self.raft.last_index(group).unwrap_or(0) + 1;
        Ok(Box::new(Handle { store: self, group, next, since_purge: 0, entries: Vec::new() }))
    }

    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        let next = self.tip.load(Ordering::Acquire) + 1;
        Ok(Some(Tail::Polled(Box::new(Follower { store: self, next, entries: Vec::new() }))))
    }
}

struct Handle<'a> {
    store: &'a Open,
    group: u64,
    next: u64,
    since_purge: u64,
    entries: Vec<BytesValue>,
}

impl Producer for Handle<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        self.entries.clear();
        for log in logs {
            self.entries.push(entry(self.next, log));
            self.next += 1;
        }
        let mut batch = LogBatch::default();
        batch.add_entries::<Indexed>(self.group, &self.entries)?;
        self.store.raft.write(&mut batch, self.store.durable)?;
        if self.group == FIRST_GROUP {
            self.store.tip.store(self.next - 1, Ordering::Release);
        }
        self.since_purge += logs.len() as u64;
        if self.since_purge >= (self.store.keep / 8).max(1) && self.next > self.store.keep {
            self.since_purge = 0;
            self.store.raft.compact_to(self.group, self.next - self.store.keep);
            self.store.raft.purge_expired_files()?;
        }
        Ok(())
    }
}

struct Follower<'a> {
    store: &'a Open,
    next: u64,
    entries: Vec<BytesValue>,
}

impl Polled for Follower<'_> {
    fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()> {
        let end = (self.store.tip.load(Ordering::Acquire) + 1).min(self.next + FETCH);
        if self.next >= end {
            return Ok(());
        }
        self.entries.clear();
        let count = self.store.raft.fetch_entries_to::<Indexed>(
            FIRST_GROUP,
            self.next,
            end,
            None,
            &mut self.entries,
        )?;
        touching.take(self.entries.iter().map(|entry| &entry.value[8..]));
        self.next += count as u64;
        Ok(())
    }
}

/// A protobuf message whose first 8 bytes are its index: the engine wants to know the index of an
/// entry, and this is the cheapest message that can carry it.
fn entry(index: u64, log: &[u8]) -> BytesValue {
    let mut message = BytesValue::default();
    message.value.reserve_exact(8 + log.len());
    message.value.extend_from_slice(&index.to_le_bytes());
    message.value.extend_from_slice(log);
    message
}

/// How to find the index of an entry.
#[derive(Clone)]
struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |index| u64::from_le_bytes(*index))
    }
}
