//! The frames of a page, each checked to the last byte.

use std::io;

use super::window::Window;
use super::{Layout, PageSource};
use crate::format::bytes::{is_zero, u32_at, u64_at};
use crate::format::frame::{checked_body, starts_with_magic};
use crate::format::meta::{Control, OpenBody};
use crate::format::record::{RECORD_HEADER_SIZE, RecordHeader, decode_checked};
use crate::format::seal::{IndexEntry, SEAL_FLAG_SCAN, SealBody};
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, Tag};
use crate::index::Candidate;

/// The place behind a good frame: what the next one has to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Number of the use of the page.
    pub page_number: u64,
    /// Offset in the page.
    pub offset: u64,
    /// Incarnation of the frame before.
    pub incarnation: u64,
    /// The newest log; 0 where there is none.
    pub tip: u64,
    /// Logs of the page so far.
    pub log_count: u64,
}

/// A good frame that is part of the log.
#[derive(Debug)]
pub(crate) struct Frame {
    pub header: FrameHeader,
    pub content: Content,
}

/// What is in it.
#[derive(Debug)]
pub(crate) enum Content {
    /// Logs, with places for the index.
    Logs(Vec<Candidate>),
    /// A change to the log.
    Control(Control),
}

/// What stands at a place.
#[derive(Debug)]
pub(crate) enum Next {
    /// The frame that goes on with the log.
    Frame(Frame),
    /// None that is good.
    End {
        /// Something stands there that was, or was to be, the next frame.
        torn: bool,
    },
}

impl Frame {
    /// The place behind it.
    pub fn end(&self, before: &End) -> End {
        let header = &self.header;
        let (tip, count) = match self.content {
            Content::Logs(_) => (header.last_seq_no, u64::from(header.count)),
            Content::Control(Control::Trim { .. }) => (before.tip, 0),
            Content::Control(Control::Truncate { after_seq_no }) => (after_seq_no, 0),
            Content::Control(Control::Clear) => (0, 0),
        };
        End {
            page_number: before.page_number,
            offset: header.offset + header.length,
            incarnation: header.incarnation,
            tip,
            log_count: before.log_count + count,
        }
    }
}

/// Reads the frames of a page.
pub(crate) struct Frames<'a> {
    pub window: Window<'a>,
    layout: &'a Layout,
}

impl<'a> Frames<'a> {
    pub fn new(source: &'a dyn PageSource, layout: &'a Layout, page: u32) -> Self {
        Self { window: Window::new(source, page, layout.page_size), layout }
    }

    /// The good header of a frame at `offset`, of any use of the page.
    pub fn decode(&mut self, offset: u64) -> io::Result<Option<FrameHeader>> {
        let seed = self.seed();
        let bytes = self.window.get(offset, FRAME_HEADER_SIZE)?;
        Ok(FrameHeader::decode(seed, bytes).filter(|header| header.offset == offset))
    }

    /// The open frame that the page starts with, if it does.
    pub fn opening(&mut self) -> io::Result<Option<(FrameHeader, OpenBody)>> {
        let Some(header) = self.decode(PAGE_HEADER_SIZE as u64)? else { return Ok(None) };
        if header.kind != FrameKind::Open || !self.fits(&header) {
            return Ok(None);
        }
        let body = self.body(&header)?.and_then(|body| OpenBody::decode(&body));
        Ok(body.map(|body| (header, body)))
    }

    /// The next frame behind `end`.
    pub fn next(&mut self, end: &End) -> io::Result<Next> {
        if end.offset >= self.layout.seal_offset {
            // Nothing starts here but a seal, of this use of the page or of an earlier one.
            return Ok(Next::End { torn: false });
        }
        let Some(header) = self.decode(end.offset)? else {
            let torn = self.resembles_frame(end)?;
            return Ok(Next::End { torn });
        };
        let follows = header.page_number == end.page_number
            && header.incarnation >= end.incarnation
            && self.fits(&header);
        if !follows {
            return Ok(Next::End { torn: false });
        }
        let content = match header.kind {
            FrameKind::Data => self.logs(end, &header)?.map(Content::Logs),
            FrameKind::Control => self.control(end, &header)?.map(Content::Control),
            FrameKind::Open | FrameKind::Seal => None,
        };
        let frame = content.map(|content| Next::Frame(Frame { header, content }));
        Ok(frame.unwrap_or(Next::End { torn: true }))
    }

    /// The seal of the page that starts with an open frame, if it belongs to this use and tells the
    /// whole story.
    pub fn seal(&mut self, open: &FrameHeader) -> io::Result<Option<SealBody>> {
        let Some(header) = self.decode(self.layout.seal_offset)? else { return Ok(None) };
        let belongs = header.kind == FrameKind::Seal
            && header.page_number == open.page_number
            && header.flags & SEAL_FLAG_SCAN == 0;
        if !belongs {
            return Ok(None);
        }
        let body = self.body(&header)?.and_then(|body| SealBody::decode(&body));
        let tip = open.first_prev_seq_no;
        Ok(body.filter(|seal| seal.end <= self.layout.seal_offset && makes_sense(seal, tip)))
    }

    /// The first place from `offset` on, and before `limit`, that starts as a frame does.
    pub fn find_magic(&mut self, mut offset: u64, limit: u64) -> io::Result<Option<u64>> {
        let step = self.layout.alignment;
        let limit = limit.min(self.layout.page_size);
        while offset < limit {
            let rest = self.window.rest(offset)?;
            if rest.is_empty() {
                break;
            }
            if let Some(at) = rest.chunks(step as usize).position(starts_with_magic) {
                return Ok(Some(offset + at as u64 * step).filter(|hit| *hit < limit));
            }
            offset += (rest.len() as u64).next_multiple_of(step);
        }
        Ok(None)
    }

    fn seed(&self) -> u32 {
        self.layout.store_id.seed()
    }

    /// Whether what stands there was, or was to be, the next frame: not all of its identity can
    /// have been lost by one fault.
    fn resembles_frame(&mut self, end: &End) -> io::Result<bool> {
        let bytes = self.window.get(end.offset, FRAME_HEADER_SIZE)?;
        let number = u64_at(bytes, 8) == Some(end.page_number);
        let offset = u32_at(bytes, 24).map(|units| u64::from(units) * 8) == Some(end.offset);
        Ok(u8::from(starts_with_magic(bytes)) + u8::from(number) + u8::from(offset) >= 2)
    }

    fn fits(&self, header: &FrameHeader) -> bool {
        header.offset + header.length <= self.layout.seal_offset
            && header.length.is_multiple_of(self.layout.alignment)
    }

    fn logs(&mut self, end: &End, header: &FrameHeader) -> io::Result<Option<Vec<Candidate>>> {
        let follows = header.first_prev_seq_no == end.tip || end.tip == 0;
        if !follows || header.count == 0 {
            return Ok(None);
        }
        let tag = self.layout.store_id.tag(header.page_number, header.incarnation);
        let starts = self.records(header, tag)?;
        Ok(starts.map(|starts| candidates(header, &starts, end.log_count)))
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

    fn control(&mut self, end: &End, header: &FrameHeader) -> io::Result<Option<Control>> {
        if header.first_prev_seq_no != end.tip || header.last_seq_no != end.tip {
            return Ok(None);
        }
        let control = self.body(header)?.and_then(|body| Control::decode(&body));
        Ok(control.filter(|control| match *control {
            Control::Trim { .. } | Control::Clear => true,
            Control::Truncate { after_seq_no } => after_seq_no <= end.tip,
        }))
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
}

/// Whether a seal may be that of a page at whose start the tip was this: its logs go on from there,
/// and its places lie among the page's frames, in order.
fn makes_sense(seal: &SealBody, tip: u64) -> bool {
    let frames = PAGE_HEADER_SIZE as u64..seal.end;
    let within = |entry: &IndexEntry| {
        let (offset, frame_end) = (u64::from(entry.offset) * 8, u64::from(entry.frame_end) * 8);
        let in_frame = frame_end > offset && frame_end <= seal.end;
        frames.contains(&offset) && (frame_end == 0 || in_frame)
    };
    let numbers = seal.last_seq_no.checked_sub(seal.first_prev_seq_no);
    // An empty log goes on from anywhere.
    (seal.first_prev_seq_no == tip || tip == 0)
        && numbers.is_some_and(|numbers| seal.log_count <= numbers)
        && (seal.log_count == 0) == (numbers == Some(0))
        && seal.log_count <= seal.end / RECORD_HEADER_SIZE as u64
        && !frames.is_empty()
        && seal.index.iter().all(within)
        && seal.index.is_sorted_by(|one, next| one.offset < next.offset)
        && seal.index.is_sorted_by_key(|entry| entry.prev_seq_no)
        && seal.incarnations.is_sorted()
}

/// A place in a frame where reading may start.
struct Start {
    offset: u64,
    prev_seq_no: u64,
    ordinal: u64,
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
