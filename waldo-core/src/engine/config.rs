//! Numbers that the engine works with, derived from the options and the page headers.

use crate::batch::BatchLimits;
use crate::format::meta::{Control, OpenBody};
use crate::format::seal::SealBody;
use crate::format::{FRAME_HEADER_SIZE, PAGE_HEADER_SIZE, StoreId, align_up};
use crate::index::Spacing;
use crate::options::Retention;

/// The engine's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Identity of the store.
    pub store_id: StoreId,
    /// Number of page files.
    pub ring_size: u32,
    /// Bytes of a page file.
    pub page_size: u64,
    /// Frames start at, and are padded to, multiples of this.
    pub alignment: u64,
    /// Bytes at the end of a page that are kept for its seal.
    pub seal_capacity: u64,
    /// Bytes of a buffer.
    pub buf_capacity: usize,
    /// Most logs in a page.
    pub page_capacity: u64,
    /// Most entries in a page's index.
    pub index_capacity: usize,
    /// Distance between entries.
    pub spacing: Spacing,
    /// Every write is durable when it completes.
    pub durable: bool,
    /// What happens when the ring is full.
    pub retention: Retention,
    /// Writes that may be under way at a time.
    pub writes_max: usize,
    /// Nanoseconds after which a log that is not durable is synced.
    pub flush_interval_ns: Option<u64>,
}

impl Config {
    /// `len` rounded up to the alignment of frames.
    #[must_use]
    pub fn align(&self, len: usize) -> usize {
        align_up(len as u64, self.alignment) as usize
    }

    /// Bytes of an open frame.
    #[must_use]
    pub fn open_frame_len(&self) -> usize {
        self.align(FRAME_HEADER_SIZE + OpenBody::SIZE + 4)
    }

    /// Bytes of a control frame.
    #[must_use]
    pub fn control_frame_len(&self) -> usize {
        self.align(FRAME_HEADER_SIZE + Control::SIZE + 4)
    }

    /// Offset of a page's seal, where its other frames must end.
    #[must_use]
    pub fn seal_offset(&self) -> u64 {
        self.page_size - self.seal_capacity
    }

    /// Offset at which a page's logs must end: behind it is room for the control frame that
    /// gives up the page which comes next.
    #[must_use]
    pub fn data_end(&self) -> u64 {
        self.seal_offset() - self.control_frame_len() as u64
    }

    /// Most entries that a seal has room for, in the page and in the buffer that it is built in.
    #[must_use]
    pub fn seal_entries_max(&self) -> usize {
        SealBody::entries_max(self.buf_capacity.min(self.seal_capacity as usize))
    }

    /// Bytes of the largest frame: it fits a buffer, and an empty page behind its open frame.
    #[must_use]
    pub fn frame_max(&self) -> usize {
        let page = self.data_end() - PAGE_HEADER_SIZE as u64 - self.open_frame_len() as u64;
        let largest = (page as usize).min(self.buf_capacity - self.open_frame_len());
        largest - largest % self.alignment as usize
    }

    /// Limits of a batch that is to fit one frame.
    #[must_use]
    pub fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            size: self.frame_max() - FRAME_HEADER_SIZE,
            count: self.page_capacity.min(u64::from(u32::MAX)),
            mark_bytes: usize::try_from(self.spacing.bytes).unwrap_or(usize::MAX),
            mark_count: usize::try_from(self.spacing.count).unwrap_or(usize::MAX),
        }
    }
}
