//! Preparing pages: writing their blocks ahead of need, so that later writes overwrite.
//!
//! Overwriting a block that was written once needs no change of the file's metadata, and that
//! more than doubles the rate of durable writes. One request is under way at a time, behind
//! the back of appends; an append that comes to a place which is not prepared yet goes ahead and
//! only keeps the zeros from landing on it.

use std::collections::VecDeque;

use crate::driver::{Io, ZERO_SIZE_MAX};
use crate::format::{PAGE_HEADER_SIZE, align_up};
use crate::options::BLOCK_SIZE;

const BLOCK: u64 = BLOCK_SIZE as u64;

/// Progress of the preparation.
#[derive(Debug, Default)]
pub(super) struct Preparer {
    /// Pages still to do, each with where its next zeros go; the front one is being done.
    waiting: VecDeque<(u32, u64)>,
    under_way: Option<UnderWay>,
    /// Pages that there was no room for, with the system's error number.
    failed: Vec<(u32, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnderWay {
    Zeros { page: u32, offset: u64, len: usize },
    Sync { page: u32 },
}

impl Preparer {
    /// Pages to prepare, each from an offset on.
    pub fn new(waiting: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let waiting =
            waiting.into_iter().map(|(page, from)| (page, align_up(from, BLOCK))).collect();
        Self { waiting, ..Self::default() }
    }

    /// The next request, unless one is under way or everything is done.
    pub fn next_request(&mut self, page_size: u64) -> Option<Io> {
        if self.under_way.is_some() {
            return None;
        }
        let &(page, offset) = self.waiting.front()?;
        if offset >= page_size {
            self.under_way = Some(UnderWay::Sync { page });
            return Some(Io::Sync { page });
        }
        let len = (page_size - offset).min(ZERO_SIZE_MAX as u64) as usize;
        self.under_way = Some(UnderWay::Zeros { page, offset, len });
        Some(Io::Zero { page, offset, len })
    }

    /// The page that the request under way syncs, if it is a sync.
    pub fn syncs(&self) -> Option<u32> {
        match self.under_way {
            Some(UnderWay::Sync { page }) => Some(page),
            _ => None,
        }
    }

    /// Takes the end of the request that was under way.
    pub fn complete(&mut self, result: Result<usize, i32>) {
        match (self.under_way.take(), result) {
            (Some(UnderWay::Zeros { page, offset, len }), Ok(written)) if written == len => {
                self.pass(page, offset + len as u64);
            }
            (Some(UnderWay::Sync { page }), Ok(_)) => {
                self.failed.retain(|(failed, _)| *failed != page);
                self.waiting.pop_front();
            }
            (Some(UnderWay::Zeros { page, .. } | UnderWay::Sync { page }), result) => {
                self.failed.retain(|(failed, _)| *failed != page);
                self.failed.push((page, result.err().unwrap_or(libc::ENOSPC)));
                self.waiting.pop_front();
            }
            (None, _) => {}
        }
    }

    /// Makes way for a write that ends at `end`: zeros will not be written before that any more.
    /// Answers whether the write may start now; else it waits for the zeros under way.
    pub fn make_way(&mut self, page: u32, start: u64, end: u64) -> bool {
        self.pass(page, end);
        !self.is_zeroing(page, start, end)
    }

    /// Whether zeros are under way to a part of a page.
    pub fn is_zeroing(&self, page: u32, start: u64, end: u64) -> bool {
        matches!(self.under_way, Some(UnderWay::Zeros { page: busy, offset, len })
            if busy == page && offset < end && start < offset + len as u64)
    }

    /// Why the page cannot be used, until it was prepared after all. Asking has it tried again.
    pub fn failure(&mut self, page: u32) -> Option<i32> {
        let (_, errno) = *self.failed.iter().find(|(failed, _)| *failed == page)?;
        if !self.waiting.iter().any(|(waiting, _)| *waiting == page) {
            self.waiting.push_back((page, PAGE_HEADER_SIZE as u64));
        }
        Some(errno)
    }

    /// Whether everything is done that can be done.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// Has the next zeros of a page go no further to the front than `offset`.
    fn pass(&mut self, page: u32, offset: u64) {
        if let Some((_, frontier)) = self.waiting.iter_mut().find(|(waiting, _)| *waiting == page) {
            *frontier = (*frontier).max(align_up(offset, BLOCK));
        }
    }
}
