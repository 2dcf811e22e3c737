//! Page files made by decisions of the fuzzer: frames that would be right, but for a twist here
//! and there.

use std::collections::BTreeSet;
use std::io;

use arbitrary::{Result, Unstructured};
use waldo_core::Recovery;
use waldo_core::format::frame::seal_body;
use waldo_core::format::meta::{Control, OpenBody};
use waldo_core::format::record::{self, Stamp};
use waldo_core::format::seal::{IndexEntry, SealBody};
use waldo_core::format::{
    FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, record_size,
};
use waldo_core::index::Spacing;
use waldo_core::recovery::{Layout, PageSource};

use crate::STORE_ID;

const PAGE_SIZE: usize = PAGE_HEADER_SIZE + 3 * 4096;
const SEAL_CAPACITY: usize = 512;

/// The page files of a store.
pub struct Pages {
    pub layout: Layout,
    pub files: Vec<Vec<u8>>,
    /// The log was truncated behind a number that no log of it has.
    pub truncated_nowhere: bool,
    /// The logs that frames tell of, as far as all of them count.
    logs: BTreeSet<u64>,
}

impl PageSource for Pages {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let file = self.files.get(page as usize).map_or(&[][..], |file| file);
        let rest = file.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        bytes[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// The place where the next frame would be right.
#[derive(Clone, Copy, Default)]
struct Place {
    page_number: u64,
    incarnation: u64,
    offset: usize,
    tip: u64,
    durable_through: u64,
}

impl Pages {
    /// Follows the decisions to their end.
    pub fn build(input: &mut Unstructured<'_>) -> Result<Self> {
        let ring_size = input.int_in_range(1..=4)?;
        let alignment = *input.choose(&[8, 512, 4096])?;
        let layout = Layout {
            store_id: STORE_ID,
            ring_size,
            page_size: PAGE_SIZE as u64,
            alignment,
            seal_offset: (PAGE_SIZE - SEAL_CAPACITY.next_multiple_of(alignment as usize)) as u64,
            index_capacity: 4,
            spacing: Spacing { bytes: 200, count: 3 },
            recovery: Recovery::Full,
            blank_limit: u64::MAX,
            threads: 1,
        };
        let files = vec![vec![0; PAGE_SIZE]; ring_size as usize];
        let mut pages = Self { layout, files, truncated_nowhere: false, logs: BTreeSet::new() };
        let mut place = Place { page_number: 1, incarnation: 1, ..Place::default() };
        let mut page = 0;
        let mut before = Place::default();
        for _ in 0..ring_size {
            pages.open(input, page, &mut place, &before)?;
            while !input.is_empty() && input.ratio(7, 8)? {
                pages.step(input, page, &mut place)?;
            }
            if input.ratio(3, 4)? {
                pages.seal(input, page, &mut place)?;
            }
            before = place;
            place.page_number = twisted(input, place.page_number.wrapping_add(1))?;
            page = (page + 1) % ring_size as usize;
            if input.ratio(1, 16)? {
                page = input.choose_index(ring_size as usize)?;
            }
        }
        pages.damage(input)?;
        Ok(pages)
    }

    fn open(
        &mut self,
        input: &mut Unstructured<'_>,
        page: usize,
        place: &mut Place,
        before: &Place,
    ) -> Result<()> {
        place.offset = PAGE_HEADER_SIZE;
        let body = OpenBody {
            predecessor_page_number: twisted(input, before.page_number)?,
            predecessor_end: twisted(input, before.offset as u64)?,
            predecessor_incarnation: twisted(input, before.incarnation)?,
            trimmed_seq_no: twisted(input, 0)?,
        };
        self.control_frame(input, page, place, FrameKind::Open, body.encode())
    }

    fn step(&mut self, input: &mut Unstructured<'_>, page: usize, place: &mut Place) -> Result<()> {
        match input.int_in_range(0..=9)? {
            0 => {
                let control = match input.int_in_range(0..=2)? {
                    0 => Control::Trim { up_to_seq_no: twisted(input, place.tip)? },
                    1 => Control::Truncate { after_seq_no: twisted(input, place.tip)? },
                    _ => Control::Clear,
                };
                let tip = place.tip;
                self.control_frame(input, page, place, FrameKind::Control, control.encode())?;
                place.tip = match control {
                    Control::Trim { .. } => tip,
                    Control::Truncate { after_seq_no } => self.truncate(after_seq_no),
                    Control::Clear => self.truncate(0),
                };
            }
            1 => place.incarnation = twisted(input, place.incarnation.wrapping_add(1))?,
            2 => place.durable_through = self.position(place),
            _ => self.data_frame(input, page, place)?,
        }
        Ok(())
    }

    /// Makes the logs behind one void; answers the new tip.
    fn truncate(&mut self, after_seq_no: u64) -> u64 {
        self.truncated_nowhere |= after_seq_no != 0 && !self.logs.contains(&after_seq_no);
        self.logs.retain(|seq_no| *seq_no <= after_seq_no);
        after_seq_no
    }

    fn position(&self, place: &Place) -> u64 {
        place.page_number.saturating_mul(PAGE_SIZE as u64).saturating_add(place.offset as u64)
    }

    fn data_frame(
        &mut self,
        input: &mut Unstructured<'_>,
        page: usize,
        place: &mut Place,
    ) -> Result<()> {
        let mut header = self.header(input, FrameKind::Data, place)?;
        let stamp = Stamp::Complete(STORE_ID.tag(header.page_number, header.incarnation));
        let mut body = Vec::new();
        let mut prev = header.first_prev_seq_no;
        let count = input.int_in_range(1..=6)?;
        for _ in 0..count {
            let seq_no = twisted(input, prev.saturating_add(1))?;
            let len = *input.choose(&[0, 1, 8, 30, 300, 3000])?;
            let payload = vec![input.arbitrary()?; len];
            let start = body.len();
            body.resize(start + record_size(len), 0);
            let written = record::encode(seq_no, prev, &payload, stamp, &mut body[start..]);
            assert_eq!(written, Some(record_size(len)));
            prev = seq_no;
            self.logs.insert(seq_no);
        }
        header.count = twisted_u32(input, count)?;
        header.last_seq_no = twisted(input, prev)?;
        self.put(input, page, place, header, &body)?;
        place.tip = prev;
        Ok(())
    }

    /// Writes a frame other than data.
    fn control_frame(
        &mut self,
        input: &mut Unstructured<'_>,
        page: usize,
        place: &mut Place,
        kind: FrameKind,
        mut body: Vec<u8>,
    ) -> Result<()> {
        let mut header = self.header(input, kind, place)?;
        seal_body(STORE_ID.seed(), header.page_number, header.incarnation, &mut body);
        header.count = twisted_u32(input, body.len() as u32)?;
        self.put(input, page, place, header, &body)
    }

    fn seal(&mut self, input: &mut Unstructured<'_>, page: usize, place: &mut Place) -> Result<()> {
        let mut seal = SealBody {
            end: twisted(input, place.offset as u64)?,
            first_prev_seq_no: twisted(input, 0)?,
            last_seq_no: twisted(input, place.tip)?,
            log_count: twisted(input, place.tip)?,
            trimmed_seq_no: twisted(input, 0)?,
            incarnations: vec![(PAGE_HEADER_SIZE as u64, twisted(input, place.incarnation)?)],
            index: Vec::new(),
        };
        for _ in 0..input.int_in_range(0..=6)? {
            let entry = IndexEntry {
                prev_seq_no: twisted(input, 0)?,
                offset: twisted_u32(input, (PAGE_HEADER_SIZE / 8) as u32)?,
                frame_end: twisted_u32(input, 0)?,
            };
            seal.index.push(entry);
        }
        place.durable_through = self.position(place);
        let mut there = Place { offset: self.layout.seal_offset as usize, ..*place };
        self.control_frame(input, page, &mut there, FrameKind::Seal, seal.encode())
    }

    fn header(
        &self,
        input: &mut Unstructured<'_>,
        kind: FrameKind,
        place: &Place,
    ) -> Result<FrameHeader> {
        Ok(FrameHeader {
            kind,
            flags: if input.ratio(1, 32)? { input.arbitrary()? } else { 0 },
            page_number: twisted(input, place.page_number)?,
            incarnation: twisted(input, place.incarnation)?,
            offset: place.offset as u64,
            length: 0,
            count: 0,
            first_prev_seq_no: twisted(input, place.tip)?,
            last_seq_no: place.tip,
            durable_through: twisted(input, place.durable_through)?,
        })
    }

    /// Writes a frame as far as it fits, and moves behind it.
    fn put(
        &mut self,
        input: &mut Unstructured<'_>,
        page: usize,
        place: &mut Place,
        mut header: FrameHeader,
        body: &[u8],
    ) -> Result<()> {
        let length = FRAME_HEADER_SIZE + body.len();
        let length = length.next_multiple_of(self.layout.alignment as usize);
        header.length = twisted(input, length as u64)?.min(1 << 30) / 8 * 8;
        let Some(room) = self.files[page].get_mut(place.offset..) else { return Ok(()) };
        let mut frame = vec![0; length];
        if header.encode(STORE_ID.seed(), &mut frame) {
            frame[FRAME_HEADER_SIZE..][..body.len()].copy_from_slice(body);
            let fits = frame.len().min(room.len());
            room[..fits].copy_from_slice(&frame[..fits]);
        }
        place.offset += length;
        Ok(())
    }

    /// Inverts bits, wipes sectors and shortens files.
    fn damage(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        while input.ratio(1, 4)? && !input.is_empty() {
            let page = input.choose_index(self.files.len())?;
            let file = &mut self.files[page];
            let at = input.int_in_range(0..=PAGE_SIZE - 1)?;
            match input.int_in_range(0..=2)? {
                0 => {
                    if let Some(byte) = file.get_mut(at) {
                        *byte ^= 1 << input.int_in_range(0..=7)?;
                    }
                }
                1 => {
                    let end = (at + 512).min(file.len());
                    file.get_mut(at..end).unwrap_or_default().fill(0);
                }
                _ => file.truncate(at),
            }
        }
        Ok(())
    }
}

/// A number that is right, most of the time.
fn twisted(input: &mut Unstructured<'_>, right: u64) -> Result<u64> {
    Ok(match input.int_in_range(0_u8..=63)? {
        63 => input.arbitrary()?,
        62 => u64::from(input.arbitrary::<u8>()?),
        61 => right.wrapping_add(1),
        60 => right.wrapping_sub(1),
        59 => u64::MAX,
        _ => right,
    })
}

fn twisted_u32(input: &mut Unstructured<'_>, right: u32) -> Result<u32> {
    Ok(twisted(input, u64::from(right))? as u32)
}
