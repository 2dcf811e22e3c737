//! Frames: their headers, the open frame before the first one of a page, and their way to disk.

use std::sync::Arc;

use crate::batch::{Batch, Mark, Numbering};
use crate::driver::{Io, Parts};
use crate::engine::appends::Numbers;
use crate::engine::pipeline::{Ack, Change, Unit};
use crate::engine::ring::Active;
use crate::engine::trims::Note;
use crate::engine::{Blocked, Engine, Purpose};
use crate::format::frame::seal_body;
use crate::format::meta::OpenBody;
use crate::format::seal::IndexEntry;
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
use crate::index::Candidate;
use crate::memory::{BufferMut, Slice};
use crate::tail::Segment;
use crate::tail::segment::Extent;

/// A frame that was built, before it is written.
pub(super) struct Built {
    pub kind: FrameKind,
    pub length: usize,
    /// Logs of the page before the frame.
    pub ordinal: u64,
    pub count: u64,
    pub first_prev: u64,
    pub tip: u64,
    starts: Vec<Start>,
}

/// A place where reading may start, before it is known where the next one is.
struct Start {
    offset: u64,
    prev_seq_no: u64,
    ordinal: u64,
    in_frame: bool,
}

/// What goes with a frame on its way.
pub(super) struct Launch {
    pub built: Built,
    pub acks: Vec<Ack>,
    pub change: Option<Change>,
    pub commit: Option<(Arc<Segment>, Extent)>,
    pub opened: bool,
    pub buffer: Option<BufferMut>,
    pub small: bool,
}

impl Engine {
    /// Keeps the zeros of a page that is still being prepared away from the next `len` bytes.
    pub(super) fn make_way(&mut self, len: usize) -> Result<(), Blocked> {
        let Some(active) = &self.active else { return Ok(()) };
        let end = (active.offset + len as u64).min(self.config.page_size);
        let clear = self.preparer.make_way(active.page, active.offset, end);
        if clear { Ok(()) } else { Err(Blocked::Io) }
    }

    /// Encodes the open frame at the start of `space`, if the page needs one.
    pub(super) fn encode_open(&self, active: &Active, space: &mut [u8]) -> bool {
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
    pub(super) fn open_slice(&mut self, active: &Active, open_len: usize) -> (bool, Option<Slice>) {
        let Some(mut gather) = self.gather.take() else { return (false, None) };
        let opened = open_len > 0 && self.encode_open(active, gather.buffer.unfrozen());
        let slice = opened.then(|| gather.buffer.freeze(open_len));
        self.gather = Some(gather);
        (opened, slice)
    }

    /// Writes the header, and `body` where the frame has one, and zeros what is left of the last
    /// block. Rounds the frame's length up.
    pub(super) fn encode_frame(
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

    /// Sends a write on its way, and moves the ends of page and log behind it.
    pub(super) fn launch(&mut self, launch: Launch, open_len: usize, parts: Parts) {
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
        let opens = opened.then(|| self.page_use(&active, built.first_prev));
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
            opens,
            first_prev_seq_no: built.first_prev,
            tip: built.tip,
            count: built.count,
            candidates,
            commit,
            change,
            acks,
            buffer,
        });
        let io =
            Io::Write { page: active.page, offset: start, parts, durable: self.config.durable };
        self.request(Purpose::Write(id), io);
    }
}

impl Built {
    pub(super) fn new(kind: FrameKind, active: &Active, tip: u64) -> Self {
        let ordinal = active.log_count;
        Self { kind, length: 0, ordinal, count: 0, first_prev: tip, tip, starts: Vec::new() }
    }

    /// Notes where reading may start in a batch that lies at `at` in the frame.
    pub(super) fn add_starts(
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
            let offset = if in_frame {
                frame_offset + (at + mark.offset as usize) as u64
            } else {
                frame_offset
            };
            let prev_seq_no = match batch.numbering {
                Numbering::Conditional(_) => mark.prev_seq_no,
                Numbering::Assigned => numbers.first_prev + u64::from(mark.ordinal),
            };
            let ordinal = ordinal + u64::from(mark.ordinal);
            self.starts.push(Start { offset, prev_seq_no, ordinal, in_frame });
        }
    }

    /// The places for the index, each with where the next one is.
    pub(super) fn candidates(&self, frame_offset: u64) -> Vec<Candidate> {
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
