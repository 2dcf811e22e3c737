//! A file: what reads see, what a power loss leaves for certain, and everything in between.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fastrand::Rng;

use super::loss::Loss;

/// What a disk writes as a whole, or not.
pub const SECTOR: usize = 512;

/// What a file system allocates as a whole.
pub const BLOCK: usize = 4096;

/// Names one write.
pub type WriteId = u64;

/// A sector after a write that no sync has covered.
#[derive(Clone, Debug)]
struct Version {
    write: WriteId,
    bytes: Vec<u8>,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct File {
    current: Vec<u8>,
    /// Blocks that were written, not only allocated.
    written: BTreeSet<usize>,
    safe: Vec<u8>,
    safe_written: BTreeSet<usize>,
    /// What unsynced writes made of a sector, oldest first. A power loss leaves any of these, or
    /// what is safe.
    versions: BTreeMap<usize, Vec<Version>>,
    /// Sizes that the file has had since it was synced.
    sizes: Vec<usize>,
    under_way: HashSet<WriteId>,
}

impl File {
    /// A file that is on the platter as it is.
    fn at_rest(bytes: Vec<u8>, written: BTreeSet<usize>) -> Self {
        Self {
            safe: bytes.clone(),
            current: bytes,
            safe_written: written.clone(),
            written,
            ..Self::default()
        }
    }

    /// The bytes as a read sees them.
    pub fn bytes(&self) -> &[u8] {
        &self.current
    }

    /// Bytes that are allocated.
    pub fn written_len(&self) -> usize {
        self.written.len() * BLOCK
    }

    /// Bytes that a write allocates.
    pub fn growth(&self, offset: usize, len: usize) -> usize {
        let blocks = offset / BLOCK..(offset + len).div_ceil(BLOCK);
        blocks.filter(|block| !self.written.contains(block)).count() * BLOCK
    }

    /// Writes. Until [`finish`](Self::finish) nobody was told that it is done.
    pub fn write(&mut self, id: WriteId, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.current.len() {
            self.resize(end);
        }
        self.current[offset..end].copy_from_slice(bytes);
        for sector in sectors(offset, bytes.len()) {
            let start = sector * SECTOR;
            let stop = (start + SECTOR).min(self.current.len());
            let version = Version { write: id, bytes: self.current[start..stop].to_vec() };
            self.versions.entry(sector).or_default().push(version);
            self.written.insert(start / BLOCK);
        }
        self.under_way.insert(id);
    }

    /// A write is done; a durable one is safe from now on.
    pub fn finish(&mut self, id: WriteId, offset: usize, len: usize, durable: bool) {
        self.under_way.remove(&id);
        if !durable {
            return;
        }
        self.safe_len(offset + len);
        for sector in sectors(offset, len) {
            self.promote(sector, |version| version.write == id);
        }
    }

    /// Makes safe whatever was told to be done.
    pub fn sync(&mut self) {
        let len = self.current.len();
        self.safe.resize(len, 0);
        self.sizes.clear();
        let dirty: Vec<usize> = self.versions.keys().copied().collect();
        let under_way = std::mem::take(&mut self.under_way);
        for sector in dirty {
            self.promote(sector, |version| !under_way.contains(&version.write));
        }
        self.under_way = under_way;
    }

    /// A sync that fails: the system forgets what it could not write, and will not try again. Part
    /// of it may have arrived.
    pub fn fail_sync(&mut self, random: &mut Rng) {
        let dirty: Vec<usize> = self.versions.keys().copied().collect();
        let under_way = std::mem::take(&mut self.under_way);
        for sector in dirty {
            if random.u8(..4) == 0 {
                self.promote(sector, |version| !under_way.contains(&version.write));
            } else if let Some(versions) = self.versions.get_mut(&sector) {
                versions.retain(|version| under_way.contains(&version.write));
                if versions.is_empty() {
                    self.revert(sector);
                }
            }
        }
        self.versions.retain(|_, versions| !versions.is_empty());
        self.under_way = under_way;
    }

    /// Has reads see what is safe.
    fn revert(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.current.len());
        let safe = self.safe.get(start..self.safe.len().min(end)).unwrap_or_default();
        let Some(place) = self.current.get_mut(start..end) else { return };
        place.fill(0);
        place[..safe.len()].copy_from_slice(safe);
    }

    /// Changes the size.
    pub fn resize(&mut self, size: usize) {
        self.current.resize(size, 0);
        self.sizes.push(size);
        let end = size.div_ceil(BLOCK);
        self.written.retain(|block| *block < end);
        let end = size.div_ceil(SECTOR);
        self.versions.retain(|sector, _| *sector < end);
        for (sector, versions) in &mut self.versions {
            let len = (size - sector * SECTOR).min(SECTOR);
            versions.iter_mut().for_each(|version| version.bytes.resize(len, 0));
        }
    }

    /// The first offset from `offset` on that was written, or that was not.
    pub fn seek(&self, offset: usize, wanted: Written) -> Option<usize> {
        let size = self.current.len();
        if offset >= size {
            return None;
        }
        let is_written = |offset: usize| self.written.contains(&(offset / BLOCK));
        let mut at = offset;
        while at < size && is_written(at) != (wanted == Written::Data) {
            at = (at / BLOCK + 1) * BLOCK;
        }
        // Behind the end is a hole, and never data.
        if at < size { Some(at) } else { (wanted == Written::Hole).then_some(size) }
    }

    /// What a power loss leaves.
    pub fn settle(&self, loss: &Loss, random: &mut Rng) -> Self {
        let mut sizes = self.sizes.clone();
        sizes.push(self.safe.len());
        let size = match loss {
            Loss::All => self.safe.len(),
            Loss::Nothing => self.current.len(),
            _ => random.choice(sizes).unwrap_or(0),
        };
        let mut bytes = self.safe.clone();
        let mut written = self.safe_written.clone();
        bytes.resize(size, 0);
        for (sector, versions) in &self.versions {
            let start = sector * SECTOR;
            let Some(kept) = keep(versions, loss, random) else { continue };
            let Some(place) = bytes.get_mut(start..size.min(start + SECTOR)) else { continue };
            let len = kept.len().min(place.len());
            place[..len].copy_from_slice(&kept[..len]);
            written.insert(start / BLOCK);
        }
        written.retain(|block| *block < size.div_ceil(BLOCK));
        Self::at_rest(bytes, written)
    }

    /// How many sectors a power loss could take or tear.
    pub fn dirty_count(&self) -> usize {
        self.versions.len()
    }

    /// Makes safe the newest version of a sector that is meant, and all before it.
    fn promote(&mut self, sector: usize, is_meant: impl Fn(&Version) -> bool) {
        let Some(versions) = self.versions.get_mut(&sector) else { return };
        let Some(at) = versions.iter().rposition(is_meant) else { return };
        let start = sector * SECTOR;
        if let Some(version) = versions.drain(..=at).next_back() {
            let end = start + version.bytes.len();
            if self.safe.len() < end {
                self.safe.resize(end, 0);
            }
            self.safe[start..end].copy_from_slice(&version.bytes);
            self.safe_written.insert(start / BLOCK);
        }
        if versions.is_empty() {
            self.versions.remove(&sector);
        }
    }

    fn safe_len(&mut self, len: usize) {
        if self.safe.len() < len {
            self.safe.resize(len, 0);
        }
    }
}

/// What is looked for with `lseek`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Blocks that were written.
    Data,
    /// Blocks that were not.
    Hole,
}

/// What a power loss makes of a sector; `None` where it leaves what was safe.
fn keep(versions: &[Version], loss: &Loss, random: &mut Rng) -> Option<Vec<u8>> {
    let newest = |is_kept: &dyn Fn(&Version) -> bool| {
        versions.iter().rfind(|version| is_kept(version)).map(|version| version.bytes.clone())
    };
    match loss {
        Loss::All => None,
        Loss::Nothing => newest(&|_| true),
        Loss::Writes(seed) => newest(&|version| Loss::keeps(*seed, version.write)),
        Loss::Since(write) => newest(&|version| version.write < *write),
        Loss::Sectors => {
            let at = random.usize(0..=versions.len());
            let version = versions.get(at)?;
            Some(version.bytes.clone())
        }
    }
}

fn sectors(offset: usize, len: usize) -> std::ops::Range<usize> {
    if len == 0 { 0..0 } else { offset / SECTOR..(offset + len - 1) / SECTOR + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(file: &mut File, id: WriteId, offset: usize, byte: u8, durable: bool) {
        file.write(id, offset, &[byte; SECTOR]);
        file.finish(id, offset, SECTOR, durable);
    }

    fn outcomes(file: &File) -> HashSet<Vec<u8>> {
        let mut random = Rng::with_seed(1);
        (0..2000)
            .map(|_| file.settle(&Loss::random(&mut random, 10), &mut random).current)
            .collect()
    }

    #[test]
    fn what_is_not_synced_may_go_stay_or_be_reordered() {
        let mut file = File::default();
        file.resize(2 * SECTOR);
        file.sync();
        written(&mut file, 1, 0, 1, false);
        written(&mut file, 2, SECTOR, 2, false);
        let found = outcomes(&file);
        let sector = |byte| vec![byte; SECTOR];
        for (first, second) in [(0, 0), (1, 0), (0, 2), (1, 2)] {
            assert!(found.contains(&[sector(first), sector(second)].concat()), "{first} {second}");
        }
    }

    #[test]
    fn what_is_synced_stays() {
        let mut file = File::default();
        file.resize(2 * SECTOR);
        written(&mut file, 1, 0, 1, false);
        file.sync();
        written(&mut file, 2, SECTOR, 2, true);
        assert_eq!(outcomes(&file).len(), 1);
        assert_eq!(file.dirty_count(), 0);
        // The durable write of one sector says nothing of the other.
        written(&mut file, 3, 0, 3, false);
        written(&mut file, 4, SECTOR, 4, true);
        let found = outcomes(&file);
        assert!(found.iter().all(|bytes| bytes[SECTOR] == 4));
        assert!(found.iter().any(|bytes| bytes[0] == 1) && found.iter().any(|bytes| bytes[0] == 3));
    }

    #[test]
    fn what_nobody_was_told_of_is_not_synced_either() {
        let mut file = File::default();
        file.resize(SECTOR);
        file.sync();
        file.write(1, 0, &[1; SECTOR]);
        file.sync();
        assert!(outcomes(&file).iter().any(|bytes| bytes[0] == 0));
        file.finish(1, 0, SECTOR, true);
        assert!(outcomes(&file).iter().all(|bytes| bytes[0] == 1));
    }

    #[test]
    fn a_failed_sync_forgets() {
        let mut random = Rng::with_seed(3);
        let mut lost = 0;
        for id in 0..100 {
            let mut file = File::default();
            file.resize(SECTOR);
            file.sync();
            written(&mut file, id, 0, 1, false);
            file.fail_sync(&mut random);
            // The next one says that all is well.
            file.sync();
            assert_eq!(outcomes(&file), HashSet::from([file.bytes().to_vec()]));
            lost += u32::from(file.bytes()[0] == 0);
        }
        assert!((40..100).contains(&lost), "{lost}");
    }

    #[test]
    fn sizes_are_safe_once_synced() {
        let mut file = File::default();
        file.resize(100);
        let sizes = |file: &File| outcomes(file).iter().map(Vec::len).collect::<HashSet<_>>();
        assert_eq!(sizes(&file), HashSet::from([0, 100]));
        file.sync();
        assert_eq!(sizes(&file), HashSet::from([100]));
        // A durable write takes the size that it needs with it, and no more.
        file.resize(4 * SECTOR);
        written(&mut file, 1, SECTOR, 1, true);
        assert_eq!(sizes(&file), HashSet::from([2 * SECTOR, 4 * SECTOR]));
    }

    #[test]
    fn holes_are_where_nothing_was_written() {
        let mut file = File::default();
        file.resize(3 * BLOCK);
        file.write(1, BLOCK, &[1; 10]);
        assert_eq!(file.seek(0, Written::Data), Some(BLOCK));
        assert_eq!(file.seek(0, Written::Hole), Some(0));
        assert_eq!(file.seek(BLOCK, Written::Hole), Some(2 * BLOCK));
        assert_eq!(file.seek(2 * BLOCK, Written::Data), None);
        assert_eq!(file.seek(3 * BLOCK, Written::Hole), None);
        file.write(2, 0, &[1; 3 * BLOCK]);
        assert_eq!(file.seek(0, Written::Hole), Some(3 * BLOCK));
    }
}
