//! The buffer that small appends are gathered in, and the segments that readers will see.

use std::sync::Arc;

use crate::engine::framing::Built;
use crate::engine::ring::Active;
use crate::engine::{Blocked, Config, Engine};
use crate::format::seal::IndexEntry;
use crate::index::Gate;
use crate::memory::BufferMut;
use crate::memory::pool::Purpose as BufferPurpose;
use crate::tail::Segment;
use crate::tail::segment::{Extent, Origin};

/// The buffer that small appends are gathered in.
pub(super) struct Gather {
    pub buffer: BufferMut,
    /// The segment that the next frame continues, if it lies right behind it.
    pub segment: Option<Growing>,
}

impl Gather {
    /// Has the next frame start a segment of its own.
    pub fn end_segment(&mut self) {
        self.segment = None;
    }
}

/// A segment that grows.
pub(super) struct Growing {
    pub segment: Arc<Segment>,
    pub page_number: u64,
    /// Offset in the page at which it starts.
    pub start: u64,
    /// Offset in the page at which the next frame must start to belong to it.
    pub end: u64,
    pub gate: Gate,
}

impl Engine {
    /// Makes sure that the gather buffer has `len` bytes left.
    pub(super) fn ensure_gather(&mut self, len: usize) -> Result<(), Blocked> {
        if self.gather.as_ref().is_some_and(|gather| gather.buffer.remaining() >= len) {
            return Ok(());
        }
        // A buffer comes back when a write ends: there is one under way where none is free.
        let buffer = self.published.pool.try_take(BufferPurpose::Engine).ok_or(Blocked::Io)?;
        self.gather = Some(Gather { buffer, segment: None });
        Ok(())
    }

    /// Adds a frame that lies at the end of the gather buffer to its segment.
    pub(super) fn grow(
        &mut self,
        gather: &mut Gather,
        active: &Active,
        open_len: usize,
        built: &Built,
    ) -> Option<(Arc<Segment>, Extent)> {
        let frame_offset = active.offset + open_len as u64;
        let continues = gather.segment.as_ref().is_some_and(|growing| {
            growing.page_number == active.number && growing.end == frame_offset
        });
        if !continues {
            let base = gather.buffer.frozen_len() - built.length;
            let buffer = &gather.buffer;
            let first_prev = built.first_prev;
            gather.segment = Some(self.new_segment(active, frame_offset, buffer, base, first_prev));
        }
        gather.segment.as_mut()?.extend(frame_offset, built, &self.config)
    }

    pub(super) fn new_segment(
        &mut self,
        active: &Active,
        page_offset: u64,
        buffer: &BufferMut,
        base: usize,
        first_prev_seq_no: u64,
    ) -> Growing {
        let origin = Origin {
            number: self.next_segment,
            page_number: active.number,
            page_offset,
            buffer: Arc::clone(buffer.buffer()),
            base,
            first_prev_seq_no,
        };
        self.next_segment += 1;
        let marks_max = 2 * (self.config.buf_capacity as u64 / self.config.spacing.bytes) + 2;
        Growing {
            segment: Arc::new(Segment::new(origin, marks_max.min(1 << 16) as usize)),
            page_number: active.number,
            start: page_offset,
            end: page_offset,
            gate: Gate::new(self.config.spacing),
        }
    }
}

impl Growing {
    /// Takes a frame in; answers what readers may see once it is stable.
    pub(super) fn extend(
        &mut self,
        frame_offset: u64,
        built: &Built,
        config: &Config,
    ) -> Option<(Arc<Segment>, Extent)> {
        debug_assert_eq!(config.align(built.length), built.length);
        for candidate in built.candidates(frame_offset) {
            if self.gate.admits(&candidate) {
                let base = (self.start / 8) as u32;
                let entry = candidate.entry;
                self.segment.mark(IndexEntry {
                    prev_seq_no: entry.prev_seq_no,
                    offset: entry.offset - base,
                    frame_end: entry.frame_end.saturating_sub(base),
                });
            }
        }
        self.end = frame_offset + built.length as u64;
        let len = (self.end - self.start) as usize;
        Some((Arc::clone(&self.segment), Extent { len, last_seq_no: built.tip }))
    }
}
