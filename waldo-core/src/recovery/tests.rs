//! Single frames, seals and pages, made byte by byte: what is taken, and what is not.

use std::io;

use super::frames::{Content, End, Frames, Next};
use super::{Assembled, Layout, PageSource, assemble, count_logs, follows, scan_all, scan_page};
use crate::format::frame::{position, seal_body};
use crate::format::meta::{Control, OpenBody};
use crate::format::record::{Stamp, encode, record_size};
use crate::format::seal::{IndexEntry, SEAL_FLAG_SCAN, SealBody};
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, StoreId};
use crate::index::Spacing;
use crate::options::Recovery;

const STORE: StoreId = StoreId(*b"pages by hand...");
const START: u64 = PAGE_HEADER_SIZE as u64;
const PAGE_SIZE: u64 = START + 16 * 1024;
const SEAL: u64 = PAGE_SIZE - 1024;
/// Number of the use, and incarnation, that frames belong to here.
const USE: (u64, u64) = (7, 3);

struct Pages(Vec<Vec<u8>>);

impl PageSource for Pages {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let rest = &self.0[page as usize][offset as usize..];
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Pages {
    fn blank(count: usize) -> Self {
        Self(vec![vec![0; PAGE_SIZE as usize]; count])
    }

    fn put(&mut self, page: usize, offset: u64, bytes: &[u8]) {
        self.0[page][offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    /// What stands behind `end` in the first page: the frame's content, or whether it is torn.
    fn next(&self, layout: &Layout, end: &End) -> Result<Content, bool> {
        match Frames::new(self, layout, 0).next(end).unwrap() {
            Next::Frame(frame) => Ok(frame.content),
            Next::End { torn } => Err(torn),
        }
    }
}

fn layout() -> Layout {
    Layout {
        store_id: STORE,
        ring_size: 2,
        page_size: PAGE_SIZE,
        alignment: 8,
        seal_offset: SEAL,
        index_capacity: 64,
        spacing: Spacing { bytes: 256, count: 1000 },
        recovery: Recovery::Full,
        blank_limit: u64::MAX,
        threads: 1,
    }
}

fn end() -> End {
    let (page_number, incarnation) = USE;
    End { page_number, offset: START + 160, incarnation, tip: 10, log_count: 10 }
}

/// The header of a frame that follows `end`.
fn header(kind: FrameKind, end: &End, length: u64) -> FrameHeader {
    FrameHeader {
        kind,
        flags: 0,
        page_number: end.page_number,
        incarnation: end.incarnation,
        offset: end.offset,
        length,
        count: 0,
        first_prev_seq_no: end.tip,
        last_seq_no: end.tip,
        durable_through: 0,
    }
}

fn bytes_of(header: &FrameHeader, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; (header.length as usize).max(FRAME_HEADER_SIZE + body.len())];
    assert!(header.encode(STORE.seed(), &mut bytes));
    bytes[FRAME_HEADER_SIZE..][..body.len()].copy_from_slice(body);
    bytes
}

/// A frame other than data.
fn framed(mut header: FrameHeader, mut body: Vec<u8>) -> Vec<u8> {
    seal_body(STORE.seed(), header.page_number, header.incarnation, &mut body);
    header.count = body.len() as u32;
    header.length = header.length.max((FRAME_HEADER_SIZE + body.len()).next_multiple_of(8) as u64);
    bytes_of(&header, &body)
}

/// A frame with the logs that follow `end`, of `lens` bytes.
fn data(end: &End, lens: &[usize]) -> (FrameHeader, Vec<u8>) {
    let numbers: Vec<(u64, u64)> =
        (0..lens.len() as u64).map(|at| (end.tip + at + 1, end.tip + at)).collect();
    data_of(end, lens, &numbers)
}

/// A frame with these logs, each with its number and the one before.
fn data_of(end: &End, lens: &[usize], numbers: &[(u64, u64)]) -> (FrameHeader, Vec<u8>) {
    let stamp = Stamp::Complete(STORE.tag(end.page_number, end.incarnation));
    let mut body = Vec::new();
    for (len, (seq_no, prev_seq_no)) in lens.iter().zip(numbers) {
        let at = body.len();
        body.resize(at + record_size(*len), 0);
        encode(*seq_no, *prev_seq_no, &vec![b'x'; *len], stamp, &mut body[at..]).unwrap();
    }
    let mut header = header(FrameKind::Data, end, (FRAME_HEADER_SIZE + body.len()) as u64);
    header.count = lens.len() as u32;
    header.last_seq_no = numbers.last().map_or(end.tip, |(seq_no, _)| *seq_no);
    (header, body)
}

fn takes(end: &End, bytes: &[u8]) -> bool {
    takes_in(&layout(), end, bytes)
}

fn takes_in(layout: &Layout, end: &End, bytes: &[u8]) -> bool {
    let mut pages = Pages::blank(1);
    pages.put(0, end.offset, bytes);
    pages.next(layout, end).is_ok()
}

#[test]
fn a_tear_keeps_two_of_three_marks() {
    let end = end();
    let (header, body) = data(&end, &[5]);
    let whole = bytes_of(&header, &body);
    let marks = [0..4, 8..16, 24..28];
    for kept in 0..8_usize {
        let mut torn = whole.clone();
        torn[36] ^= 1;
        for (_, mark) in marks.iter().enumerate().filter(|(at, _)| kept >> at & 1 == 0) {
            torn[mark.clone()].iter_mut().for_each(|byte| *byte ^= 0x5a);
        }
        let mut pages = Pages::blank(1);
        pages.put(0, end.offset, &torn);
        let found = pages.next(&layout(), &end).map(drop);
        assert_eq!(found, Err(kept.count_ones() >= 2), "marks {kept:03b}");
    }
    assert!(takes(&end, &whole));
    // A good frame of another use is none of ours, and neither is nothing.
    let older = End { page_number: end.page_number - 1, ..end };
    let (header, body) = data(&older, &[5]);
    for bytes in [bytes_of(&header, &body), vec![0; 64]] {
        let mut pages = Pages::blank(1);
        pages.put(0, end.offset, &bytes);
        assert_eq!(pages.next(&layout(), &end).map(drop), Err(false));
    }
}

#[test]
fn logs_follow_each_other_to_the_last_byte() {
    let end = end();
    let good = |lens: &[usize], numbers: &[(u64, u64)]| {
        let (header, body) = data_of(&end, lens, numbers);
        takes(&end, &bytes_of(&header, &body))
    };
    assert!(good(&[3, 0, 9], &[(11, 10), (15, 11), (16, 15)]));
    assert!(!good(&[3, 3], &[(11, 10), (13, 12)]), "a log is missing");
    assert!(!good(&[3, 3], &[(11, 10), (11, 11)]), "a number does not grow");
    assert!(!good(&[3], &[(11, 9)]), "it does not follow the tip");
    assert!(!good(&[], &[]), "no logs");

    let (header, body) = data(&end, &[5, 5]);
    for (first_prev_seq_no, last_seq_no) in [(9, 12), (10, 11), (10, 13)] {
        let wrong = FrameHeader { first_prev_seq_no, last_seq_no, ..header };
        assert!(!takes(&end, &bytes_of(&wrong, &body)), "{first_prev_seq_no} {last_seq_no}");
    }
    // Whatever came before the first log of a store is nothing.
    let (header, body) = data(&End { tip: 900, ..end }, &[5]);
    assert!(takes(&End { tip: 0, ..end }, &bytes_of(&header, &body)));
    assert!(!takes(&End { tip: 899, ..end }, &bytes_of(&header, &body)));
    // Zeros fill the last block, and no more than that.
    let aligned = Layout { alignment: 512, ..layout() };
    let end = End { offset: START + 512, ..end };
    let (header, body) = data(&end, &[5]);
    for (length, is_good) in [(512, true), (1024, false), (96, false)] {
        let header = FrameHeader { length, ..header };
        assert_eq!(takes_in(&aligned, &end, &bytes_of(&header, &body)), is_good, "{length}");
    }
    let (header, body) = data(&end, &[424]);
    assert!(takes_in(&aligned, &end, &bytes_of(&header, &body)));
    assert!(!takes_in(&aligned, &end, &bytes_of(&FrameHeader { length: 1024, ..header }, &body)));
}

#[test]
fn the_next_frame_is_expected_behind_the_last() {
    let end = end();
    let (header, body) = data(&end, &[5, 5]);
    let mut pages = Pages::blank(1);
    pages.put(0, end.offset, &bytes_of(&header, &body));
    let layout = layout();
    let Next::Frame(frame) = Frames::new(&pages, &layout, 0).next(&end).unwrap() else { panic!() };
    let behind = End { offset: end.offset + header.length, tip: 12, log_count: 12, ..end };
    assert_eq!(frame.end(&end), behind);
}

#[test]
fn a_page_starts_with_an_open_frame() {
    let opens = |header: FrameHeader, body: Vec<u8>| {
        let mut pages = Pages::blank(1);
        pages.put(0, START, &framed(header, body));
        scan_page(&pages, &layout(), 0).unwrap().opened.is_some()
    };
    let end = End { offset: START, ..end() };
    let body = OpenBody {
        predecessor_page_number: 6,
        predecessor_end: START,
        predecessor_incarnation: 1,
        trimmed_seq_no: 0,
    };
    let body = body.encode();
    assert!(opens(header(FrameKind::Open, &end, 0), body.clone()));
    assert!(opens(header(FrameKind::Open, &end, SEAL - START), body.clone()));
    assert!(!opens(header(FrameKind::Open, &end, SEAL - START + 8), body.clone()));
    assert!(!opens(header(FrameKind::Control, &end, 0), body));
}

#[test]
fn a_frame_ends_before_the_seal() {
    let (_, body) = data(&end(), &[5]);
    let length = (FRAME_HEADER_SIZE + body.len()) as u64;
    for (offset, is_good) in [(SEAL - length, true), (SEAL - length + 8, false), (SEAL, false)] {
        let end = End { offset, ..end() };
        let (header, body) = data(&end, &[5]);
        assert_eq!(takes(&end, &bytes_of(&header, &body)), is_good, "{offset}");
    }
}

#[test]
fn a_change_to_the_log_fits_its_tip() {
    let end = end();
    let control =
        |header: FrameHeader, control: Control| takes(&end, &framed(header, control.encode()));
    let header = header(FrameKind::Control, &end, 0);
    assert!(control(header, Control::Trim { up_to_seq_no: 5 }));
    assert!(control(header, Control::Clear));
    assert!(control(header, Control::Truncate { after_seq_no: 10 }));
    assert!(!control(header, Control::Truncate { after_seq_no: 11 }));
    for (first_prev_seq_no, last_seq_no) in [(9, 10), (10, 9), (11, 11)] {
        let wrong = FrameHeader { first_prev_seq_no, last_seq_no, ..header };
        assert!(!control(wrong, Control::Clear), "{first_prev_seq_no} {last_seq_no}");
    }
}

#[test]
fn reading_may_start_at_every_frame_and_at_logs_that_are_far_apart() {
    let end = end();
    let lens = [300, 100, 100, 10, 300, 7, 7, 200, 0, 40, 40, 40, 40, 40];
    let (header, body) = data(&end, &lens);
    let mut pages = Pages::blank(1);
    pages.put(0, end.offset, &bytes_of(&header, &body));
    let Ok(Content::Logs(found)) = pages.next(&layout(), &end) else { panic!("it is good") };
    // The places, in a simpler way.
    let mut wanted = vec![(end.offset, 10, 10)];
    let (mut at, mut marked) = (end.offset + FRAME_HEADER_SIZE as u64, end.offset);
    for (ordinal, len) in (10..).zip(lens) {
        let size = record_size(len) as u64;
        if at + size > marked + 256 && ordinal > 10 {
            wanted.push((at, ordinal, ordinal));
            marked = at;
        }
        at += size;
    }
    assert!(wanted.len() > 4);
    assert_eq!(found.len(), wanted.len());
    let frame_end = end.offset + header.length;
    let ends = wanted.iter().skip(1).map(|(at, ordinal, _)| (*at, *ordinal));
    let ends = ends.chain([(frame_end, 10 + lens.len() as u64)]);
    for ((place, wanted), next) in found.iter().zip(&wanted).zip(ends) {
        let entry = place.entry;
        assert_eq!((u64::from(entry.offset) * 8, place.ordinal, entry.prev_seq_no), *wanted);
        let within = if wanted.0 == end.offset { 0 } else { frame_end };
        assert_eq!(u64::from(entry.frame_end) * 8, within);
        assert_eq!((place.next_offset, place.next_ordinal), next);
    }
}

#[test]
fn leftovers_are_found_wherever_they_are() {
    let magic = &bytes_of(&header(FrameKind::Data, &end(), 64), &[])[..4];
    for alignment in [8, 512] {
        let layout = Layout { alignment, ..layout() };
        let places = [0, 1, 3, 7, 8, 9, 20, 31].map(|at| START + at * 512);
        let places = places.into_iter().chain([START + 8, START + 16, START + 4096 + 24]);
        for place in places.filter(|place| place % alignment == 0) {
            let mut pages = Pages::blank(1);
            pages.put(0, place, magic);
            let find = |from: u64, limit: u64| {
                Frames::new(&pages, &layout, 0).find_magic(from, limit).unwrap()
            };
            for from in [START, START + 4096, place].into_iter().filter(|from| *from <= place) {
                assert_eq!(find(from, u64::MAX), Some(place), "from {from}");
                assert_eq!(find(from, place + 1), Some(place), "from {from}");
                assert_eq!(find(from, place), None, "from {from}");
            }
            assert_eq!(find(place + alignment, u64::MAX), None);
        }
    }
}

/// The number of logs that the first page's seal counts, if it is taken.
fn sealed(seal: &SealBody, change: impl FnOnce(&mut FrameHeader)) -> Option<u64> {
    let at = End { offset: SEAL, ..end() };
    let mut header = header(FrameKind::Seal, &at, 0);
    change(&mut header);
    let mut pages = Pages::blank(1);
    pages.put(0, SEAL, &framed(header, seal.encode()));
    let open = self::header(FrameKind::Open, &End { offset: START, ..end() }, 0);
    Frames::new(&pages, &layout(), 0).seal(&open).unwrap().map(|seal| seal.log_count)
}

fn seal() -> SealBody {
    let entry = |prev_seq_no, offset, frame_end| IndexEntry { prev_seq_no, offset, frame_end };
    SealBody {
        end: START + 4000,
        first_prev_seq_no: 10,
        last_seq_no: 30,
        log_count: 20,
        trimmed_seq_no: 0,
        incarnations: vec![(START, 1), (START + 800, 3)],
        index: vec![entry(10, 512, 0), entry(15, 600, 700), entry(15, 1011, 1012)],
    }
}

#[test]
fn a_seal_belongs_to_its_page() {
    assert_eq!(sealed(&seal(), |_| ()), Some(20));
    assert_eq!(sealed(&seal(), |header| header.flags = 2), Some(20), "an unknown flag");
    assert_eq!(sealed(&seal(), |header| header.flags = SEAL_FLAG_SCAN), None);
    assert_eq!(sealed(&seal(), |header| header.flags = SEAL_FLAG_SCAN | 2), None);
    assert_eq!(sealed(&seal(), |header| header.page_number += 1), None);
    assert_eq!(sealed(&seal(), |header| header.kind = FrameKind::Control), None);
}

#[test]
fn a_seal_makes_sense() {
    type Change = fn(&mut SealBody);
    let good: [Change; 8] = [
        |seal| seal.index.clear(),
        |seal| seal.index[1].frame_end = 601,
        |seal| seal.index[0].prev_seq_no = 15,
        |seal| (seal.last_seq_no, seal.log_count) = (10, 0),
        |seal| (seal.last_seq_no, seal.log_count) = (1 << 40, seal.end / 24),
        |seal| seal.incarnations.clear(),
        |seal| seal.end = SEAL,
        |seal| (seal.end, seal.index) = (START + 8, vec![]),
    ];
    for (at, change) in good.into_iter().enumerate() {
        let mut seal = seal();
        change(&mut seal);
        assert_eq!(sealed(&seal, |_| ()), Some(seal.log_count), "good {at}");
    }
    let bad: [Change; 17] = [
        |seal| seal.first_prev_seq_no = 9,
        |seal| seal.first_prev_seq_no = 11,
        |seal| seal.log_count = 0,
        |seal| seal.index[0].offset = 511,
        |seal| (seal.index[2].offset, seal.index[2].frame_end) = (1012, 0),
        |seal| (seal.index[2].offset, seal.index[2].frame_end) = (1012, 1013),
        |seal| seal.index[2].frame_end = 1013,
        |seal| seal.index[1].frame_end = 600,
        |seal| seal.index[1].frame_end = 599,
        |seal| seal.index[1].offset = 512,
        |seal| seal.index.swap(0, 1),
        |seal| seal.index[0].prev_seq_no = 16,
        |seal| seal.log_count = 21,
        |seal| (seal.last_seq_no, seal.log_count) = (9, 0),
        |seal| (seal.last_seq_no, seal.log_count) = (1 << 40, seal.end / 24 + 1),
        |seal| seal.incarnations.swap(0, 1),
        |seal| seal.end = SEAL + 8,
    ];
    for (at, change) in bad.into_iter().enumerate() {
        let mut seal = seal();
        change(&mut seal);
        assert_eq!(sealed(&seal, |_| ()), None, "bad {at}");
    }
    let none = SealBody { end: START, index: vec![], log_count: 0, ..seal() };
    assert_eq!(sealed(&none, |_| ()), None, "no frames at all");
}

/// Puts the start of a use of a page there that goes on where `before` ends; answers its end.
fn put_open(pages: &mut Pages, page: usize, number: u64, before: &End) -> End {
    let mut end = End { page_number: number, offset: START, log_count: 0, ..*before };
    let body = OpenBody {
        predecessor_page_number: before.page_number,
        predecessor_end: before.offset,
        predecessor_incarnation: before.incarnation,
        trimmed_seq_no: 0,
    };
    let bytes = framed(header(FrameKind::Open, &end, 0), body.encode());
    pages.put(page, START, &bytes);
    end.offset += bytes.len() as u64;
    end
}

/// Puts logs there; answers the end of their frame.
fn put_logs(pages: &mut Pages, page: usize, end: &End, count: u64, durable_through: u64) -> End {
    let (header, body) = data(end, &vec![20; count as usize]);
    let bytes = bytes_of(&FrameHeader { durable_through, ..header }, &body);
    pages.put(page, end.offset, &bytes);
    End {
        offset: end.offset + bytes.len() as u64,
        tip: end.tip + count,
        log_count: end.log_count + count,
        ..*end
    }
}

/// Two pages: logs 1 to 5 in the first, 6 to 9 in the second. Answers where they end.
fn two_pages() -> (Pages, End, End) {
    let mut pages = Pages::blank(2);
    let nothing = End { incarnation: 3, ..End::default() };
    let first = put_open(&mut pages, 0, 1, &nothing);
    let first = put_logs(&mut pages, 0, &first, 2, 0);
    let first = put_logs(&mut pages, 0, &first, 3, 0);
    let second = put_open(&mut pages, 1, 2, &first);
    let second = put_logs(&mut pages, 1, &second, 4, 0);
    (pages, first, second)
}

fn recover(pages: &Pages, recovery: Recovery) -> Assembled {
    let layout = Layout { recovery, ring_size: pages.0.len() as u32, ..layout() };
    let scans = scan_all(pages, &layout).unwrap();
    assemble(pages, &layout, &scans, 0).unwrap()
}

#[test]
fn a_report_tells_what_was_found() {
    let (mut pages, first, second) = two_pages();
    let found = recover(&pages, Recovery::Full);
    let report = &found.report;
    assert_eq!((report.page_count, report.sealed_page_count), (2, 0));
    assert_eq!((report.log_count, report.after_seq_no, report.prev_seq_no), (9, 0, 9));
    assert_eq!(report.bytes_read, 2 * (PAGE_SIZE - START));
    assert!(report.dropped.is_none() && found.damage.is_none());
    assert!(found.recovered.repair && !found.recovered.lossy);

    // The first page has a seal.
    let at = End { offset: SEAL, ..first };
    let body = SealBody {
        end: first.offset,
        first_prev_seq_no: 0,
        last_seq_no: 5,
        log_count: 5,
        trimmed_seq_no: 0,
        incarnations: vec![(START, 3)],
        index: vec![],
    };
    let mut seal = header(FrameKind::Seal, &at, 0);
    seal.durable_through = position(1, PAGE_SIZE, first.offset);
    pages.put(0, SEAL, &framed(seal, body.encode()));
    for (recovery, count) in [(Recovery::Full, 0), (Recovery::Fast, 1)] {
        let report = recover(&pages, recovery).report;
        assert_eq!((report.sealed_page_count, report.log_count), (count, 9));
        assert!(report.dropped.is_none());
    }

    // Two whole frames behind a torn one.
    let torn = put_logs(&mut pages, 1, &second, 1, 0);
    let behind = put_logs(&mut pages, 1, &torn, 2, 0);
    put_logs(&mut pages, 1, &behind, 2, 0);
    pages.put(1, second.offset, &[0; 64]);
    let report = recover(&pages, Recovery::Full).report;
    let dropped = report.dropped.unwrap();
    assert_eq!((dropped.page, dropped.offset, dropped.frame_count), (1, second.offset, 2));
    assert_eq!((report.log_count, report.prev_seq_no), (9, 9));

    // One of them says that what is missing had been durable; there are others, too.
    let last = put_logs(&mut pages, 1, &behind, 2, position(2, PAGE_SIZE, torn.offset));
    put_logs(&mut pages, 1, &End { incarnation: 4, ..last }, 1, 0);
    let found = recover(&pages, Recovery::Full);
    let damage = found.damage.unwrap();
    assert_eq!((damage.corruption.page, damage.corruption.offset), (1, second.offset));
    assert_eq!(damage.corruption.after_seq_no, 9);
    assert_eq!((damage.pages, damage.beheaded), (vec![(1, 2)], false));
    assert!(found.report.dropped.is_none() && found.recovered.lossy);
    // Not where it speaks of no more than there is.
    put_logs(&mut pages, 1, &behind, 2, position(2, PAGE_SIZE, second.offset));
    assert!(recover(&pages, Recovery::Full).damage.is_none());
}

#[test]
fn a_store_that_nobody_wrote_to_needs_no_repair() {
    let blank = recover(&Pages::blank(2), Recovery::Full);
    assert!(!blank.recovered.repair && blank.report.dropped.is_none());
    // The start of a frame that was never completed, or what followed a start that is lost.
    let whole = two_pages().0;
    for kept in [0..40, 160..400] {
        let mut pages = Pages::blank(2);
        let from = START as usize + kept.start;
        pages.put(0, from as u64, &whole.0[0][from..START as usize + kept.end]);
        let found = recover(&pages, Recovery::Full);
        assert!(found.recovered.repair && found.recovered.pages.is_empty(), "{kept:?}");
    }
}

#[test]
fn a_page_follows_in_every_respect() {
    let (pages, ..) = two_pages();
    let page = |page| scan_page(&pages, &layout(), page).unwrap().opened.unwrap();
    let (first, second) = (page(0), page(1));
    assert!(follows(&first, &second));
    let mut wrong = [(); 5].map(|()| second.clone());
    wrong[0].open.predecessor_page_number += 1;
    wrong[1].open.predecessor_end += 8;
    wrong[2].first_tip -= 1;
    wrong[3].first_incarnation -= 1;
    wrong[4].open.predecessor_page_number = 0;
    for (at, wrong) in wrong.iter().enumerate() {
        assert!(!follows(&first, wrong), "{at}");
    }
    let mut later = second;
    later.first_incarnation += 1;
    assert!(follows(&first, &later));
}

#[test]
fn two_pages_of_one_number_are_damage() {
    let (mut pages, ..) = two_pages();
    pages.0[1] = pages.0[0].clone();
    let corruption = recover(&pages, Recovery::Full).damage.unwrap().corruption;
    assert_eq!((corruption.page, corruption.offset), (1, START));
}

#[test]
fn what_comes_before_a_lost_page_was_promised_or_not() {
    let nothing = End { incarnation: 3, ..End::default() };
    let lost = End { page_number: 1, offset: START + 200, tip: 5, ..nothing };
    let with = |durable_through| {
        let mut pages = Pages::blank(2);
        let end = put_open(&mut pages, 1, 2, &lost);
        put_logs(&mut pages, 1, &end, 4, durable_through);
        recover(&pages, Recovery::Full)
    };
    let start = position(1, PAGE_SIZE, 0);
    for durable_through in [0, start - 8, start] {
        let found = with(durable_through);
        assert!(found.damage.is_none() && found.recovered.lossy, "{durable_through}");
        assert_eq!(found.report.after_seq_no, 5);
    }
    for durable_through in [start + 8, start + START + 200] {
        let damage = with(durable_through).damage.unwrap();
        assert!(damage.beheaded, "{durable_through}");
        assert_eq!((damage.corruption.page, damage.corruption.offset), (1, START));
    }
    // Nothing is missing where the log was cleared since.
    let mut pages = Pages::blank(2);
    let end = put_open(&mut pages, 1, 2, &lost);
    let clear = header(FrameKind::Control, &end, 0);
    let clear = FrameHeader { durable_through: start + 8, ..clear };
    pages.put(1, end.offset, &framed(clear, Control::Clear.encode()));
    let found = recover(&pages, Recovery::Full);
    assert!(found.damage.is_none() && !found.recovered.lossy);
}

#[test]
fn what_no_frame_promises_is_unvouched() {
    let (mut pages, first, second) = two_pages();
    let parts = |pages: &Pages| {
        let found = recover(pages, Recovery::Full).unvouched;
        found.into_iter().map(|part| (part.page, part.bytes)).collect::<Vec<_>>()
    };
    let later = (1, START..second.offset);
    assert_eq!(parts(&pages), [(0, START..first.offset), later.clone()]);
    let behind = put_logs(&mut pages, 1, &second, 1, position(1, PAGE_SIZE, first.offset));
    assert_eq!(parts(&pages), [(1, START..behind.offset)]);
    let last = put_logs(&mut pages, 1, &behind, 1, position(2, PAGE_SIZE, second.offset));
    assert_eq!(parts(&pages), [(1, second.offset..last.offset)]);
}

#[test]
fn leftovers_are_summed_up_by_use_and_incarnation() {
    let mut pages = Pages::blank(1);
    let mut at = end();
    for (page_number, incarnation) in [(7, 3), (7, 4), (7, 3), (6, 3)] {
        at = put_logs(&mut pages, 0, &End { page_number, incarnation, ..at }, 2, 0);
    }
    let others = scan_page(&pages, &layout(), 0).unwrap().others;
    let sums = others.iter().map(|other| (other.page_number, other.incarnation, other.count));
    assert_eq!(sums.collect::<Vec<_>>(), [(7, 3, 2), (7, 4, 1), (6, 3, 1)]);
}

#[test]
fn logs_are_counted_up_to_a_place() {
    let (pages, first, _) = two_pages();
    let content = scan_page(&pages, &layout(), 0).unwrap().opened.unwrap().content;
    let (_, three) = data(&End::default(), &[20; 3]);
    let before = first.offset - (FRAME_HEADER_SIZE + three.len()) as u64;
    let count = |end, seq_no| count_logs(&pages, &layout(), &content, end, seq_no).unwrap();
    assert_eq!((count(before, 9), count(first.offset, 9), count(first.offset, 4)), (2, 5, 4));
}

/// The number of the first log is the store's choice; what came before it is nothing.
#[test]
fn a_log_begins_where_its_first_number_says() {
    let mut pages = Pages::blank(2);
    let end = put_open(&mut pages, 0, 1, &End { incarnation: 3, ..End::default() });
    let end = put_logs(&mut pages, 0, &End { tip: 100, ..end }, 2, 0);
    let body = SealBody {
        end: end.offset,
        first_prev_seq_no: 100,
        last_seq_no: 102,
        log_count: 2,
        trimmed_seq_no: 0,
        incarnations: vec![(START, 3)],
        index: vec![],
    };
    let seal = header(FrameKind::Seal, &End { offset: SEAL, ..end }, 0);
    pages.put(0, SEAL, &framed(seal, body.encode()));
    for recovery in [Recovery::Full, Recovery::Fast] {
        let report = recover(&pages, recovery).report;
        assert_eq!((report.after_seq_no, report.log_count, report.prev_seq_no), (100, 2, 102));
    }
}

/// Pages that were being reused when the machine stopped lie before those that need nothing from
/// them.
#[test]
fn the_log_starts_anew_where_nothing_before_is_needed() {
    let nothing = End { incarnation: 3, ..End::default() };
    let mut pages = Pages::blank(3);
    let end = put_open(&mut pages, 0, 1, &nothing);
    put_logs(&mut pages, 0, &end, 5, 0);
    let lost = End { page_number: 2, offset: START + 200, tip: 9, ..nothing };
    let end = put_open(&mut pages, 1, 3, &lost);
    let trim =
        framed(header(FrameKind::Control, &end, 0), Control::Trim { up_to_seq_no: 9 }.encode());
    pages.put(1, end.offset, &trim);
    let end = End { offset: end.offset + trim.len() as u64, ..end };
    let end = put_logs(&mut pages, 1, &end, 3, 0);
    let report = recover(&pages, Recovery::Full).report;
    assert_eq!((report.after_seq_no, report.prev_seq_no, report.page_count), (9, 12, 1));
    assert!(report.dropped.is_none());
    // A page behind that counts on more than there is.
    let lost = End { page_number: 4, offset: START + 200, tip: 20, ..end };
    let newest = put_open(&mut pages, 2, 5, &lost);
    put_logs(&mut pages, 2, &newest, 1, position(4, PAGE_SIZE, START + 200));
    let damage = recover(&pages, Recovery::Full).damage.unwrap();
    assert_eq!((damage.corruption.page, damage.corruption.offset), (1, end.offset));
    assert_eq!(damage.pages, [(2, 5)]);
}
