//! The stable pointer: writes that are complete, in the order of the log, become visible, and
//! the appends in them are acknowledged.

use std::sync::Arc;

use crate::catalog::Extension;
use crate::engine::Engine;
use crate::engine::operation::Finished;
use crate::engine::pipeline::{Ack, Change, Unit};

impl Engine {
    /// Moves the stable pointer over every write that is complete.
    pub(super) fn advance(&mut self) {
        while let Some(unit) = self.pipeline.pop_stable() {
            self.publish(unit);
        }
        if self.config.durable {
            self.trims.compact(self.durability.position());
        }
    }

    /// Makes a stable write visible and acknowledges what it holds: in this order, so that who
    /// is acknowledged finds what was promised.
    fn publish(&mut self, unit: Unit) {
        let published = Arc::clone(&self.published);
        if let Some(page) = unit.opens {
            published.catalog.push(page);
        }
        let progress = &published.progress;
        if unit.count > 0 && progress.tip() == 0 {
            // The first log decides what comes before it: nothing that this store ever had.
            progress.set_trimmed(unit.first_prev_seq_no);
        }
        published.catalog.extend(&Extension {
            end: unit.end_offset,
            first_prev_seq_no: unit.first_prev_seq_no,
            // A truncation takes effect below, on the logs that were there before.
            last_seq_no: if unit.change.is_some() { progress.tip() } else { unit.tip },
            log_count: unit.count,
            candidates: &unit.candidates,
            incarnation: self.incarnation,
        });
        if let Some((segment, extent)) = unit.commit {
            segment.commit(extent);
            if segment.number() >= published.tail.next_number() {
                published.tail.publish(segment);
            }
        }
        match unit.change {
            Some(change) => self.apply(change, unit.frame_offset),
            None => progress.set_tip(unit.tip),
        }
        if let Some(mut buffer) = unit.buffer {
            buffer.release_permit();
        }
        self.durability.wrote(unit.page, unit.end_position, unit.tip, self.config.durable);
        if self.config.durable {
            progress.set_durable(progress.tip());
        }
        for ack in unit.acks {
            self.acknowledge(ack, unit.end_position);
        }
    }

    /// Makes what a control frame says true.
    fn apply(&self, change: Change, frame_offset: u64) {
        match change {
            Change::Trim { up_to_seq_no, within } => {
                self.published.trim(up_to_seq_no, within, true);
            }
            Change::Truncate { after_seq_no, within } => {
                self.published.truncate(after_seq_no, frame_offset, within);
            }
            Change::Clear => self.published.clear(frame_offset),
        }
    }

    fn acknowledge(&mut self, ack: Ack, end_position: u64) {
        match ack {
            Ack::Append { done, appended, durable } => {
                let finished = Finished::Append(done, Ok(appended));
                if durable && !self.config.durable {
                    self.durability.wait(end_position, finished);
                } else {
                    self.finished.push(finished);
                }
            }
            Ack::Manage { done } => {
                let finished = Finished::Manage(done, Ok(()));
                if self.config.durable {
                    self.finished.push(finished);
                } else {
                    self.durability.wait(end_position, finished);
                }
            }
        }
    }
}
