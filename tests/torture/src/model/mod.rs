//! What must be in a store, going by what its writers reported.
//!
//! The log is one sequence, so what must survive is a prefix of it: everything that was
//! acknowledged up to some number. Behind that there may be more, in the order in which it was
//! appended, but nothing that was not.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::note::{Note, Numbers};
use crate::payload::{Ident, Op};

/// What a crash does to acknowledged logs that were not durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// The process is killed: what the system has stays.
    Acknowledged,
    /// The power goes: what was not made durable may go with it.
    Durable,
}

/// A log, and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// `prev_seq_no` of the log.
    pub prev: u64,
    /// Who appended it.
    pub ident: Ident,
}

/// What was read from a store after a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Everything up to this is gone.
    pub trimmed: u64,
    /// The newest log, 0 where there is none.
    pub tip: u64,
    /// Pages with logs.
    pub page_count: u64,
    /// The logs, oldest first.
    pub logs: Vec<(u64, Placed)>,
}

/// An append without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Maybe {
    count: u16,
    /// Its logs have no numbers greater than this.
    up_to: u64,
}

/// A truncation or clear without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Truncate(u64),
    Clear,
}

/// What must be in a store.
#[derive(Clone, Debug)]
pub struct Model {
    survives: Survives,
    /// Oldest logs may go when the ring is full.
    overwrites: bool,
    /// Fewest pages with logs once some were overwritten: all but the one that is being reused.
    page_count_min: u64,
    /// What was acknowledged, by number.
    acknowledged: BTreeMap<u64, Placed>,
    /// What was acknowledged up to this survives.
    safe: u64,
    /// What was acknowledged when a producer asked for a sync.
    syncing: HashMap<u16, u64>,
    maybe: HashMap<Op, Maybe>,
    /// Appends that are carried out in several parts.
    in_parts: HashSet<Op>,
    /// Appends of which a truncation left only so many logs.
    shortened: HashMap<Op, u16>,
    /// A trim up to this was acknowledged.
    trimmed_min: u64,
    /// Nobody asked for a trim beyond this.
    trimmed_max: u64,
    cut: Option<Cut>,
    /// No log was ever appended, or all were removed.
    is_empty: bool,
}

impl Model {
    /// A model of a store that does not exist yet.
    pub fn new(survives: Survives, overwrites: bool, ring_size: u32) -> Self {
        Self {
            survives,
            overwrites,
            page_count_min: u64::from(ring_size) - 1,
            acknowledged: BTreeMap::new(),
            safe: 0,
            syncing: HashMap::new(),
            maybe: HashMap::new(),
            in_parts: HashSet::new(),
            shortened: HashMap::new(),
            trimmed_min: 0,
            trimmed_max: 0,
            cut: None,
            is_empty: true,
        }
    }

    /// Takes a report.
    ///
    /// # Errors
    ///
    /// What the report itself shows to be wrong.
    pub fn note(&mut self, note: &Note) -> Result<(), String> {
        match note {
            Note::Opening | Note::NoSpace | Note::Poisoned { .. } => {}
            Note::Kept => self.cut = None,
            Note::Opened { tip, trimmed } => return self.opened(*tip, *trimmed),
            Note::Appending { op, count, parts, prev } => {
                if let Some(prev) = prev.filter(|_| self.is_empty) {
                    // The first log of a log decides what came before it.
                    self.trimmed_max = self.trimmed_max.max(prev);
                }
                self.maybe.insert(*op, Maybe { count: *count, up_to: u64::MAX });
                if *parts {
                    self.in_parts.insert(*op);
                }
            }
            Note::Appended { op, prev, numbers, durable } => {
                return self.appended(*op, *prev, numbers, *durable);
            }
            Note::Refused { op } => drop(self.maybe.remove(op)),
            Note::Syncing { by } => drop(self.syncing.insert(*by, self.newest())),
            Note::Synced { by } => {
                self.safe = self.safe.max(self.syncing.remove(by).unwrap_or(0));
            }
            Note::Closing => {}
            Note::Closed => self.safe = self.safe.max(self.newest()),
            Note::Durable { seq_no } => self.safe = self.safe.max(*seq_no),
            Note::Trimming { up_to } => self.trimmed_max = self.trimmed_max.max(*up_to),
            Note::Trimmed { up_to, kept: true } => self.trimmed_min = self.trimmed_min.max(*up_to),
            Note::Trimmed { kept: false, .. } => {}
            Note::Truncating { after } => return self.may_cut(Cut::Truncate(*after)),
            Note::Clearing => return self.may_cut(Cut::Clear),
            Note::Truncated | Note::Cleared => {
                if let Some(cut) = self.cut.take() {
                    self.carry_out(cut);
                }
            }
            Note::Violation(what) => return Err(what.clone()),
        }
        Ok(())
    }

    /// The same, for a store that was not closed since: all that was acknowledged is there.
    pub fn while_open(&self) -> Self {
        Self { survives: Survives::Acknowledged, ..self.clone() }
    }

    /// Acknowledged logs that are gone, as the ring or a trim gave them up.
    pub fn given_up(&self, found: &Found) -> usize {
        self.acknowledged.range(..=found.trimmed).count()
    }

    /// Takes what was found for what there is: an open that was answered made it durable.
    pub fn rebase(&mut self, found: &Found) {
        self.acknowledged = found.logs.iter().copied().collect();
        self.safe = found.tip;
        self.syncing.clear();
        self.maybe.clear();
        self.in_parts.clear();
        self.shortened.clear();
        self.trimmed_min = found.trimmed;
        self.trimmed_max = found.trimmed;
        self.cut = None;
        self.is_empty = found.tip == 0;
    }

    /// Whether a truncation or clear was asked for, and not answered.
    pub fn is_in_doubt(&self) -> bool {
        self.cut.is_some()
    }

    /// Of what was acknowledged, this and all before it survives.
    fn certain(&self) -> u64 {
        match self.survives {
            Survives::Acknowledged => self.newest(),
            Survives::Durable => self.safe,
        }
    }

    fn newest(&self) -> u64 {
        self.acknowledged.last_key_value().map_or(0, |(seq_no, _)| *seq_no)
    }

    fn may_cut(&mut self, cut: Cut) -> Result<(), String> {
        // Pages whose logs are void may hold none for a while.
        self.page_count_min = 0;
        match self.cut.replace(cut) {
            Some(before) => Err(format!("{cut:?} was asked for while {before:?} was in doubt")),
            None => Ok(()),
        }
    }

    fn appended(
        &mut self,
        op: Op,
        prev: u64,
        numbers: &Numbers,
        durable: bool,
    ) -> Result<(), String> {
        let maybe = self.maybe.remove(&op).ok_or_else(|| format!("{op:?} was answered twice"))?;
        if maybe.count != numbers.count {
            return Err(format!("{op:?} of {} logs was answered with {numbers:?}", maybe.count));
        }
        let mut before = prev;
        for index in 0..numbers.count {
            let (seq_no, ident) = (numbers.at(index), Ident { op, index });
            let placed = Placed { prev: before, ident };
            if let Some(other) = self.acknowledged.insert(seq_no, placed) {
                return Err(format!("log {seq_no} was given to {other:?} and to {ident:?}"));
            }
            before = seq_no;
        }
        self.is_empty = false;
        if durable {
            self.safe = self.safe.max(numbers.last());
        }
        Ok(())
    }

    /// A store was opened: what was in doubt is settled, though nobody looked how.
    fn opened(&mut self, tip: u64, trimmed: u64) -> Result<(), String> {
        if let Some(cut) = self.cut {
            return Err(format!("nobody looked whether {cut:?} happened"));
        }
        self.check_ends(tip, trimmed)?;
        self.maybe.values_mut().for_each(|maybe| maybe.up_to = maybe.up_to.min(tip));
        // What an open finds, it makes durable.
        self.safe = tip;
        if tip == 0 {
            self.maybe.clear();
            self.is_empty = true;
        }
        Ok(())
    }

    fn carry_out(&mut self, cut: Cut) {
        let after = match cut {
            Cut::Truncate(after) => after,
            Cut::Clear => {
                (self.trimmed_min, self.trimmed_max) = (0, 0);
                self.is_empty = true;
                0
            }
        };
        let gone = self.acknowledged.split_off(&(after + 1));
        for Placed { ident, .. } in gone.values() {
            let left = self.shortened.entry(ident.op).or_insert(ident.index);
            *left = (*left).min(ident.index);
        }
        for (op, maybe) in self.maybe.iter_mut().filter(|(_, maybe)| maybe.up_to > after) {
            maybe.up_to = after;
            // One that an earlier session left may be cut in the middle.
            self.in_parts.insert(*op);
        }
        self.maybe.retain(|_, maybe| maybe.up_to > 0);
        // That nothing comes back does not say that what is left is durable.
        self.safe = self.safe.min(after);
        self.syncing.clear();
    }
}
