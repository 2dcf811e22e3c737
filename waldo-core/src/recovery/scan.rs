//! One page: how far its frames are good, and what lies behind that.

use std::io;

use super::window::Window;
use super::{Layout, PageSource};
use crate::catalog::{Extension, Incarnations, PageUse};
use crate::format::bytes::{is_zero, u32_at, u64_at};
use crate::format::frame::{checked_body, position, starts_with_magic};
use crate::format::meta::{Control, OpenBody};
use crate::format::record::{RECORD_HEADER_SIZE, RecordHeader, decode_checked};
use crate::format::seal::{IndexEntry, SEAL_FLAG_SCAN, SealBody};
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, Tag};
use crate::index::{Candidate, SparseIndex};
use crate::options::Recovery;

/// What one page holds.
#[derive(Clone, Debug)]
pub struct PageScan {
    /// Number of the page file.
    pub page: u32,
    /// Its frames, where it starts with a good open frame.
    pub opened: Option<OpenedPage>,
    /// Valid frames that are not part of them: behind their end, or anywhere in a page without
    /// an open frame.
    pub others: Vec<Evidence>,
    /// The largest incarnation of any valid frame that was seen.
    pub incarnation_max: u64,
    /// No frame was ever written to the page, as far as its first one tells.
    pub blank: bool,
    /// Bytes that were read.
    pub bytes_read: u64,
}

/// A page that starts with a good open frame.
#[derive(Clone, Debug)]
pub struct OpenedPage {
    /// How it follows the page before.
    pub open: OpenBody,
    /// The tip at its start.
    pub first_tip: u64,
    /// Incarnation of its open frame.
    pub first_incarnation: u64,
    /// Its good frames.
    pub content: PageUse,
    /// The tip at their end.
    pub tip: u64,
    /// Incarnation of the last of them.
    pub incarnation: u64,
    /// The largest `durable_through` among them.
    pub durable_through: u64,
    /// What their control frames say, with their offsets, in order.
    pub controls: Vec<(u64, Control)>,
    /// The first log where the log was empty before: what came before it is nothing.
    pub starts: Vec<(u64, u64)>,
    /// Whether a frame's header stands at their end whose rest is bad.
    pub torn_header: bool,
    /// Whether a seal stood in for most of the scan.
    pub sealed: bool,
}

/// Valid frames outside the chain, summed up by page number and incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Number of the use of the page that they belong to.
    pub page_number: u64,
    /// Their incarnation.
    pub incarnation: u64,
    /// Offset of the first of them.
    pub offset: u64,
    /// The largest `durable_through` among them.
    pub durable_through: u64,
    /// How many there are.
    pub count: u64,
}

/// Scans a page.
///
/// # Errors
///
/// The source's.
pub fn scan_page(source: &dyn PageSource, layout: &Layout, page: u32) -> io::Result<PageScan> {
    let mut scan = Scan::new(source, layout, page);
    let opened = scan.opened()?;
    let others = scan.others(opened.as_ref())?;
    let mut opened = opened;
    if let Some(opened) = &mut opened {
        opened.durable_through = opened.durable_through.max(others.own_promise);
    }
    Ok(PageScan {
        page,
        blank: is_zero(scan.window.get(PAGE_HEADER_SIZE as u64, FRAME_HEADER_SIZE)?),
        incarnation_max: others.incarnation_max,
        others: others.found,
        bytes_read: scan.window.bytes_read(),
        opened,
    })
}

/// Counts the logs up to and with `seq_no` among the good frames of a page that lie before
/// `end`.
///
/// # Errors
///
/// The source's.
pub(crate) fn count_logs(
    source: &dyn PageSource,
    layout: &Layout,
    page: &PageUse,
    end: u64,
    seq_no: u64,
) -> io::Result<u64> {
    let mut scan = Scan::new(source, layout, page.page);
    let mut offset = PAGE_HEADER_SIZE as u64;
    let mut count = 0;
    while offset < end {
        let Some(header) = scan.decode(offset)? else { break };
        if header.kind == FrameKind::Data {
            let mut at = offset + FRAME_HEADER_SIZE as u64;
            for _ in 0..header.count {
                let Some(record) = RecordHeader::decode(scan.window.get(at, RECORD_HEADER_SIZE)?)
                else {
                    break;
                };
                let void = page
                    .cuts
                    .iter()
                    .any(|cut| at < cut.before_offset && record.seq_no > cut.after_seq_no);
                count += u64::from(record.seq_no <= seq_no && !void);
                at += record.size() as u64;
            }
        }
        offset += header.length;
    }
    Ok(count)
}

struct Scan<'a> {
    source: &'a dyn PageSource,
    window: Window<'a>,
    layout: &'a Layout,
    page: u32,
}

/// What is known while the frames of a page are walked.
struct Walk {
    opened: OpenedPage,
    number: u64,
}

impl<'a> Scan<'a> {
    fn new(source: &'a dyn PageSource, layout: &'a Layout, page: u32) -> Self {
        Self { source, window: Window::new(source, page, layout.page_size), layout, page }
    }

    fn seed(&self) -> u32 {
        self.layout.store_id.seed()
    }

    fn decode(&mut self, offset: u64) -> io::Result<Option<FrameHeader>> {
        let seed = self.seed();
        let bytes = self.window.get(offset, FRAME_HEADER_SIZE)?;
        Ok(FrameHeader::decode(seed, bytes).filter(|header| header.offset == offset))
    }

    /// The page's frames from the open frame on.
    fn opened(&mut self) -> io::Result<Option<OpenedPage>> {
        let start = PAGE_HEADER_SIZE as u64;
        let Some(header) = self.decode(start)? else { return Ok(None) };
        if header.kind != FrameKind::Open || !self.fits(&header) {
            return Ok(None);
        }
        let Some(open) = self.body(&header)?.and_then(|body| OpenBody::decode(&body)) else {
            return Ok(None);
        };
        let mut walk = Walk::new(self.page, &header, open, self.layout);
        if self.layout.recovery == Recovery::Fast
            && let Some(seal) = self.seal(&header)?
        {
            walk.trust(seal, self.layout);
        }
        while self.step(&mut walk)? {}
        Ok(Some(walk.opened))
    }

    /// Takes the next frame in. `false` where the chain ends.
    fn step(&mut self, walk: &mut Walk) -> io::Result<bool> {
        let offset = walk.opened.content.end;
        let Some(header) = self.decode(offset)? else {
            walk.opened.torn_header = self.resembles_frame(walk.number, offset)?;
            return Ok(false);
        };
        let follows = header.page_number == walk.number
            && header.incarnation >= walk.opened.incarnation
            && self.fits(&header);
        if !follows {
            return Ok(false);
        }
        let good = match header.kind {
            FrameKind::Data => self.data(walk, &header)?,
            FrameKind::Control => self.control(walk, &header)?,
            FrameKind::Open | FrameKind::Seal => false,
        };
        walk.opened.torn_header = !good;
        Ok(good)
    }

    /// Whether what stands at `offset` was, or was to be, the next frame: not all of its identity
    /// can have been lost by one fault.
    fn resembles_frame(&mut self, number: u64, offset: u64) -> io::Result<bool> {
        let bytes = self.window.get(offset, FRAME_HEADER_SIZE)?;
        let number = u64_at(bytes, 8) == Some(number);
        let offset = u32_at(bytes, 24).map(|units| u64::from(units) * 8) == Some(offset);
        Ok(u8::from(starts_with_magic(bytes)) + u8::from(number) + u8::from(offset) >= 2)
    }

    fn fits(&self, header: &FrameHeader) -> bool {
        header.offset + header.length <= self.layout.seal_offset
            && header.length.is_multiple_of(self.layout.alignment)
    }

    fn data(&mut self, walk: &mut Walk, header: &FrameHeader) -> io::Result<bool> {
        let tip = walk.opened.tip;
        let follows = header.first_prev_seq_no == tip || tip == 0;
        if !follows || header.count == 0 {
            return Ok(false);
        }
        let tag = self.layout.store_id.tag(header.page_number, header.incarnation);
        let Some(starts) = self.records(header, tag)? else { return Ok(false) };
        if tip == 0 {
            walk.opened.starts.push((header.offset, header.first_prev_seq_no));
        }
        let ordinal = walk.opened.content.log_count;
        let candidates = candidates(header, &starts, ordinal);
        walk.extend(header, header.last_seq_no, u64::from(header.count), &candidates);
        Ok(true)
    }

    /// Checks every log of a frame; answers where reading may start.
    fn records(&mut self, header: &FrameHeader, tag: Tag) -> io::Result<Option<Vec<Start>>> {
        let end = header.offset + header.length;
        let mut offset = header.offset + FRAME_HEADER_SIZE as u64;
        let mut prev = header.first_prev_seq_no;
        let mut starts = vec![Start { offset: header.offset, prev_seq_no: prev, ordinal: 0 }];
        let mut marked = header.offset;
        for ordinal in 0..u64::from(header.count) {
            let Some(record) = self.record(offset, end, tag)? else { return Ok(None) };
            if record.prev_seq_no != prev || record.seq_no <= prev {
                return Ok(None);
            }
            if offset + record.size() as u64 - marked > self.layout.spacing.bytes && ordinal > 0 {
                starts.push(Start { offset, prev_seq_no: prev, ordinal });
                marked = offset;
            }
            prev = record.seq_no;
            offset += record.size() as u64;
        }
        let padding = self.window.get(offset, (end - offset) as usize)?;
        let padded = padding.len() as u64 == end - offset && is_zero(padding);
        let good = padded && prev == header.last_seq_no && end - offset < self.layout.alignment;
        Ok(good.then_some(starts))
    }

    /// The log at `offset`, if it is good and ends within its frame.
    fn record(&mut self, offset: u64, end: u64, tag: Tag) -> io::Result<Option<RecordHeader>> {
        let bytes = self.window.get(offset, RECORD_HEADER_SIZE)?;
        let Some(record) = RecordHeader::decode(bytes) else { return Ok(None) };
        let size = record.size();
        if size as u64 > end.saturating_sub(offset) {
            return Ok(None);
        }
        let bytes = self.window.get(offset, size)?;
        Ok(decode_checked(bytes, tag).ok().map(|(record, _)| record))
    }

    fn control(&mut self, walk: &mut Walk, header: &FrameHeader) -> io::Result<bool> {
        if header.first_prev_seq_no != walk.opened.tip || header.last_seq_no != walk.opened.tip {
            return Ok(false);
        }
        let Some(control) = self.body(header)?.and_then(|body| Control::decode(&body)) else {
            return Ok(false);
        };
        let tip = match control {
            Control::Trim { .. } => walk.opened.tip,
            Control::Truncate { after_seq_no } => after_seq_no,
            Control::Clear => 0,
        };
        if tip > walk.opened.tip {
            return Ok(false);
        }
        walk.extend(header, walk.opened.tip, 0, &[]);
        if let Control::Trim { up_to_seq_no } = control {
            let trimmed = &mut walk.opened.content.trimmed_seq_no;
            *trimmed = (*trimmed).max(up_to_seq_no);
        } else {
            self.truncate(walk, header.offset, tip)?;
        }
        walk.opened.controls.push((header.offset, control));
        Ok(true)
    }

    /// Makes the logs of the page after `tip` that lie before `offset` void.
    fn truncate(&mut self, walk: &mut Walk, offset: u64, tip: u64) -> io::Result<()> {
        let content = &walk.opened.content;
        let within = if content.is_dense() {
            tip.saturating_sub(content.first_prev_seq_no)
        } else {
            count_logs(self.source, self.layout, content, offset, tip)?
        };
        walk.opened.content.truncate(tip, offset, within);
        walk.opened.tip = tip;
        Ok(())
    }

    /// The body of a frame other than data, if it is good.
    fn body(&mut self, header: &FrameHeader) -> io::Result<Option<Vec<u8>>> {
        let seed = self.seed();
        let Ok(length) = usize::try_from(header.length) else { return Ok(None) };
        let frame = self.window.get(header.offset, length)?;
        let Some(rest) = frame.get(FRAME_HEADER_SIZE..length) else { return Ok(None) };
        let Some(body) = checked_body(seed, header, rest) else { return Ok(None) };
        let padding = rest.get(header.count as usize..).unwrap_or_default();
        Ok(is_zero(padding).then(|| body.to_vec()))
    }

    /// The page's seal, if it belongs to this use and tells the whole story.
    fn seal(&mut self, open: &FrameHeader) -> io::Result<Option<SealBody>> {
        let Some(header) = self.decode(self.layout.seal_offset)? else { return Ok(None) };
        let belongs = header.kind == FrameKind::Seal
            && header.page_number == open.page_number
            && header.flags & SEAL_FLAG_SCAN == 0;
        if !belongs {
            return Ok(None);
        }
        let body = self.body(&header)?.and_then(|body| SealBody::decode(&body));
        Ok(body
            .filter(|seal| (PAGE_HEADER_SIZE as u64..=self.layout.seal_offset).contains(&seal.end)))
    }

    /// Valid frames behind the page's own, or anywhere in a page that has none. Where a seal
    /// stands in for a scan, only the places where one would be are looked at.
    fn others(&mut self, opened: Option<&OpenedPage>) -> io::Result<Others> {
        let mut others = Others::new(opened, self.layout.page_size);
        let start = opened.map_or(PAGE_HEADER_SIZE as u64, |opened| opened.content.end);
        if opened.is_some_and(|opened| opened.sealed) {
            for offset in [start, self.layout.seal_offset] {
                others.note(self.decode(offset)?);
            }
            return Ok(others);
        }
        let mut offset = start;
        while let Some(hit) = self.find_magic(offset)? {
            others.note(self.decode(hit)?);
            offset = hit + self.layout.alignment;
        }
        Ok(others)
    }

    /// The first place from `offset` on that starts as a frame does.
    fn find_magic(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        let step = self.layout.alignment;
        while offset < self.layout.page_size {
            let rest = self.window.rest(offset)?;
            if rest.is_empty() {
                break;
            }
            if let Some(at) = rest.chunks(step as usize).position(starts_with_magic) {
                return Ok(Some(offset + at as u64 * step));
            }
            offset += (rest.len() as u64).next_multiple_of(step);
        }
        Ok(None)
    }
}

/// Frames outside a page's own.
struct Others {
    found: Vec<Evidence>,
    /// Number and end of the page's own frames.
    own: Option<(u64, u64)>,
    page_size: u64,
    incarnation_max: u64,
    /// What the page's own seal says is durable.
    own_promise: u64,
}

impl Others {
    fn new(opened: Option<&OpenedPage>, page_size: u64) -> Self {
        let own = opened.map(|opened| (opened.content.number, opened.content.end));
        let incarnation_max = opened.map_or(0, |opened| opened.incarnation);
        Self { found: Vec::new(), own, page_size, incarnation_max, own_promise: 0 }
    }

    fn note(&mut self, header: Option<FrameHeader>) {
        let Some(header) = header else { return };
        self.incarnation_max = self.incarnation_max.max(header.incarnation);
        // The page's own seal says nothing new, unless it promises more than there is.
        if let Some((number, end)) = self.own
            && header.kind == FrameKind::Seal
            && header.page_number == number
            && header.durable_through <= position(number, self.page_size, end)
        {
            self.own_promise = header.durable_through;
            return;
        }
        let same = self.found.iter_mut().find(|evidence| {
            evidence.page_number == header.page_number && evidence.incarnation == header.incarnation
        });
        match same {
            Some(evidence) => {
                evidence.durable_through = evidence.durable_through.max(header.durable_through);
                evidence.count += 1;
            }
            None => self.found.push(Evidence {
                page_number: header.page_number,
                incarnation: header.incarnation,
                offset: header.offset,
                durable_through: header.durable_through,
                count: 1,
            }),
        }
    }
}

/// A place in a frame where reading may start.
struct Start {
    offset: u64,
    prev_seq_no: u64,
    ordinal: u64,
}

impl Walk {
    fn new(page: u32, header: &FrameHeader, open: OpenBody, layout: &Layout) -> Self {
        let content = PageUse {
            page,
            number: header.page_number,
            end: header.offset + header.length,
            first_prev_seq_no: header.first_prev_seq_no,
            last_seq_no: header.first_prev_seq_no,
            log_count: 0,
            trimmed_count: 0,
            trimmed_seq_no: open.trimmed_seq_no,
            index: SparseIndex::new(layout.index_capacity, layout.spacing),
            incarnations: Incarnations::new(vec![(PAGE_HEADER_SIZE as u64, header.incarnation)]),
            cuts: Vec::new(),
        };
        let opened = OpenedPage {
            open,
            first_tip: header.first_prev_seq_no,
            first_incarnation: header.incarnation,
            content,
            tip: header.first_prev_seq_no,
            incarnation: header.incarnation,
            durable_through: header.durable_through,
            controls: Vec::new(),
            starts: Vec::new(),
            torn_header: false,
            sealed: false,
        };
        Self { opened, number: header.page_number }
    }

    /// Takes over what a seal says.
    fn trust(&mut self, seal: SealBody, layout: &Layout) {
        let opened = &mut self.opened;
        if let Some((_, incarnation)) = seal.incarnations.last() {
            opened.incarnation = *incarnation;
        }
        if opened.first_tip == 0 && seal.log_count > 0 {
            opened.starts.push((PAGE_HEADER_SIZE as u64, seal.first_prev_seq_no));
        }
        opened
            .controls
            .push((PAGE_HEADER_SIZE as u64, Control::Trim { up_to_seq_no: seal.trimmed_seq_no }));
        opened.tip = seal.last_seq_no;
        opened.durable_through = position(self.number, layout.page_size, seal.end);
        opened.sealed = true;
        let content = &mut opened.content;
        content.end = seal.end;
        content.first_prev_seq_no = seal.first_prev_seq_no;
        content.last_seq_no = seal.last_seq_no;
        content.log_count = seal.log_count;
        content.trimmed_seq_no = seal.trimmed_seq_no;
        content.incarnations = Incarnations::new(seal.incarnations);
        content.index =
            SparseIndex::from_entries(seal.index, layout.index_capacity, layout.spacing);
    }

    fn extend(&mut self, header: &FrameHeader, tip: u64, count: u64, candidates: &[Candidate]) {
        let opened = &mut self.opened;
        opened.content.extend(&Extension {
            end: header.offset + header.length,
            first_prev_seq_no: header.first_prev_seq_no,
            last_seq_no: tip,
            log_count: count,
            candidates,
            incarnation: header.incarnation,
        });
        opened.tip = tip;
        opened.incarnation = header.incarnation;
        opened.durable_through = opened.durable_through.max(header.durable_through);
    }
}

fn candidates(header: &FrameHeader, starts: &[Start], ordinal: u64) -> Vec<Candidate> {
    let frame_end = header.offset + header.length;
    let ends = starts.iter().skip(1).map(|next| (next.offset, ordinal + next.ordinal));
    let ends = ends.chain(std::iter::once((frame_end, ordinal + u64::from(header.count))));
    let place = |start: &Start| IndexEntry {
        prev_seq_no: start.prev_seq_no,
        offset: (start.offset / 8) as u32,
        frame_end: if start.offset == header.offset { 0 } else { (frame_end / 8) as u32 },
    };
    starts
        .iter()
        .zip(ends)
        .map(|(start, (next_offset, next_ordinal))| Candidate {
            entry: place(start),
            ordinal: ordinal + start.ordinal,
            next_offset,
            next_ordinal,
        })
        .collect()
}
