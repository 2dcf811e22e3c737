//! Appends become data frames: small ones together, large ones each from its own buffer.

use crate::batch::{Batch, Body, Numbering};
use crate::driver::Parts;
use crate::engine::framing::{Built, Launch};
use crate::engine::operation::{AppendCompletion, Appended, Operation};
use crate::engine::pipeline::Ack;
use crate::engine::ring::Active;
use crate::engine::rotation::Room;
use crate::engine::{Blocked, Engine};
use crate::error::AppendError;
use crate::format::record;
use crate::format::{FRAME_HEADER_SIZE, FrameKind};

/// While a gathered write is under way, what queues up behind it waits for it to end: that is
/// the group commit. With this many bytes queued the next write starts all the same.
const GROUP_SIZE: usize = 128 * 1024;

/// The numbers that a batch gets.
#[derive(Clone, Copy)]
pub(super) struct Numbers {
    pub first: u64,
    pub first_prev: u64,
    pub last: u64,
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
        let room = page_room.min(self.config.frame_max()).min(gather.buffer.remaining() - open_len)
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
}

/// Gives the logs of a batch their numbers and the tag of the page.
fn stamp(batch: &Batch, numbers: Numbers, active: &Active, records: &mut [u8]) {
    match batch.numbering {
        Numbering::Conditional(tag) => {
            record::retag_all(tag, active.tag, batch.count as usize, records);
        }
        Numbering::Assigned => {
            let mut at = 0;
            for prev in numbers.first_prev..numbers.last {
                let Some(rest) = records.get_mut(at..) else { return };
                let Some(size) = record::assign(prev + 1, prev, active.tag, rest) else { return };
                at += size;
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

fn ack(done: AppendCompletion, numbers: Numbers, count: u64, durable: bool) -> Ack {
    let appended = Appended { first_seq_no: numbers.first, last_seq_no: numbers.last, count };
    Ack::Append { done, appended, durable }
}
