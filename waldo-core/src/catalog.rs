//! What each page holds: where readers look for logs that are not in the hot tail.
//!
//! The worker updates it as frames become stable; readers on any thread look places up.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::format::PAGE_HEADER_SIZE;
use crate::index::{Candidate, SparseIndex};
use crate::sync::RwLock;

/// One use of a page, as far as it is stable.
#[derive(Clone, Debug)]
pub struct PageUse {
    /// Number of the page file.
    pub page: u32,
    /// Number of the use.
    pub number: u64,
    /// Offset at which its stable frames end.
    pub end: u64,
    /// The tip before its first log.
    pub first_prev_seq_no: u64,
    /// Its last log; equal to `first_prev_seq_no` where it holds none.
    pub last_seq_no: u64,
    /// Number of logs, trimmed ones included, truncated ones not.
    pub log_count: u64,
    /// How many of them are trimmed.
    pub trimmed_count: u64,
    /// The trim point that its frames carry.
    pub trimmed_seq_no: u64,
    /// Where to start reading.
    pub index: SparseIndex,
    /// Incarnations in the page: each with the offset from which on it holds.
    pub incarnations: Incarnations,
    /// Truncations that left dead logs in the page.
    pub cuts: Vec<Cut>,
}

/// The incarnations of a page's frames: each with the offset from which on it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incarnations(Arc<[(u64, u64)]>);

impl Incarnations {
    /// Incarnations with their offsets, ascending.
    #[must_use]
    pub fn new(from: Vec<(u64, u64)>) -> Self {
        Self(from.into())
    }

    /// The incarnation that the frame at an offset was written under.
    #[must_use]
    pub fn at(&self, offset: u64) -> u64 {
        let after = self.0.partition_point(|(from, _)| *from <= offset);
        after.checked_sub(1).and_then(|at| self.0.get(at)).map_or(0, |(_, value)| *value)
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Notes the incarnation of a frame at the end of the page. It rarely changes.
    fn note(&mut self, offset: u64, incarnation: u64) {
        if self.0.last().is_none_or(|(_, last)| *last != incarnation) {
            self.0 = self.0.iter().copied().chain([(offset, incarnation)]).collect();
        }
    }
}

/// A part of a page that a truncation made void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Logs before this offset are dead ...
    pub before_offset: u64,
    /// ... where they come after this `seq_no`.
    pub after_seq_no: u64,
}

/// Frames that became stable at the end of the newest page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension<'a> {
    /// Offset at which they end.
    pub end: u64,
    /// The tip before their first log.
    pub first_prev_seq_no: u64,
    /// The tip behind them.
    pub last_seq_no: u64,
    /// Number of logs.
    pub log_count: u64,
    /// Places for the index.
    pub candidates: &'a [Candidate],
    /// The incarnation they were written under.
    pub incarnation: u64,
}

/// A place to read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the page file.
    pub page: u32,
    /// Number of the use of the page.
    pub page_number: u64,
    /// Offset of a frame's header, or of a log.
    pub offset: u64,
    /// End of the frame, and its incarnation, where `offset` is that of a log.
    pub frame: Option<(u64, u64)>,
    /// Offset at which what may be read ends.
    pub limit: u64,
    /// The last log before that.
    pub last_seq_no: u64,
    /// Offset by which at least one of the logs asked for has ended.
    pub enough: u64,
    /// Incarnations of the page's frames.
    pub incarnations: Incarnations,
    /// Truncations that concern what is read.
    pub cuts: Vec<Cut>,
}

/// Where a reader stopped in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Number of the use of the page.
    pub page_number: u64,
    /// Offset of the next frame's header, or of the next log.
    pub offset: u64,
    /// End of the frame, and its incarnation, where `offset` is that of a log.
    pub frame: Option<(u64, u64)>,
}

/// Sums over all pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Logs that can be read.
    pub log_count: u64,
    /// Entries of all indexes.
    pub index_count: u64,
    /// Bytes that they take.
    pub index_size: u64,
    /// Pages that hold logs or held them.
    pub page_count: u64,
}

/// The uses of the pages, oldest first.
#[derive(Debug, Default)]
pub struct Catalog {
    pages: RwLock<VecDeque<PageUse>>,
}

impl PageUse {
    /// Whether its numbers leave no gap, so that counting needs no reading.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.last_seq_no - self.first_prev_seq_no == self.log_count
    }

    fn place(&self, offset: u64, frame: Option<(u64, u64)>, enough: u64) -> Place {
        Place {
            page: self.page,
            page_number: self.number,
            offset,
            frame,
            limit: self.end,
            last_seq_no: self.last_seq_no,
            enough: enough.min(self.end),
            incarnations: self.incarnations.clone(),
            cuts: self.cuts.iter().filter(|cut| cut.before_offset >= offset).copied().collect(),
        }
    }

    fn start(&self) -> Place {
        self.place(PAGE_HEADER_SIZE as u64, None, self.end)
    }
}

impl Catalog {
    /// A catalog of pages that were recovered, oldest first.
    #[must_use]
    pub fn new(pages: impl IntoIterator<Item = PageUse>) -> Self {
        Self { pages: RwLock::new(pages.into_iter().collect()) }
    }

    /// Where to start reading the logs after `seq_no`; `None` where there are none.
    #[must_use]
    pub fn find(&self, seq_no: u64) -> Option<Place> {
        let pages = self.pages.read();
        // Pages without logs repeat the number of the page before: their order still holds.
        let at = pages.partition_point(|page| page.last_seq_no <= seq_no);
        let page = pages.get(at)?;
        let Some((entry, next)) = page.index.find(seq_no) else { return Some(page.start()) };
        let offset = u64::from(entry.offset) * 8;
        let frame = (entry.frame_end != 0)
            .then(|| (u64::from(entry.frame_end) * 8, page.incarnations.at(offset)));
        Some(page.place(offset, frame, next.unwrap_or(page.end)))
    }

    /// Where to go on reading; `None` where the page was put to another use, or nothing follows.
    #[must_use]
    pub fn resume(&self, resume: &Resume) -> Option<Place> {
        let pages = self.pages.read();
        let at = pages.partition_point(|page| page.number < resume.page_number);
        let page = pages.get(at).filter(|page| page.number == resume.page_number)?;
        if resume.offset < page.end {
            return Some(page.place(resume.offset, resume.frame, page.end));
        }
        pages.get(at + 1).map(PageUse::start)
    }

    /// Whether the page is still in the use with this number.
    #[must_use]
    pub fn holds(&self, page_number: u64) -> bool {
        self.with(page_number, |_| ()).is_some()
    }

    /// What `look` says of the use with this number.
    pub fn with<T>(&self, page_number: u64, look: impl FnOnce(&PageUse) -> T) -> Option<T> {
        let pages = self.pages.read();
        let at = pages.partition_point(|page| page.number < page_number);
        pages.get(at).filter(|page| page.number == page_number).map(look)
    }

    /// What `look` says of the page that holds the log `seq_no`, or would.
    pub fn with_log<T>(&self, seq_no: u64, look: impl FnOnce(&PageUse) -> T) -> Option<T> {
        let pages = self.pages.read();
        let at = pages.partition_point(|page| page.last_seq_no < seq_no);
        pages.get(at).filter(|page| page.first_prev_seq_no < seq_no).map(look)
    }

    /// What `look` says of the oldest use.
    pub fn oldest<T>(&self, look: impl FnOnce(&PageUse) -> T) -> Option<T> {
        self.pages.read().front().map(look)
    }

    /// Whether the page file with this number is in any use.
    #[must_use]
    pub(crate) fn holds_file(&self, page: u32) -> bool {
        self.pages.read().iter().any(|known| known.page == page)
    }

    /// Shows all uses, oldest first.
    pub(crate) fn each(&self, look: impl FnMut(&PageUse)) {
        self.pages.read().iter().for_each(look);
    }

    /// Shows all uses, newest first.
    pub(crate) fn each_newest_first(&self, look: impl FnMut(&PageUse)) {
        self.pages.read().iter().rev().for_each(look);
    }

    /// Sums over all pages.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.pages.read().iter().fold(Totals::default(), |sum, page| Totals {
            log_count: sum.log_count + page.log_count.saturating_sub(page.trimmed_count),
            index_count: sum.index_count + page.index.len() as u64,
            index_size: sum.index_size + page.index.size() as u64,
            page_count: sum.page_count + 1,
        })
    }

    /// Adds the next use of a page.
    pub(crate) fn push(&self, page: PageUse) {
        self.pages.write().push_back(page);
    }

    /// Forgets the oldest use, whose page is about to be overwritten.
    pub(crate) fn pop_oldest(&self) -> Option<PageUse> {
        self.pages.write().pop_front()
    }

    /// Forgets all uses, and knows those of another catalog instead.
    pub(crate) fn replace(&self, other: &Self) {
        let pages = std::mem::take(&mut *other.pages.write());
        *self.pages.write() = pages;
    }

    /// Takes stable frames up to `end` into the newest use.
    pub(crate) fn extend(&self, frames: &Extension<'_>) {
        let mut pages = self.pages.write();
        if let Some(page) = pages.back_mut() {
            page.extend(frames);
        }
    }

    /// Counts the logs up to and with `up_to` as trimmed. `within` is the count of such logs in
    /// the page where the trim point falls; `framed` says that the newest page carries it.
    pub(crate) fn trim(&self, up_to: u64, within: u64, framed: bool) {
        let mut pages = self.pages.write();
        if let Some(page) = pages.back_mut().filter(|_| framed) {
            page.trimmed_seq_no = page.trimmed_seq_no.max(up_to);
        }
        for page in pages.iter_mut() {
            if page.last_seq_no <= up_to {
                page.trimmed_count = page.log_count;
            } else if page.first_prev_seq_no < up_to {
                page.trimmed_count = page.trimmed_count.max(within.min(page.log_count));
            }
        }
    }

    /// Makes the logs after `seq_no` void. The truncation's frame starts at `offset` of the
    /// newest page; `within` is the count of logs that stay in the page where it falls.
    pub(crate) fn truncate(&self, seq_no: u64, offset: u64, within: u64) {
        let mut pages = self.pages.write();
        let newest = pages.len().saturating_sub(1);
        for (at, page) in pages.iter_mut().enumerate() {
            let before_offset = if at == newest { offset } else { page.end };
            page.truncate(seq_no, before_offset, within);
        }
    }
}

impl PageUse {
    /// Takes stable frames in.
    pub(crate) fn extend(&mut self, frames: &Extension<'_>) {
        self.incarnations.note(self.end, frames.incarnation);
        for candidate in frames.candidates {
            self.index.push(candidate);
        }
        if frames.log_count > 0 && self.log_count == 0 {
            self.first_prev_seq_no = frames.first_prev_seq_no;
        }
        self.end = frames.end;
        self.last_seq_no = frames.last_seq_no;
        self.log_count += frames.log_count;
    }

    /// Makes the logs after `seq_no` that lie before an offset void.
    pub(crate) fn truncate(&mut self, seq_no: u64, before_offset: u64, within: u64) {
        if self.last_seq_no <= seq_no {
            return;
        }
        if self.first_prev_seq_no >= seq_no {
            self.first_prev_seq_no = seq_no;
            self.log_count = 0;
        } else {
            self.log_count = within;
        }
        self.last_seq_no = seq_no;
        self.trimmed_count = self.trimmed_count.min(self.log_count);
        self.index.truncate(seq_no);
        self.cuts.push(Cut { before_offset, after_seq_no: seq_no });
    }
}
