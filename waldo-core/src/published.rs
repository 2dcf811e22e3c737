//! What the worker publishes and every other thread reads.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::format::StoreId;
use crate::memory::Pool;
use crate::progress::Progress;
use crate::recovery::Recovered;
use crate::tail::Tail;

/// The readable state of a store.
#[derive(Debug)]
pub struct Published {
    /// Identity of the store.
    pub store_id: StoreId,
    /// The buffers that frames are built in.
    pub pool: Arc<Pool>,
    /// The newest frames, in memory.
    pub tail: Tail,
    /// What each page holds.
    pub catalog: Catalog,
    /// How far the store is.
    pub progress: Progress,
}

impl Published {
    /// The state of a store that was recovered, with an empty tail of at most `tail_buffers`
    /// buffers.
    #[must_use]
    pub fn new(
        store_id: StoreId,
        pool: Arc<Pool>,
        tail_buffers: usize,
        recovered: &Recovered,
    ) -> Arc<Self> {
        Arc::new(Self {
            store_id,
            tail: Tail::new(Arc::clone(&pool), tail_buffers),
            pool,
            catalog: Catalog::new(recovered.pages.iter().cloned()),
            progress: Progress::new(recovered.tip, recovered.trimmed),
        })
    }

    /// Makes a trim point true for readers. `within` is the count of trimmed logs in the page
    /// where it falls; `framed` says that the newest page carries it.
    pub(crate) fn trim(&self, up_to_seq_no: u64, within: u64, framed: bool) {
        self.progress.set_trimmed(self.progress.trimmed().max(up_to_seq_no));
        self.catalog.trim(up_to_seq_no, within, framed);
    }

    /// Makes a truncation true for readers, whose frame starts at an offset of the newest page.
    /// `within` is the count of logs that stay in the page where it falls. Logs that it makes void
    /// are gone before readers learn of it: who knows of a truncation is told of no other.
    pub(crate) fn truncate(&self, after_seq_no: u64, frame_offset: u64, within: u64) {
        self.catalog.truncate(after_seq_no, frame_offset, within);
        self.tail.clear();
        self.progress.truncate(after_seq_no);
    }

    /// The same, where all logs go and the next may have any number.
    pub(crate) fn clear(&self, frame_offset: u64) {
        self.catalog.truncate(0, frame_offset, 0);
        self.tail.clear();
        self.progress.set_trimmed(0);
        self.progress.truncate(0);
    }
}
