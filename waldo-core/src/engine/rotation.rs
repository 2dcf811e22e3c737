//! Leaving a full page, and what has to be true before the next one is overwritten.
//!
//! The logs of the page that comes next are given up *before* it is touched: a trim point that
//! covers them is made durable in the page that is being left. So recovery can tell a page that
//! was being reused when the power went from one that was damaged. That happens ahead of time,
//! when the active page has an eighth of its room left, so that no append waits for it.

use crate::catalog::{Incarnations, PageUse};
use crate::engine::ring::{Active, Full, Overwritten, Predecessor};
use crate::engine::{Blocked, Config, Engine};
use crate::format::PAGE_HEADER_SIZE;
use crate::index::SparseIndex;
use crate::options::Retention;

/// Which part of a page a frame may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// All but what is kept for giving up the next page.
    Normal,
    /// That, too.
    Release,
}

/// The part of a page that is left when the page that comes next is given up.
const AHEAD_DIVISOR: u64 = 8;

impl Engine {
    /// Makes sure that the active page has room for a frame of `len` bytes and `count` logs.
    ///
    /// Returns the bytes that the open frame before it takes, 0 where the page is open already.
    pub(super) fn make_room(
        &mut self,
        len: usize,
        count: u64,
        room: Room,
    ) -> Result<usize, Blocked> {
        let open_frame_len = self.config.open_frame_len();
        if let Some(active) = &self.active {
            let open_len = if active.opened { 0 } else { open_frame_len };
            let limit = match room {
                Room::Normal => self.config.data_end(),
                Room::Release => self.config.seal_offset(),
            };
            let fits = active.offset + (open_len + len) as u64 <= limit;
            if fits && active.log_count + count <= self.config.page_capacity {
                // What is durable may have moved on since the page was taken.
                if let Some(overwrites) = active.overwrites.filter(|_| !active.opened) {
                    self.may_overwrite(overwrites)?;
                }
                return Ok(open_len);
            }
        }
        if room == Room::Release && self.active.is_some() {
            return Err(Blocked::NoRoom);
        }
        self.rotate()?;
        Ok(open_frame_len)
    }

    /// Gives up the page that comes next while the active page still has room.
    pub(super) fn release_ahead(&mut self) {
        let Some(active) = &self.active else { return };
        let left = self.config.data_end().saturating_sub(active.offset);
        let early = left > self.config.page_size / AHEAD_DIVISOR;
        let busy = self.pipeline.len() >= self.config.writes_max;
        if early || busy || self.config.retention != Retention::Overwrite {
            return;
        }
        // Where it cannot be done now, the rotation will do it, and wait for it.
        if let Some(full) = self.reused_next() {
            let _ = self.release(full);
        }
    }

    /// Whether a trim up to `seq_no` gives up the page that comes next, which nothing did yet.
    pub(super) fn releases_next(&self, seq_no: u64) -> bool {
        let Some(full) = self.reused_next() else { return false };
        let framed = self.trims.beyond(full.number, u64::MAX);
        let last_seq_no = self.last_seq_no(full);
        last_seq_no.is_some_and(|last| framed.is_none_or(|framed| framed < last) && last <= seq_no)
    }

    /// A new use of a page, as the catalog will know it.
    pub(super) fn page_use(&mut self, active: &Active, first_prev_seq_no: u64) -> PageUse {
        let Config { index_capacity, spacing, .. } = self.config;
        let index = SparseIndex::recycled(self.spare_index.take(), index_capacity, spacing);
        PageUse {
            page: active.page,
            number: active.number,
            end: PAGE_HEADER_SIZE as u64,
            first_prev_seq_no,
            last_seq_no: first_prev_seq_no,
            log_count: 0,
            trimmed_count: 0,
            trimmed_seq_no: self.trimmed,
            index,
            incarnations: Incarnations::default(),
            cuts: Vec::new(),
        }
    }

    /// Leaves the active page and puts the next one into use.
    fn rotate(&mut self) -> Result<(), Blocked> {
        let page = self.ring.next_page().ok_or(Blocked::Io)?;
        // A page that holds logs has room; preparing it again would destroy them.
        if self.reused_next().is_none()
            && let Some(errno) = self.preparer.failure(page)
        {
            return Err(Blocked::NoSpace { errno });
        }
        if self.pipeline.touches(page) || self.sealing.is_some_and(|(sealed, _)| sealed == page) {
            return Err(Blocked::Io);
        }
        let overwrites = match self.reused_next() {
            Some(full) => {
                let overwrites = self.release(full)?;
                self.forget(full);
                overwrites
            }
            None => None,
        };
        self.ring.take_next();
        self.to_seal.retain(|(sealed, ..)| *sealed != page);
        let predecessor = self.leave_active();
        self.page_number += 1;
        let tag = self.config.store_id.tag(self.page_number, self.incarnation);
        self.published.progress.set_tag(tag);
        self.active = Some(Active {
            page,
            number: self.page_number,
            tag,
            offset: PAGE_HEADER_SIZE as u64,
            log_count: 0,
            opened: false,
            may_be_sealed: false,
            predecessor,
            overwrites,
        });
        Ok(())
    }

    /// The page with logs that comes next; `None` where an empty one does.
    fn reused_next(&self) -> Option<Full> {
        if self.ring.free.is_empty() { self.ring.full.front().copied() } else { None }
    }

    /// Makes sure that nobody counts on the logs of a page any more: the log itself says that they
    /// are given up, as durably as they were promised.
    ///
    /// `Ok` where that is so; else it is under way, or up to the user.
    fn release(&mut self, full: Full) -> Result<Option<Overwritten>, Blocked> {
        let last_seq_no = self.last_seq_no(full).ok_or(Blocked::Io)?;
        if self.config.retention != Retention::Overwrite && self.trimmed < last_seq_no {
            let oldest = self.published.progress.trimmed() + 1;
            return Err(Blocked::Full { oldest });
        }
        let overwrites = Overwritten { number: full.number, last_seq_no };
        if !self.says_given_up(overwrites, u64::MAX) {
            match self.write_release(last_seq_no) {
                // Only the repair of a damaged page takes the room that is kept for this. Then
                // the next open frame says it, and a crash just there looks like damage.
                Err(Blocked::NoRoom) => {
                    self.trimmed = self.trimmed.max(last_seq_no);
                    return Ok(None);
                }
                result => result?,
            }
        }
        if self.published.progress.trimmed() < last_seq_no {
            return Err(Blocked::Io);
        }
        self.may_overwrite(overwrites)?;
        Ok(Some(overwrites))
    }

    /// Whether a frame behind a page that ends at or before `position` gives its logs up.
    fn says_given_up(&self, overwrites: Overwritten, position: u64) -> bool {
        let trimmed = self.trims.beyond(overwrites.number, position);
        trimmed.is_some_and(|trimmed| trimmed >= overwrites.last_seq_no)
    }

    /// Whether logs may be overwritten now: that they are given up is durable, or nobody was told
    /// that they are.
    fn may_overwrite(&mut self, overwrites: Overwritten) -> Result<(), Blocked> {
        let durable = self.durability.position();
        let given_up = self.says_given_up(overwrites, durable) && self.barrier <= durable;
        if given_up || durable <= self.position(overwrites.number, 0) {
            return Ok(());
        }
        self.durability.request();
        Err(Blocked::Io)
    }

    /// Called when the open frame of a page is on its way, and ends at a position.
    ///
    /// Where nobody was told that the logs it overwrites would survive a power loss, nobody, not
    /// even a frame, may be told so before the page's new use is itself durable.
    pub(super) fn overwriting(&mut self, overwrites: Option<Overwritten>, end_position: u64) {
        let durable = self.durability.position();
        if overwrites.is_some_and(|overwrites| !self.says_given_up(overwrites, durable)) {
            self.durability.hold_promises(end_position);
        }
    }

    /// Takes a page that is about to be overwritten from the readers.
    fn forget(&mut self, full: Full) {
        if let Some(last_seq_no) = self.last_seq_no(full) {
            self.trimmed = self.trimmed.max(last_seq_no);
            let progress = &self.published.progress;
            progress.set_trimmed(progress.trimmed().max(last_seq_no));
        }
        self.spare_index = self.published.catalog.pop_oldest().map(|page| page.index);
    }

    fn leave_active(&mut self) -> Predecessor {
        let Some(active) = self.active.take() else { return Predecessor::default() };
        if let Some(gather) = &mut self.gather {
            gather.end_segment();
        }
        if active.opened {
            self.ring.full.push_back(Full { page: active.page, number: active.number });
            self.to_seal.push_back((active.page, active.number, active.offset));
        }
        Predecessor {
            page_number: active.number,
            end: active.offset,
            incarnation: self.incarnation,
        }
    }

    /// The last log of a page; `None` while writes under way may still change which it is.
    fn last_seq_no(&self, full: Full) -> Option<u64> {
        let settled = self.epoch == self.published.progress.epoch();
        if !settled || self.pipeline.touches(full.page) {
            return None;
        }
        self.published.catalog.with(full.number, |page| page.last_seq_no)
    }
}
