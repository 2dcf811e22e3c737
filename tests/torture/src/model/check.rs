//! Compares what was found with what must be there.

use std::collections::{HashMap, HashSet};

use super::{Found, Model, Placed};
use crate::payload::{Ident, Op};

impl Model {
    /// Checks what was found after a crash.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, found: &Found) -> Result<(), String> {
        let uncut = self.check_uncut(found);
        let (Err(reason), Some(cut)) = (&uncut, self.cut) else { return uncut };
        let mut other = self.clone();
        other.cut = None;
        other.carry_out(cut);
        other.check_uncut(found).map_err(|other| format!("{reason}; or, after {cut:?}: {other}"))
    }

    fn check_uncut(&self, found: &Found) -> Result<(), String> {
        self.check_ends(found.tip, found.trimmed)?;
        self.check_overwritten(found)?;
        check_chain(found)?;
        for (seq_no, placed) in &found.logs {
            self.check_known(*seq_no, placed)?;
        }
        self.check_missing(found)?;
        self.check_whole(found)?;
        check_order(found)
    }

    /// Checks where the log begins and ends.
    pub(super) fn check_ends(&self, tip: u64, trimmed: u64) -> Result<(), String> {
        let certain = self.certain();
        if tip < certain {
            return Err(format!("the tip is {tip}, but log {certain} was acknowledged"));
        }
        if trimmed < self.trimmed_min {
            return Err(format!(
                "the log begins after {trimmed}, but was trimmed up to {}",
                self.trimmed_min
            ));
        }
        if trimmed > self.trimmed_max && !self.overwrites {
            return Err(format!(
                "the log begins after {trimmed}, but nobody trimmed beyond {}",
                self.trimmed_max
            ));
        }
        Ok(())
    }

    /// Where nobody gave logs up, only a full ring may have.
    fn check_overwritten(&self, found: &Found) -> Result<(), String> {
        if found.trimmed > self.trimmed_max && found.page_count < self.page_count_min {
            return Err(format!(
                "logs up to {} are gone, nobody trimmed beyond {}, but the ring is not full: {} \
                 pages",
                found.trimmed, self.trimmed_max, found.page_count
            ));
        }
        Ok(())
    }

    /// Checks that a log was appended, with this number.
    fn check_known(&self, seq_no: u64, placed: &Placed) -> Result<(), String> {
        if let Some(wanted) = self.acknowledged.get(&seq_no) {
            if wanted == placed {
                return Ok(());
            }
            return Err(format!("log {seq_no} is {placed:?}, but {wanted:?} was acknowledged"));
        }
        match self.maybe.get(&placed.ident.op) {
            Some(maybe) if seq_no <= maybe.up_to && placed.ident.index < maybe.count => Ok(()),
            Some(maybe) => {
                Err(format!("log {seq_no} is {placed:?}, which had been dropped: {maybe:?}"))
            }
            None => Err(format!("log {seq_no} is {placed:?}, which was not appended there")),
        }
    }

    /// Checks that what is certain is there.
    fn check_missing(&self, found: &Found) -> Result<(), String> {
        let certain = self.certain();
        if certain <= found.trimmed {
            return Ok(());
        }
        let there: HashSet<u64> = found.logs.iter().map(|(seq_no, _)| *seq_no).collect();
        let wanted = self.acknowledged.range(found.trimmed + 1..=certain);
        let missing: Vec<u64> =
            wanted.map(|(seq_no, _)| *seq_no).filter(|seq_no| !there.contains(seq_no)).collect();
        match (missing.first(), missing.last()) {
            (Some(first), Some(last)) => Err(format!(
                "{} acknowledged logs are missing, from {first} to {last}",
                missing.len()
            )),
            _ => Ok(()),
        }
    }

    /// Checks that appends are there whole, or not at all; a trim may have taken the start of the
    /// first.
    fn check_whole(&self, found: &Found) -> Result<(), String> {
        let mut ends: HashMap<Op, (u16, u64)> = HashMap::new();
        for (at, (seq_no, Placed { ident, .. })) in found.logs.iter().enumerate() {
            let next = match ends.get(&ident.op) {
                Some((index, _)) => index + 1,
                None if at == 0 => ident.index,
                None => 0,
            };
            if ident.index != next {
                return Err(format!("log {seq_no} is {ident:?}, and {next} of it comes first"));
            }
            ends.insert(ident.op, (ident.index, *seq_no));
        }
        let mut counts: HashMap<Op, u16> = HashMap::new();
        for Placed { ident, .. } in self.acknowledged.values() {
            let count = counts.entry(ident.op).or_default();
            *count = (*count).max(ident.index + 1);
        }
        for (op, (index, seq_no)) in ends {
            // Of several parts the first may have stayed alone.
            if self.in_parts.contains(&op) {
                continue;
            }
            let maybe = self.maybe.get(&op).map(|maybe| maybe.count);
            let wanted = self.shortened.get(&op).or(counts.get(&op)).copied().or(maybe);
            if wanted.is_some_and(|wanted| index + 1 != wanted) {
                return Err(format!(
                    "of {op:?} there are {} logs of {wanted:?}, up to {seq_no}",
                    index + 1
                ));
            }
        }
        Ok(())
    }
}

/// Every log follows the one before it.
fn check_chain(found: &Found) -> Result<(), String> {
    let Some((first, placed)) = found.logs.first() else {
        return if found.tip == found.trimmed || found.tip == 0 {
            Ok(())
        } else {
            Err(format!("no logs, but a tip of {} after {}", found.tip, found.trimmed))
        };
    };
    if placed.prev > found.trimmed || *first <= found.trimmed {
        return Err(format!(
            "the oldest log is {first} after {}, but the log begins after {}",
            placed.prev, found.trimmed
        ));
    }
    for pair in found.logs.windows(2) {
        if let [(before, _), (seq_no, placed)] = pair
            && (placed.prev != *before || seq_no <= before)
        {
            return Err(format!("log {seq_no} follows {}, not {before}", placed.prev));
        }
    }
    match found.logs.last() {
        Some((last, _)) if *last != found.tip => {
            Err(format!("the newest log is {last}, but the tip is {}", found.tip))
        }
        _ => Ok(()),
    }
}

/// What one producer appended stands in the order in which it did, and once.
fn check_order(found: &Found) -> Result<(), String> {
    let mut newest: HashMap<(u32, u16), Ident> = HashMap::new();
    for (seq_no, Placed { ident, .. }) in &found.logs {
        let producer = (ident.op.session, ident.op.producer);
        if let Some(before) = newest.insert(producer, *ident) {
            let order = |ident: &Ident| (ident.op.number, ident.index);
            if order(&before) >= order(ident) {
                return Err(format!("log {seq_no} is {ident:?}, behind {before:?}"));
            }
        }
    }
    Ok(())
}
