//! A page, read piece by piece.

use std::io;

use super::PageSource;

/// Bytes read at a time by who reads on: small enough for a core's second-level cache.
const WINDOW: usize = 256 * 1024;

/// Bytes of the first read: often it is the only one.
const FIRST: usize = 4096;

/// A window that moves over a page.
pub struct Window<'a> {
    source: &'a dyn PageSource,
    page: u32,
    page_size: u64,
    bytes: Vec<u8>,
    start: u64,
    len: usize,
    /// Bytes of the next read, if nobody needs more.
    ahead: usize,
    read: u64,
}

impl<'a> Window<'a> {
    pub fn new(source: &'a dyn PageSource, page: u32, page_size: u64) -> Self {
        Self { source, page, page_size, bytes: Vec::new(), start: 0, len: 0, ahead: FIRST, read: 0 }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    /// `len` bytes at `offset`; fewer where the page ends before.
    ///
    /// # Errors
    ///
    /// The source's.
    pub fn get(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let len = (self.page_size.saturating_sub(offset)).min(len as u64) as usize;
        let inside = offset >= self.start && offset + len as u64 <= self.start + self.len as u64;
        if !inside {
            self.fill(offset, len)?;
        }
        let at = (offset - self.start) as usize;
        let end = (at + len).min(self.len);
        Ok(self.bytes.get(at..end).unwrap_or_default())
    }

    /// What there is from `offset` on, at least one byte unless the page ends there.
    ///
    /// # Errors
    ///
    /// The source's.
    pub fn rest(&mut self, offset: u64) -> io::Result<&[u8]> {
        self.get(offset, 1)?;
        let at = (offset - self.start) as usize;
        Ok(self.bytes.get(at..self.len).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, least: usize) -> io::Result<()> {
        let left = self.page_size.saturating_sub(offset) as usize;
        let len = least.max(self.ahead).min(left);
        self.ahead = (self.ahead * 2).min(WINDOW);
        if self.bytes.len() < len {
            self.bytes.resize(len, 0);
        }
        self.start = offset;
        self.len = 0;
        let target = self.bytes.get_mut(..len).unwrap_or_default();
        self.len = self.source.read_at(self.page, offset, target)?;
        self.read += self.len as u64;
        Ok(())
    }
}
