//! How far the store is: what readers and producers load without a lock.

use std::sync::OnceLock;

use crate::error::Poison;
use crate::format::Tag;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// Numbers that the worker publishes.
#[derive(Debug)]
pub struct Progress {
    tip: AtomicU64,
    durable: AtomicU64,
    trimmed: AtomicU64,
    /// Tag that a log appended now will most likely carry.
    tag: AtomicU32,
    closed: AtomicBool,
    poison: OnceLock<Poison>,
    epoch: AtomicU64,
    truncations: Mutex<Vec<Truncation>>,
}

/// A truncation that readers may have missed.
#[derive(Clone, Copy, Debug)]
struct Truncation {
    epoch: u64,
    after_seq_no: u64,
}

/// Truncations that are remembered one by one; older ones are merged.
const TRUNCATIONS_MAX: usize = 64;

impl Progress {
    /// The state of a store that was recovered.
    #[must_use]
    pub fn new(tip: u64, trimmed: u64) -> Self {
        Self {
            tip: AtomicU64::new(tip),
            durable: AtomicU64::new(tip),
            trimmed: AtomicU64::new(trimmed),
            tag: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            poison: OnceLock::new(),
            epoch: AtomicU64::new(0),
            truncations: Mutex::default(),
        }
    }

    /// The newest log that readers see; 0 where there never was one.
    #[inline]
    #[must_use]
    pub fn tip(&self) -> u64 {
        self.tip.load(Ordering::Acquire)
    }

    /// The newest log that survives a power loss; 0 where there is none.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Every log up to and with this one is gone.
    #[inline]
    #[must_use]
    pub fn trimmed(&self) -> u64 {
        self.trimmed.load(Ordering::Acquire)
    }

    /// The tag that a log appended now will most likely carry.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag::from_raw(self.tag.load(Ordering::Relaxed))
    }

    /// Whether nothing more is appended: the store was closed.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// What broke the store, if anything did.
    #[must_use]
    pub fn poison(&self) -> Option<&Poison> {
        self.poison.get()
    }

    /// Number of truncations so far.
    #[inline]
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The smallest tip that a truncation since `epoch` left.
    #[must_use]
    pub fn truncated_since(&self, epoch: u64) -> Option<u64> {
        let truncations = self.truncations.lock();
        truncations.iter().filter(|cut| cut.epoch > epoch).map(|cut| cut.after_seq_no).min()
    }

    pub(crate) fn set_tip(&self, tip: u64) {
        self.tip.store(tip, Ordering::Release);
    }

    pub(crate) fn set_durable(&self, seq_no: u64) {
        self.durable.store(seq_no, Ordering::Release);
    }

    pub(crate) fn set_trimmed(&self, seq_no: u64) {
        self.trimmed.store(seq_no, Ordering::Release);
    }

    pub(crate) fn set_tag(&self, tag: Tag) {
        self.tag.store(tag.get(), Ordering::Relaxed);
    }

    pub(crate) fn set_closed(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn set_poison(&self, poison: Poison) {
        // The first failure is the one that counts.
        let _ = self.poison.set(poison);
    }

    /// Records a truncation. The tip is stored first, so that a reader that sees the new epoch
    /// sees the new tip.
    pub(crate) fn truncate(&self, after_seq_no: u64) {
        let mut truncations = self.truncations.lock();
        let epoch = self.epoch.load(Ordering::Relaxed) + 1;
        truncations.push(Truncation { epoch, after_seq_no });
        if truncations.len() > TRUNCATIONS_MAX {
            let oldest = truncations.remove(0);
            if let Some(next) = truncations.first_mut() {
                next.after_seq_no = next.after_seq_no.min(oldest.after_seq_no);
            }
        }
        self.set_tip(after_seq_no);
        self.durable.fetch_min(after_seq_no, Ordering::AcqRel);
        self.epoch.store(epoch, Ordering::Release);
    }
}
