//! What recovery must find in a store, as `docs/format.md` states the rule: written from that page,
//! over the decoders of single structures, without regard to speed.

use std::collections::BTreeMap;
use std::ops::Range;

use waldo_core::format::bytes::{is_zero, u32_at, u64_at};
use waldo_core::format::frame::{FRAME_MAGIC, checked_body, position};
use waldo_core::format::meta::{Control, OpenBody};
use waldo_core::format::page_header::{PAGE_MAGIC, PageHeaderFault};
use waldo_core::format::record::decode_checked;
use waldo_core::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, PageHeader};

const START: u64 = PAGE_HEADER_SIZE as u64;

/// One log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub seq_no: u64,
    pub prev_seq_no: u64,
    pub payload: Vec<u8>,
}

/// What recovery must say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The header of a page is damaged, or is that of another page or store; or a file is shorter
    /// than its header says.
    pub bad_file: bool,
    /// Half of the headers are those of one store, half those of another.
    pub is_tied: bool,
    /// Something that had been durable is damaged or missing.
    pub corrupt: bool,
    /// Writes that nobody was promised are dropped.
    pub torn: bool,
    /// What is left: all logs, where nothing is damaged.
    pub logs: Vec<Record>,
    pub trimmed: u64,
    pub tip: u64,
    /// The last log of the oldest page.
    pub oldest_page_last: u64,
}

/// What recovery must find in page files with these contents; `None` for a file that is missing.
///
/// `None` where the files are none of a store at all.
pub fn judge(files: &[Option<Vec<u8>>]) -> Option<Verdict> {
    let headers: Vec<_> = files.iter().map(|file| file.as_deref().map(read_header)).collect();
    let Some(geometry) = elect(&headers) else { return judge_headless(files, &headers) };
    let is_good = |(id, header): (usize, &Option<Header>)| match header {
        Some(Ok(header)) => *header == PageHeader { page_id: id as u32, ..geometry },
        _ => false,
    };
    let completed = |id: usize| (id + 1..files.len()).any(|id| is_good((id, &headers[id])));
    let mut bad_file = false;
    let mut pages = Vec::new();
    for (id, (file, header)) in files.iter().zip(&headers).enumerate() {
        let mut bytes = file.clone().unwrap_or_default();
        bytes.truncate(geometry.page_size as usize);
        let page = Page { bytes, geometry };
        let expected = PageHeader { page_id: id as u32, ..geometry };
        let is_short = page.bytes.len() < geometry.page_size as usize;
        let was_completed = completed(id) || page.headers().next().is_some();
        let (is_whole, keeps_frames) = match header {
            None | Some(Err(PageHeaderFault::Blank | PageHeaderFault::Damaged)) => (false, true),
            Some(Ok(header)) if *header == expected => (!is_short, true),
            _ => (false, false),
        };
        bad_file |= !is_whole && (was_completed || !keeps_frames);
        pages.push(if keeps_frames { page } else { page.blank() });
    }
    let is_tied = headers.iter().flatten().flatten().any(|header| {
        !same_store(header, &geometry) && votes(&headers, header) == votes(&headers, &geometry)
    });
    Some(Verdict { bad_file, is_tied, ..recover(&pages) })
}

type Header = Result<PageHeader, PageHeaderFault>;

fn read_header(file: &[u8]) -> Header {
    let Some(block) = file.get(..PAGE_HEADER_SIZE) else { return Err(PageHeaderFault::Blank) };
    match PageHeader::decode(block) {
        // A tear may have lost the start of the block only.
        Err(PageHeaderFault::Foreign) if is_zero(&block[..PAGE_MAGIC.len()]) => {
            Err(PageHeaderFault::Damaged)
        }
        decoded => decoded,
    }
}

/// What most headers say; the first of those that are as frequent.
fn elect(headers: &[Option<Header>]) -> Option<PageHeader> {
    let good = || headers.iter().flatten().flatten();
    let most = good().map(|header| votes(headers, header)).max()?;
    good().find(|header| votes(headers, header) == most).copied()
}

fn same_store(a: &PageHeader, b: &PageHeader) -> bool {
    PageHeader { page_id: b.page_id, ..*a } == *b
}

fn votes(headers: &[Option<Header>], header: &PageHeader) -> usize {
    headers.iter().flatten().flatten().filter(|other| same_store(header, other)).count()
}

fn judge_headless(files: &[Option<Vec<u8>>], headers: &[Option<Header>]) -> Option<Verdict> {
    if headers.iter().any(|header| matches!(header, Some(Err(PageHeaderFault::Foreign)))) {
        return None;
    }
    let blank = |file: &Vec<u8>| is_zero(file.get(PAGE_HEADER_SIZE..).unwrap_or_default());
    let bad_file = !files.iter().flatten().all(blank);
    Some(Verdict { bad_file, ..Verdict::default() })
}

/// The contents of a page file, which may have been cut short.
struct Page {
    bytes: Vec<u8>,
    geometry: PageHeader,
}

/// A frame that is good in every respect.
struct Frame {
    header: FrameHeader,
    content: Content,
}

enum Content {
    Data(Vec<Record>),
    Open(OpenBody),
    Control(Control),
}

impl Page {
    fn blank(self) -> Self {
        Self { bytes: vec![0; self.bytes.len()], ..self }
    }

    fn seed(&self) -> u32 {
        self.geometry.store_id.seed()
    }

    fn alignment(&self) -> u64 {
        u64::from(self.geometry.frame_alignment)
    }

    /// A header that is valid at this place.
    fn header(&self, offset: u64) -> Option<FrameHeader> {
        let bytes = self.bytes.get(offset as usize..)?;
        FrameHeader::decode(self.seed(), bytes.get(..FRAME_HEADER_SIZE)?)
            .filter(|header| header.offset == offset)
    }

    /// Every valid header of the page.
    fn headers(&self) -> impl Iterator<Item = FrameHeader> {
        let starts = (START..self.geometry.page_size).step_by(self.alignment() as usize);
        starts.filter_map(|offset| self.header(offset))
    }

    /// A valid frame, other than a seal.
    fn frame(&self, offset: u64) -> Option<Frame> {
        let header = self.header(offset)?;
        let end = offset + header.length;
        if end > self.geometry.seal_offset() || !header.length.is_multiple_of(self.alignment()) {
            return None;
        }
        let rest = self.bytes.get(offset as usize + FRAME_HEADER_SIZE..end as usize)?;
        let content = match header.kind {
            FrameKind::Data => Content::Data(self.records(&header, rest)?),
            FrameKind::Open => Content::Open(OpenBody::decode(self.body(&header, rest)?)?),
            FrameKind::Control => Content::Control(Control::decode(self.body(&header, rest)?)?),
            FrameKind::Seal => return None,
        };
        Some(Frame { header, content })
    }

    fn body<'a>(&self, header: &FrameHeader, rest: &'a [u8]) -> Option<&'a [u8]> {
        let body = checked_body(self.seed(), header, rest)?;
        is_zero(rest.get(header.count as usize..)?).then_some(body)
    }

    fn records(&self, header: &FrameHeader, rest: &[u8]) -> Option<Vec<Record>> {
        let tag = self.geometry.store_id.tag(header.page_number, header.incarnation);
        let (mut at, mut prev, mut records) = (0, header.first_prev_seq_no, Vec::new());
        for _ in 0..header.count {
            let (log, payload) = decode_checked(rest.get(at..)?, tag).ok()?;
            if log.prev_seq_no != prev || log.seq_no <= prev {
                return None;
            }
            (prev, at) = (log.seq_no, at + log.size());
            let payload = payload.to_vec();
            records.push(Record { seq_no: log.seq_no, prev_seq_no: log.prev_seq_no, payload });
        }
        let complete = header.count > 0 && prev == header.last_seq_no;
        (complete && is_zero(rest.get(at..)?)).then_some(records)
    }

    /// Whether what stands at a place was, or was to be, a frame of this use of the page: two of
    /// magic, page number and offset say so.
    fn resembles_frame(&self, number: u64, offset: u64) -> bool {
        let bytes = self.bytes.get(offset as usize..).unwrap_or_default();
        let signs = [
            bytes.starts_with(&FRAME_MAGIC),
            u64_at(bytes, 8) == Some(number),
            u32_at(bytes, 24).map(u64::from) == Some(offset / 8),
        ];
        signs.into_iter().filter(|sign| *sign).count() >= 2
    }
}

/// A page with a good open frame, and the frames that follow it.
struct Chain<'a> {
    page: &'a Page,
    number: u64,
    open: OpenBody,
    first_tip: u64,
    first_incarnation: u64,
    frames: Vec<Frame>,
    end: u64,
    tip: u64,
    incarnation: u64,
}

impl<'a> Chain<'a> {
    fn walk(page: &'a Page) -> Option<Self> {
        let frame = page.frame(START)?;
        let Content::Open(open) = frame.content else { return None };
        let header = frame.header;
        let mut chain = Self {
            page,
            number: header.page_number,
            open,
            first_tip: header.first_prev_seq_no,
            first_incarnation: header.incarnation,
            frames: Vec::new(),
            end: START,
            tip: header.first_prev_seq_no,
            incarnation: header.incarnation,
        };
        chain.take(frame);
        while let Some(next) = page.frame(chain.end).filter(|next| chain.continues_with(next)) {
            chain.take(next);
        }
        Some(chain)
    }

    fn continues_with(&self, next: &Frame) -> bool {
        let header = &next.header;
        let follows = match next.content {
            Content::Open(_) => false,
            Content::Data(_) => header.first_prev_seq_no == self.tip || self.tip == 0,
            Content::Control(control) => {
                let kept =
                    if let Control::Truncate { after_seq_no } = control { after_seq_no } else { 0 };
                header.first_prev_seq_no == self.tip
                    && header.last_seq_no == self.tip
                    && kept <= self.tip
            }
        };
        follows && header.page_number == self.number && header.incarnation >= self.incarnation
    }

    fn take(&mut self, frame: Frame) {
        self.end += frame.header.length;
        self.incarnation = frame.header.incarnation;
        self.tip = match &frame.content {
            Content::Data(_) => frame.header.last_seq_no,
            Content::Control(Control::Truncate { after_seq_no }) => *after_seq_no,
            Content::Control(Control::Clear) => 0,
            Content::Open(_) | Content::Control(Control::Trim { .. }) => self.tip,
        };
        self.frames.push(frame);
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        next.open.predecessor_page_number == self.number
            && next.open.predecessor_end == self.end
            && next.first_tip == self.tip
            && next.first_incarnation >= self.incarnation
    }

    fn is_cleared(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame.content, Content::Control(Control::Clear)))
    }

    fn position(&self) -> u64 {
        position(self.number, self.page.geometry.page_size, self.end)
    }

    fn contains(&self, header: &FrameHeader) -> bool {
        header.page_number == self.number && header.offset < self.end
    }
}

/// Splits chains, in the order of their numbers, into those that follow the first, and the others.
fn link<'a, 'b>(sorted: Vec<&'b Chain<'a>>) -> (Vec<&'b Chain<'a>>, Vec<&'b Chain<'a>>) {
    let (mut linked, mut others): (Vec<&Chain<'_>>, Vec<&Chain<'_>>) = Default::default();
    for chain in sorted {
        match linked.last() {
            Some(last) if !last.is_followed_by(chain) => others.push(chain),
            _ => linked.push(chain),
        }
    }
    (linked, others)
}

/// The logs that a run of pages holds.
#[derive(Default)]
struct Replay {
    logs: BTreeMap<u64, Record>,
    trimmed: u64,
    cleared: bool,
    /// The smallest number that a truncation kept.
    kept: Option<u64>,
}

impl Replay {
    fn of(run: &[&Chain<'_>]) -> Self {
        let mut replay = Self::default();
        let mut tip = run.first().map_or(0, |first| first.first_tip);
        for chain in run {
            replay.trimmed = replay.trimmed.max(chain.open.trimmed_seq_no);
            for frame in &chain.frames {
                if tip == 0 && matches!(frame.content, Content::Data(_)) {
                    replay.trimmed = replay.trimmed.max(frame.header.first_prev_seq_no);
                }
                replay.apply(&frame.content, &mut tip);
            }
        }
        replay
    }

    fn apply(&mut self, content: &Content, tip: &mut u64) {
        match content {
            Content::Open(_) => {}
            Content::Data(records) => {
                for record in records {
                    *tip = record.seq_no;
                    self.logs.insert(record.seq_no, record.clone());
                }
            }
            Content::Control(Control::Trim { up_to_seq_no }) => {
                self.trimmed = self.trimmed.max(*up_to_seq_no);
            }
            Content::Control(Control::Truncate { after_seq_no }) => {
                *tip = *after_seq_no;
                self.logs.retain(|seq_no, _| *seq_no <= *after_seq_no);
                let kept = self.kept.get_or_insert(*after_seq_no);
                *kept = (*kept).min(*after_seq_no);
            }
            Content::Control(Control::Clear) => {
                *self = Self { cleared: true, ..Self::default() };
                *tip = 0;
            }
        }
    }

    /// Whether nothing is needed from before the run.
    fn is_complete(&self, run: &[&Chain<'_>]) -> bool {
        let Some(first) = run.first() else { return true };
        let least = self.kept.map_or(first.first_tip, |kept| kept.min(first.first_tip));
        first.open.predecessor_page_number == 0 || self.cleared || self.trimmed >= least
    }
}

fn recover(pages: &[Page]) -> Verdict {
    let mut chains: Vec<Chain<'_>> = pages.iter().filter_map(Chain::walk).collect();
    chains.sort_by_key(|chain| chain.number);
    let duplicate = chains.windows(2).any(|pair| pair[0].number == pair[1].number);
    let (mut log, stale) = link(chains.iter().collect());
    let end = log.last().map_or(0, |last| last.number);
    let mut left: Vec<_> = stale.into_iter().filter(|chain| chain.number > end).collect();
    while !left.is_empty() {
        let (run, others) = link(left);
        if Replay::of(&run).is_complete(&run) {
            log = run;
        }
        left = others;
    }

    let mut replay = Replay::of(&log);
    let last = log.last();
    let (bad_place, incarnation) = last.map_or((0, 0), |last| (last.position(), last.incarnation));
    let in_log = |header: &FrameHeader| log.iter().any(|chain| chain.contains(header));
    let leftovers: Vec<FrameHeader> = pages.iter().flat_map(Page::headers).collect();
    let mut newer = leftovers.iter().filter(|header| {
        let own_seal = header.kind == FrameKind::Seal
            && log.iter().any(|chain| chain.number == header.page_number);
        !in_log(header)
            && header.incarnation >= incarnation
            && header.page_number >= last.map_or(0, |last| last.number)
            && (!own_seal || header.durable_through > bad_place)
    });
    let behind = leftovers.iter().any(|header| {
        !in_log(header) && header.incarnation >= incarnation && header.durable_through > bad_place
    });
    let torn_place = last.is_some_and(|last| {
        if last.end >= last.page.geometry.seal_offset() {
            // No frame starts here but the seal.
            return false;
        }
        let header = last.page.header(last.end);
        let resembles = header.is_none() && last.page.resembles_frame(last.number, last.end);
        resembles
            || header.is_some_and(|header| {
                header.page_number == last.number && header.incarnation >= last.incarnation
            })
    });
    let torn = torn_place || newer.next().is_some();

    let complete = replay.is_complete(&log);
    let mut before = false;
    if !complete && let Some(first) = log.first() {
        let missing =
            position(first.open.predecessor_page_number, first.page.geometry.page_size, 0);
        let promised = |chain: &&Chain<'_>| {
            let own_seal = chain.page.headers().filter(|header| {
                header.kind == FrameKind::Seal && header.page_number == chain.number
            });
            let frames = chain.frames.iter().map(|frame| frame.header);
            frames.chain(own_seal).any(|header| header.durable_through > missing)
        };
        before = log.iter().any(promised);
        let kept = replay.kept.map_or(first.first_tip, |kept| kept.min(first.first_tip));
        replay.trimmed = replay.trimmed.max(kept);
    }
    let corrupt = duplicate || behind || before;
    let oldest_page_last = log.first().map_or(0, |first| first.tip);
    let trimmed = replay.trimmed;
    Verdict {
        bad_file: false,
        is_tied: false,
        corrupt,
        torn: !corrupt && (torn || !complete),
        logs: replay.logs.into_values().filter(|log| log.seq_no > trimmed).collect(),
        trimmed,
        tip: last.map_or(0, |last| last.tip),
        oldest_page_last,
    }
}

/// Which bytes of each page file a whole store cannot do without: the header of each page that holds
/// logs, and its chain. What they are is told by lengths alone, and not by checksums of what is
/// damaged. With them, which page is the newest.
pub fn vital(files: &[Vec<u8>]) -> (Vec<Range<usize>>, usize) {
    let headers: Vec<_> = files.iter().map(|file| Some(read_header(file))).collect();
    let mut ranges = vec![0..0; files.len()];
    let Some(geometry) = elect(&headers) else { return (ranges, 0) };
    let pages: Vec<_> = files.iter().map(|file| Page { bytes: file.clone(), geometry }).collect();
    let trimmed = recover(&pages).trimmed;
    let chains: Vec<_> =
        pages.iter().enumerate().filter_map(|(id, page)| Some((id, Chain::walk(page)?))).collect();
    let clears = chains.iter().filter(|(_, chain)| chain.is_cleared());
    let first = clears.map(|(_, chain)| chain.number).max().unwrap_or(0);
    for (id, chain) in &chains {
        if chain.number >= first && chain.tip > trimmed {
            ranges[*id] = 0..chain.end as usize;
        }
    }
    let newest = chains.iter().max_by_key(|(_, chain)| chain.number);
    (ranges, newest.map_or(0, |(id, _)| *id))
}

/// Every log that is good wherever it stands, with the page file it stands in.
pub fn intact(files: &[Option<Vec<u8>>]) -> Vec<(usize, Record)> {
    let headers: Vec<_> = files.iter().map(|file| file.as_deref().map(read_header)).collect();
    let Some(geometry) = elect(&headers) else { return Vec::new() };
    let mut found = Vec::new();
    for (id, file) in files.iter().enumerate() {
        let mut bytes = file.clone().unwrap_or_default();
        bytes.truncate(geometry.page_size as usize);
        let page = Page { bytes, geometry };
        for header in page.headers() {
            if let Some(Frame { content: Content::Data(records), .. }) = page.frame(header.offset) {
                found.extend(records.into_iter().map(|record| (id, record)));
            }
        }
    }
    found
}
