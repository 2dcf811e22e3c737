//! Writes under way, and the stable pointer that moves over them in order.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::catalog::PageUse;
use crate::engine::operation::{AppendCompletion, Appended, ManageCompletion};
use crate::index::Candidate;
use crate::memory::BufferMut;
use crate::tail::Segment;
use crate::tail::segment::Extent;

/// One write, and what becomes true when it is stable.
pub(super) struct Unit {
    pub id: u64,
    pub page: u32,
    /// Bytes that must be written.
    pub len: usize,
    /// Position in the log at which its frames end.
    pub end_position: u64,
    /// Offset in the page at which its last frame starts.
    pub frame_offset: u64,
    /// Offset in the page at which they end.
    pub end_offset: u64,
    /// Gathered from small appends.
    pub small: bool,
    pub done: bool,
    /// The page that it opens.
    pub opens: Option<PageUse>,
    pub first_prev_seq_no: u64,
    pub tip: u64,
    pub count: u64,
    pub candidates: Vec<Candidate>,
    /// What readers may see in memory.
    pub commit: Option<(Arc<Segment>, Extent)>,
    pub change: Option<Change>,
    pub acks: Vec<Ack>,
    /// A producer's buffer: its place in the pool is kept until the tail has it.
    pub buffer: Option<BufferMut>,
}

/// What a control frame changes.
pub(super) enum Change {
    Trim { up_to_seq_no: u64, within: u64 },
    Truncate { after_seq_no: u64, within: u64 },
    Clear,
}

/// Who waits for a unit.
pub(super) enum Ack {
    Append { done: AppendCompletion, appended: Appended, durable: bool },
    Manage { done: ManageCompletion },
}

/// Units in the order of the log.
#[derive(Default)]
pub(super) struct Pipeline {
    units: VecDeque<Unit>,
    next_id: u64,
    small_count: usize,
}

impl Pipeline {
    pub fn len(&self) -> usize {
        self.units.len()
    }

    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Whether a gathered write is under way.
    pub fn has_small(&self) -> bool {
        self.small_count > 0
    }

    /// Whether a write to the page is under way.
    pub fn touches(&self, page: u32) -> bool {
        self.units.iter().any(|unit| unit.page == page)
    }

    pub fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub fn push(&mut self, unit: Unit) {
        self.small_count += usize::from(unit.small);
        self.units.push_back(unit);
    }

    /// Notes that a write was completed; answers whether all of its bytes were written.
    pub fn complete(&mut self, id: u64, written: usize) -> bool {
        // Ids ascend, and at most a few dozen are under way.
        let Some(unit) = self.units.iter_mut().find(|unit| unit.id == id) else { return true };
        unit.done = true;
        if unit.small {
            self.small_count -= 1;
        }
        unit.len == written
    }

    /// The next unit that is stable: it and all before it are written.
    pub fn pop_stable(&mut self) -> Option<Unit> {
        if self.units.front()?.done { self.units.pop_front() } else { None }
    }

    /// Everything that is under way, after a failure.
    pub fn drain(&mut self) -> impl Iterator<Item = Unit> + '_ {
        self.small_count = 0;
        self.units.drain(..)
    }
}
