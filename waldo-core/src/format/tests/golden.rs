//! Fixed inputs give fixed bytes: format 1 can not change by accident.
//!
//! The bytes here were computed by another program, from the description in `docs/format.md`
//! alone, and the same page is the worked example there. A test that fails here means that stores
//! that were written before can no longer be read: make a new format version, do not edit the
//! bytes.

use super::*;
use crate::format::frame::{
    FRAME_HEADER_SIZE, FRAME_MAGIC, OFFSET_LIMIT, checked_body, position, seal_body,
};
use crate::format::page_header::{PAGE_HEADER_SIZE, PAGE_MAGIC};
use crate::format::record::{RECORD_HEADER_SIZE, RecordHeader, decode_checked};
use crate::format::seal::SEAL_FLAG_SCAN;
use crate::format::{ALIGNMENT, FORMAT_VERSION};

const PAGE_SIZE: u64 = 65536;
const PAGE_NUMBER: u64 = 7;
const INCARNATION: u64 = 3;
const STORE: StoreId = StoreId([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);

/// Everything in the page that is not zero: runs of bytes and where they start.
const PAGE: [(usize, &[&str]); 7] = [
    // The page header, and its CRC.
    (
        0x0000,
        &[
            "57 41 4c 44 4f 50 47 31 01 00 00 00 00 00 00 00",
            "00 00 00 00 03 00 00 00 00 11 22 33 44 55 66 77",
            "88 99 aa bb cc dd ee ff 00 00 01 00 00 00 00 00",
            "08 00 00 00 00 10 00 00",
        ],
    ),
    (0x0ffc, &["06 50 b3 1a"]),
    // The open frame.
    (
        0x1000,
        &[
            "57 46 72 31 02 00 00 00 07 00 00 00 00 00 00 00",
            "03 00 00 00 00 00 00 00 00 02 00 00 0d 00 00 00",
            "24 00 00 00 db 51 1d f1 28 00 00 00 00 00 00 00",
            "28 00 00 00 00 00 00 00 00 20 06 00 00 00 00 00",
            "06 00 00 00 00 00 00 00 00 20 00 00 00 00 00 00",
            "02 00 00 00 00 00 00 00 0c 00 00 00 00 00 00 00",
            "5f e7 80 55 00 00 00 00",
        ],
    ),
    // The data frame: its header, then two logs.
    (
        0x1068,
        &[
            "57 46 72 31 01 00 00 00 07 00 00 00 00 00 00 00",
            "03 00 00 00 00 00 00 00 0d 02 00 00 0f 00 00 00",
            "02 00 00 00 e5 0d 62 90 28 00 00 00 00 00 00 00",
            "2b 00 00 00 00 00 00 00 00 20 06 00 00 00 00 00",
        ],
    ),
    (
        0x10a8,
        &[
            "2a 00 00 00 00 00 00 00 28 00 00 00 00 00 00 00",
            "05 00 00 00 d5 3c 25 cc 77 61 6c 64 6f 00 00 00",
            "2b 00 00 00 00 00 00 00 2a 00 00 00 00 00 00 00",
            "00 00 00 00 3e 7b aa 83",
        ],
    ),
    // The control frame.
    (
        0x10e0,
        &[
            "57 46 72 31 03 00 00 00 07 00 00 00 00 00 00 00",
            "03 00 00 00 00 00 00 00 1c 02 00 00 0b 00 00 00",
            "14 00 00 00 88 4b 14 3f 2b 00 00 00 00 00 00 00",
            "2b 00 00 00 00 00 00 00 e0 10 07 00 00 00 00 00",
            "01 00 00 00 00 00 00 00 29 00 00 00 00 00 00 00",
            "3a a2 48 0c 00 00 00 00",
        ],
    ),
    // The seal frame.
    (
        0xf000,
        &[
            "57 46 72 31 04 00 00 00 07 00 00 00 00 00 00 00",
            "03 00 00 00 00 00 00 00 00 1e 00 00 15 00 00 00",
            "64 00 00 00 60 d2 52 3f 2b 00 00 00 00 00 00 00",
            "2b 00 00 00 00 00 00 00 38 11 07 00 00 00 00 00",
            "38 11 00 00 00 00 00 00 28 00 00 00 00 00 00 00",
            "2b 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00",
            "29 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
            "00 10 00 00 00 00 00 00 03 00 00 00 00 00 00 00",
            "28 00 00 00 00 00 00 00 0d 02 00 00 00 00 00 00",
            "2a 00 00 00 00 00 00 00 19 02 00 00 1c 02 00 00",
            "88 be a2 5a 00 00 00 00",
        ],
    ),
];

/// A log with all numbers at their ends, under the tag of page number and incarnation `u64::MAX`.
const EXTREME_LOG: &[&str] = &[
    "ff ff ff ff ff ff ff ff fe ff ff ff ff ff ff ff",
    "03 00 00 00 58 f2 e0 0a ff ff ff 00 00 00 00 00",
];

/// A seal's header with every field at its end.
const EXTREME_HEADER: &[&str] = &[
    "57 46 72 31 04 ff 00 00 ff ff ff ff ff ff ff ff",
    "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff",
    "ff ff ff ff ea 70 46 92 ff ff ff ff ff ff ff ff",
    "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff",
];

/// A seal's body with two incarnations and an entry, and with numbers at their ends.
const EXTREME_SEAL: &[&str] = &[
    "ff ff ff ff ff ff ff ff fe ff ff ff ff ff ff ff",
    "ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff",
    "fe ff ff ff ff ff ff ff 02 00 00 00 00 00 00 00",
    "00 10 00 00 00 00 00 00 01 00 00 00 00 00 00 00",
    "f8 ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff",
    "fe ff ff ff ff ff ff ff fe ff ff ff ff ff ff ff",
    "47 32 f1 67",
];

fn unhex(lines: &[&str]) -> Vec<u8> {
    let digits = |line: &&str| line.split_whitespace().map(byte).collect::<Vec<u8>>();
    lines.iter().flat_map(digits).collect()
}

fn byte(digits: &str) -> u8 {
    assert_eq!(digits.len(), 2, "{digits} is not a byte");
    u8::from_str_radix(digits, 16).unwrap()
}

/// The page that the literals spell.
fn page() -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE as usize];
    for (at, lines) in PAGE {
        let bytes = unhex(lines);
        page[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    page
}

pub fn page_header() -> PageHeader {
    PageHeader {
        store_id: STORE,
        page_id: 3,
        page_size: PAGE_SIZE,
        frame_alignment: 8,
        seal_capacity: 4096,
    }
}

fn header(kind: FrameKind, offset: u64, length: u64, count: u32) -> FrameHeader {
    FrameHeader {
        kind,
        flags: 0,
        page_number: PAGE_NUMBER,
        incarnation: INCARNATION,
        offset,
        length,
        count,
        first_prev_seq_no: 43,
        last_seq_no: 43,
        durable_through: position(PAGE_NUMBER, PAGE_SIZE, offset),
    }
}

fn open() -> (FrameHeader, OpenBody) {
    let header = FrameHeader {
        first_prev_seq_no: 40,
        last_seq_no: 40,
        durable_through: position(6, PAGE_SIZE, 8192),
        ..header(FrameKind::Open, 4096, 104, 36)
    };
    let body = OpenBody {
        predecessor_page_number: 6,
        predecessor_end: 8192,
        predecessor_incarnation: 2,
        trimmed_seq_no: 12,
    };
    (header, body)
}

fn data() -> (FrameHeader, [Log; 2]) {
    let header = FrameHeader {
        first_prev_seq_no: 40,
        durable_through: position(6, PAGE_SIZE, 8192),
        ..header(FrameKind::Data, 4200, 120, 2)
    };
    (header, [(42, 40, b"waldo".to_vec()), (43, 42, Vec::new())])
}

fn control() -> (FrameHeader, Control) {
    (header(FrameKind::Control, 4320, 88, 20), Control::Trim { up_to_seq_no: 41 })
}

fn seal() -> (FrameHeader, SealBody) {
    let header = FrameHeader {
        durable_through: position(PAGE_NUMBER, PAGE_SIZE, 4408),
        ..header(FrameKind::Seal, 61440, 168, 100)
    };
    let body = SealBody {
        end: 4408,
        first_prev_seq_no: 40,
        last_seq_no: 43,
        log_count: 2,
        trimmed_seq_no: 41,
        incarnations: vec![(4096, INCARNATION)],
        index: vec![
            IndexEntry { prev_seq_no: 40, offset: 4200 / 8, frame_end: 0 },
            IndexEntry { prev_seq_no: 42, offset: 4296 / 8, frame_end: 4320 / 8 },
        ],
    };
    (header, body)
}

/// Puts a frame with this body to its place.
fn put_frame(page: &mut [u8], header: &FrameHeader, body: &[u8]) {
    let at = header.offset as usize;
    assert!(header.encode(STORE.seed(), &mut page[at..]));
    page[at + 64..at + 64 + body.len()].copy_from_slice(body);
    assert!(64 + body.len() as u64 <= header.length);
}

fn with_crc(mut body: Vec<u8>) -> Vec<u8> {
    seal_body(STORE.seed(), PAGE_NUMBER, INCARNATION, &mut body);
    body
}

#[test]
fn the_constants_of_format_1_are_fixed() {
    assert_eq!(FORMAT_VERSION, 1);
    assert_eq!(ALIGNMENT, 8);
    assert_eq!(PAGE_HEADER_SIZE, 4096);
    assert_eq!(PAGE_MAGIC, *b"WALDOPG1");
    assert_eq!(FRAME_HEADER_SIZE, 64);
    assert_eq!(FRAME_MAGIC, *b"WFr1");
    assert_eq!(OFFSET_LIMIT, 0x7_ffff_fff8);
    assert_eq!(RECORD_HEADER_SIZE, 24);
    assert_eq!(SEAL_FLAG_SCAN, 1);
    assert_eq!(OpenBody::SIZE, 32);
    assert_eq!(Control::SIZE, 16);
    assert_eq!(SealBody::frame_size(0), 116);
    assert_eq!(SealBody::frame_size(1), 132);
}

#[test]
fn the_seed_and_the_tag_of_the_golden_page_are_fixed() {
    assert_eq!(STORE.seed(), 0x48df_e982);
    assert_eq!(STORE.tag(PAGE_NUMBER, INCARNATION).get(), 0x35fa_e90c);
    assert_eq!(STORE.tag(u64::MAX, u64::MAX).get(), 0x961d_7487);
}

#[test]
fn a_page_with_every_structure_is_written_as_the_golden_bytes() {
    let mut written = page_header().encode();
    written.resize(PAGE_SIZE as usize, 0);
    let (header, body) = open();
    put_frame(&mut written, &header, &with_crc(body.encode()));
    let (header, logs) = data();
    let tag = STORE.tag(PAGE_NUMBER, INCARNATION);
    put_frame(&mut written, &header, &logs.map(|log| encoded(&log, tag)).concat());
    let (header, body) = control();
    put_frame(&mut written, &header, &with_crc(body.encode()));
    let (header, body) = seal();
    put_frame(&mut written, &header, &with_crc(body.encode()));

    let golden = page();
    for (at, (written, golden)) in written.chunks(16).zip(golden.chunks(16)).enumerate() {
        assert_eq!(written, golden, "at {:#06x}", at * 16);
    }
}

#[test]
fn the_golden_bytes_are_read_as_what_they_say() {
    let page = page();
    let seed = STORE.seed();
    assert_eq!(PageHeader::decode(&page), Ok(page_header()));
    assert_eq!(page_header().frames_start(), 4096);
    assert_eq!(page_header().seal_offset(), 61440);

    let frame = |at: u64| FrameHeader::decode(seed, &page[at as usize..]).unwrap();
    let body = |header: &FrameHeader| {
        checked_body(seed, header, &page[header.offset as usize + 64..]).unwrap()
    };
    let first = frame(4096);
    assert_eq!(first, open().0);
    assert_eq!(OpenBody::decode(body(&first)), Some(open().1));

    let second = frame(first.offset + first.length);
    let (expected, logs) = data();
    assert_eq!(second, expected);
    let mut rest = &page[second.offset as usize + 64..][..second.length as usize - 64];
    for (seq_no, prev_seq_no, payload) in logs {
        let (log, found) = decode_checked(rest, STORE.tag(PAGE_NUMBER, INCARNATION)).unwrap();
        assert_eq!((log.seq_no, log.prev_seq_no, found), (seq_no, prev_seq_no, &payload[..]));
        rest = &rest[log.size()..];
    }
    assert!(rest.is_empty());

    let third = frame(second.offset + second.length);
    assert_eq!(third, control().0);
    assert_eq!(Control::decode(body(&third)), Some(control().1));

    let last = frame(page_header().seal_offset());
    let (expected, summary) = seal();
    assert_eq!(last, expected);
    assert_eq!(third.offset + third.length, summary.end);
    assert_eq!(SealBody::decode(body(&last)), Some(summary.clone()));
    assert_eq!(summary.incarnations, [(first.offset, first.incarnation)]);
    for entry in summary.index {
        let at = entry.offset as usize * 8;
        let prev_seq_no = match entry.frame_end {
            0 => FrameHeader::decode(seed, &page[at..]).unwrap().first_prev_seq_no,
            _ => RecordHeader::decode(&page[at..]).unwrap().prev_seq_no,
        };
        assert_eq!(prev_seq_no, entry.prev_seq_no);
    }
}

#[test]
fn truncate_and_clear_are_written_as_the_golden_bytes() {
    assert_eq!(
        with_crc(Control::Truncate { after_seq_no: 40 }.encode()),
        unhex(&["02 00 00 00 00 00 00 00 28 00 00 00 00 00 00 00 ee bf 8c 56"])
    );
    assert_eq!(
        with_crc(Control::Clear.encode()),
        unhex(&["03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 53 d3 bb eb"])
    );
}

#[test]
fn fields_at_their_ends_are_written_as_the_golden_bytes() {
    let log = (u64::MAX, u64::MAX - 1, vec![0xff; 3]);
    assert_eq!(encoded(&log, STORE.tag(u64::MAX, u64::MAX)), unhex(EXTREME_LOG));
    let header = FrameHeader {
        kind: FrameKind::Seal,
        flags: u8::MAX,
        page_number: u64::MAX,
        incarnation: u64::MAX,
        offset: OFFSET_LIMIT,
        length: OFFSET_LIMIT,
        count: u32::MAX,
        first_prev_seq_no: u64::MAX,
        last_seq_no: u64::MAX,
        durable_through: u64::MAX,
    };
    assert_eq!(encoded_header(&header, STORE), unhex(EXTREME_HEADER));
    assert_eq!(FrameHeader::decode(STORE.seed(), &unhex(EXTREME_HEADER)), Some(header));
    let seal = SealBody {
        end: u64::MAX,
        first_prev_seq_no: u64::MAX - 1,
        last_seq_no: u64::MAX,
        log_count: u64::MAX,
        trimmed_seq_no: u64::MAX - 1,
        incarnations: vec![(4096, 1), (u64::MAX - 7, u64::MAX)],
        index: vec![IndexEntry {
            prev_seq_no: u64::MAX - 1,
            offset: u32::MAX - 1,
            frame_end: u32::MAX,
        }],
    };
    assert_eq!(with_crc(seal.encode()), unhex(EXTREME_SEAL));
    let decoded = SealBody::decode(&unhex(EXTREME_SEAL)[..seal.encode().len()]);
    assert_eq!(decoded, Some(seal));
}

/// The lines of the ```` ```hex ```` blocks in the description: an address, then bytes.
#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn the_worked_example_of_the_description_is_the_golden_page() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    // A package of the crate alone comes without it.
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let mut described = vec![0; PAGE_SIZE as usize];
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```hex";
        } else if inside && !line.trim().is_empty() {
            let (address, bytes) = line.split_once("  ").unwrap();
            let at = usize::from_str_radix(address, 16).unwrap();
            for (to, digits) in described[at..].iter_mut().zip(bytes.split_whitespace()) {
                *to = byte(digits);
            }
        }
    }
    let golden = page();
    for (at, (described, golden)) in described.chunks(16).zip(golden.chunks(16)).enumerate() {
        assert_eq!(described, golden, "at {:#06x}", at * 16);
    }
}
