//! A check of everything that a store holds.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;

use super::mirror::{Terms, Unreadable};
use super::options::FollowOptions;
use super::pages::Pages;
use super::tracker::{Fault, Settled, settle};
use crate::error::{Corruption, Error, QueryError};
use crate::format::PAGE_HEADER_SIZE;
use crate::format::frame::position;
use crate::memory::Pool;
use crate::options::{BLOCK_SIZE, CorruptionPolicy, Recovery};
use crate::recovery::{
    Layout, OpenedPage, PageSource, RecoveryReport, enter_page, follows, scan_page,
};

/// How far [`verify`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyProgress {
    /// Bytes that were checked.
    pub bytes_done: u64,
    /// Bytes that are to be checked, all told.
    pub bytes_total: u64,
}

/// Checks every frame and every log of the store at `path`, without its lock and without changing
/// anything, also while somebody writes to it.
///
/// `progress` is called now and then, on the calling thread; it can stop the check.
///
/// The report says what opening the store would find: `dropped` is a torn tail, which in a store
/// that is being written to may just be what is under way; `cut` is the damage before which it
/// would be cut, `None` where all that had been durable is intact. What a writer overwrites in the
/// meantime is not checked.
///
/// # Errors
///
/// - [`Error::NotAStore`], [`Error::Newer`], [`Error::Io`] as [`Follower::open`];
/// - [`Error::Query`] with [`QueryError::Interrupted`] where `progress` stopped it.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let waldo = waldo_core::Waldo::blocking_open(dir.path(), waldo_core::Options::default())?;
/// # waldo.blocking_append_assigned(&["one", "two"])?;
/// use std::ops::ControlFlow;
///
/// let report = waldo_core::verify(dir.path(), |progress| {
///     println!("{} of {} bytes", progress.bytes_done, progress.bytes_total);
///     ControlFlow::Continue(())
/// })?;
/// assert!(report.cut.is_none());
/// assert_eq!(report.log_count, 2);
/// # Ok(())
/// # }
/// ```
///
/// [`Follower::open`]: crate::Follower::open
pub fn verify(
    path: impl AsRef<Path>,
    progress: impl FnMut(VerifyProgress) -> ControlFlow<()> + Send,
) -> Result<RecoveryReport, Error> {
    let started = Instant::now();
    let pages = Pages::open(path.as_ref(), CorruptionPolicy::Truncate)?;
    let pool = Pool::new(0, 0, BLOCK_SIZE, false).map_err(|source| Error::Io {
        action: "allocate memory for",
        path: pages.home().to_owned(),
        source,
    })?;
    let terms = Terms {
        layout: pages.layout(&FollowOptions::default()),
        durable_only: false,
        corruption: CorruptionPolicy::Truncate,
        pool,
    };
    let meter = Mutex::new(Meter { report: progress, done: 0, total: 0, stopped: false });
    let source = Metered { pages: &pages, meter: &meter };
    let checked = check(&source, &terms, &meter);
    let Meter { done, stopped, .. } = meter.into_inner();
    if stopped {
        return Err(QueryError::Interrupted.into());
    }
    let mut report = checked.map_err(|fault| fault.of(&pages))?;
    report.cut = report.cut.or_else(|| pages.header_damage.clone());
    report.bytes_read = done;
    report.duration = started.elapsed();
    Ok(report)
}

/// What was read, and who wants to know.
struct Meter<P> {
    report: P,
    done: u64,
    total: u64,
    stopped: bool,
}

/// Pages whose reading is reported.
struct Metered<'a, P> {
    pages: &'a Pages,
    meter: &'a Mutex<Meter<P>>,
}

impl<P: FnMut(VerifyProgress) -> ControlFlow<()> + Send> PageSource for Metered<'_, P> {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.pages.read_at(page, offset, bytes)?;
        let mut meter = self.meter.lock();
        meter.done += read as u64;
        // What was read to see where the log is counts as well; the end is the end.
        let progress =
            VerifyProgress { bytes_done: meter.done.min(meter.total), bytes_total: meter.total };
        if meter.total > 0 && (meter.report)(progress).is_break() {
            meter.stopped = true;
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(read)
    }
}

fn check<P>(
    source: &dyn PageSource,
    terms: &Terms,
    meter: &Mutex<Meter<P>>,
) -> Result<RecoveryReport, Fault> {
    let Settled { mirror, mut report, damage, .. } = settle(source, terms)?;
    report.cut = damage;
    let mut uses = Vec::new();
    mirror.published.catalog.each(|page| uses.push(Use { page: page.page, number: page.number }));
    {
        let mut meter = meter.lock();
        meter.total = meter.done + uses.len() as u64 * terms.layout.page_size;
    }
    let layout = Layout { recovery: Recovery::Full, ..terms.layout.clone() };
    let end = mirror.end().0;
    for (at, page) in uses.iter().enumerate() {
        let next = uses.get(at + 1);
        let look = || page.damage(source, &layout, next, end);
        // Bad where it is overwritten meanwhile, too: then it does not count any more.
        if look()?.is_some()
            && is_held(source, terms, page.number)?
            && let Some(corruption) = look()?
        {
            report.cut = Some(corruption);
            break;
        }
    }
    Ok(report)
}

/// A use of a page file.
#[derive(Clone, Copy)]
struct Use {
    page: u32,
    number: u64,
}

impl Use {
    /// What is wrong with the page, that goes on in another one or is the newest, with which the
    /// log has come to a position.
    fn damage(
        self,
        source: &dyn PageSource,
        layout: &Layout,
        next: Option<&Self>,
        log_end: u64,
    ) -> Result<Option<Corruption>, Fault> {
        let opened = self.open(source, layout, true)?;
        let Some(opened) = opened else { return Ok(Some(self.corruption(None))) };
        let is_whole = match next {
            Some(next) => {
                let next = next.open(source, layout, false)?;
                next.is_some_and(|next| follows(&opened, &next))
            }
            None => position(self.number, layout.page_size, opened.content.end) >= log_end,
        };
        Ok((!is_whole).then(|| self.corruption(Some(&opened))))
    }

    /// The page, as far as it is good, or just its start.
    fn open(
        self,
        source: &dyn PageSource,
        layout: &Layout,
        whole: bool,
    ) -> Result<Option<OpenedPage>, Fault> {
        let opened = if whole {
            scan_page(source, layout, self.page).map(|scan| scan.opened)
        } else {
            enter_page(source, layout, self.page)
        };
        let page = self.page;
        let opened = opened.map_err(|error| Fault::Unreadable(Unreadable { page, error }))?;
        Ok(opened.filter(|opened| opened.content.number == self.number))
    }

    fn corruption(self, opened: Option<&OpenedPage>) -> Corruption {
        Corruption {
            page: self.page,
            offset: opened.map_or(PAGE_HEADER_SIZE as u64, |opened| opened.content.end),
            after_seq_no: opened.map_or(0, |opened| opened.tip),
            detail: "a frame that had been durable is missing or bad",
        }
    }
}

/// Whether the use of a page with this number still holds logs, or is the newest: that one is not
/// overwritten, and opening refuses damage in it also where all logs are trimmed.
fn is_held(source: &dyn PageSource, terms: &Terms, number: u64) -> Result<bool, Fault> {
    let Settled { mirror, .. } = settle(source, terms)?;
    let trimmed = mirror.published.progress.trimmed();
    let catalog = &mirror.published.catalog;
    let mut newest = None;
    catalog.each(|page| newest = Some(page.number));
    let holds = catalog.with(number, |page| page.last_seq_no > trimmed);
    Ok(holds == Some(true) || newest == Some(number))
}
