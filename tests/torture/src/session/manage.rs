//! Somebody who syncs, trims, truncates and looks around.

use std::sync::RwLockWriteGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fastrand::Rng;
use waldo_core::{AppendError, Cursor, Error, Options, QueryError, Retention};

use super::{PAUSE, Session};
use crate::note::Note;

/// How long what happens by itself may take on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

impl Session<'_> {
    /// Manages until the producers are done.
    pub(super) fn manage(&self, random: &mut Rng) {
        // In most sessions the ring is to wrap.
        let cuts = random.choice([0, 0, 2, 8]).unwrap_or(0);
        while self.is_producing() {
            // With a full ring that nobody trims, the others wait for ever.
            let must_trim = self.plan.options.retention != Retention::Overwrite;
            match random.u8(..32) {
                _ if random.u8(..) < cuts => self.clear(random),
                _ if random.u8(..64) < cuts => self.truncate(random),
                0..=3 => self.trim(random),
                6 => self.watch_durable(),
                7 => self.await_flush(),
                _ if must_trim && random.u8(..4) == 0 => self.trim(random),
                _ => std::thread::sleep(Duration::from_micros(random.u64(..500))),
            }
            if self.is_over() && !must_trim {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Makes durable what was appended before.
    pub(super) fn sync(&self, by: u16) {
        let _turn = self.turn();
        self.witness.note(Note::Syncing { by });
        match self.waldo.blocking_sync() {
            Ok(()) => self.witness.note(Note::Synced { by }),
            Err(error) => self.failed("a sync", error),
        }
    }

    fn trim(&self, random: &mut Rng) {
        let Some(metadata) = self.waldo.blocking_metadata() else { return };
        let up_to =
            random.u64(metadata.after_seq_no..=metadata.prev_seq_no.max(metadata.after_seq_no));
        let held = self.plan.options.retention != Retention::Overwrite;
        let ring_size = self.plan.options.ring_size.unwrap_or(Options::NEW_RING_SIZE);
        let has_room = metadata.page_count + 2 <= u64::from(ring_size);
        self.witness.note(Note::Trimming { up_to });
        match self.waldo.blocking_trim(up_to) {
            Ok(()) => self.witness.note(Note::Trimmed { up_to, kept: !held || has_room }),
            Err(error) => self.failed("a trim", error),
        }
    }

    /// Waits until nobody appends.
    fn alone(&self, random: &mut Rng) -> Option<RwLockWriteGuard<'_, ()>> {
        self.pausing.store(true, Ordering::Release);
        let turn = loop {
            match self.turn.try_write() {
                // Once the store failed, what was asked for last stays in doubt.
                _ if self.is_over() => break None,
                Ok(turn) => break Some(turn),
                // Somebody who appends may wait for a trim.
                Err(_) if self.plan.options.retention == Retention::Hold => self.trim(random),
                Err(_) => std::thread::sleep(PAUSE),
            }
        };
        self.pausing.store(false, Ordering::Release);
        turn
    }

    /// Removes the newest logs, while nobody appends.
    fn truncate(&self, random: &mut Rng) {
        let Some(_alone) = self.alone(random) else { return };
        let Some(tip) = self.waldo.prev_seq_no() else { return };
        let from = tip.saturating_sub(random.u64(..60));
        let found = match self.waldo.blocking_query(Cursor::From(from), false) {
            Ok(found) => found,
            Err(QueryError::Trimmed { .. }) => return,
            Err(error) => return self.failed("a query", error.into()),
        };
        let Some(after) = found.iter().next().map(|log| log.seq_no()) else { return };
        self.witness.note(Note::Truncating { after });
        match self.waldo.blocking_truncate(after) {
            Ok(()) => self.witness.note(Note::Truncated),
            Err(error) => self.not_cut("a truncation", after, error),
        }
    }

    /// Removes every log, while nobody appends.
    fn clear(&self, random: &mut Rng) {
        let Some(_alone) = self.alone(random) else { return };
        self.witness.note(Note::Clearing);
        match self.waldo.blocking_clear() {
            Ok(()) => self.witness.note(Note::Cleared),
            Err(error) => return self.not_cut("a clear", u64::MAX, error),
        }
        if !self.append_first(random) && !self.is_over() && !self.plan.faulty {
            self.violation("a store that was cleared takes no first log".into());
        }
    }

    /// Notes what the store itself says is durable.
    fn watch_durable(&self) {
        if let Some(seq_no) = self.waldo.durable_seq_no() {
            self.witness.note(Note::Durable { seq_no });
        }
    }

    /// Waits until what is there now is durable by itself.
    fn await_flush(&self) {
        if self.plan.options.flush_interval.is_none() || self.plan.options.file_o_dsync {
            return;
        }
        let Some(tip) = self.waldo.prev_seq_no() else { return };
        let started = Instant::now();
        while self.waldo.durable_seq_no().is_none_or(|durable| durable < tip) {
            if self.is_over() || self.is_closed_or_poisoned() {
                return;
            }
            if started.elapsed() > SLACK {
                return self.violation(format!("log {tip} is not durable long after the interval"));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        self.witness.note(Note::Durable { seq_no: tip });
    }

    fn is_closed_or_poisoned(&self) -> bool {
        self.waldo.try_batch(1, true).is_err()
    }

    /// Takes the error of a truncation or clear that may be refused.
    fn not_cut(&self, what: &str, after: u64, error: Error) {
        let held = self.plan.options.retention != Retention::Overwrite;
        let may_be_refused = match &error {
            Error::Append(AppendError::Full { .. }) => held,
            Error::Append(AppendError::NoSpace { .. }) => self.plan.faulty,
            Error::NotFound { .. } | Error::Query(QueryError::Trimmed { .. }) => {
                self.is_trimmed(after)
            }
            // It reads first, where numbers have gaps.
            Error::Query(QueryError::Io { .. }) => self.plan.faulty,
            Error::Query(QueryError::Corruption(damage)) => self.is_lost(damage.after_seq_no),
            _ => false,
        };
        if may_be_refused {
            self.witness.note(Note::Kept);
        } else {
            self.failed(what, error);
        }
    }

    /// Whether a log is given up, or just being given up.
    fn is_trimmed(&self, seq_no: u64) -> bool {
        let started = Instant::now();
        loop {
            let metadata = self.waldo.blocking_metadata();
            if metadata.is_some_and(|metadata| metadata.after_seq_no >= seq_no) {
                return true;
            }
            if self.is_closed_or_poisoned() {
                return self.plan.faulty;
            }
            if started.elapsed() > SLACK {
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn failed(&self, what: &str, error: Error) {
        match &error {
            Error::Poisoned(poison) | Error::Query(QueryError::Poisoned(poison)) => {
                self.poisoned(poison);
            }
            Error::Query(QueryError::Io { .. }) if self.plan.faulty => {}
            Error::Append(AppendError::NoSpace { .. }) if self.plan.faulty => {}
            Error::Query(QueryError::Corruption(damage)) if self.is_lost(damage.after_seq_no) => {}
            Error::Closed => {}
            _ => self.violation(format!("{what} failed: {error}")),
        }
    }
}
