//! What the headers of the page files say, and what to do where one is not as it should be.
//!
//! A header is written once, when the file is made, and is durable before any frame, and before the
//! file of the next page is made. So one that is blank or torn in a file without frames is a crash
//! while the store was made, or grew; in a file with frames, or before one that is good, it is
//! damage.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::pages::{Sources, open_existing, read_full};
use super::{Geometry, io_error};
use crate::driver::files::{Home, page_ids, page_path};
use crate::error::{Corruption, Error};
use crate::format::bytes::is_zero;
use crate::format::page_header::PageHeaderFault;
use crate::format::{PAGE_HEADER_SIZE, PageHeader};
use crate::options::{CorruptionPolicy, Options};
use crate::recovery::scan_page;

/// No store has more pages; see [`Options::validate`].
const RING_SIZE_MAX: u32 = 1 << 20;

/// The page files that exist.
#[derive(Clone)]
pub(crate) struct Survey {
    /// What their headers agree on; `None` where no file has a header that can be used, and
    /// nothing suggests that one ever did.
    pub geometry: Option<Geometry>,
    pages: Vec<(u32, State)>,
    /// As many headers say something else: nobody can tell which pages are those of the store.
    is_tied: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As it should be.
    Good,
    /// Never completed: it will be.
    Incomplete,
    /// Good, and longer than it was made: it is cut to its size.
    Long,
    /// It was completed, and nothing is left of it: it is made anew.
    Lost,
    /// The header is lost, the frames are not: it is written again.
    Headless(&'static str),
    /// The file was cut to this size after frames were written to it. What is left of them is kept.
    Short(u64),
    /// Not a page of this store, or not this page.
    Wrong(&'static str),
}

impl State {
    /// What is wrong with a page in this state, and whether its frames can be kept.
    fn damage(self, page: u32) -> Option<(Corruption, bool)> {
        let (offset, detail, keeps_frames) = match self {
            Self::Good | Self::Incomplete | Self::Long => return None,
            Self::Lost => (0, "nothing is left of the page", true),
            Self::Headless(detail) => (0, detail, true),
            Self::Short(size) => (size, "the file was cut short", true),
            Self::Wrong(detail) => (0, detail, false),
        };
        Some((Corruption { page, offset, after_seq_no: 0, detail }, keeps_frames))
    }
}

type Decoded = Result<PageHeader, PageHeaderFault>;

impl Survey {
    /// Reads all headers. Changes nothing.
    pub fn of(home: &Path, options: &Options) -> Result<Self, Error> {
        let mut found = Vec::new();
        for page in page_ids(home)? {
            if page >= RING_SIZE_MAX {
                let reason = format!("page file {page} is none that a store could have");
                return Err(Error::NotAStore { path: home.to_owned(), reason });
            }
            found.push((page, read_header(home, page)?));
        }
        let (geometry, is_tied) = elect(&found);
        let mut pages = Vec::new();
        for (page, decoded) in found {
            let state = match geometry {
                Some(geometry) => judge(home, options, &geometry, page, decoded)?,
                None => judge_alone(home, page, decoded)?,
            };
            pages.push((page, state));
        }
        Ok(Self { geometry, pages, is_tied })
    }

    /// Numbers of the page files that exist, ascending.
    pub fn page_ids(&self) -> Vec<u32> {
        self.pages.iter().map(|(page, _)| *page).collect()
    }

    /// One more than the largest of them.
    pub fn page_count(&self) -> u32 {
        self.pages.last().map_or(0, |(page, _)| page.saturating_add(1))
    }

    /// Whether a page file exists, with its header.
    pub fn is_complete(&self, page: u32) -> bool {
        self.pages.iter().any(|(known, state)| *known == page && *state == State::Good)
    }

    /// The first damage to a header.
    pub fn damage(&self) -> Option<Corruption> {
        self.pages.iter().find_map(|(page, state)| state.damage(*page)).map(|(damage, _)| damage)
    }

    /// The first page that is missing or blank before one that is good.
    pub fn lost(mut self) -> Option<Corruption> {
        let missing = self.note_lost().first().copied().map(missing);
        let blank = self.damage();
        missing.into_iter().chain(blank).min_by_key(|corruption| corruption.page)
    }

    /// Pages are made one after the other: what comes before one that is good was completed once.
    /// Answers which are missing.
    fn note_lost(&mut self) -> Vec<u32> {
        let is_good = |(_, state): &(u32, State)| matches!(state, State::Good | State::Long);
        let count = self.pages.iter().rposition(is_good).map_or(0, |last| last + 1);
        let (mut missing, mut next) = (Vec::new(), 0);
        for (page, state) in self.pages.iter_mut().take(count) {
            missing.extend(next..*page);
            next = *page + 1;
            if *state == State::Incomplete {
                *state = State::Lost;
            }
        }
        missing
    }

    /// Refuses damaged headers, or copies their files away and makes way for new ones, as the
    /// options say. Answers the first damage.
    pub fn settle_damage(
        &mut self,
        home: &Home,
        options: &Options,
        quarantined: &mut Vec<PathBuf>,
    ) -> Result<Option<Corruption>, Error> {
        let mut first = None;
        for corruption in self.note_lost().into_iter().map(missing) {
            if options.corruption == CorruptionPolicy::Refuse || self.is_tied {
                return Err(corruption.into());
            }
            log::warn!("{corruption}; it is made anew");
            first.get_or_insert(corruption);
        }
        for (page, state) in &mut self.pages {
            let Some((corruption, keeps_frames)) = state.damage(*page) else { continue };
            if options.corruption == CorruptionPolicy::Refuse || self.is_tied {
                return Err(corruption.into());
            }
            log::warn!("{corruption}; the file is copied to the quarantine and made anew");
            quarantined.push(home.quarantine(*page, 0)?);
            if !keeps_frames {
                home.remove_page(*page)?;
            }
            *state = State::Incomplete;
            first.get_or_insert(corruption);
        }
        Ok(first)
    }
}

fn missing(page: u32) -> Corruption {
    Corruption { page, offset: 0, after_seq_no: 0, detail: "the page file is missing" }
}

fn read_header(home: &Path, page: u32) -> Result<Decoded, Error> {
    let path = page_path(home, page);
    let mut block = vec![0; PAGE_HEADER_SIZE];
    let Some(file) = open_existing(home, page)? else { return Ok(Err(PageHeaderFault::Blank)) };
    let len = read_full(&file, 0, &mut block).map_err(|error| io_error("read", &path, error))?;
    if len < PAGE_HEADER_SIZE {
        // Not even a header's length: it was never completed.
        return Ok(Err(PageHeaderFault::Blank));
    }
    match PageHeader::decode(&block) {
        Err(PageHeaderFault::Newer { version, features }) => {
            Err(Error::Newer { path, version, features })
        }
        // A tear may have kept the end of the block and lost its start.
        Err(PageHeaderFault::Foreign) if block.starts_with(&[0; 8]) => {
            Ok(Err(PageHeaderFault::Damaged))
        }
        decoded => Ok(decoded),
    }
}

/// The geometry that most headers have; where two are as frequent, that of the lowest page, and
/// that it is so.
fn elect(found: &[(u32, Decoded)]) -> (Option<Geometry>, bool) {
    let geometries =
        || found.iter().filter_map(|(_, decoded)| decoded.as_ref().ok()).map(Geometry::of);
    let mut votes: HashMap<Geometry, usize> = HashMap::new();
    for geometry in geometries() {
        *votes.entry(geometry).or_default() += 1;
    }
    let most = votes.values().copied().max();
    let is_tied = votes.values().filter(|count| Some(**count) == most).count() > 1;
    (geometries().find(|geometry| votes.get(geometry).copied() == most), is_tied)
}

/// Judges a page of a store whose geometry is known from other headers, or this one.
fn judge(
    home: &Path,
    options: &Options,
    geometry: &Geometry,
    page: u32,
    decoded: Decoded,
) -> Result<State, Error> {
    match decoded {
        Ok(header) if header == geometry.header(page) => judge_size(home, options, geometry, page),
        Ok(header) if header.store_id != geometry.store_id => {
            Ok(State::Wrong("the file belongs to another store"))
        }
        Ok(header) if header.page_id != page => {
            Ok(State::Wrong("the file has the header of another page"))
        }
        Ok(_) => Ok(State::Wrong("the header disagrees with those of the other pages")),
        Err(PageHeaderFault::Foreign) => Ok(State::Wrong("the file does not start as a page does")),
        Err(_) if holds_frames(home, options, geometry, page)? => {
            Ok(State::Headless("the page's header is damaged"))
        }
        Err(_) => Ok(State::Incomplete),
    }
}

/// A file has its full size before a frame is written to it.
fn judge_size(
    home: &Path,
    options: &Options,
    geometry: &Geometry,
    page: u32,
) -> Result<State, Error> {
    let path = page_path(home, page);
    let size = std::fs::metadata(&path).map_err(|error| io_error("stat", &path, error))?.len();
    match size.cmp(&geometry.page_size) {
        Ordering::Equal => Ok(State::Good),
        Ordering::Greater => Ok(State::Long),
        Ordering::Less if holds_frames(home, options, geometry, page)? => Ok(State::Short(size)),
        Ordering::Less => Ok(State::Incomplete),
    }
}

/// Judges a page where no page has a header that can be used.
fn judge_alone(home: &Path, page: u32, decoded: Decoded) -> Result<State, Error> {
    match decoded {
        Err(PageHeaderFault::Foreign) => {
            let name = page_path(home, page);
            Err(Error::NotAStore {
                path: home.to_owned(),
                reason: format!("{} does not start as a page does", name.display()),
            })
        }
        _ if is_blank(home, page)? => Ok(State::Incomplete),
        _ => Ok(State::Wrong("no page of the store has a good header")),
    }
}

fn holds_frames(
    home: &Path,
    options: &Options,
    geometry: &Geometry,
    page: u32,
) -> Result<bool, Error> {
    let source = Sources::only(home, page)?;
    let layout = geometry.layout(options, page.saturating_add(1));
    let scan = scan_page(&source, &layout, page)
        .map_err(|error| io_error("read", &page_path(home, page), error))?;
    Ok(scan.opened.is_some() || !scan.others.is_empty())
}

/// Whether nothing was ever written behind the header.
fn is_blank(home: &Path, page: u32) -> Result<bool, Error> {
    const STEP: usize = 256 * 1024;

    let path = page_path(home, page);
    let Some(file) = open_existing(home, page)? else { return Ok(true) };
    let mut bytes = vec![0; STEP];
    let mut offset = PAGE_HEADER_SIZE as u64;
    loop {
        let len =
            read_full(&file, offset, &mut bytes).map_err(|error| io_error("read", &path, error))?;
        if !is_zero(bytes.get(..len).unwrap_or_default()) {
            return Ok(false);
        }
        if len < STEP {
            return Ok(true);
        }
        offset += len as u64;
    }
}
