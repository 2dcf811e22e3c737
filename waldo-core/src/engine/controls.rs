//! Trims, truncations and their like become control frames.

use crate::driver::Parts;
use crate::engine::framing::{Built, Launch};
use crate::engine::operation::{Census, Finished, ManageCompletion, Operation};
use crate::engine::pipeline::{Ack, Change};
use crate::engine::rotation::Room;
use crate::engine::trims::Note;
use crate::engine::{Blocked, Engine};
use crate::error::Error;
use crate::format::frame::seal_body;
use crate::format::meta::Control;
use crate::format::{FRAME_HEADER_SIZE, FrameKind};

impl Engine {
    /// Writes a trim point.
    pub(super) fn write_trim(&mut self) -> Result<(), Blocked> {
        let Some(Operation::Trim { up_to_seq_no, .. }) = self.pending.front() else {
            return Ok(());
        };
        let up_to_seq_no = (*up_to_seq_no).min(self.tip);
        let (trimmed, end) = self.trims.framed();
        let framed = trimmed >= up_to_seq_no;
        let kept = framed || self.prepare_trim(up_to_seq_no)?;
        let Some(Operation::Trim { census, done, .. }) = self.pending.pop_front() else {
            return Ok(());
        };
        self.trimmed = self.trimmed.max(up_to_seq_no);
        if framed {
            self.durability.wait(end, Finished::Manage(done, Ok(())));
            return Ok(());
        }
        let within = self.count_through(up_to_seq_no, census).unwrap_or(0);
        if !kept {
            self.published.trim(up_to_seq_no, within, false);
            self.finished.push(Finished::Manage(done, Ok(())));
            return Ok(());
        }
        let change = Change::Trim { up_to_seq_no, within };
        self.write_control(Control::Trim { up_to_seq_no }, change, Some(done));
        Ok(())
    }

    /// Makes room for a trim point. Answers `false` where there is none before more is trimmed:
    /// then the trim point is kept in memory, and goes to disk with the next frame that is.
    fn prepare_trim(&mut self, up_to_seq_no: u64) -> Result<bool, Blocked> {
        let room = if self.releases_next(up_to_seq_no) { Room::Release } else { Room::Normal };
        match self.prepare_control(room) {
            Ok(()) => Ok(true),
            Err(Blocked::Full { .. } | Blocked::NoRoom) => Ok(false),
            Err(blocked) => Err(blocked),
        }
    }

    /// Writes a truncation.
    pub(super) fn write_truncate(&mut self) -> Result<(), Blocked> {
        let Some(Operation::Truncate { after_seq_no, epoch, .. }) = self.pending.front() else {
            return Ok(());
        };
        let (after_seq_no, epoch) = (*after_seq_no, *epoch);
        let nothing = after_seq_no == self.tip;
        let missing = after_seq_no > self.tip || after_seq_no < self.trimmed || epoch != self.epoch;
        if !nothing && !missing {
            self.prepare_control(Room::Normal)?;
        }
        let Some(Operation::Truncate { census, done, .. }) = self.pending.pop_front() else {
            return Ok(());
        };
        if nothing || missing {
            let not_found = Error::NotFound { seq_no: after_seq_no };
            let result = if missing { Err(not_found) } else { Ok(()) };
            self.finished.push(Finished::Manage(done, result));
            return Ok(());
        }
        let within = self.count_through(after_seq_no, census).unwrap_or(0);
        self.epoch += 1;
        let change = Change::Truncate { after_seq_no, within };
        self.write_control(Control::Truncate { after_seq_no }, change, Some(done));
        Ok(())
    }

    /// Writes that the log starts anew.
    pub(super) fn write_clear(&mut self) -> Result<(), Blocked> {
        if self.tip != 0 {
            self.prepare_control(Room::Normal)?;
        }
        let Some(Operation::Clear { done }) = self.pending.pop_front() else { return Ok(()) };
        if self.tip == 0 {
            self.finished.push(Finished::Manage(done, Ok(())));
            return Ok(());
        }
        self.trimmed = 0;
        self.trims.clear();
        self.epoch += 1;
        self.write_control(Control::Clear, Change::Clear, Some(done));
        Ok(())
    }

    /// Writes the trim point once more, under the incarnation that recovery chose.
    pub(super) fn write_repair(&mut self) -> Result<(), Blocked> {
        let room = self.prepare_repair();
        if room == Err(Blocked::Io) {
            return room;
        }
        if room.is_ok() {
            self.break_seal()?;
        }
        let Some(Operation::Repair { done }) = self.pending.pop_front() else { return Ok(()) };
        if room.is_err() {
            self.durability.hold_promises(0);
            self.finished.push(Finished::Manage(done, Ok(())));
            return Ok(());
        }
        let up_to_seq_no = self.trimmed;
        let change = Change::Trim { up_to_seq_no, within: 0 };
        self.write_control(Control::Trim { up_to_seq_no }, change, Some(done));
        if let Some(active) = &self.active {
            self.durability.hold_promises(self.position(active.number, active.offset));
        }
        Ok(())
    }

    /// Makes room for a repair, where one is needed.
    ///
    /// Where a page has no room for logs left, only a trim point can have been torn behind its
    /// end, and it does no harm if that comes back. A page that was just being put into use is
    /// free, and is put into use now.
    fn prepare_repair(&mut self) -> Result<(), Blocked> {
        let end = self.config.data_end() - self.config.control_frame_len() as u64;
        let full = self.active.as_ref().is_some_and(|active| active.offset > end);
        if !full || !self.ring.free.is_empty() {
            return self.prepare_control(Room::Normal);
        }
        if !self.lossy {
            return Err(Blocked::NoRoom);
        }
        match self.prepare_control(Room::Release) {
            Err(Blocked::NoRoom) => self.prepare_control(Room::Normal),
            result => result,
        }
    }

    /// Gives up the logs of the page that comes next, so that it can be reused: an implicit trim.
    pub(super) fn write_release(&mut self, up_to_seq_no: u64) -> Result<(), Blocked> {
        self.prepare_control(Room::Release)?;
        self.trimmed = self.trimmed.max(up_to_seq_no);
        let change = Change::Trim { up_to_seq_no, within: 0 };
        self.write_control(Control::Trim { up_to_seq_no }, change, None);
        Ok(())
    }

    /// Makes room for a control frame.
    fn prepare_control(&mut self, room: Room) -> Result<(), Blocked> {
        let length = self.config.control_frame_len();
        let open_len = self.make_room(length, 0, room)?;
        self.ensure_gather(open_len + length)?;
        self.make_way(open_len + length)
    }

    /// Frames and writes a control body; [`prepare_control`](Self::prepare_control) made room.
    fn write_control(&mut self, control: Control, change: Change, done: Option<ManageCompletion>) {
        let (Some(active), Some(mut gather)) = (self.active.clone(), self.gather.take()) else {
            return;
        };
        let open_len = if active.opened { 0 } else { self.config.open_frame_len() };
        let opened = self.encode_open(&active, gather.buffer.unfrozen());
        let mut body = control.encode();
        seal_body(self.config.store_id.seed(), active.number, self.incarnation, &mut body);
        let mut built = Built::new(FrameKind::Control, &active, self.tip);
        built.length = FRAME_HEADER_SIZE + body.len();
        let frame_offset = active.offset + open_len as u64;
        let space = &mut gather.buffer.unfrozen()[open_len..];
        self.encode_frame(&active, frame_offset, &mut built, space, &body);
        let slice = gather.buffer.freeze(open_len + built.length);
        // Readers have no use for it: what follows starts a segment of its own.
        gather.end_segment();
        self.gather = Some(gather);
        let end = self.position(active.number, frame_offset + built.length as u64);
        match &change {
            Change::Trim { up_to_seq_no, .. } => self.trims.note(Note {
                trimmed: *up_to_seq_no,
                page_number: active.number,
                end_position: end,
            }),
            Change::Truncate { .. } | Change::Clear => self.barrier = end,
        }
        // The frame itself says what the tip was before.
        built.tip = match change {
            Change::Trim { .. } => built.tip,
            Change::Truncate { after_seq_no, .. } => after_seq_no,
            Change::Clear => 0,
        };
        let acks = done.map(|done| Ack::Manage { done }).into_iter().collect();
        let unit = Launch {
            built,
            acks,
            change: Some(change),
            commit: None,
            opened,
            buffer: None,
            small: false,
        };
        self.launch(unit, open_len, Parts { first: slice, second: None });
    }

    /// Logs up to `seq_no` in the page where it falls.
    fn count_through(&self, seq_no: u64, census: Option<Census>) -> Option<u64> {
        self.published.catalog.with_log(seq_no, |page| {
            if page.is_dense() {
                return Some(seq_no - page.first_prev_seq_no);
            }
            census.filter(|census| census.page_number == page.number).map(|census| census.count)
        })?
    }
}
