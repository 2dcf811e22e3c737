//! Recovery: from the bytes on disk to a contiguous, valid sequence of logs.
//!
//! `frames` checks one frame after the other; `scan` walks one page and says how far its frames are
//! good, and what it saw behind that; `assemble` links the pages, decides between a clean end, a torn tail and corruption, and says
//! where the log goes on. Both are functions of the bytes alone: the files come in as a
//! [`PageSource`]. `docs/format.md` states the rule.

pub mod assemble;
pub(crate) mod frames;
mod report;
mod scan;
#[cfg(test)]
mod tests;
mod window;

use std::io;

pub use assemble::{Assembled, Damage, Unvouched, assemble};
pub(crate) use assemble::{follows, replay};
pub use report::{Dropped, RecoveryReport};
pub use scan::{Evidence, OpenedPage, PageScan, scan_page};
pub(crate) use scan::{count_logs, enter_page};

use crate::catalog::PageUse;
use crate::format::StoreId;
use crate::index::Spacing;
use crate::options::Recovery;

/// The page files, for reading.
pub trait PageSource: Sync {
    /// Reads at `offset` of a page until `bytes` is full or the file ends; answers how much.
    ///
    /// # Errors
    ///
    /// The system's: an I/O error is never taken for a torn write.
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
}

/// What recovery must know of the store.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Identity of the store.
    pub store_id: StoreId,
    /// Number of page files.
    pub ring_size: u32,
    /// Bytes of a page file.
    pub page_size: u64,
    /// Frames start at multiples of this.
    pub alignment: u64,
    /// Offset of a page's seal.
    pub seal_offset: u64,
    /// Most entries of a page's index.
    pub index_capacity: usize,
    /// Distance between them.
    pub spacing: Spacing,
    /// How much is checked.
    pub recovery: Recovery,
    /// Bytes of a page whose start is blank that are searched for frames all the same.
    pub blank_limit: u64,
    /// Threads that scan pages.
    pub threads: usize,
}

/// Where the log goes on.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The pages that hold logs, oldest first, the active one included.
    pub pages: Vec<PageUse>,
    /// The page that is written.
    pub active: Option<RecoveredActive>,
    /// Page file and page number of the others, oldest first.
    pub full: Vec<(u32, u64)>,
    /// Page files that hold nothing, in the order in which they are to be used.
    pub free: Vec<u32>,
    /// Page files whose blocks are not written yet.
    pub unprepared: Vec<u32>,
    /// The newest log; 0 where there is none.
    pub tip: u64,
    /// Every log up to and with this one is gone.
    pub trimmed: u64,
    /// Incarnation that the next frame carries.
    pub incarnation: u64,
    /// The largest page number seen anywhere.
    pub page_number_max: u64,
    /// Something was written to the store before. The first thing to write now, before anybody
    /// sees the log, is
    /// [`Operation::Repair`](crate::engine::Operation::Repair): under a new incarnation, over
    /// whatever stands behind the end.
    pub repair: bool,
    /// The files still claim logs that are gone, so that the repair must be written by all
    /// means.
    pub lossy: bool,
}

/// The page that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredActive {
    /// Number of the page file.
    pub page: u32,
    /// Number of the use.
    pub page_number: u64,
    /// Where the next frame goes.
    pub offset: u64,
    /// Logs before that.
    pub log_count: u64,
}

/// Scans all pages, several at a time.
///
/// # Errors
///
/// The first page that could not be read, with the system's error.
pub fn scan_all(
    source: &dyn PageSource,
    layout: &Layout,
) -> Result<Vec<PageScan>, (u32, io::Error)> {
    let pages: Vec<u32> = (0..layout.ring_size).collect();
    let threads = layout.threads.clamp(1, pages.len().max(1));
    if threads == 1 {
        return pages.into_iter().map(|page| scan_one(source, layout, page)).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let scans = parking_lot::Mutex::new(Vec::new());
    let scan_some = || {
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(&page) = pages.get(at) else { return };
            let scan = scan_one(source, layout, page);
            scans.lock().push((page, scan));
        }
    };
    std::thread::scope(|scope| {
        // Only as long as they are started: this thread may be one of the program's.
        let blocked = crate::thread::Blocked::new();
        for _ in 1..threads {
            let helper = || {
                crate::tsan::ignore_thread();
                scan_some();
            };
            // Only while it is started: this thread may be one of the program's.
            let _blocked = crate::thread::Blocked::new();
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, helper) {
                log::info!("pages are scanned by fewer threads: {error}");
                break;
            }
        }
        drop(blocked);
        // This one too, so that all is scanned where the system has no thread to give.
        scan_some();
    });
    let mut scans = scans.into_inner();
    scans.sort_by_key(|(page, _)| *page);
    scans.into_iter().map(|(_, scan)| scan).collect()
}

fn scan_one(
    source: &dyn PageSource,
    layout: &Layout,
    page: u32,
) -> Result<PageScan, (u32, io::Error)> {
    scan_page(source, layout, page).map_err(|error| (page, error))
}
