//! What the worker publishes and every other thread reads.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::format::StoreId;
use crate::memory::Pool;
use crate::progress::Progress;
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
