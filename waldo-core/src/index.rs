//! The sparse index of one page: where to start reading for a `seq_no`.

use crate::format::seal::IndexEntry;

/// How dense an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// Bytes between two entries.
    pub bytes: u64,
    /// Logs between two entries.
    pub count: u64,
}

/// A place that might become an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The entry, with offsets in units of 8 bytes.
    pub entry: IndexEntry,
    /// Logs of the page before it.
    pub ordinal: u64,
    /// Offset, in bytes, at which the next candidate, or the frame's end, lies.
    pub next_offset: u64,
    /// Logs of the page before that.
    pub next_ordinal: u64,
}

/// Decides which candidates become entries: as few as keep the distance.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    spacing: Spacing,
    last: Option<(u64, u64)>,
}

impl Gate {
    /// A gate that lets the first candidate through.
    #[must_use]
    pub fn new(spacing: Spacing) -> Self {
        Self { spacing, last: None }
    }

    /// Whether the candidate is needed: what follows it would be too far from the entry before.
    pub fn admits(&mut self, candidate: &Candidate) -> bool {
        let offset = u64::from(candidate.entry.offset) * 8;
        let needed = self.last.is_none_or(|(last_offset, last_ordinal)| {
            candidate.next_offset.saturating_sub(last_offset) > self.spacing.bytes
                || candidate.next_ordinal.saturating_sub(last_ordinal) > self.spacing.count
        });
        if needed {
            self.last = Some((offset, candidate.ordinal));
        }
        needed
    }
}

/// Entries in ascending order, of bounded number.
#[derive(Clone, Debug)]
pub struct SparseIndex {
    entries: Vec<IndexEntry>,
    capacity: usize,
    gate: Gate,
}

impl SparseIndex {
    /// An empty index for at most `capacity` entries.
    #[must_use]
    pub fn new(capacity: usize, spacing: Spacing) -> Self {
        Self { entries: Vec::new(), capacity: capacity.max(2), gate: Gate::new(spacing) }
    }

    /// The same, in the memory of an index that is not needed any more: a page that is reused
    /// takes no new memory.
    #[must_use]
    pub fn recycled(old: Option<Self>, capacity: usize, spacing: Spacing) -> Self {
        let mut entries = old.map(|old| old.entries).unwrap_or_default();
        entries.clear();
        entries.reserve_exact(capacity.max(2));
        Self { entries, ..Self::new(capacity, spacing) }
    }

    /// An index made of entries that were stored.
    #[must_use]
    pub fn from_entries(entries: Vec<IndexEntry>, capacity: usize, spacing: Spacing) -> Self {
        let mut index = Self { entries, ..Self::new(capacity, spacing) };
        while index.entries.len() > index.capacity {
            index.thin();
        }
        index
    }

    /// Adds a candidate where it is needed.
    pub fn push(&mut self, candidate: &Candidate) {
        if !self.gate.admits(candidate) {
            return;
        }
        if self.entries.len() >= self.capacity {
            self.thin();
        }
        self.entries.push(candidate.entry);
    }

    /// The last entry at or before the log that follows `seq_no`, and the offset, in bytes, of
    /// the entry behind it.
    #[must_use]
    pub fn find(&self, seq_no: u64) -> Option<(IndexEntry, Option<u64>)> {
        let after = self.entries.partition_point(|entry| entry.prev_seq_no <= seq_no);
        let entry = *self.entries.get(after.checked_sub(1)?)?;
        let next = self.entries.get(after).map(|next| u64::from(next.offset) * 8);
        Some((entry, next))
    }

    /// Removes the entries for logs after `seq_no`.
    pub fn truncate(&mut self, seq_no: u64) {
        let kept = self.entries.partition_point(|entry| entry.prev_seq_no < seq_no);
        self.entries.truncate(kept);
        // What comes next starts at a place of its own.
        self.gate = Gate::new(self.gate.spacing);
    }

    /// The entries, every second one left out until at most `max` are left.
    #[must_use]
    pub fn thinned(&self, max: usize) -> Vec<IndexEntry> {
        let mut entries = self.entries.clone();
        while entries.len() > max && entries.len() > 1 {
            entries = every_second(&entries);
        }
        entries
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory that the entries take.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.capacity() * size_of::<IndexEntry>()
    }

    /// Makes room by halving the density, now and for what comes.
    fn thin(&mut self) {
        let mut kept = false;
        self.entries.retain(|_| {
            kept = !kept;
            kept
        });
        self.gate.spacing.bytes = self.gate.spacing.bytes.saturating_mul(2);
        self.gate.spacing.count = self.gate.spacing.count.saturating_mul(2);
    }
}

fn every_second(entries: &[IndexEntry]) -> Vec<IndexEntry> {
    entries.iter().step_by(2).copied().collect()
}
