//! The page files: which is written, which come next, which must stay.

use std::collections::VecDeque;

use crate::format::Tag;

/// The page that frames are added to.
#[derive(Clone, Debug)]
pub(super) struct Active {
    /// Number of the page file.
    pub page: u32,
    /// Number of the use.
    pub number: u64,
    /// Seeds the checksums of logs written here.
    pub tag: Tag,
    /// Where the next frame goes.
    pub offset: u64,
    /// Logs up to there.
    pub log_count: u64,
    /// Whether the open frame was built.
    pub opened: bool,
    /// Whether the seal of an earlier close may stand at its end.
    pub may_be_sealed: bool,
    /// The page that was written before.
    pub predecessor: Predecessor,
    /// The logs that its open frame will overwrite.
    pub overwrites: Option<Overwritten>,
}

/// Logs of an earlier use of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overwritten {
    /// Number of the use.
    pub number: u64,
    /// The last of its logs.
    pub last_seq_no: u64,
}

/// How the use of a page before this one ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Predecessor {
    pub page_number: u64,
    pub end: u64,
    pub incarnation: u64,
}

/// A page that holds logs and is not written any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    pub page: u32,
    pub number: u64,
}

/// All pages but the active one.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Pages that hold nothing, in the order in which they are taken.
    pub free: VecDeque<u32>,
    /// Pages that hold logs, oldest first.
    pub full: VecDeque<Full>,
}

impl Ring {
    /// The page that would be put into use next.
    pub fn next_page(&self) -> Option<u32> {
        self.free.front().copied().or_else(|| self.full.front().map(|full| full.page))
    }

    /// Takes that page.
    pub fn take_next(&mut self) -> Option<u32> {
        self.free.pop_front().or_else(|| self.full.pop_front().map(|full| full.page))
    }
}
