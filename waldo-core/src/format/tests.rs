//! Format 1 against an oracle that was written from its description, byte by byte.

mod arbitrary;
mod damage;
mod edges;
mod golden;
mod identity;
mod oracle;
mod round_trip;

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::{FrameHeader, FrameKind};
use super::meta::{Control, OpenBody};
use super::page_header::PageHeader;
use super::seal::{IndexEntry, SealBody};
use super::{StoreId, Tag};

/// How often a property is tried: `cases` times, or more where `PROPTEST_CASES` says so.
fn config(cases: u32) -> ProptestConfig {
    if cfg!(miri) {
        // Files are out of reach there, and every case is slow.
        ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() }
    } else {
        let usual = ProptestConfig::default();
        ProptestConfig { cases: cases.max(usual.cases), ..usual }
    }
}

/// Any number, the ends of the range more often than chance would have it.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => any::<u64>(),
        2 => 0..1000_u64,
        1 => Just(0),
        1 => Just(u64::MAX),
        1 => Just(u64::MAX - 1),
    ]
}

fn store_id() -> impl Strategy<Value = StoreId> {
    prop_oneof![
        8 => any::<[u8; 16]>().prop_map(StoreId),
        1 => Just(StoreId([0; 16])),
        1 => Just(StoreId([0xff; 16])),
    ]
}

/// Payloads with every length of the padding, and with zeros, which CRCs are weakest on.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..=17),
        2 => vec(any::<u8>(), 18..=300),
        1 => (0..=64_usize).prop_map(|len| vec![0; len]),
        1 => (0..=64_usize).prop_map(|len| vec![0xff; len]),
    ]
}

/// What names one use of a page: store, page number, incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    store: StoreId,
    page_number: u64,
    incarnation: u64,
}

impl Identity {
    fn tag(&self) -> Tag {
        self.store.tag(self.page_number, self.incarnation)
    }
}

fn identity() -> impl Strategy<Value = Identity> {
    (store_id(), number(), number()).prop_map(|(store, page_number, incarnation)| Identity {
        store,
        page_number,
        incarnation,
    })
}

/// A log: `seq_no`, `prev_seq_no`, payload.
type Log = (u64, u64, Vec<u8>);

fn log() -> impl Strategy<Value = Log> {
    (number(), number(), payload())
}

fn kind() -> impl Strategy<Value = FrameKind> {
    prop_oneof![
        Just(FrameKind::Data),
        Just(FrameKind::Open),
        Just(FrameKind::Control),
        Just(FrameKind::Seal),
    ]
}

/// Any header that a frame can have: its length holds at least the header itself.
fn frame_header() -> impl Strategy<Value = FrameHeader> {
    let units = || prop_oneof![4 => any::<u32>(), 1 => 0..64_u32, 1 => Just(u32::MAX)];
    let place = (kind(), any::<u8>(), number(), number(), units(), units(), any::<u32>());
    (place, (number(), number(), number())).prop_map(|(place, numbers)| {
        let (kind, flags, page_number, incarnation, offset, length, count) = place;
        let (first_prev_seq_no, last_seq_no, durable_through) = numbers;
        FrameHeader {
            kind,
            flags,
            page_number,
            incarnation,
            offset: u64::from(offset) * 8,
            length: u64::from(length.max(8)) * 8,
            count,
            first_prev_seq_no,
            last_seq_no,
            durable_through,
        }
    })
}

/// Any page header that makes sense.
fn page_header() -> impl Strategy<Value = PageHeader> {
    let alignment = (3..=12_u32).prop_map(|power| 1_u32 << power);
    (store_id(), any::<u32>(), alignment).prop_flat_map(|(store_id, page_id, frame_alignment)| {
        // In units of the alignment, and small enough that a page of 32 GiB holds them.
        let seal = 0..=(1_u32 << 24) / frame_alignment;
        let frames = 1..=(1_u64 << 30) / u64::from(frame_alignment);
        (seal, frames).prop_map(move |(seal, frames)| {
            let seal_capacity = seal * frame_alignment;
            PageHeader {
                store_id,
                page_id,
                page_size: 4096 + frames * u64::from(frame_alignment) + u64::from(seal_capacity),
                frame_alignment,
                seal_capacity,
            }
        })
    })
}

fn open_body() -> impl Strategy<Value = OpenBody> {
    (number(), number(), number(), number()).prop_map(|(page_number, end, incarnation, trimmed)| {
        OpenBody {
            predecessor_page_number: page_number,
            predecessor_end: end,
            predecessor_incarnation: incarnation,
            trimmed_seq_no: trimmed,
        }
    })
}

fn control() -> impl Strategy<Value = Control> {
    prop_oneof![
        number().prop_map(|up_to_seq_no| Control::Trim { up_to_seq_no }),
        number().prop_map(|after_seq_no| Control::Truncate { after_seq_no }),
        Just(Control::Clear),
    ]
}

fn seal_body() -> impl Strategy<Value = SealBody> {
    let entry = (number(), any::<u32>(), any::<u32>())
        .prop_map(|(prev_seq_no, offset, frame_end)| IndexEntry { prev_seq_no, offset, frame_end });
    let fixed = (number(), number(), number(), number(), number());
    let incarnations = vec((number(), number()), 0..6);
    (fixed, incarnations, vec(entry, 0..20)).prop_map(|(fixed, incarnations, index)| {
        let (end, first_prev_seq_no, last_seq_no, log_count, trimmed_seq_no) = fixed;
        SealBody {
            end,
            first_prev_seq_no,
            last_seq_no,
            log_count,
            trimmed_seq_no,
            incarnations,
            index,
        }
    })
}

/// The bytes of a finished log, by the code under test.
fn encoded(log: &Log, tag: Tag) -> Vec<u8> {
    encoded_with(log, super::record::Stamp::Complete(tag))
}

fn encoded_with((seq_no, prev_seq_no, payload): &Log, stamp: super::record::Stamp) -> Vec<u8> {
    let mut out = vec![0xaa; super::record_size(payload.len())];
    let size = super::record::encode(*seq_no, *prev_seq_no, payload, stamp, &mut out);
    assert_eq!(size, Some(out.len()));
    out
}

/// The bytes of a frame's header, by the code under test.
fn encoded_header(header: &FrameHeader, store: StoreId) -> Vec<u8> {
    let mut out = vec![0xaa; 64];
    assert!(header.encode(store.seed(), &mut out));
    out
}
