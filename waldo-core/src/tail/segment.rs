//! Frames that follow each other both in a page and in a buffer.

use std::sync::Arc;

use crate::format::seal::IndexEntry;
use crate::memory::Slice;
use crate::memory::pool::Buffer;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::spin_loop;

/// A run of frames that grows at its end while readers read what is committed.
#[derive(Debug)]
pub struct Segment {
    number: u64,
    page_number: u64,
    /// Offset in the page at which the run starts.
    page_offset: u64,
    buffer: Arc<Buffer>,
    /// Offset in the buffer at which it starts.
    base: usize,
    first_prev_seq_no: u64,
    committed: Committed,
    marks: Marks,
}

/// Where a segment starts.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Number of the segment.
    pub number: u64,
    /// Number of the use of the page.
    pub page_number: u64,
    /// Offset in the page, in bytes.
    pub page_offset: u64,
    /// The buffer.
    pub buffer: Arc<Buffer>,
    /// Offset in the buffer, in bytes.
    pub base: usize,
    /// The tip before the first log.
    pub first_prev_seq_no: u64,
}

/// What readers may read of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from the start of the segment.
    pub len: usize,
    /// `seq_no` of the last log in them.
    pub last_seq_no: u64,
}

impl Segment {
    /// Makes a segment with nothing committed, and room for `marks_max` places in its index.
    #[must_use]
    pub fn new(origin: Origin, marks_max: usize) -> Self {
        Self {
            number: origin.number,
            page_number: origin.page_number,
            page_offset: origin.page_offset,
            buffer: origin.buffer,
            base: origin.base,
            first_prev_seq_no: origin.first_prev_seq_no,
            committed: Committed::new(origin.first_prev_seq_no),
            marks: Marks::new(marks_max),
        }
    }

    /// Number of the segment.
    #[inline]
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The tip before the segment's first log.
    #[must_use]
    pub fn first_prev_seq_no(&self) -> u64 {
        self.first_prev_seq_no
    }

    /// What may be read now.
    #[inline]
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.committed.load()
    }

    /// Committed bytes from `start` to `end`, counted from the start of the segment.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Option<Slice> {
        self.buffer.slice(self.base + start..self.base + end)
    }

    /// The best place to start reading the logs after `seq_no`: an entry with offsets counted
    /// from the start of the segment, in units of 8 bytes.
    #[must_use]
    pub fn find(&self, seq_no: u64) -> IndexEntry {
        let start = IndexEntry { prev_seq_no: self.first_prev_seq_no, offset: 0, frame_end: 0 };
        self.marks.find(seq_no).unwrap_or(start)
    }

    /// Where in the store the segment's byte `offset` lies: page number and offset in the page.
    #[must_use]
    pub fn locate(&self, offset: usize) -> (u64, u64) {
        (self.page_number, self.page_offset + offset as u64)
    }

    /// Lets readers see the first `len` bytes. For the worker only.
    pub(crate) fn commit(&self, extent: Extent) {
        self.committed.store(extent);
    }

    /// Adds a place to the index; it must lie in bytes that are committed later. For the worker
    /// only.
    pub(crate) fn mark(&self, entry: IndexEntry) {
        self.marks.push(entry);
    }

    pub(crate) fn shares_buffer(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }

    pub(crate) fn detach(&self) {
        self.buffer.detach();
    }
}

/// An [`Extent`] that one thread stores and any number load: a sequence lock made of atomics.
#[derive(Debug)]
struct Committed {
    version: AtomicU32,
    len: AtomicUsize,
    last_seq_no: AtomicU64,
}

impl Committed {
    fn new(last_seq_no: u64) -> Self {
        Self {
            version: AtomicU32::new(0),
            len: AtomicUsize::new(0),
            last_seq_no: AtomicU64::new(last_seq_no),
        }
    }

    #[inline]
    fn load(&self) -> Extent {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let extent = Extent {
                len: self.len.load(Ordering::Relaxed),
                last_seq_no: self.last_seq_no.load(Ordering::Relaxed),
            };
            // The fields are read before the version is read again.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return extent;
            }
            spin_loop();
        }
    }

    fn store(&self, extent: Extent) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // The odd version is seen before the fields change.
        fence(Ordering::Release);
        self.len.store(extent.len, Ordering::Relaxed);
        self.last_seq_no.store(extent.last_seq_no, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

/// A sparse index of fixed room: one thread adds at its end, any number search it.
#[derive(Debug)]
struct Marks {
    entries: Box<[[AtomicU64; 2]]>,
    len: AtomicUsize,
}

impl Marks {
    fn new(max: usize) -> Self {
        Self { entries: (0..max).map(|_| Default::default()).collect(), len: AtomicUsize::new(0) }
    }

    fn push(&self, entry: IndexEntry) {
        let len = self.len.load(Ordering::Relaxed);
        // A full index is only sparser than it might be.
        let Some([prev_seq_no, place]) = self.entries.get(len) else { return };
        prev_seq_no.store(entry.prev_seq_no, Ordering::Relaxed);
        let packed = u64::from(entry.offset) << 32 | u64::from(entry.frame_end);
        place.store(packed, Ordering::Relaxed);
        self.len.store(len + 1, Ordering::Release);
    }

    fn find(&self, seq_no: u64) -> Option<IndexEntry> {
        let entries = self.entries.get(..self.len.load(Ordering::Acquire))?;
        let after = entries
            .partition_point(|[prev_seq_no, _]| prev_seq_no.load(Ordering::Relaxed) <= seq_no);
        let [prev_seq_no, place] = entries.get(after.checked_sub(1)?)?;
        let packed = place.load(Ordering::Relaxed);
        Some(IndexEntry {
            prev_seq_no: prev_seq_no.load(Ordering::Relaxed),
            offset: (packed >> 32) as u32,
            frame_end: packed as u32,
        })
    }
}
