//! What was written to since somebody looked last.

use std::collections::BTreeSet;

/// Page files that were written to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// All of them may have been.
    all: bool,
    /// Some of them were for certain, though nobody knows which.
    missed: bool,
    pages: BTreeSet<u32>,
    /// Page files were made, removed or replaced, or the directory itself was.
    names: bool,
}

impl Changes {
    /// Everything may have changed.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Nobody knows whether anything changed.
    pub fn note_all(&mut self) {
        self.all = true;
    }

    /// More changed than could be told.
    pub fn note_missed(&mut self) {
        self.all = true;
        self.missed = true;
    }

    pub fn note_page(&mut self, page: u32) {
        self.pages.insert(page);
    }

    pub fn note_names(&mut self) {
        self.names = true;
    }

    /// Whether files were made, removed or replaced; asks for nothing afterwards.
    pub fn take_names(&mut self) -> bool {
        std::mem::take(&mut self.names)
    }

    /// Whether a page may have been written to.
    pub fn any(&self) -> bool {
        self.all || !self.pages.is_empty()
    }

    /// Whether a page was written to, as far as can be told.
    pub fn wrote(&self, page: u32) -> bool {
        self.missed || self.pages.contains(&page)
    }

    /// The pages of a ring that were written to; none are left afterwards.
    pub fn take_pages(&mut self, ring_size: u32) -> Vec<u32> {
        let pages = std::mem::take(&mut self.pages);
        self.missed = false;
        if std::mem::take(&mut self.all) {
            (0..ring_size).collect()
        } else {
            pages.into_iter().filter(|page| *page < ring_size).collect()
        }
    }
}
