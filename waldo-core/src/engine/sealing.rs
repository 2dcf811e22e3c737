//! Seals: summaries of pages, so that a later open need not scan them.
//!
//! A seal is written once everything that it vouches for is durable, and nothing waits for it. If
//! it is missing the page is scanned. An open that goes on with a sealed page wipes the seal first.

use crate::driver::{Io, Parts};
use crate::engine::operation::Finished;
use crate::engine::{Blocked, Engine, Purpose};
use crate::format::frame::seal_body;
use crate::format::seal::{SEAL_FLAG_SCAN, SealBody};
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
use crate::memory::Slice;
use crate::memory::pool::Purpose as BufferPurpose;

impl Engine {
    /// Writes the seal of a page that was left, one at a time.
    pub(super) fn start_seals(&mut self) {
        if self.poison.is_some() || self.sealing.is_some() {
            return;
        }
        let Some(&(page, number, end)) = self.to_seal.front() else { return };
        if self.durability.promised() < self.position(number, end) {
            return;
        }
        if !self.preparer.make_way(page, self.config.seal_offset(), self.config.page_size) {
            return;
        }
        let Some(slice) = self.build_seal(number) else { return };
        self.to_seal.pop_front();
        self.sealing = Some((page, slice.len()));
        let parts = Parts { first: slice, second: None };
        let offset = self.config.seal_offset();
        let durable = self.config.durable;
        self.request(Purpose::Seal, Io::Write { page, offset, parts, durable });
    }

    /// Wipes the seal of an earlier close, before the page is gone on with: a seal says that
    /// nothing follows what it vouches for.
    pub(super) fn break_seal(&mut self) -> Result<(), Blocked> {
        if self.sealing.is_some() {
            return Err(Blocked::Io);
        }
        let Some(active) = self.active.as_mut().filter(|active| active.may_be_sealed) else {
            return Ok(());
        };
        let (page, offset) = (active.page, self.config.seal_offset());
        let length = self.config.align(FRAME_HEADER_SIZE);
        if self.preparer.is_zeroing(page, offset, offset + length as u64) {
            return Err(Blocked::Io);
        }
        let mut buffer = self.published.pool.try_take(BufferPurpose::Engine).ok_or(Blocked::Io)?;
        active.may_be_sealed = false;
        buffer.unfrozen()[..length].fill(0);
        let parts = Parts { first: buffer.freeze(length), second: None };
        let durable = self.config.durable;
        self.sealing = Some((page, length));
        self.request(Purpose::Seal, Io::Write { page, offset, parts, durable });
        Err(Blocked::Io)
    }

    /// Ends a close once everything is written, durable and sealed.
    pub(super) fn finish_close(&mut self) {
        if self.poison.is_some() || self.closing.is_none() {
            return;
        }
        let busy = !self.pending.is_empty()
            || !self.pipeline.is_empty()
            || self.durability.is_dirty()
            || self.durability.under_way() > 0;
        if busy {
            return;
        }
        if let Some(active) = self.active.take()
            && active.opened
        {
            self.to_seal.push_back((active.page, active.number, active.offset));
        }
        self.start_seals();
        if self.sealing.is_none()
            && self.to_seal.is_empty()
            && let Some(done) = self.closing.take()
        {
            self.closed = true;
            self.finished.push(Finished::Manage(done, Ok(())));
        }
    }

    /// The seal of a page; `None` where there is no buffer for it now.
    fn build_seal(&self, number: u64) -> Option<Slice> {
        let mut buffer = self.published.pool.try_take(BufferPurpose::Engine)?;
        let entries_max = self.config.seal_entries_max();
        let (body, flags) = self.published.catalog.with(number, |page| {
            // More incarnations than there is room for: the page will be scanned.
            let known = page.incarnations.as_slice().len() <= entries_max / 2;
            let incarnations =
                if known { page.incarnations.as_slice().to_vec() } else { Vec::new() };
            let entries_max = entries_max - incarnations.len();
            let body = SealBody {
                end: page.end,
                first_prev_seq_no: page.first_prev_seq_no,
                last_seq_no: page.last_seq_no,
                log_count: page.log_count,
                trimmed_seq_no: page.trimmed_seq_no,
                incarnations,
                index: page.index.thinned(entries_max),
            };
            (body, if known && page.cuts.is_empty() { 0 } else { SEAL_FLAG_SCAN })
        })?;
        let mut bytes = body.encode();
        seal_body(self.config.store_id.seed(), number, self.incarnation, &mut bytes);
        let end = FRAME_HEADER_SIZE + bytes.len();
        let length = self.config.align(end);
        let header = FrameHeader {
            kind: FrameKind::Seal,
            flags,
            page_number: number,
            incarnation: self.incarnation,
            offset: self.config.seal_offset(),
            length: length as u64,
            count: bytes.len() as u32,
            first_prev_seq_no: body.last_seq_no,
            last_seq_no: body.last_seq_no,
            durable_through: self.position(number, body.end),
        };
        let space = buffer.unfrozen();
        space[FRAME_HEADER_SIZE..end].copy_from_slice(&bytes);
        space[end..length].fill(0);
        let fits = header.encode(self.config.store_id.seed(), space);
        debug_assert!(fits, "a seal's offset and length are below the format's limits");
        Some(buffer.freeze(length))
    }
}
