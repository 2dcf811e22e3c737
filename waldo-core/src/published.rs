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
}
