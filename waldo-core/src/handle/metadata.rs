//! What a store holds and does, in numbers.

use std::sync::atomic::Ordering;

use super::waldo::Waldo;

/// What a store holds and does just now, in numbers.
///
/// The numbers are loaded one after the other while the store goes on: each is true, their sum
/// need not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// Every log up to and with this one is gone. `Cursor::After` of it is the oldest log.
    pub after_seq_no: u64,
    /// The newest log.
    pub prev_seq_no: u64,
    /// The newest log that survives a power loss.
    pub durable_seq_no: u64,
    /// Logs that can be read.
    pub log_count: u64,
    /// Entries of all pages' indexes.
    pub index_count: u64,
    /// Bytes on disk, the page files at their full size.
    pub disk_size: u64,
    /// Bytes of memory that the indexes take.
    pub index_size: u64,
    /// Pages that hold logs, or held logs that were trimmed.
    pub page_count: u64,
    /// Pages that are being prepared: whose blocks are written ahead of need.
    pub pending_resets: usize,
    /// Appends and other operations that are not acknowledged yet.
    pub pending_appends: usize,
    /// Reads from disk that are under way.
    pub pending_queries: usize,
    /// Syncs that are under way.
    pub pending_fsyncs: usize,
    /// Buffers that nobody holds.
    pub buffers_free: usize,
    /// Buffers that left the hot tail, and are held by readers.
    pub buffers_detached: usize,
    /// Bytes of read memory in readers' hands.
    pub read_memory_used: usize,
    /// Streams and queries that wait for newer logs.
    pub waiting_streams: usize,
}

/// What a store holds.
impl Waldo {
    /// The newest log that readers see; `None` where there is none, because there never was one
    /// or the store was cleared. Takes no lock.
    #[must_use]
    pub fn prev_seq_no(&self) -> Option<u64> {
        Some(self.core_anywhere().published.progress.tip()).filter(|seq_no| *seq_no > 0)
    }

    /// The newest log that survives a power loss; `None` where there is none. Takes no lock.
    #[must_use]
    pub fn durable_seq_no(&self) -> Option<u64> {
        Some(self.core_anywhere().published.progress.durable()).filter(|seq_no| *seq_no > 0)
    }

    /// What the store holds and does just now; `None` where it has no newest log, because there
    /// never was one or the store was cleared. Does not wait for anything.
    pub async fn metadata(&self) -> Option<Metadata> {
        self.blocking_metadata()
    }

    /// The blocking form of [`metadata`](Self::metadata). It hardly blocks, and may be called
    /// anywhere.
    #[must_use]
    pub fn blocking_metadata(&self) -> Option<Metadata> {
        let core = self.core().ok()?;
        let published = &core.published;
        let prev_seq_no = self.prev_seq_no()?;
        let totals = published.catalog.totals();
        Some(Metadata {
            after_seq_no: published.progress.trimmed(),
            prev_seq_no,
            durable_seq_no: published.progress.durable(),
            log_count: totals.log_count,
            index_count: totals.index_count,
            disk_size: core.options.disk_size(),
            index_size: totals.index_size,
            page_count: totals.page_count,
            pending_resets: core.shared.gauges.preparing.load(Ordering::Relaxed),
            pending_appends: core.shared.operations_under_way(),
            pending_queries: core.shared.reads_under_way(),
            pending_fsyncs: core.shared.gauges.syncs.load(Ordering::Relaxed),
            buffers_free: published.pool.free_count(),
            buffers_detached: published.pool.detached_count(),
            read_memory_used: core.read_pool.used(),
            waiting_streams: core.shared.waiters.parked_count(),
        })
    }

    /// Most bytes that one log may take in this store, as [`Log::size`](crate::Log::size) counts
    /// them: with its header of 24 bytes.
    #[must_use]
    pub fn log_size_limit(&self) -> usize {
        self.core_anywhere().limits.size
    }
}
