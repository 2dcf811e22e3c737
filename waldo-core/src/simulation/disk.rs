//! A disk made of memory and mischief.

use std::collections::BTreeSet;
use std::io;

use parking_lot::Mutex;

use crate::driver::{Completion, Io, Request};
use crate::recovery::PageSource;
use crate::simulation::random::Random;

/// What a power loss leaves or takes as a whole.
pub const SECTOR: usize = 512;

/// How the disk misbehaves while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// One write in this many fails; 0 for none.
    pub write_error: u64,
    /// One write in this many is cut short; 0 for none.
    pub short_write: u64,
    /// One sync in this many fails; 0 for none.
    pub sync_error: u64,
    /// Writes of zeros fail for want of space, this many times.
    pub no_space: u64,
}

/// What ends a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies: what was written stays, what is under way stays in part.
    Process,
    /// The power goes: what was not synced stays, goes or tears, sector by sector.
    Power,
}

/// The page files.
#[derive(Debug, Default)]
pub struct Disk {
    pages: Vec<Page>,
    under_way: Vec<Pending>,
    faults: Faults,
    /// Pages that writes to were completed, since somebody asked.
    written: Mutex<BTreeSet<u32>>,
}

#[derive(Clone, Debug, Default)]
struct Page {
    /// What a read sees.
    current: Vec<u8>,
    /// What survives a power loss for certain.
    synced: Vec<u8>,
    /// Sectors in which the two may differ.
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    /// For a sync: the sectors that it covers.
    covers: BTreeSet<usize>,
}

impl Disk {
    /// A disk with page files that hold `contents`.
    #[must_use]
    pub fn new(contents: Vec<Vec<u8>>) -> Self {
        let page =
            |bytes: Vec<u8>| Page { synced: bytes.clone(), current: bytes, dirty: BTreeSet::new() };
        Self { pages: contents.into_iter().map(page).collect(), ..Self::default() }
    }

    /// Sets how the disk misbehaves from now on.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Takes a request.
    ///
    /// # Panics
    ///
    /// Where it overlaps a write that is under way, or leaves its page: the engine must not ask
    /// for that.
    pub fn submit(&mut self, request: Request) {
        let covers = match &request.io {
            Io::Sync { page } => self.pages[*page as usize].dirty.clone(),
            io => {
                let (page, start, len) = span(io);
                assert!(start + len <= self.pages[page].current.len(), "a write leaves its page");
                for other in &self.under_way {
                    if matches!(other.request.io, Io::Sync { .. }) {
                        continue;
                    }
                    let (other_page, other_start, other_len) = span(&other.request.io);
                    let apart = other_page != page
                        || other_start + other_len <= start
                        || start + len <= other_start;
                    assert!(apart, "two writes under way overlap: {:?} {:?}", request, other);
                }
                BTreeSet::new()
            }
        };
        self.under_way.push(Pending { request, covers });
    }

    /// Requests under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Ends one of the requests under way, any of them.
    pub fn complete_one(&mut self, random: &mut Random) -> Option<Completion> {
        if self.under_way.is_empty() {
            return None;
        }
        let at = random.below(self.under_way.len() as u64) as usize;
        let pending = self.under_way.swap_remove(at);
        let id = pending.request.id;
        let result = self.carry_out(pending, random);
        Some(Completion { id, result, buffer: None })
    }

    /// Has a part of a write under way arrive.
    pub fn seep(&mut self, random: &mut Random) {
        if self.under_way.is_empty() {
            return;
        }
        let at = random.below(self.under_way.len() as u64) as usize;
        let Some(pending) = self.under_way.get(at) else { return };
        let (page, offset, bytes) = match &pending.request.io {
            Io::Write { page, offset, parts, .. } => (*page, *offset, join(parts)),
            Io::Zero { page, offset, len } => (*page, *offset, vec![0; *len]),
            Io::Sync { .. } | Io::Read { .. } => return,
        };
        self.pages[page as usize].write_in_part(offset as usize, &bytes, random);
    }

    /// The pages that were written to since the last call.
    #[must_use]
    pub fn take_written(&self) -> BTreeSet<u32> {
        std::mem::take(&mut self.written.lock())
    }

    fn carry_out(&mut self, pending: Pending, random: &mut Random) -> Result<usize, i32> {
        if let Io::Write { page, .. } | Io::Zero { page, .. } = &pending.request.io {
            self.written.lock().insert(*page);
        }
        let faults = self.faults;
        let unlucky = |times: u64, random: &mut Random| times > 0 && random.one_in(times);
        match pending.request.io {
            Io::Sync { page } => {
                let page = &mut self.pages[page as usize];
                if unlucky(faults.sync_error, random) {
                    // The pages are marked clean all the same: nobody will write them.
                    page.dirty = page.dirty.difference(&pending.covers).copied().collect();
                    for sector in pending.covers {
                        page.revert(sector, random);
                    }
                    return Err(libc::EIO);
                }
                for sector in pending.covers {
                    page.sync(sector);
                }
                Ok(0)
            }
            Io::Zero { page, offset, len } => {
                if faults.no_space > 0 {
                    self.faults.no_space -= 1;
                    return Err(libc::ENOSPC);
                }
                self.pages[page as usize].write(offset as usize, &vec![0; len]);
                Ok(len)
            }
            Io::Write { page, offset, parts, durable } => {
                let page = &mut self.pages[page as usize];
                let bytes = join(&parts);
                if unlucky(faults.write_error, random) {
                    page.write_in_part(offset as usize, &bytes, random);
                    return Err(libc::EIO);
                }
                if unlucky(faults.short_write, random) {
                    let len = random.below(bytes.len() as u64) as usize;
                    page.write(offset as usize, &bytes[..len]);
                    return Ok(len);
                }
                page.write(offset as usize, &bytes);
                if durable {
                    for sector in sectors(offset as usize, bytes.len()) {
                        page.sync(sector);
                    }
                }
                Ok(bytes.len())
            }
            Io::Read { .. } => Err(libc::EINVAL),
        }
    }

    /// What is left after a crash, as the contents of a new disk.
    #[must_use]
    pub fn crash(mut self, crash: Crash, random: &mut Random) -> Self {
        for pending in std::mem::take(&mut self.under_way) {
            match pending.request.io {
                Io::Write { page, offset, parts, .. } => {
                    let bytes = join(&parts);
                    self.pages[page as usize].write_in_part(offset as usize, &bytes, random);
                }
                Io::Zero { page, offset, len } => {
                    let zeros = vec![0; len];
                    self.pages[page as usize].write_in_part(offset as usize, &zeros, random);
                }
                Io::Sync { .. } | Io::Read { .. } => {}
            }
        }
        if crash == Crash::Power {
            for page in &mut self.pages {
                for sector in std::mem::take(&mut page.dirty) {
                    page.revert(sector, random);
                }
            }
        }
        // A process that opens the store after a crash of the process syncs it first.
        Self::new(self.pages.into_iter().map(|page| page.current).collect())
    }

    /// Inverts one bit.
    pub fn flip(&mut self, page: usize, offset: usize, bit: u32) {
        let page = &mut self.pages[page];
        page.current[offset] ^= 1 << bit;
        page.synced[offset] ^= 1 << bit;
    }

    /// The bytes of a page as a read sees them.
    #[must_use]
    pub fn page(&self, page: usize) -> &[u8] {
        &self.pages[page].current
    }

    /// A disk with the same contents and nothing under way.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::new(self.pages.iter().map(|page| page.current.clone()).collect())
    }
}

impl PageSource for Disk {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let source = &self.pages[page as usize].current;
        let rest = source.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Page {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.dirty.extend(sectors(offset, bytes.len()));
    }

    /// Each sector arrives, does not, or arrives in part.
    fn write_in_part(&mut self, offset: usize, bytes: &[u8], random: &mut Random) {
        let kindness = random.below(4);
        for sector in sectors(offset, bytes.len()) {
            let start = (sector * SECTOR).max(offset);
            let end = ((sector + 1) * SECTOR).min(offset + bytes.len());
            let part = &bytes[start - offset..end - offset];
            let len = match (kindness, random.below(3)) {
                (0, _) | (1, 0) => part.len(),
                (1, _) | (2, 0 | 1) => 0,
                (2, _) | (_, 0) => part.len(),
                (_, 1) => 0,
                _ => random.below(part.len() as u64) as usize,
            };
            self.write(start, &part[..len]);
        }
    }

    fn sync(&mut self, sector: usize) {
        let (start, end) = self.bounds(sector);
        self.synced[start..end].copy_from_slice(&self.current[start..end]);
        self.dirty.remove(&sector);
    }

    /// What a power loss does to a sector that was not synced.
    fn revert(&mut self, sector: usize, random: &mut Random) {
        let (start, end) = self.bounds(sector);
        match random.below(3) {
            0 => {}
            1 => self.current[start..end].copy_from_slice(&self.synced[start..end]),
            _ => {
                let torn = start + random.below((end - start) as u64) as usize;
                self.current[torn..end].copy_from_slice(&self.synced[torn..end]);
            }
        }
    }

    fn bounds(&self, sector: usize) -> (usize, usize) {
        (sector * SECTOR, ((sector + 1) * SECTOR).min(self.current.len()))
    }
}

fn sectors(offset: usize, len: usize) -> std::ops::Range<usize> {
    if len == 0 { 0..0 } else { offset / SECTOR..(offset + len - 1) / SECTOR + 1 }
}

fn span(io: &Io) -> (usize, usize, usize) {
    match io {
        Io::Write { page, offset, parts, .. } => (*page as usize, *offset as usize, parts.len()),
        Io::Zero { page, offset, len } => (*page as usize, *offset as usize, *len),
        Io::Read { page, offset, buffer } => (*page as usize, *offset as usize, buffer.len()),
        Io::Sync { page } => (*page as usize, 0, 0),
    }
}

fn join(parts: &crate::driver::Parts) -> Vec<u8> {
    let mut bytes = parts.first.to_vec();
    bytes.extend(parts.second.iter().flat_map(|second| second.iter().copied()));
    bytes
}
