//! All pages: how they follow each other, and where the log ends.

use std::io;
use std::ops::Range;

use super::scan::{Evidence, OpenedPage, PageScan, count_logs};
use super::{Dropped, Layout, PageSource, Recovered, RecoveredActive, RecoveryReport};
use crate::catalog::PageUse;
use crate::error::Corruption;
use crate::format::PAGE_HEADER_SIZE;
use crate::format::frame::position;
use crate::format::meta::Control;

/// Damage to logs that had been durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it is.
    pub corruption: Corruption,
    /// Page files, with their page number, that hold something which a cut would drop.
    pub pages: Vec<(u32, u64)>,
    /// Logs before the first page are missing.
    pub beheaded: bool,
}

/// A part of the log of which no frame says that it had been durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unvouched {
    /// Number of the page file.
    pub page: u32,
    /// Where it is in the page.
    pub bytes: Range<u64>,
}

/// What [`assemble`] found.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// The log as far as it is good.
    pub recovered: Recovered,
    /// What is to be told.
    pub report: RecoveryReport,
    /// Damage behind which, or before which, logs are lost. With it, `recovered` is what is
    /// left when the log is cut there.
    pub damage: Option<Damage>,
    /// What may never have come to the disk, though it can be read; oldest first.
    pub unvouched: Vec<Unvouched>,
}

/// Links the pages and finds the end of the log.
///
/// `nonce` is random: it keeps an incarnation from being used twice where all traces of its
/// first use are lost.
///
/// # Errors
///
/// The page that could not be read, with the system's error.
pub fn assemble(
    source: &dyn PageSource,
    layout: &Layout,
    scans: &[PageScan],
    nonce: u32,
) -> Result<Assembled, (u32, io::Error)> {
    let mut chain = Chain::find(scans);
    let mut log = Replay::of(source, layout, &chain.pages)?;
    for run in chain.later_runs() {
        let replay = Replay::of(source, layout, &run)?;
        if replay.is_complete(&run) {
            chain.restart(run);
            log = replay;
        }
    }
    let damage = chain.damage(layout, &mut log);
    log.count_trimmed(source, layout)?;
    let lossy = damage.is_some() || log.beheaded;
    let repair = lossy || !chain.is_untouched(scans);
    let incarnation = next_incarnation(scans, nonce);
    let report = chain.report(&log, scans, damage.is_some());
    let unvouched = chain.unvouched(layout);
    let recovered = Recovered { repair, lossy, ..chain.recovered(layout, log, incarnation, scans) };
    Ok(Assembled { recovered, report, damage, unvouched })
}

/// The log that pages tell which follow each other, oldest first. What it needs from before them
/// counts as trimmed.
///
/// # Errors
///
/// The page that could not be read, with the system's error.
pub(crate) fn replay(
    source: &dyn PageSource,
    layout: &Layout,
    pages: &[&OpenedPage],
) -> Result<Recovered, (u32, io::Error)> {
    let mut log = Replay::of(source, layout, pages)?;
    if !log.is_complete(pages) {
        log.trimmed = log.first_prev_seq_no();
    }
    log.count_trimmed(source, layout)?;
    Ok(Recovered { pages: log.pages, tip: log.tip, trimmed: log.trimmed, ..Recovered::default() })
}

/// The pages that follow each other from the oldest on, and the others.
struct Chain<'a> {
    pages: Vec<&'a OpenedPage>,
    /// Pages with an open frame that are not part of the chain.
    stale: Vec<&'a OpenedPage>,
    /// Frames outside the frames of all pages.
    others: Vec<(u32, Evidence)>,
    /// Pages that claim the number of another one, with the smaller incarnation of the two.
    duplicates: Vec<(u32, u64)>,
}

impl<'a> Chain<'a> {
    fn find(scans: &'a [PageScan]) -> Self {
        let mut opened: Vec<&OpenedPage> =
            scans.iter().filter_map(|scan| scan.opened.as_ref()).collect();
        opened.sort_by_key(|page| page.content.number);
        let duplicates = opened
            .windows(2)
            .filter(|pair| pair[0].content.number == pair[1].content.number)
            .map(|pair| (pair[1].content.page, pair[0].incarnation.min(pair[1].incarnation)))
            .collect();
        let others = scans
            .iter()
            .flat_map(|scan| scan.others.iter().map(move |other| (scan.page, *other)))
            .collect();
        let (pages, stale) = link(opened);
        Self { pages, stale, others, duplicates }
    }

    /// The pages behind the end of the chain, in runs that follow each other.
    ///
    /// Where nothing before such a run is needed, the log starts there: the pages before it are
    /// those that were being reused when the process or the machine stopped.
    fn later_runs(&self) -> Vec<Vec<&'a OpenedPage>> {
        let end = self.pages.last().map_or(0, |page| page.content.number);
        let newer = self.stale.iter().copied().filter(|page| page.content.number > end);
        let mut left: Vec<&OpenedPage> = newer.collect();
        let mut runs = Vec::new();
        while !left.is_empty() {
            let (run, others) = link(left);
            runs.push(run);
            left = others;
        }
        runs
    }

    fn restart(&mut self, run: Vec<&'a OpenedPage>) {
        let first = run.first().map_or(0, |page| page.content.number);
        self.stale.retain(|page| {
            page.content.number > first
                && !run.iter().any(|kept| kept.content.number == page.content.number)
        });
        self.pages = run;
    }

    /// Where the chain ends: position and incarnation.
    fn end(&self, layout: &Layout) -> (u64, u64) {
        self.pages.last().map_or((0, 0), |last| {
            (position(last.content.number, layout.page_size, last.content.end), last.incarnation)
        })
    }

    /// Decides whether logs that had been durable are missing, behind the end or before the
    /// start. Corrects the trim point of the replayed log where they are.
    fn damage(&self, layout: &Layout, log: &mut Replay) -> Option<Damage> {
        let behind = self.damage_behind(layout);
        let before = self.damage_before(layout, log);
        let beheaded = before.is_some();
        let corruption = match (behind, before) {
            (Some(corruption), _) | (None, Some(corruption)) => corruption,
            (None, None) => return None,
        };
        let mut pages: Vec<(u32, u64)> =
            self.stale.iter().map(|page| (page.content.page, page.content.number)).collect();
        for (page, other) in &self.others {
            if !pages.iter().any(|(known, _)| known == page) {
                pages.push((*page, other.page_number));
            }
        }
        Some(Damage { corruption, pages, beheaded })
    }

    fn damage_behind(&self, layout: &Layout) -> Option<Corruption> {
        let (end, incarnation) = self.end(layout);
        let place = self.pages.last();
        let at = |detail| Corruption {
            page: place.map_or(0, |last| last.content.page),
            offset: place.map_or(PAGE_HEADER_SIZE as u64, |last| last.content.end),
            after_seq_no: place.map_or(0, |last| last.tip),
            detail,
        };
        // Where one of the two was cut off, what was written since has a larger incarnation.
        let duplicate = self.duplicates.iter().find(|(_, by)| *by >= incarnation);
        if let Some(&(page, _)) = duplicate {
            let detail = "two page files carry the same page number";
            return Some(Corruption { page, offset: PAGE_HEADER_SIZE as u64, ..at(detail) });
        }
        let promised = |durable: u64, by: u64| durable > end && by >= incarnation;
        let stale = self.stale.iter().any(|page| promised(page.durable_through, page.incarnation));
        let others =
            self.others.iter().any(|(_, other)| promised(other.durable_through, other.incarnation));
        (stale || others).then(|| at("a frame that had been durable is missing or bad"))
    }

    /// The logs before the first page must have been given up.
    fn damage_before(&self, layout: &Layout, log: &mut Replay) -> Option<Corruption> {
        let first = self.pages.first()?;
        if log.is_complete(&self.pages) {
            return None;
        }
        let trimmed = log.trimmed;
        log.trimmed = log.first_prev_seq_no();
        log.beheaded = true;
        let missing = first.open.predecessor_page_number;
        let chained = self.pages.iter().map(|page| page.durable_through);
        let own = self.others.iter().filter(|(_, other)| other.page_number == missing);
        let durable = chained.chain(own.map(|(_, other)| other.durable_through)).max().unwrap_or(0);
        // Where nothing of the page was promised, it was overwritten without ceremony.
        let promised = durable > position(missing, layout.page_size, 0);
        let sealed = self.sealed_before(first).any(|tip| trimmed < tip && tip <= log.trimmed);
        (promised || sealed).then_some(Corruption {
            page: first.content.page,
            offset: PAGE_HEADER_SIZE as u64,
            after_seq_no: trimmed,
            detail: "the page before this one is missing or its start is bad",
        })
    }

    /// The tips that the seals of earlier pages know whose start is bad: their logs were durable.
    fn sealed_before(&self, first: &OpenedPage) -> impl Iterator<Item = u64> {
        let opened: Vec<u32> =
            self.pages.iter().chain(&self.stale).map(|page| page.content.page).collect();
        let number = first.content.number;
        let before = move |(page, other): &&(u32, Evidence)| {
            other.page_number < number && !opened.contains(page)
        };
        self.others.iter().filter(before).filter_map(|(_, other)| other.sealed_tip)
    }

    /// What lies behind everything that was promised.
    fn unvouched(&self, layout: &Layout) -> Vec<Unvouched> {
        let promised = self.pages.iter().map(|page| page.durable_through).max().unwrap_or(0);
        let behind = |page: &&OpenedPage| {
            let start = position(page.content.number, layout.page_size, 0);
            let from = promised.saturating_sub(start).max(PAGE_HEADER_SIZE as u64);
            let bytes = from..page.content.end;
            (!bytes.is_empty()).then_some(Unvouched { page: page.content.page, bytes })
        };
        self.pages.iter().filter_map(behind).collect()
    }

    /// Frames that newer ones could be confused with: everything behind the end of the chain.
    fn leftovers(&self) -> impl Iterator<Item = &Evidence> {
        let last = self.pages.last();
        let number = last.map_or(0, |page| page.content.number);
        let incarnation = last.map_or(0, |page| page.incarnation);
        self.others
            .iter()
            .map(|(_, other)| other)
            .filter(move |other| other.page_number >= number && other.incarnation >= incarnation)
    }

    /// Whether nothing was ever written to the store.
    ///
    /// Any other needs its end repaired. A torn frame may lack just the bytes that a later, torn
    /// one supplies; and not even a clean close says that nobody wrote since.
    fn is_untouched(&self, scans: &[PageScan]) -> bool {
        self.pages.is_empty() && self.others.is_empty() && scans.iter().all(|scan| scan.blank)
    }

    fn report(&self, log: &Replay, scans: &[PageScan], damaged: bool) -> RecoveryReport {
        let frames: u64 = self.leftovers().map(|other| other.count).sum();
        let stale = self.stale.len() as u64;
        let torn = self.pages.last().is_some_and(|page| page.torn_header) || frames + stale > 0;
        // Where the beginning is lost, that is told; else the place where the tail was torn.
        let place = if log.beheaded { None } else { self.pages.last() };
        RecoveryReport {
            page_count: self.pages.len() as u64,
            sealed_page_count: self.pages.iter().filter(|page| page.sealed).count() as u64,
            bytes_read: scans.iter().map(|scan| scan.bytes_read).sum(),
            log_count: log.pages.iter().map(|page| page.log_count - page.trimmed_count).sum(),
            after_seq_no: log.trimmed,
            prev_seq_no: log.tip,
            dropped: ((torn || log.beheaded) && !damaged).then(|| Dropped {
                page: place.map_or(0, |last| last.content.page),
                offset: place.map_or(PAGE_HEADER_SIZE as u64, |last| last.content.end),
                frame_count: frames + stale,
            }),
            ..RecoveryReport::default()
        }
    }

    fn recovered(
        &self,
        layout: &Layout,
        log: Replay,
        incarnation: u64,
        scans: &[PageScan],
    ) -> Recovered {
        let used: Vec<u32> = self.pages.iter().map(|page| page.content.page).collect();
        let mut free: Vec<u32> = self.stale.iter().map(|page| page.content.page).collect();
        // Pages with leftovers are overwritten first.
        free.extend((0..layout.ring_size).filter(|page| {
            !used.contains(page) && !self.stale.iter().any(|stale| stale.content.page == *page)
        }));
        let mut full: Vec<(u32, u64)> =
            log.pages.iter().map(|page| (page.page, page.number)).collect();
        full.pop();
        let active = log.pages.last().map(|page| RecoveredActive {
            page: page.page,
            page_number: page.number,
            offset: page.end,
            log_count: page.log_count,
        });
        let opened = scans.iter().filter_map(|scan| scan.opened.as_ref());
        let numbers = opened
            .map(|page| page.content.number)
            .chain(self.others.iter().map(|(_, other)| other.page_number));
        Recovered {
            page_number_max: numbers.max().unwrap_or(0),
            active,
            full,
            free,
            unprepared: Vec::new(),
            tip: log.tip,
            trimmed: log.trimmed,
            incarnation,
            pages: log.pages,
            repair: false,
            lossy: false,
        }
    }
}

/// An incarnation that no frame on disk has, and none had of which every trace is lost.
fn next_incarnation(scans: &[PageScan], nonce: u32) -> u64 {
    let seen = scans.iter().map(|scan| scan.incarnation_max).max().unwrap_or(0);
    seen.saturating_add(1).saturating_add(u64::from(nonce))
}

/// Splits pages, in the order of their numbers, into those that follow the first of them and the
/// others.
fn link(sorted: Vec<&OpenedPage>) -> (Vec<&OpenedPage>, Vec<&OpenedPage>) {
    let mut linked: Vec<&OpenedPage> = Vec::new();
    let mut others = Vec::new();
    for page in sorted {
        match linked.last() {
            Some(last) if !follows(last, page) => others.push(page),
            _ => linked.push(page),
        }
    }
    (linked, others)
}

/// Whether a page goes on where another one ends.
pub(crate) fn follows(last: &OpenedPage, next: &OpenedPage) -> bool {
    next.open.predecessor_page_number == last.content.number
        && next.content.number > last.content.number
        && next.open.predecessor_end == last.content.end
        && next.first_tip == last.tip
        && next.first_incarnation >= last.incarnation
}

/// The log as the frames of the chain tell it.
#[derive(Default)]
struct Replay {
    pages: Vec<PageUse>,
    tip: u64,
    trimmed: u64,
    cleared: bool,
    /// Logs before the first page are missing, though nothing gave them up.
    beheaded: bool,
}

impl Replay {
    fn of(
        source: &dyn PageSource,
        layout: &Layout,
        pages: &[&OpenedPage],
    ) -> Result<Self, (u32, io::Error)> {
        let mut log = Self::default();
        for opened in pages {
            log.take(source, layout, opened).map_err(|error| (opened.content.page, error))?;
        }
        Ok(log)
    }

    /// Whether nothing from before these pages is missing: it was given up, or never was.
    fn is_complete(&self, pages: &[&OpenedPage]) -> bool {
        let is_first =
            |page: &&OpenedPage| page.open.predecessor_page_number == 0 && page.first_tip == 0;
        pages.first().is_none_or(is_first)
            || self.cleared
            || self.trimmed >= self.first_prev_seq_no()
    }

    fn first_prev_seq_no(&self) -> u64 {
        self.pages.first().map_or(0, |page| page.first_prev_seq_no)
    }

    fn take(
        &mut self,
        source: &dyn PageSource,
        layout: &Layout,
        opened: &OpenedPage,
    ) -> io::Result<()> {
        self.trimmed = self.trimmed.max(opened.open.trimmed_seq_no);
        let mut events: Vec<(u64, Event)> = Vec::new();
        events.extend(opened.controls.iter().map(|(at, control)| (*at, Event::Control(*control))));
        events.extend(opened.starts.iter().map(|(at, prev)| (*at, Event::Start(*prev))));
        events.sort_by_key(|(at, _)| *at);
        for (_, event) in events {
            match event {
                Event::Start(prev_seq_no) => self.trimmed = self.trimmed.max(prev_seq_no),
                Event::Control(Control::Trim { up_to_seq_no }) => {
                    self.trimmed = self.trimmed.max(up_to_seq_no);
                }
                Event::Control(Control::Truncate { after_seq_no }) => {
                    self.truncate(source, layout, after_seq_no)?;
                }
                Event::Control(Control::Clear) => {
                    self.truncate(source, layout, 0)?;
                    self.trimmed = 0;
                    self.cleared = true;
                }
            }
        }
        self.tip = opened.tip;
        self.pages.push(opened.content.clone());
        Ok(())
    }

    /// Makes the logs of earlier pages after `seq_no` void; the page with the truncation did so
    /// for its own.
    fn truncate(
        &mut self,
        source: &dyn PageSource,
        layout: &Layout,
        seq_no: u64,
    ) -> io::Result<()> {
        for page in &mut self.pages {
            if page.last_seq_no <= seq_no {
                continue;
            }
            let within = count_through(source, layout, page, seq_no)?;
            page.truncate(seq_no, page.end, within);
        }
        Ok(())
    }

    fn count_trimmed(
        &mut self,
        source: &dyn PageSource,
        layout: &Layout,
    ) -> Result<(), (u32, io::Error)> {
        let trimmed = self.trimmed;
        for page in &mut self.pages {
            page.trimmed_count = if page.last_seq_no <= trimmed {
                page.log_count
            } else if page.first_prev_seq_no < trimmed {
                count_through(source, layout, page, trimmed).map_err(|error| (page.page, error))?
            } else {
                0
            };
        }
        Ok(())
    }
}

enum Event {
    Control(Control),
    Start(u64),
}

fn count_through(
    source: &dyn PageSource,
    layout: &Layout,
    page: &PageUse,
    seq_no: u64,
) -> io::Result<u64> {
    if page.is_dense() {
        return Ok(seq_no.saturating_sub(page.first_prev_seq_no).min(page.log_count));
    }
    // A seal that was trusted may have counted fewer than there are.
    Ok(count_logs(source, layout, page, page.end, seq_no)?.min(page.log_count))
}
