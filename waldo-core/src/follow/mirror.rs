//! What the writer of a store publishes, made once more by reading its page files.
//!
//! A mirror holds the log up to a place, its head, and moves the head over every good frame that
//! stands there. It goes from page to page where one says that it follows. What it has read may be
//! overwritten at any time; readers notice, and the mirror when it looks how the page starts.

use std::io;
use std::sync::Arc;

use super::changes::Changes;
use crate::catalog::{Extension, PageUse};
use crate::format::frame::position;
use crate::format::meta::{Control, OpenBody};
use crate::format::{FrameHeader, FrameKind};
use crate::memory::Pool;
use crate::options::CorruptionPolicy;
use crate::published::Published;
use crate::recovery::frames::{Content, End, Frame, Frames, Next};
use crate::recovery::{Layout, OpenedPage, PageSource, count_logs, enter_page, replay};

/// Bytes of frames that are taken in one go, before readers get them.
const STRIDE: u64 = 1024 * 1024;

/// How a log is followed.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub layout: Layout,
    /// Takes only what later frames promise to be durable.
    pub durable_only: bool,
    pub corruption: CorruptionPolicy,
    /// Buffers for a tail: none.
    pub pool: Arc<Pool>,
}

/// A page file that could not be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub page: u32,
    pub error: io::Error,
}

/// How a page starts.
#[derive(Clone, Copy, Debug)]
struct Start {
    header: FrameHeader,
    open: OpenBody,
}

/// A place behind a good frame, and the page file that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub page: u32,
    pub end: End,
}

/// What stands behind the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advance {
    /// The head moved, or there is more to look at.
    Moved,
    /// Nothing that is complete.
    End {
        /// Something was written that does not show yet: it is on its way, or damaged.
        doubt: bool,
    },
    /// The log went on without this mirror: the page that its head is in is used anew.
    Lost,
}

/// What a walk over frames came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Walked {
    moved: bool,
    /// Something stands at its end that is not a frame yet.
    torn: bool,
}

/// The log up to a place.
pub(super) struct Mirror {
    pub published: Arc<Published>,
    terms: Terms,
    /// How each page file starts, as it did when it was last looked at.
    starts: Vec<Option<Start>>,
    /// `None` before the first log of the store.
    head: Option<Head>,
    /// Reads ahead of the head for promises, where only what is durable is taken.
    scout: Option<Head>,
    /// Position through which frames promise that the log is durable.
    durable_through: u64,
}

impl Mirror {
    /// The log that pages tell which follow each other, oldest first. Where only what is durable is
    /// taken, the first of them that may not be is read once more, frame by frame.
    ///
    /// `None` where that changed since.
    pub fn new(
        source: &dyn PageSource,
        terms: &Terms,
        pages: &[&OpenedPage],
    ) -> Result<Option<Self>, Unreadable> {
        let layout = &terms.layout;
        let durable_through = pages.iter().map(|page| page.durable_through).max().unwrap_or(0);
        let is_durable = |page: &&OpenedPage| {
            let end = position(page.content.number, layout.page_size, page.content.end);
            end <= durable_through
        };
        let kept = if terms.durable_only {
            pages.iter().copied().take_while(is_durable).count()
        } else {
            pages.len()
        };
        let (kept, rest) = pages.split_at(kept);
        let replayed =
            replay(source, layout, kept).map_err(|(page, error)| Unreadable { page, error })?;
        let mut mirror = Self {
            published: Published::new(layout.store_id, Arc::clone(&terms.pool), 0, &replayed),
            terms: terms.clone(),
            starts: vec![None; layout.ring_size as usize],
            head: kept.last().map(|page| Head::behind(page)),
            scout: None,
            durable_through,
        };
        mirror.look(source, (0..layout.ring_size).collect())?;
        if let Some(next) = rest.first()
            && !mirror.enter(source, next.content.page, next.content.number)?
        {
            return Ok(None);
        }
        mirror.scout = mirror.head.filter(|_| terms.durable_only);
        Ok(Some(mirror))
    }

    /// Position in the log of the head, and the incarnation there.
    pub fn end(&self) -> (u64, u64) {
        self.head.map_or((0, 0), |head| (self.position(&head.end), head.end.incarnation))
    }

    /// Position in the log up to which frames were seen, taken or not.
    pub fn front(&self) -> u64 {
        let scouted = self.scout.map_or(0, |scout| self.position(&scout.end));
        scouted.max(self.end().0)
    }

    /// Follows the same log in a ring of another size.
    pub fn resize(&mut self, ring_size: u32) {
        self.terms.layout.ring_size = ring_size;
        self.starts.resize(ring_size as usize, None);
    }

    pub fn layout(&self) -> &Layout {
        &self.terms.layout
    }

    fn position(&self, end: &End) -> u64 {
        position(end.page_number, self.terms.layout.page_size, end.offset)
    }

    /// Moves the head over what stands behind it.
    pub fn advance(
        &mut self,
        source: &dyn PageSource,
        changes: &mut Changes,
    ) -> Result<Advance, Unreadable> {
        let ring_size = self.terms.layout.ring_size;
        let Some(head) = self.head else {
            self.look(source, changes.take_pages(ring_size))?;
            let started = self.starts.iter().any(Option::is_some);
            return Ok(if started { Advance::Lost } else { Advance::End { doubt: false } });
        };
        let mut written = changes.wrote(self.scout.unwrap_or(head).page);
        loop {
            let front = self.scout(source)?;
            let walked = self.take_frames(source)?;
            if walked.moved || front.is_some_and(|front| front.moved) {
                return Ok(Advance::Moved);
            }
            let torn = front.unwrap_or(walked).torn;
            let changed = changes.take_pages(ring_size);
            let looked = !changed.is_empty();
            self.look(source, changed)?;
            if let Some((page, number)) = self.successor(&head) {
                let entered = self.enter(source, page, number)?;
                return Ok(if entered { Advance::Moved } else { Advance::Lost });
            }
            if self.is_overtaken(&head) {
                return Ok(Advance::Lost);
            }
            let left = self.is_left(&self.scout.unwrap_or(head));
            // What was written to a page before the next one was begun shows by now.
            if !(left && looked) {
                // What is promised and cannot be read is being overwritten, or damaged.
                let missing = self.scout.is_some() && self.durable_through > self.end().0;
                return Ok(Advance::End { doubt: left || written || torn || missing });
            }
            written = true;
        }
    }

    /// Moves the head over what stands behind it until it is behind a position, or nothing is left.
    /// `false` where the log went on without this mirror.
    pub fn advance_to(&mut self, source: &dyn PageSource, end: u64) -> Result<bool, Unreadable> {
        let mut changes = Changes::all();
        while self.end().0 <= end {
            match self.advance(source, &mut changes)? {
                Advance::Moved => {}
                Advance::End { .. } => break,
                Advance::Lost => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Looks how page files start.
    fn look(&mut self, source: &dyn PageSource, pages: Vec<u32>) -> Result<(), Unreadable> {
        for page in pages {
            self.start(source, page)?;
        }
        Ok(())
    }

    /// Looks how a page file starts; answers the number of its use.
    pub fn start(&mut self, source: &dyn PageSource, page: u32) -> Result<Option<u64>, Unreadable> {
        let opening = Frames::new(source, self.layout(), page).opening();
        let opening = opening.map_err(|error| Unreadable { page, error })?;
        let start = opening.map(|(header, open)| Start { header, open });
        if let Some(known) = self.starts.get_mut(page as usize) {
            *known = start;
        }
        Ok(start.map(|start| start.header.page_number))
    }

    /// The page file that says that it goes on behind a place, and the number of its use.
    fn successor(&self, head: &Head) -> Option<(u32, u64)> {
        let follows = |start: &Start| start.follows(&head.end);
        let at = self.starts.iter().position(|start| start.as_ref().is_some_and(follows))?;
        let number = self.starts.get(at).copied().flatten()?.header.page_number;
        Some((u32::try_from(at).ok()?, number))
    }

    /// Whether the page that a place is in is used anew.
    fn is_overtaken(&self, head: &Head) -> bool {
        let start = self.starts.get(head.page as usize).copied().flatten();
        start.is_some_and(|start| start.header.page_number != head.end.page_number)
    }

    /// Whether there are newer pages than the one that a place is in.
    fn is_left(&self, head: &Head) -> bool {
        let newer = |start: &Start| start.header.page_number > head.end.page_number;
        self.starts.iter().flatten().any(newer)
    }

    /// Takes the frames behind the head.
    fn take_frames(&mut self, source: &dyn PageSource) -> Result<Walked, Unreadable> {
        let mut walked = Walked { moved: false, torn: false };
        let Some(mut head) = self.head else { return Ok(walked) };
        let layout = self.terms.layout.clone();
        let failed = |error| Unreadable { page: head.page, error };
        let mut frames = Frames::new(source, &layout, head.page);
        let mut taken = 0;
        while taken < STRIDE {
            let frame = match frames.next(&head.end).map_err(failed)? {
                Next::Frame(frame) => frame,
                Next::End { torn } => {
                    walked.torn = torn;
                    break;
                }
            };
            let end = frame.end(&head.end);
            if self.terms.durable_only && self.position(&end) > self.durable_through {
                break;
            }
            self.take(source, &frame, &head.end).map_err(failed)?;
            taken += frame.header.length;
            head.end = end;
            self.head = Some(head);
            walked.moved = true;
        }
        Ok(walked)
    }

    fn take(&mut self, source: &dyn PageSource, frame: &Frame, before: &End) -> io::Result<()> {
        let header = &frame.header;
        self.durable_through = self.durable_through.max(header.durable_through);
        let published = Arc::clone(&self.published);
        let progress = &published.progress;
        let end = frame.end(before);
        let (candidates, last_seq_no, log_count) = match &frame.content {
            Content::Logs(candidates) => {
                (candidates.as_slice(), header.last_seq_no, u64::from(header.count))
            }
            Content::Control(_) => (&[][..], before.tip, 0),
        };
        if before.tip == 0 && log_count > 0 {
            // The first log decides what comes before it.
            progress.set_trimmed(header.first_prev_seq_no);
        }
        published.catalog.extend(&Extension {
            end: end.offset,
            first_prev_seq_no: header.first_prev_seq_no,
            last_seq_no,
            log_count,
            candidates,
            incarnation: header.incarnation,
        });
        match &frame.content {
            Content::Logs(_) => progress.set_tip(end.tip),
            Content::Control(Control::Trim { up_to_seq_no }) => self.trim(source, *up_to_seq_no)?,
            Content::Control(Control::Truncate { after_seq_no }) => {
                let within = self.count_through(source, *after_seq_no)?;
                // Logs that this makes void may have been given up with their page before.
                progress.set_trimmed(progress.trimmed().min(*after_seq_no));
                published.truncate(*after_seq_no, header.offset, within);
            }
            Content::Control(Control::Clear) => published.clear(header.offset),
        }
        Ok(())
    }

    fn trim(&self, source: &dyn PageSource, up_to_seq_no: u64) -> io::Result<()> {
        if up_to_seq_no > self.published.progress.trimmed() {
            let within = self.count_through(source, up_to_seq_no)?;
            self.published.trim(up_to_seq_no, within, false);
        }
        Ok(())
    }

    /// Logs up to and with `seq_no` in the page that holds it.
    fn count_through(&self, source: &dyn PageSource, seq_no: u64) -> io::Result<u64> {
        let page = self.published.catalog.with_log(seq_no, |page| {
            (page.first_prev_seq_no, (!page.is_dense()).then(|| page.clone()))
        });
        match page {
            None => Ok(0),
            Some((first_prev_seq_no, None)) => Ok(seq_no - first_prev_seq_no),
            Some((_, Some(page))) => count_logs(source, self.layout(), &page, page.end, seq_no),
        }
    }

    /// Goes on in a use of another page. `false` where that is not possible any more.
    fn enter(
        &mut self,
        source: &dyn PageSource,
        page: u32,
        number: u64,
    ) -> Result<bool, Unreadable> {
        let failed = |error| Unreadable { page, error };
        let opened = enter_page(source, self.layout(), page).map_err(failed)?;
        let Some(opened) = opened.filter(|opened| opened.content.number == number) else {
            return Ok(false);
        };
        let follows = self.head.is_none_or(|head| opened_follows(&opened, &head.end));
        if !follows || !self.give_up(page) {
            return Ok(false);
        }
        let head = Head::behind(&opened);
        let OpenedPage { open, first_tip, content, durable_through, controls, starts, .. } = opened;
        let published = Arc::clone(&self.published);
        let progress = &published.progress;
        if self.head.is_none() && open.predecessor_page_number != 0 {
            // What came before was trimmed, or it would be there.
            progress.set_trimmed(progress.trimmed().max(first_tip));
        }
        published.catalog.push(content);
        for (_, prev_seq_no) in starts {
            progress.set_trimmed(prev_seq_no);
        }
        progress.set_tip(head.end.tip);
        self.trim(source, open.trimmed_seq_no).map_err(failed)?;
        for (_, control) in controls {
            // Where a seal stands in for a scan there are no others.
            if let Control::Trim { up_to_seq_no } = control {
                self.trim(source, up_to_seq_no).map_err(failed)?;
            }
        }
        self.durable_through = self.durable_through.max(durable_through);
        self.head = Some(head);
        Ok(true)
    }

    /// Forgets the use of a page file that is used anew. `false` where that is not the oldest one.
    fn give_up(&self, page: u32) -> bool {
        let catalog = &self.published.catalog;
        if catalog.oldest(|oldest| oldest.page == page) == Some(true) {
            self.forget_oldest();
        }
        !catalog.holds_file(page)
    }

    /// Forgets the uses up to and with a number: their pages were used anew. `false` where the
    /// newest is among them.
    pub fn forget(&self, page_number: u64) -> bool {
        let catalog = &self.published.catalog;
        if self.head.is_none_or(|head| head.end.page_number <= page_number) {
            return false;
        }
        while catalog.oldest(|oldest| oldest.number <= page_number) == Some(true) {
            self.forget_oldest();
        }
        true
    }

    fn forget_oldest(&self) {
        if let Some(page) = self.published.catalog.pop_oldest() {
            let progress = &self.published.progress;
            progress.set_trimmed(progress.trimmed().max(page.last_seq_no));
        }
    }

    /// Reads ahead for promises, where they are needed.
    fn scout(&mut self, source: &dyn PageSource) -> Result<Option<Walked>, Unreadable> {
        let (Some(mut scout), Some(head)) = (self.scout, self.head) else { return Ok(None) };
        if self.position(&scout.end) < self.position(&head.end) {
            scout = head;
        }
        let mut walked = Walked { moved: false, torn: false };
        let layout = self.terms.layout.clone();
        let failed = |error| Unreadable { page: scout.page, error };
        let mut frames = Frames::new(source, &layout, scout.page);
        let mut passed = 0;
        while passed < STRIDE {
            match frames.next(&scout.end).map_err(failed)? {
                Next::Frame(frame) => {
                    let promised = frame.header.durable_through;
                    self.durable_through = self.durable_through.max(promised);
                    passed += frame.header.length;
                    scout.end = frame.end(&scout.end);
                    walked.moved = true;
                }
                Next::End { torn } => {
                    walked.torn = torn;
                    break;
                }
            }
        }
        if !walked.moved {
            self.heed_seal(source, &scout)?;
        }
        if !walked.moved
            && let Some((page, _)) = self.successor(&scout)
            && let Some(start) = self.starts.get(page as usize).copied().flatten()
        {
            self.durable_through = self.durable_through.max(start.header.durable_through);
            scout = Head { page, end: start.end() };
            walked.moved = true;
        }
        self.scout = Some(scout);
        Ok(Some(walked))
    }

    /// Takes in what the seal of a page promises.
    fn heed_seal(&mut self, source: &dyn PageSource, head: &Head) -> Result<(), Unreadable> {
        let mut frames = Frames::new(source, self.layout(), head.page);
        let seal = frames
            .decode(self.layout().seal_offset)
            .map_err(|error| Unreadable { page: head.page, error })?;
        let belongs = |seal: &FrameHeader| {
            seal.kind == FrameKind::Seal && seal.page_number == head.end.page_number
        };
        if let Some(seal) = seal.filter(belongs) {
            self.durable_through = self.durable_through.max(seal.durable_through);
        }
        Ok(())
    }

    /// Takes over what another mirror of the same store holds. Readers of this one go on; where
    /// logs that this one held are void in the other, they are told.
    pub fn adopt(&mut self, source: &dyn PageSource, fresh: Self) -> Result<(), Unreadable> {
        let void_after = self.diverges(source, &fresh)?;
        let (from, to) = (&fresh.published, &self.published);
        if let Some(tip) = void_after {
            to.progress.truncate(tip);
        }
        to.catalog.replace(&from.catalog);
        to.progress.set_trimmed(from.progress.trimmed());
        to.progress.set_tip(from.progress.tip());
        *self = Self { published: Arc::clone(to), ..fresh };
        Ok(())
    }

    /// The last log that both this mirror and a newer one hold, where the newer one is not just
    /// further on.
    fn diverges(&self, source: &dyn PageSource, fresh: &Self) -> Result<Option<u64>, Unreadable> {
        let (own, new) = (&self.published, &fresh.published);
        let own_end = self.end().0;
        let shared = own.catalog.oldest(|page| page.number).into_iter();
        let first_new = new.catalog.oldest(|page| (page.number, page.first_prev_seq_no));
        let first = shared.chain(first_new.map(|(number, _)| number)).max();
        let kept = first.zip(self.head).filter(|(first, head)| *first <= head.end.page_number);
        let Some((first, _)) = kept else {
            // One of them is empty, or all of it was overwritten since. Without a truncation it was
            // trimmed, too, and the log went on behind it. After one nobody can tell any more which
            // of its logs are void: they may all be.
            let begin = first_new.map_or(u64::MAX, |(_, first_prev_seq_no)| first_prev_seq_no);
            let known = new.progress.trimmed().min(begin);
            let is_cut = known < own.progress.tip();
            return Ok(is_cut.then(|| known.min(own.progress.trimmed())));
        };
        let mut lowest: Option<u64> = None;
        let mut note = |tip: u64| lowest = Some(lowest.map_or(tip, |lowest| lowest.min(tip)));
        new.catalog.each(|page| {
            let known = own.catalog.with(page.number, |page| page.cuts.clone()).unwrap_or_default();
            page.cuts
                .iter()
                .filter(|cut| !known.contains(cut))
                .for_each(|cut| note(cut.after_seq_no));
        });
        let mut parting = None;
        own.catalog.each(|page| {
            if parting.is_none() && page.number >= first {
                parting = part(page, new, own_end, self.layout());
            }
        });
        match parting {
            Some(Parting::Missing { tip }) => note(tip),
            Some(Parting::Frame { page, offset }) => {
                let mut frames = Frames::new(source, self.layout(), page);
                let header = frames.decode(offset).map_err(|error| Unreadable { page, error })?;
                note(header.map_or(0, |header| header.first_prev_seq_no));
            }
            None => {}
        }
        Ok(lowest)
    }

    /// The newest log that frames promise to be durable; 0 where there is none.
    pub fn durable_seq_no(&mut self, source: &dyn PageSource) -> Result<u64, Unreadable> {
        let tip = self.published.progress.tip();
        if let Some(head) = self.head {
            self.heed_seal(source, &head)?;
        }
        if self.durable_through >= self.end().0 {
            return Ok(tip);
        }
        let mut durable = 0;
        let mut partly = None;
        self.published.catalog.each(|page| {
            let end = position(page.number, self.layout().page_size, page.end);
            if end <= self.durable_through {
                durable = page.last_seq_no;
            } else if partly.is_none() {
                partly = Some((page.page, page.number));
            }
        });
        let Some((page, number)) = partly else { return Ok(durable.min(tip)) };
        let failed = |error| Unreadable { page, error };
        let mut frames = Frames::new(source, self.layout(), page);
        let opening = frames.opening().map_err(failed)?;
        let Some((header, open)) = opening.filter(|(header, _)| header.page_number == number)
        else {
            return Ok(durable.min(tip));
        };
        let mut end = Start { header, open }.end();
        while self.position(&end) <= self.durable_through {
            durable = end.tip;
            let Next::Frame(frame) = frames.next(&end).map_err(failed)? else { break };
            end = frame.end(&end);
        }
        Ok(durable.min(tip))
    }
}

impl Head {
    /// Behind what is known of a page.
    fn behind(opened: &OpenedPage) -> Self {
        let end = End {
            page_number: opened.content.number,
            offset: opened.content.end,
            incarnation: opened.incarnation,
            tip: opened.tip,
            log_count: opened.content.log_count,
        };
        Self { page: opened.content.page, end }
    }
}

/// Where the history of two mirrors parts.
enum Parting {
    /// A page is not there any more; the log before it.
    Missing { tip: u64 },
    /// Another frame stands at a place.
    Frame { page: u32, offset: u64 },
}

/// Whether a page, that a mirror knew up to a position of the log, is another by now.
fn part(page: &PageUse, new: &Published, own_end: u64, layout: &Layout) -> Option<Parting> {
    let missing = Parting::Missing { tip: page.first_prev_seq_no };
    let known = page.incarnations.as_slice();
    new.catalog
        .with(page.number, |now| {
            let now = now.incarnations.as_slice();
            let same = known.iter().zip(now).take_while(|(known, now)| known == now).count();
            let (offset, _) = now.get(same).copied()?;
            let went_on =
                offset < page.end || position(page.number, layout.page_size, page.end) < own_end;
            went_on.then_some(Parting::Frame { page: page.page, offset })
        })
        .unwrap_or(Some(missing))
}

impl Start {
    /// The place behind the open frame.
    fn end(&self) -> End {
        End {
            page_number: self.header.page_number,
            offset: self.header.offset + self.header.length,
            incarnation: self.header.incarnation,
            tip: self.header.first_prev_seq_no,
            log_count: 0,
        }
    }

    /// Whether the page says that it follows the place.
    fn follows(&self, end: &End) -> bool {
        self.open.predecessor_page_number == end.page_number
            && self.open.predecessor_end == end.offset
            && self.header.page_number > end.page_number
            && self.header.first_prev_seq_no == end.tip
            && self.header.incarnation >= end.incarnation
    }
}

fn opened_follows(opened: &OpenedPage, end: &End) -> bool {
    opened.open.predecessor_page_number == end.page_number
        && opened.open.predecessor_end == end.offset
        && opened.first_tip == end.tip
        && opened.first_incarnation >= end.incarnation
}
