//! Following a log: a mirror that is kept up to date, and what to do when it does not fit what is
//! read any more.
//!
//! Pages are read while they are written, one after the other, so what is found need not be a
//! state that the store ever had. Three things keep that from being taken for damage:
//!
//! - A frame that is not complete is the end of the log for now. It is a hole only where a frame
//!   promises that it had been durable: a promise is written after what it vouches for, so the
//!   frame is looked at once more after the promise was seen.
//! - Where that does not help, all pages are looked at anew. Logs are given up, durably, before
//!   their page is overwritten; so a second look that began when the overwritten page had been
//!   seen finds that they were.
//! - Damage that two looks in a row find at the same place is damage.
//!
//! Nothing here waits or touches files: pages come as a [`PageSource`], news as [`Changes`].

use std::io;
use std::sync::Arc;

use super::changes::Changes;
use super::mirror::{Advance, Mirror, Terms, Unreadable};
use crate::chunk::Chunk;
use crate::error::{Corruption, QueryError};
use crate::format::frame::position;
use crate::handle::Cursor;
use crate::memory::read_pool::LARGE_READ;
use crate::memory::{ReadBuffer, ReadPool};
use crate::options::CorruptionPolicy;
use crate::published::Published;
use crate::reader::{self, Appetite, Plan, Position, Step};
use crate::recovery::{Assembled, PageScan, PageSource, RecoveryReport, assemble, scan_all};

/// Looks at all pages, one after the other, until one fits together. A writer that is so much
/// faster than this reader overwrites everything many times in between.
const LOOKS_MAX: u32 = 1000;

/// Rounds of reading for one chunk. Only a writer that overwrites each page before this reader
/// gets to it has it come to that.
const ROUNDS_MAX: u32 = 10_000;

/// Why a log cannot be followed.
#[derive(Debug)]
pub(crate) enum Fault {
    Unreadable(Unreadable),
    Corruption(Corruption),
    /// The pages changed each time they were looked at.
    Restless,
}

/// What a reader found.
#[derive(Debug)]
pub(crate) enum Found {
    Chunk(Chunk),
    /// There is nothing newer.
    End {
        /// Something may be there that cannot be told from damage yet; [`Tracker::look`] can.
        doubt: bool,
    },
}

/// A reader's place.
pub(crate) struct Place {
    position: Position,
    appetite: Appetite,
    /// Wants the oldest logs, and has had none yet: what is trimmed meanwhile is no error.
    oldest: bool,
    /// The place of a bad read that did not fit what the pages tell.
    suspect: Option<(u64, u64)>,
}

/// Follows a log.
pub(crate) struct Tracker {
    terms: Terms,
    mirror: Mirror,
    read_pool: Arc<ReadPool>,
    /// Damage at the head, after which there is more.
    damage: Option<Corruption>,
    /// The last look at all pages found something that it could not tell from damage.
    unsure: bool,
}

/// Where logs are damaged, and how: what two looks in a row must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Claim {
    page_number: u64,
    corruption: Corruption,
}

/// What a look at all pages came to.
pub(super) struct Settled {
    pub mirror: Mirror,
    pub report: RecoveryReport,
    /// Damage that the log is cut at.
    pub damage: Option<Corruption>,
    /// All logs of earlier pages were given up, by what is durable or not yet.
    pub first_page_number: u64,
    /// Something looked like damage, and the log went on there before that could be told.
    pub unsure: bool,
}

impl Tracker {
    /// Looks at all pages.
    pub fn open(source: &dyn PageSource, terms: Terms) -> Result<Self, Fault> {
        let settled = settle(source, &terms)?;
        if terms.corruption == CorruptionPolicy::Refuse
            && let Some(damage) = settled.damage
        {
            return Err(Fault::Corruption(damage));
        }
        let read_pool = ReadPool::new(2 * LARGE_READ);
        let Settled { mirror, damage, unsure, .. } = settled;
        Ok(Self { terms, mirror, read_pool, damage, unsure })
    }

    /// The log as far as it is known.
    pub fn published(&self) -> &Arc<Published> {
        &self.mirror.published
    }

    /// Incarnation of the newest frame that is known.
    pub fn incarnation(&self) -> u64 {
        self.mirror.end().1
    }

    /// The newest log that is proved to be durable; 0 where there is none.
    pub fn durable_seq_no(&mut self, source: &dyn PageSource) -> Result<u64, Fault> {
        self.mirror.durable_seq_no(source).map_err(Fault::Unreadable)
    }

    /// Whether a look at all pages found something that it could not tell from damage.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Follows the same log in a ring of another size.
    pub fn resize(&mut self, ring_size: u32) {
        self.terms.layout.ring_size = ring_size;
        self.mirror.resize(ring_size);
    }

    /// A place to read from. [`Cursor::Tip`] is the newest log that is known.
    pub fn place(&self, cursor: Cursor, appetite: Appetite) -> Place {
        let progress = &self.mirror.published.progress;
        let seq_no = match cursor {
            Cursor::Trim => progress.trimmed(),
            Cursor::Tip => progress.tip(),
            Cursor::After(seq_no) => seq_no,
            Cursor::From(seq_no) => seq_no.saturating_sub(1),
        };
        let position = Position::after(&self.mirror.published, seq_no);
        Place { position, appetite, oldest: cursor == Cursor::Trim, suspect: None }
    }

    /// Finds the next logs for a place.
    pub fn next(
        &mut self,
        source: &dyn PageSource,
        place: &mut Place,
        changes: &mut Changes,
    ) -> Result<Found, QueryError> {
        for _ in 0..ROUNDS_MAX {
            match self.read(source, place) {
                Ok(Step::Chunk(chunk)) => {
                    place.oldest = false;
                    place.suspect = None;
                    return Ok(Found::Chunk(chunk));
                }
                Ok(Step::Wait) => {
                    if let Some(doubt) = self.advance(source, changes)? {
                        return Ok(Found::End { doubt });
                    }
                }
                Ok(Step::Again | Step::Read(_)) => {}
                Err(QueryError::Trimmed { oldest }) => {
                    place.position.seek(oldest.saturating_sub(1));
                    if !place.oldest {
                        return Err(QueryError::Trimmed { oldest });
                    }
                }
                Err(QueryError::Truncated { .. }) if place.oldest => {
                    *place = self.place(Cursor::Trim, place.appetite);
                }
                Err(QueryError::Corruption(corruption)) => {
                    if let Some(doubt) = self.suspect(source, place, corruption)? {
                        return Ok(Found::End { doubt });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Found::End { doubt: true })
    }

    /// Takes in what was written since. Answers that there is nothing, and whether that is in
    /// doubt.
    pub fn advance(
        &mut self,
        source: &dyn PageSource,
        changes: &mut Changes,
    ) -> Result<Option<bool>, QueryError> {
        match self.mirror.advance(source, changes).map_err(Fault::Unreadable)? {
            Advance::Moved => {
                self.damage = None;
                Ok(None)
            }
            Advance::Lost => Ok((!self.look(source)?).then_some(true)),
            Advance::End { doubt } => match &self.damage {
                Some(damage) if self.terms.corruption == CorruptionPolicy::Refuse => {
                    Err(damage.clone().into())
                }
                damage => Ok(Some((doubt || self.unsure) && damage.is_none())),
            },
        }
    }

    /// Looks at all pages anew. Answers whether there is more than was known.
    ///
    /// # Errors
    ///
    /// [`Fault::Corruption`] where logs are damaged that had been durable.
    pub fn look(&mut self, source: &dyn PageSource) -> Result<bool, Fault> {
        let settled = settle(source, &self.terms)?;
        let known = self.mirror.end();
        let found = settled.mirror.end();
        // Less than was known, and nothing written there instead: a page is being overwritten
        // just now.
        let is_news = found != known && (found.0 > known.0 || found.1 > known.1);
        if is_news {
            self.mirror.adopt(source, settled.mirror).map_err(Fault::Unreadable)?;
            self.damage = None;
        }
        if is_news || found == known {
            self.damage = settled.damage;
            self.unsure = settled.unsure;
        }
        if self.terms.corruption == CorruptionPolicy::Refuse
            && let Some(damage) = self.damage.clone()
        {
            return Err(Fault::Corruption(damage));
        }
        Ok(is_news)
    }

    /// A read did not give what the mirror says is there. Answers an end where that cannot be
    /// settled now.
    fn suspect(
        &mut self,
        source: &dyn PageSource,
        place: &mut Place,
        corruption: Corruption,
    ) -> Result<Option<bool>, QueryError> {
        let catalog = &self.mirror.published.catalog;
        let mut number = None;
        catalog.each(|page| {
            if page.page == corruption.page {
                number = Some(page.number);
            }
        });
        let Some(number) = number else { return Ok(None) };
        let now = self.mirror.start(source, corruption.page).map_err(Fault::Unreadable)?;
        if now.is_some_and(|now| now != number) && self.mirror.forget(number) {
            return Ok(None);
        }
        let bad = Some((number, corruption.offset));
        let again = std::mem::replace(&mut place.suspect, bad) == bad;
        let before = self.mirror.end();
        let settled = settle(source, &self.terms)?;
        // The page may be overwritten just now. Then its logs were given up before, although
        // nothing that was taken in says so yet.
        let last_seq_no = self.mirror.published.catalog.with(number, |page| page.last_seq_no);
        let is_trimmed = last_seq_no.is_some_and(|last| last <= settled.report.after_seq_no);
        // What is proved to be durable need not tell of it, though it was.
        let is_given_up = self.terms.durable_only && number < settled.first_page_number;
        if (is_trimmed || is_given_up) && self.mirror.forget(number) {
            return Ok(None);
        }
        if again || settled.damage.is_some() {
            return Err(QueryError::Corruption(corruption));
        }
        if settled.mirror.end().0 < before.0 && settled.mirror.end().1 <= before.1 {
            // The page is being overwritten just now.
            place.suspect = None;
            return Ok(Some(true));
        }
        self.mirror.adopt(source, settled.mirror).map_err(Fault::Unreadable)?;
        self.damage = settled.damage;
        self.unsure = settled.unsure;
        Ok(None)
    }

    /// The next logs in the mirror.
    fn read(&self, source: &dyn PageSource, place: &mut Place) -> Result<Step, QueryError> {
        let published = &self.mirror.published;
        let plan = match reader::next(published, &mut place.position, place.appetite)? {
            Step::Read(plan) => plan,
            step => return Ok(step),
        };
        let mut buffer = self.buffer(plan.len)?;
        let Plan { place: from, len } = &plan;
        let read = source
            .read_at(from.page, from.offset, &mut buffer)
            .map_err(|error| Fault::Unreadable(Unreadable { page: from.page, error }))?;
        let is_short = read < *len;
        buffer.truncate(read);
        let step = reader::absorb(published, &mut place.position, &plan, buffer)?;
        if is_short && matches!(step, Step::Again) {
            let corruption = Corruption {
                page: from.page,
                offset: from.offset,
                after_seq_no: place.position.seq_no(),
                detail: "the page file is cut short",
            };
            return Err(QueryError::Corruption(corruption));
        }
        Ok(step)
    }

    /// Memory to read into. What the caller holds of earlier reads is his; it does not keep him
    /// from reading on.
    fn buffer(&self, len: usize) -> Result<ReadBuffer, QueryError> {
        let taken = self.read_pool.try_take(len);
        taken.or_else(|| ReadPool::new(len).try_take(len)).ok_or(QueryError::Timeout)
    }
}

impl Place {
    /// The last log that was returned, or came before the first.
    pub fn seq_no(&self) -> u64 {
        self.position.seq_no()
    }

    /// Whether it is for the oldest logs there are when they are read.
    #[cfg(any(test, feature = "simulation"))]
    pub fn is_oldest(&self) -> bool {
        self.oldest
    }
}

impl From<Fault> for QueryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable(Unreadable { page, error }) => {
                Self::Io { page, errno: error.raw_os_error().unwrap_or(libc::EIO) }
            }
            Fault::Corruption(corruption) => Self::Corruption(corruption),
            Fault::Restless => Self::Io { page: 0, errno: libc::EAGAIN },
        }
    }
}

/// Looks at all pages until they fit together, or damage is certain.
pub(super) fn settle(source: &dyn PageSource, terms: &Terms) -> Result<Settled, Fault> {
    let mut claimed: Option<Claim> = None;
    let mut beheaded = None;
    for _ in 0..LOOKS_MAX {
        let (scans, found) = scan(source, terms).map_err(Fault::Unreadable)?;
        let Assembled { recovered, report, damage, .. } = found;
        let numbers: Vec<u64> = recovered.pages.iter().map(|page| page.number).collect();
        let first = recovered.pages.iter().find(|page| page.log_count > page.trimmed_count);
        let first_page_number = first.map_or(u64::MAX, |page| page.number);
        let mut pages: Vec<_> = scans
            .iter()
            .filter_map(|scan| scan.opened.as_ref())
            .filter(|page| numbers.contains(&page.content.number))
            .collect();
        pages.sort_by_key(|page| page.content.number);
        // What came before the first page was trimmed, or was not there yet when its file was looked
        // at.
        let first = pages.first().filter(|page| page.open.predecessor_page_number != 0);
        let first = first.map(|page| page.content.number);
        let has_room = pages.len() < terms.layout.ring_size as usize;
        if first.is_some() && has_room && std::mem::replace(&mut beheaded, first) != first {
            continue;
        }
        let end = pages.last().map_or((0, 0), |page| (page.content.number, page.content.end));
        let end = position(end.0, terms.layout.page_size, end.1);
        let mirror = Mirror::new(source, terms, &pages).map_err(Fault::Unreadable)?;
        let Some(mut mirror) = mirror else { continue };
        if !mirror.advance_to(source, end).map_err(Fault::Unreadable)? {
            continue;
        }
        let Some(damage) = damage else {
            return Ok(Settled { mirror, report, damage: None, first_page_number, unsure: false });
        };
        // What is said to be missing was there before that was said.
        if mirror.front() > end && !damage.beheaded {
            return Ok(Settled { mirror, report, damage: None, first_page_number, unsure: true });
        }
        let number = |page: u32| {
            let known = pages.iter().find(|known| known.content.page == page);
            known.map_or(0, |known| known.content.number)
        };
        let claim = Claim {
            page_number: number(damage.corruption.page),
            corruption: damage.corruption.clone(),
        };
        if claimed.as_ref() == Some(&claim) {
            let damage = Some(damage.corruption);
            return Ok(Settled { mirror, report, damage, first_page_number, unsure: false });
        }
        claimed = Some(claim);
    }
    Err(Fault::Restless)
}

fn scan(source: &dyn PageSource, terms: &Terms) -> Result<(Vec<PageScan>, Assembled), Unreadable> {
    let failed = |(page, error): (u32, io::Error)| Unreadable { page, error };
    let scans = scan_all(source, &terms.layout).map_err(failed)?;
    let found = assemble(source, &terms.layout, &scans, 0).map_err(failed)?;
    Ok((scans, found))
}
