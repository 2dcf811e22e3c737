//! One page: how far its frames are good, and what lies behind that.

use std::io;

use super::frames::{Content, End, Frame, Frames, Next};
use super::{Layout, PageSource};
use crate::catalog::{Extension, Incarnations, PageUse};
use crate::format::bytes::is_zero;
use crate::format::frame::position;
use crate::format::meta::{Control, OpenBody};
use crate::format::record::{RECORD_HEADER_SIZE, RecordHeader};
use crate::format::seal::SealBody;
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE};
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
    /// The tip that a seal among them knows.
    pub sealed_tip: Option<u64>,
}

/// Scans a page.
///
/// # Errors
///
/// The source's.
pub fn scan_page(source: &dyn PageSource, layout: &Layout, page: u32) -> io::Result<PageScan> {
    let mut scan = Scan::new(source, layout, page);
    let blank = is_zero(scan.frames.window.get(PAGE_HEADER_SIZE as u64, FRAME_HEADER_SIZE)?);
    let mut opened = scan.opened()?;
    let limit = if blank { layout.blank_limit } else { layout.page_size };
    let others = scan.others(opened.as_ref(), limit)?;
    if let Some(opened) = &mut opened {
        opened.durable_through = opened.durable_through.max(others.own_promise);
    }
    Ok(PageScan {
        page,
        blank,
        incarnation_max: others.incarnation_max,
        others: others.found,
        bytes_read: scan.frames.window.bytes_read(),
        opened,
    })
}

/// The start of a page: its open frame, and what its seal says where seals are trusted. Frames
/// behind that are not looked at.
///
/// # Errors
///
/// The source's.
pub(crate) fn enter_page(
    source: &dyn PageSource,
    layout: &Layout,
    page: u32,
) -> io::Result<Option<OpenedPage>> {
    Ok(Scan::new(source, layout, page).enter()?.map(|walk| walk.opened))
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
    let mut frames = Frames::new(source, layout, page.page);
    let mut offset = PAGE_HEADER_SIZE as u64;
    let mut count = 0;
    while offset < end {
        let Some(header) = frames.decode(offset)? else { break };
        if header.kind == FrameKind::Data {
            let mut at = offset + FRAME_HEADER_SIZE as u64;
            for _ in 0..header.count {
                let bytes = frames.window.get(at, RECORD_HEADER_SIZE)?;
                let Some(record) = RecordHeader::decode(bytes) else { break };
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
    frames: Frames<'a>,
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
        Self { source, frames: Frames::new(source, layout, page), layout, page }
    }

    /// The page's frames from the open frame on.
    fn opened(&mut self) -> io::Result<Option<OpenedPage>> {
        let Some(mut walk) = self.enter()? else { return Ok(None) };
        while self.step(&mut walk)? {}
        Ok(Some(walk.opened))
    }

    /// The open frame, and what a seal says of those behind it.
    fn enter(&mut self) -> io::Result<Option<Walk>> {
        let Some((header, open)) = self.frames.opening()? else { return Ok(None) };
        let mut walk = Walk::new(self.page, &header, open, self.layout);
        if self.layout.recovery == Recovery::Fast
            && let Some(seal) = self.frames.seal(&header)?
        {
            walk.trust(seal, self.layout);
        }
        Ok(Some(walk))
    }

    /// Takes the next frame in. `false` where the chain ends.
    fn step(&mut self, walk: &mut Walk) -> io::Result<bool> {
        match self.frames.next(&walk.end())? {
            Next::Frame(frame) => self.take(walk, &frame)?,
            Next::End { torn } => {
                walk.opened.torn_header = torn;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, walk: &mut Walk, frame: &Frame) -> io::Result<()> {
        let header = &frame.header;
        match &frame.content {
            Content::Logs(candidates) => {
                if walk.opened.tip == 0 {
                    walk.opened.starts.push((header.offset, header.first_prev_seq_no));
                }
                walk.extend(header, header.last_seq_no, u64::from(header.count), candidates);
            }
            Content::Control(control) => {
                let tip = frame.end(&walk.end()).tip;
                walk.extend(header, walk.opened.tip, 0, &[]);
                if let Control::Trim { up_to_seq_no } = *control {
                    let trimmed = &mut walk.opened.content.trimmed_seq_no;
                    *trimmed = (*trimmed).max(up_to_seq_no);
                } else {
                    self.truncate(walk, header.offset, tip)?;
                }
                walk.opened.controls.push((header.offset, *control));
            }
        }
        Ok(())
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

    /// Valid frames behind the page's own, or anywhere in a page that has none. Where a seal
    /// stands in for a scan, only the places where one would be are looked at: a seal is wiped
    /// before its page is gone on with.
    fn others(&mut self, opened: Option<&OpenedPage>, limit: u64) -> io::Result<Others> {
        let mut others = Others::new(opened, self.layout.page_size);
        let start = opened.map_or(PAGE_HEADER_SIZE as u64, |opened| opened.content.end);
        if opened.is_some_and(|opened| opened.sealed) {
            for offset in [start, self.layout.seal_offset] {
                others.note(self.frames.decode(offset)?);
            }
            return Ok(others);
        }
        let mut offset = start;
        while let Some(hit) = self.frames.find_magic(offset, limit)? {
            others.note(self.frames.decode(hit)?);
            offset = hit + self.layout.alignment;
        }
        Ok(others)
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
        let sealed_tip = (header.kind == FrameKind::Seal).then_some(header.last_seq_no);
        let same = self.found.iter_mut().find(|evidence| {
            evidence.page_number == header.page_number && evidence.incarnation == header.incarnation
        });
        match same {
            Some(evidence) => {
                evidence.durable_through = evidence.durable_through.max(header.durable_through);
                evidence.count += 1;
                evidence.sealed_tip = evidence.sealed_tip.max(sealed_tip);
            }
            None => self.found.push(Evidence {
                page_number: header.page_number,
                incarnation: header.incarnation,
                offset: header.offset,
                durable_through: header.durable_through,
                count: 1,
                sealed_tip,
            }),
        }
    }
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

    /// Where the next frame is expected.
    fn end(&self) -> End {
        End {
            page_number: self.number,
            offset: self.opened.content.end,
            incarnation: self.opened.incarnation,
            tip: self.opened.tip,
            log_count: self.opened.content.log_count,
        }
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
