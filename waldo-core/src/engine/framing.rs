//! Operations become frames, and frames become writes.

use std::sync::Arc;

use crate::batch::{Batch, Body, Mark, Numbering};
use crate::driver::{Io, Parts};
use crate::engine::operation::{
    AppendCompletion, Appended, Census, Finished, ManageCompletion, Operation,
};
use crate::engine::pipeline::{Ack, Change, Unit};
use crate::engine::ring::Active;
use crate::engine::rotation::Room;
use crate::engine::trims::Note;
use crate::engine::{Blocked, Config, Engine, Purpose};
use crate::error::{AppendError, Error};
use crate::format::frame::seal_body;
use crate::format::meta::{Control, OpenBody};
use crate::format::record;
use crate::format::seal::IndexEntry;
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
use crate::index::{Candidate, Gate};
use crate::memory::pool::Purpose as BufferPurpose;
use crate::memory::{BufferMut, Slice};
use crate::tail::Segment;
use crate::tail::segment::{Extent, Origin};

/// While a gathered write is under way, what queues up behind it waits for it to end: that is
/// the group commit. With this many bytes queued the next write starts all the same.
const GROUP_SIZE: usize = 128 * 1024;

/// The buffer that small appends are gathered in.
pub(super) struct Gather {
    buffer: BufferMut,
    /// The segment that the next frame continues, if it lies right behind it.
    segment: Option<Growing>,
}

impl Gather {
    /// Has the next frame start a segment of its own.
    pub fn end_segment(&mut self) {
        self.segment = None;
    }
}

/// A segment that grows.
struct Growing {
    segment: Arc<Segment>,
    page_number: u64,
    /// Offset in the page at which it starts.
    start: u64,
    /// Offset in the page at which the next frame must start to belong to it.
    end: u64,
    gate: Gate,
}

/// The numbers that a batch gets.
#[derive(Clone, Copy)]
struct Numbers {
    first: u64,
    first_prev: u64,
    last: u64,
}

/// A place where reading may start, before it is known where the next one is.
struct Start {
    offset: u64,
    prev_seq_no: u64,
    ordinal: u64,
    in_frame: bool,
}

/// A frame that was built, before it is written.
struct Built {
    kind: FrameKind,
    length: usize,
    /// Logs of the page before the frame.
    ordinal: u64,
    count: u64,
    first_prev: u64,
    tip: u64,
    starts: Vec<Start>,
}

/// Bytes that an operation adds to the small appends that wait.
pub(super) fn small_len(operation: &Operation) -> usize {
    match operation {
        Operation::Append { batch: Batch { body: Body::Copied(bytes), .. }, .. } => bytes.len(),
        _ => 0,
    }
}

impl Engine {
    /// Fails the appends at the front that do not follow the tip.
    pub(super) fn reject_invalid(&mut self) {
        while let Some(Operation::Append { batch, .. }) = self.pending.front() {
            let Err(error) = self.number(batch, self.tip) else { return };
            self.fail_front(error);
        }
    }

    /// Frames the append at the front, and as many behind it as belong together. `None` where
    /// they wait for the group before them.
    pub(super) fn append_step(&mut self) -> Option<Result<(), Blocked>> {
        match self.pending.front() {
            Some(Operation::Append { batch: Batch { body: Body::Pooled(_), .. }, .. }) => {
                Some(self.write_pooled())
            }
            _ if self.pipeline.has_small() && self.pending_small < GROUP_SIZE => None,
            _ => Some(self.write_group()),
        }
    }

    /// The numbers that a batch gets behind `tip`.
    fn number(&self, batch: &Batch, tip: u64) -> Result<Numbers, AppendError> {
        match batch.numbering {
            Numbering::Conditional(_) if tip != 0 && batch.first_prev_seq_no != tip => {
                Err(AppendError::Sequence {
                    seq_no: batch.first_seq_no,
                    wanted: tip,
                    actual: batch.first_prev_seq_no,
                })
            }
            Numbering::Conditional(_) => Ok(Numbers {
                first: batch.first_seq_no,
                first_prev: batch.first_prev_seq_no,
                last: batch.last_seq_no,
            }),
            Numbering::Assigned => match tip.checked_add(u64::from(batch.count)) {
                Some(last) => Ok(Numbers { first: tip + 1, first_prev: tip, last }),
                None => Err(AppendError::Exhausted { tip }),
            },
        }
    }

    /// Gathers small appends into one frame.
    fn write_group(&mut self) -> Result<(), Blocked> {
        let Some(Operation::Append { batch, .. }) = self.pending.front() else { return Ok(()) };
        let least = self.config.align(FRAME_HEADER_SIZE + batch.len);
        let open_len = self.make_room(least, u64::from(batch.count), Room::Normal)?;
        self.ensure_gather(open_len + least)?;
        self.make_way(open_len + self.config.frame_max())?;

        let Some(active) = self.active.clone() else { return Ok(()) };
        let Some(mut gather) = self.gather.take() else { return Ok(()) };
        let opened = self.encode_open(&active, gather.buffer.unfrozen());
        let page_room = (self.config.data_end() - active.offset) as usize - open_len;
        let room = page_room
            .min(self.config.frame_max())
            .min(gather.buffer.remaining() - open_len)
            / self.config.alignment as usize
            * self.config.alignment as usize;
        let space = &mut gather.buffer.unfrozen()[open_len..open_len + room];
        let frame_offset = active.offset + open_len as u64;
        let (mut built, acks) = self.fill_group(&active, frame_offset, space);
        self.encode_frame(&active, frame_offset, &mut built, space, &[]);
        let slice = gather.buffer.freeze(open_len + built.length);
        let commit = self.grow(&mut gather, &active, open_len, &built);
        self.gather = Some(gather);
        let unit = Launch { built, acks, change: None, commit, opened, buffer: None, small: true };
        self.launch(unit, open_len, Parts { first: slice, second: None });
        Ok(())
    }

    /// Copies the appends at the front into a frame, as many as fit.
    fn fill_group(
        &mut self,
        active: &Active,
        frame_offset: u64,
        space: &mut [u8],
    ) -> (Built, Vec<Ack>) {
        let count_max = self.config.page_capacity - active.log_count.min(self.config.page_capacity);
        let mut built = Built::new(FrameKind::Data, active, self.tip);
        let mut body = FRAME_HEADER_SIZE;
        let mut acks = Vec::new();
        while let Some(Operation::Append { batch, .. }) = self.pending.front() {
            let Body::Copied(bytes) = &batch.body else { break };
            let count = u64::from(batch.count);
            if body + bytes.len() > space.len() || built.count + count > count_max {
                break;
            }
            let numbers = match self.number(batch, built.tip) {
                Ok(numbers) => numbers,
                Err(error) => {
                    self.fail_front(error);
                    continue;
                }
            };
            self.pending_small -= bytes.len();
            let Some(Operation::Append { batch, durable, done }) = self.pending.pop_front() else {
                break;
            };
            let Body::Copied(bytes) = &batch.body else { break };
            let target = &mut space[body..body + bytes.len()];
            target.copy_from_slice(bytes);
            stamp(&batch, numbers, active, target);
            if built.count == 0 {
                built.first_prev = numbers.first_prev;
            }
            built.add_starts(&batch, numbers, frame_offset, body);
            body += bytes.len();
            built.count += count;
            built.tip = numbers.last;
            acks.push(ack(done, numbers, count, durable));
        }
        built.length = body;
        (built, acks)
    }

    /// Writes a batch from the buffer that its producer filled.
    fn write_pooled(&mut self) -> Result<(), Blocked> {
        let Some(Operation::Append { batch, .. }) = self.pending.front() else { return Ok(()) };
        let (len, count) = (batch.len, u64::from(batch.count));
        let length = self.config.align(FRAME_HEADER_SIZE + len);
        let open_len = self.make_room(length, count, Room::Normal)?;
        if open_len > 0 {
            self.ensure_gather(open_len)?;
        }
        self.make_way(open_len + length)?;

        let Some(active) = self.active.clone() else { return Ok(()) };
        let Some(Operation::Append { batch, durable, done }) = self.pending.pop_front() else {
            return Ok(());
        };
        let Ok(numbers) = self.number(&batch, self.tip) else { return Ok(()) };
        let (opened, open) = self.open_slice(&active, open_len);
        let mut built = Built::new(FrameKind::Data, &active, self.tip);
        let frame_offset = active.offset + open_len as u64;
        built.add_starts(&batch, numbers, frame_offset, FRAME_HEADER_SIZE);
        let Body::Pooled(mut buffer) = take_body(batch, numbers, &active) else { return Ok(()) };
        built.length = FRAME_HEADER_SIZE + len;
        built.count = count;
        built.first_prev = numbers.first_prev;
        built.tip = numbers.last;
        self.encode_frame(&active, frame_offset, &mut built, &mut buffer.unfrozen()[..length], &[]);
        let data = buffer.freeze(length);
        // What small appends follow no longer lie behind the segment before.
        if let Some(gather) = &mut self.gather {
            gather.end_segment();
        }
        let mut growing = self.new_segment(&active, frame_offset, &buffer, 0, numbers.first_prev);
        let commit = growing.extend(frame_offset, &built, &self.config);
        let acks = vec![ack(done, numbers, count, durable)];
        let parts = match open {
            Some(open) => Parts { first: open, second: Some(data) },
            None => Parts { first: data, second: None },
        };
        let buffer = Some(buffer);
        let unit = Launch { built, acks, change: None, commit, opened, buffer, small: false };
        self.launch(unit, open_len, parts);
        Ok(())
    }

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
            self.apply_trim(up_to_seq_no, within, false);
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
    fn write_control(
        &mut self,
        control: Control,
        change: Change,
        done: Option<ManageCompletion>,
    ) {
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
        let unit =
            Launch { built, acks, change: Some(change), commit: None, opened, buffer: None, small: false };
        self.launch(unit, open_len, Parts { first: slice, second: None });
    }

    /// Makes sure that the gather buffer has `len` bytes left.
    fn ensure_gather(&mut self, len: usize) -> Result<(), Blocked> {
        if self.gather.as_ref().is_some_and(|gather| gather.buffer.remaining() >= len) {
            return Ok(());
        }
        // A buffer comes back when a write ends: there is one under way where none is free.
        let buffer =
            self.published.pool.try_take(BufferPurpose::Engine).ok_or(Blocked::Io)?;
        self.gather = Some(Gather { buffer, segment: None });
        Ok(())
    }

    /// Keeps the zeros of a page that is still being prepared away from the next `len` bytes.
    fn make_way(&mut self, len: usize) -> Result<(), Blocked> {
        let Some(active) = &self.active else { return Ok(()) };
        let end = (active.offset + len as u64).min(self.config.page_size);
        let clear = self.preparer.make_way(active.page, active.offset, end);
        if clear { Ok(()) } else { Err(Blocked::Io) }
    }

    /// Encodes the open frame at the start of `space`, if the page needs one.
    fn encode_open(&self, active: &Active, space: &mut [u8]) -> bool {
        if active.opened {
            return false;
        }
        let body = OpenBody {
            predecessor_page_number: active.predecessor.page_number,
            predecessor_end: active.predecessor.end,
            predecessor_incarnation: active.predecessor.incarnation,
            trimmed_seq_no: self.trimmed,
        };
        let mut body = body.encode();
        seal_body(self.config.store_id.seed(), active.number, self.incarnation, &mut body);
        let mut built = Built::new(FrameKind::Open, active, self.tip);
        built.length = FRAME_HEADER_SIZE + body.len();
        self.encode_frame(active, active.offset, &mut built, space, &body);
        true
    }

    /// The open frame as a slice of its own, if the page needs one.
    fn open_slice(&mut self, active: &Active, open_len: usize) -> (bool, Option<Slice>) {
        let Some(mut gather) = self.gather.take() else { return (false, None) };
        let opened = open_len > 0 && self.encode_open(active, gather.buffer.unfrozen());
        let slice = opened.then(|| gather.buffer.freeze(open_len));
        self.gather = Some(gather);
        (opened, slice)
    }

    /// Writes the header, and `body` where the frame has one, and zeros what is left of the last
    /// block. Rounds the frame's length up.
    fn encode_frame(
        &self,
        active: &Active,
        offset: u64,
        built: &mut Built,
        space: &mut [u8],
        body: &[u8],
    ) {
        let end = built.length;
        built.length = self.config.align(end);
        let header = FrameHeader {
            kind: built.kind,
            flags: 0,
            page_number: active.number,
            incarnation: self.incarnation,
            offset,
            length: built.length as u64,
            count: if body.is_empty() { built.count as u32 } else { body.len() as u32 },
            first_prev_seq_no: built.first_prev,
            last_seq_no: built.tip,
            durable_through: self.durability.promised(),
        };
        space[FRAME_HEADER_SIZE..FRAME_HEADER_SIZE + body.len()].copy_from_slice(body);
        space[end..built.length].fill(0);
        let fits = header.encode(self.config.store_id.seed(), space);
        debug_assert!(fits, "a frame's offset and length are below the format's limits");
    }

    /// Adds a frame that lies at the end of the gather buffer to its segment.
    fn grow(
        &mut self,
        gather: &mut Gather,
        active: &Active,
        open_len: usize,
        built: &Built,
    ) -> Option<(Arc<Segment>, Extent)> {
        let frame_offset = active.offset + open_len as u64;
        let continues = gather
            .segment
            .as_ref()
            .is_some_and(|growing| {
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

    fn new_segment(
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

    /// Sends a write on its way, and moves the ends of page and log behind it.
    fn launch(&mut self, launch: Launch, open_len: usize, parts: Parts) {
        let Some(active) = &mut self.active else { return };
        let Launch { built, acks, change, commit, opened, buffer, small } = launch;
        let start = active.offset;
        let frame_offset = start + open_len as u64;
        let end_offset = frame_offset + built.length as u64;
        let candidates = built.candidates(frame_offset);
        active.offset = end_offset;
        active.log_count += built.count;
        active.opened = true;
        let active = active.clone();
        let end_position = self.position(active.number, end_offset);
        // The first log decides what comes before it: nothing that this store ever had.
        let starts = self.tip == 0 && built.count > 0;
        if starts {
            self.trimmed = built.first_prev;
        }
        self.tip = built.tip;
        if opened {
            self.overwriting(active.overwrites, end_position);
        }
        if opened || starts {
            let (trimmed, page_number) = (self.trimmed, active.number);
            self.trims.note(Note { trimmed, page_number, end_position });
        }
        let id = self.pipeline.take_id();
        self.pipeline.push(Unit {
            id,
            page: active.page,
            len: parts.len(),
            end_position,
            frame_offset,
            end_offset,
            small,
            done: false,
            opens: opened.then(|| self.page_use(&active, built.first_prev)),
            first_prev_seq_no: built.first_prev,
            tip: built.tip,
            count: built.count,
            candidates,
            commit,
            change,
            acks,
            buffer,
        });
        let io = Io::Write {
            page: active.page,
            offset: start,
            parts,
            durable: self.config.durable,
        };
        self.request(Purpose::Write(id), io);
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

/// What goes with a frame on its way.
struct Launch {
    built: Built,
    acks: Vec<Ack>,
    change: Option<Change>,
    commit: Option<(Arc<Segment>, Extent)>,
    opened: bool,
    buffer: Option<BufferMut>,
    small: bool,
}

impl Built {
    fn new(kind: FrameKind, active: &Active, tip: u64) -> Self {
        let ordinal = active.log_count;
        Self { kind, length: 0, ordinal, count: 0, first_prev: tip, tip, starts: Vec::new() }
    }

    /// Notes where reading may start in a batch that lies at `at` in the frame.
    fn add_starts(
        &mut self,
        batch: &Batch,
        numbers: Numbers,
        frame_offset: u64,
        at: usize,
    ) {
        let ordinal = self.ordinal + self.count;
        let first = Mark { offset: 0, ordinal: 0, prev_seq_no: batch.first_prev_seq_no };
        for mark in std::iter::once(&first).chain(&batch.marks) {
            let in_frame = at + mark.offset as usize > FRAME_HEADER_SIZE;
            let offset =
                if in_frame { frame_offset + (at + mark.offset as usize) as u64 } else { frame_offset };
            let prev_seq_no = match batch.numbering {
                Numbering::Conditional(_) => mark.prev_seq_no,
                Numbering::Assigned => numbers.first_prev + u64::from(mark.ordinal),
            };
            let ordinal = ordinal + u64::from(mark.ordinal);
            self.starts.push(Start { offset, prev_seq_no, ordinal, in_frame });
        }
    }

    /// The places for the index, each with where the next one is.
    fn candidates(&self, frame_offset: u64) -> Vec<Candidate> {
        let frame_end = frame_offset + self.length as u64;
        let ends = self.starts.iter().skip(1).map(|next| (next.offset, next.ordinal));
        let ends = ends.chain(std::iter::once((frame_end, self.ordinal + self.count)));
        self.starts
            .iter()
            .zip(ends)
            .map(|(start, (next_offset, next_ordinal))| Candidate {
                entry: IndexEntry {
                    prev_seq_no: start.prev_seq_no,
                    offset: (start.offset / 8) as u32,
                    frame_end: if start.in_frame { (frame_end / 8) as u32 } else { 0 },
                },
                ordinal: start.ordinal,
                next_offset,
                next_ordinal,
            })
            .collect()
    }
}

impl Growing {
    /// Takes a frame in; answers what readers may see once it is stable.
    fn extend(
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

/// Gives the logs of a batch their numbers and the tag of the page.
fn stamp(batch: &Batch, numbers: Numbers, active: &Active, records: &mut [u8]) {
    match batch.numbering {
        Numbering::Conditional(tag) => {
            record::retag_all(tag, active.tag, batch.count as usize, records);
        }
        Numbering::Assigned => {
            let mut prev = numbers.first_prev;
            let mut at = 0;
            for _ in 0..batch.count {
                let Some(rest) = records.get_mut(at..) else { return };
                let Some(size) = record::assign(prev + 1, prev, active.tag, rest) else { return };
                at += size;
                prev += 1;
            }
        }
    }
}

/// The body of a batch, stamped.
fn take_body(batch: Batch, numbers: Numbers, active: &Active) -> Body {
    let mut batch = batch;
    let mut body = std::mem::replace(&mut batch.body, Body::Copied(Vec::new()));
    if let Body::Pooled(buffer) = &mut body {
        let records = &mut buffer.unfrozen()[FRAME_HEADER_SIZE..FRAME_HEADER_SIZE + batch.len];
        stamp(&batch, numbers, active, records);
    }
    body
}

fn ack(
    done: AppendCompletion,
    numbers: Numbers,
    count: u64,
    durable: bool,
) -> Ack {
    let appended = Appended { first_seq_no: numbers.first, last_seq_no: numbers.last, count };
    Ack::Append { done, appended, durable }
}
