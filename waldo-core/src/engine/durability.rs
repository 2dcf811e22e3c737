//! What is durable, and the syncs that make it so where writes do not by themselves.

use std::collections::{BTreeSet, VecDeque};

use crate::driver::Io;
use crate::engine::operation::{Finished, Operation};
use crate::engine::{Engine, Purpose};
use crate::error::{AppendError, Error};

/// How far the log is durable.
pub(super) struct Durability {
    /// Everything before this position of the log is durable.
    position: u64,
    /// While set: what frames may promise, and the position that has to be durable first.
    held: Option<(u64, u64)>,
    /// Everything before this one is written.
    written: u64,
    written_tip: u64,
    /// Pages with writes that no sync has covered.
    dirty: BTreeSet<u32>,
    under_way: Option<UnderWay>,
    requested: bool,
    /// Who waits for a position to be durable, in order.
    waiting: VecDeque<(u64, Finished)>,
    interval_ns: Option<u64>,
    deadline_ns: Option<u64>,
}

struct UnderWay {
    target: u64,
    tip: u64,
    left: usize,
}

impl Durability {
    pub fn new(position: u64, interval_ns: Option<u64>) -> Self {
        Self {
            position,
            held: None,
            written: position,
            written_tip: 0,
            dirty: BTreeSet::new(),
            under_way: None,
            requested: false,
            waiting: VecDeque::new(),
            interval_ns,
            deadline_ns: None,
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// What frames written now may say is durable.
    pub fn promised(&self) -> u64 {
        match self.held {
            Some((promised, until)) if self.position < until => promised,
            _ => self.position,
        }
    }

    /// Has frames promise no more than they do now until `until` is durable.
    pub fn hold_promises(&mut self, until: u64) {
        self.held = Some((self.promised(), until));
    }

    /// Has frames promise nothing until [`hold_promises`](Self::hold_promises) says when.
    pub fn withhold_promises(&mut self) {
        self.held = Some((0, u64::MAX));
    }

    pub fn deadline_ns(&self) -> Option<u64> {
        self.deadline_ns
    }

    pub fn under_way(&self) -> usize {
        self.under_way.as_ref().map_or(0, |sync| sync.left)
    }

    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Asks for a sync as soon as one can be started.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Notes a write that became stable.
    pub fn wrote(&mut self, page: u32, end_position: u64, tip: u64, durable: bool) {
        self.written = end_position;
        self.written_tip = tip;
        if durable {
            self.position = end_position;
        } else {
            self.dirty.insert(page);
        }
    }

    /// Keeps a completion until `position` is durable.
    pub fn wait(&mut self, position: u64, finished: Finished) {
        self.waiting.push_back((position, finished));
    }

    /// Ends those whose position is durable, and will be found or known to be given up whatever
    /// happens to pages that are being reused.
    pub fn finish_waiting(&mut self, finished: &mut Vec<Finished>) {
        let durable = self.promised();
        while self.waiting.front().is_some_and(|(position, _)| *position <= durable) {
            finished.extend(self.waiting.pop_front().map(|(_, done)| done));
        }
    }

    /// Ends everybody with an error.
    pub fn fail(
        &mut self,
        append: &AppendError,
        manage: &dyn Fn() -> Error,
        finished: &mut Vec<Finished>,
    ) {
        for (_, waiting) in self.waiting.drain(..) {
            finished.push(match waiting {
                Finished::Append(done, _) => Finished::Append(done, Err(append.clone())),
                Finished::Manage(done, _) => Finished::Manage(done, Err(manage())),
            });
        }
        self.deadline_ns = None;
    }

    /// The pages to sync now, if a sync is wanted and none is under way.
    fn start(&mut self, now_ns: u64) -> Option<BTreeSet<u32>> {
        if self.dirty.is_empty() {
            self.deadline_ns = None;
            self.requested = false;
            return None;
        }
        if self.deadline_ns.is_none() {
            self.deadline_ns = self.interval_ns.map(|interval| now_ns.saturating_add(interval));
        }
        let due = self.deadline_ns.is_some_and(|deadline| deadline <= now_ns);
        let awaited = self.waiting.front().is_some_and(|(position, _)| *position <= self.written);
        if self.under_way.is_some() || !(due || awaited || self.requested) {
            return None;
        }
        let pages = std::mem::take(&mut self.dirty);
        self.under_way =
            Some(UnderWay { target: self.written, tip: self.written_tip, left: pages.len() });
        self.deadline_ns = None;
        self.requested = false;
        Some(pages)
    }

    /// Takes the end of one page's sync; answers the tip that may be called durable where it was
    /// the last.
    fn synced(&mut self) -> Option<u64> {
        let sync = self.under_way.as_mut()?;
        sync.left -= 1;
        if sync.left > 0 {
            return None;
        }
        let tip = sync.tip;
        self.position = self.position.max(sync.target);
        self.under_way = None;
        (self.promised() == self.position).then_some(tip)
    }
}

impl Engine {
    /// Starts a sync where somebody waits for one, or it is due.
    pub(super) fn start_syncs(&mut self, now_ns: u64) {
        if self.poison.is_some() || self.config.durable {
            return;
        }
        if self.closing.is_some() && self.pipeline.is_empty() {
            self.durability.request();
        }
        for page in self.durability.start(now_ns).into_iter().flatten() {
            self.request(Purpose::Sync, Io::Sync { page });
        }
    }

    /// Takes the end of one page's sync.
    pub(super) fn sync_completed(&mut self) {
        let Some(tip) = self.durability.synced() else {
            self.trims.compact(self.durability.position());
            return;
        };
        let progress = &self.published.progress;
        // A truncation since the sync began lowered the tip.
        progress.set_durable(tip.min(progress.tip()));
        self.trims.compact(self.durability.position());
    }

    /// Has the sync at the front wait until everything before it is durable.
    pub(super) fn await_sync(&mut self) {
        let Some(Operation::Sync { done }) = self.pending.pop_front() else { return };
        let finished = Finished::Manage(done, Ok(()));
        let end = self.active.as_ref().map_or(0, |active| {
            if active.opened {
                self.position(active.number, active.offset)
            } else {
                self.position(active.predecessor.page_number, active.predecessor.end)
            }
        });
        if end <= self.durability.position() {
            self.finished.push(finished);
        } else {
            self.durability.wait(end, finished);
        }
    }
}
