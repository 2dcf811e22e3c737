//! Preparing pages: writing their blocks ahead of need, so that later writes overwrite.
//!
//! Overwriting a block that was written once needs no change of the file's metadata, and that
//! more than doubles the rate of durable writes. One request is under way at a time, behind
//! the back of appends; an append that comes to a place which is not prepared yet goes ahead and
//! only keeps the zeros from landing on it.

use std::collections::VecDeque;

use crate::driver::{Io, ZERO_SIZE_MAX};
use crate::format::PAGE_HEADER_SIZE;

/// Progress of the preparation.
#[derive(Debug, Default)]
pub(super) struct Preparer {
    /// Pages still to do; the front one is being done.
    waiting: VecDeque<u32>,
    /// In the front page: where the next zeros go.
    frontier: u64,
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
    pub fn new(waiting: impl IntoIterator<Item = u32>) -> Self {
        Self {
            waiting: waiting.into_iter().collect(),
            frontier: PAGE_HEADER_SIZE as u64,
            ..Self::default()
        }
    }

    /// The next request, unless one is under way or everything is done.
    pub fn next_request(&mut self, page_size: u64) -> Option<Io> {
        if self.under_way.is_some() {
            return None;
        }
        let page = *self.waiting.front()?;
        if self.frontier >= page_size {
            self.under_way = Some(UnderWay::Sync { page });
            return Some(Io::Sync { page });
        }
        let offset = self.frontier;
        let len = (page_size - offset).min(ZERO_SIZE_MAX as u64) as usize;
        self.under_way = Some(UnderWay::Zeros { page, offset, len });
        Some(Io::Zero { page, offset, len })
    }

    /// Takes the end of the request that was under way.
    pub fn complete(&mut self, result: Result<usize, i32>) {
        match (self.under_way.take(), result) {
            (Some(UnderWay::Zeros { offset, len, .. }), Ok(written)) if written == len => {
                self.frontier = self.frontier.max(offset + len as u64);
            }
            (Some(UnderWay::Sync { page }), Ok(_)) => {
                self.failed.retain(|(failed, _)| *failed != page);
                self.next_page();
            }
            (Some(UnderWay::Zeros { page, .. } | UnderWay::Sync { page }), result) => {
                self.failed.retain(|(failed, _)| *failed != page);
                self.failed.push((page, result.err().unwrap_or(libc::ENOSPC)));
                self.next_page();
            }
            (None, _) => {}
        }
    }

    /// Makes way for a write that ends at `end`: zeros will not be written before that any more.
    /// Answers whether the write may start now; else it waits for the zeros under way.
    pub fn make_way(&mut self, page: u32, start: u64, end: u64) -> bool {
        if self.waiting.front() == Some(&page) {
            self.frontier = self.frontier.max(end);
        }
        !matches!(self.under_way, Some(UnderWay::Zeros { page: busy, offset, len })
            if busy == page && offset < end && start < offset + len as u64)
    }

    /// Whether a request on the page is under way.
    pub fn touches(&self, page: u32) -> bool {
        match self.under_way {
            Some(UnderWay::Zeros { page: busy, .. } | UnderWay::Sync { page: busy }) => {
                busy == page
            }
            None => false,
        }
    }

    /// Why the page cannot be used, until it was prepared after all. Asking has it tried again.
    pub fn failure(&mut self, page: u32) -> Option<i32> {
        let (_, errno) = *self.failed.iter().find(|(failed, _)| *failed == page)?;
        if !self.waiting.contains(&page) {
            self.waiting.push_back(page);
        }
        Some(errno)
    }

    /// Whether everything is done that can be done.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    fn next_page(&mut self) {
        self.waiting.pop_front();
        self.frontier = PAGE_HEADER_SIZE as u64;
    }
}
