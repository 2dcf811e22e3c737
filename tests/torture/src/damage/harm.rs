//! What is done to a store.

use waldo_core::format::{FRAME_HEADER_SIZE, PAGE_HEADER_SIZE};

use super::reference::Reference;

/// Lengths of the ranges that are zeroed.
const ZERO_LENGTHS: [usize; 6] = [1, 8, 64, 512, 4096, 8192];

/// One damage to the page files of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// One bit is inverted.
    Flip { page: usize, offset: usize, bit: u8 },
    /// A range is overwritten with zeros.
    Zero { page: usize, offset: usize, len: usize },
    /// Two pages change places.
    Swap { first: usize, second: usize },
    /// One page is copied over another.
    Copy { from: usize, to: usize },
    /// A file is cut short.
    Shorten { page: usize, len: usize },
    /// A file gets longer.
    Lengthen { page: usize, by: usize },
    /// A file is gone.
    Remove { page: usize },
    /// A page is what it was at an earlier time.
    Older { page: usize, time: usize },
    /// A page is that of another store.
    Foreign { page: usize, store: usize, from: usize },
}

/// A kind of damage, of which there are as many as a store has places for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Flip,
    Zero,
    Exchange,
    Length,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Flip, Self::Zero, Self::Exchange, Self::Length];

    pub fn name(self) -> &'static str {
        match self {
            Self::Flip => "bits flipped",
            Self::Zero => "ranges zeroed",
            Self::Exchange => "pages exchanged",
            Self::Length => "files of another length",
        }
    }

    /// How many there are.
    pub fn count(self, reference: &Reference, stores: usize) -> u64 {
        let pages = reference.files.len();
        let bytes = (pages * page_size(reference)) as u64;
        match self {
            Self::Flip => bytes * 8,
            Self::Zero => bytes * ZERO_LENGTHS.len() as u64,
            Self::Exchange => exchanges(reference, stores).count() as u64,
            Self::Length => bytes + lengthenings(reference).count() as u64,
        }
    }

    /// One of them.
    pub fn nth(self, reference: &Reference, stores: usize, number: u64) -> Option<Harm> {
        let size = page_size(reference);
        let place = |at: usize| (at / size, at % size);
        let at = usize::try_from(number).ok()?;
        match self {
            Self::Flip => {
                let (page, offset) = place(at / 8);
                Some(Harm::Flip { page, offset, bit: (at % 8) as u8 })
            }
            Self::Zero => {
                let (page, offset) = place(at / ZERO_LENGTHS.len());
                let len = ZERO_LENGTHS[at % ZERO_LENGTHS.len()].min(size - offset);
                Some(Harm::Zero { page, offset, len })
            }
            Self::Exchange => exchanges(reference, stores).nth(at),
            Self::Length => match at.checked_sub(reference.files.len() * size) {
                None => {
                    let (page, len) = place(at);
                    Some(Harm::Shorten { page, len })
                }
                Some(at) => lengthenings(reference).nth(at),
            },
        }
    }
}

fn page_size(reference: &Reference) -> usize {
    reference.files.first().map_or(1, Vec::len)
}

/// Swaps, copies, earlier pages, foreign pages, missing pages.
fn exchanges(reference: &Reference, stores: usize) -> impl Iterator<Item = Harm> {
    let pages = reference.files.len();
    let times = reference.older.len();
    let pairs = move || (0..pages).flat_map(move |a| (0..pages).map(move |b| (a, b)));
    let swaps = pairs().filter(|(a, b)| a < b).map(|(first, second)| Harm::Swap { first, second });
    let copies = pairs().filter(|(a, b)| a != b).map(|(from, to)| Harm::Copy { from, to });
    let older =
        (0..pages).flat_map(move |page| (0..times).map(move |time| Harm::Older { page, time }));
    let foreign = (0..stores).flat_map(move |store| {
        pairs().map(move |(page, from)| Harm::Foreign { page, store, from })
    });
    let removals = (0..pages).map(|page| Harm::Remove { page });
    swaps.chain(copies).chain(older).chain(foreign).chain(removals)
}

fn lengthenings(reference: &Reference) -> impl Iterator<Item = Harm> {
    let by = [1, 8, 4096, page_size(reference)];
    (0..reference.files.len())
        .flat_map(move |page| by.into_iter().map(move |by| Harm::Lengthen { page, by }))
}

impl Harm {
    /// The page files afterwards; `None` for one that is missing. `None` where nothing changes.
    pub fn done_to(
        self,
        reference: &Reference,
        stores: &[Reference],
    ) -> Option<Vec<Option<Vec<u8>>>> {
        let mut files = reference.files.clone();
        match self {
            Self::Flip { page, offset, bit } => files[page][offset] ^= 1 << bit,
            Self::Zero { page, offset, len } => files[page][offset..offset + len].fill(0),
            Self::Swap { first, second } => files.swap(first, second),
            Self::Copy { from, to } => files[to] = files[from].clone(),
            Self::Shorten { page, len } => files[page].truncate(len),
            Self::Lengthen { page, by } => {
                let len = files[page].len();
                files[page].resize(len + by, 0xa5);
            }
            Self::Older { page, time } => {
                files[page].clone_from(reference.older.get(time)?.get(page)?)
            }
            Self::Foreign { page, store, from } => {
                files[page].clone_from(stores.get(store)?.files.get(from)?);
            }
            Self::Remove { .. } => {}
        }
        let mut damaged: Vec<_> = files.into_iter().map(Some).collect();
        if let Self::Remove { page } = self {
            damaged[page] = None;
        }
        let changed =
            damaged.iter().zip(&reference.files).any(|(now, before)| now.as_ref() != Some(before));
        changed.then_some(damaged)
    }

    /// Whether the format has no place where this would leave a trace, as `docs/known-gaps.md` says:
    /// the newest page as it was before, the file with the highest number lost or emptied while it
    /// is the newest page, and the last frames of a store that was killed.
    pub fn may_go_unnoticed(self, reference: &Reference) -> bool {
        let is_last = |page| page == reference.newest && page + 1 == reference.files.len();
        match self {
            Self::Older { page, .. } => page == reference.newest,
            Self::Remove { page } => is_last(page),
            // Of a frame there is nothing to be seen.
            Self::Shorten { page, len } => {
                is_last(page) && len < PAGE_HEADER_SIZE + FRAME_HEADER_SIZE
            }
            Self::Zero { page, .. } => page == reference.newest && !reference.is_closed,
            _ => false,
        }
    }
}
