//! The ends of every range.

use super::*;
use crate::format::align_up;
use crate::format::frame::{OFFSET_LIMIT, checked_body, position, seal_body as seal_with_crc};
use crate::format::page_header::PageHeaderFault;
use crate::format::record::{
    RecordFault, RecordHeader, Stamp, decode_checked, record_size, retag_all,
};

const STORE: StoreId = StoreId([7; 16]);

fn header() -> FrameHeader {
    FrameHeader {
        kind: FrameKind::Data,
        flags: 0,
        page_number: 1,
        incarnation: 1,
        offset: 4096,
        length: 64,
        count: 0,
        first_prev_seq_no: 0,
        last_seq_no: 0,
        durable_through: 0,
    }
}

fn encodes(header: &FrameHeader) -> bool {
    header.encode(STORE.seed(), &mut [0; 64])
}

#[test]
fn payloads_of_0_to_17_bytes_take_the_bytes_that_the_description_says() {
    let sizes = [24, 32, 32, 32, 32, 32, 32, 32, 32, 40, 40, 40, 40, 40, 40, 40, 40, 48];
    let tag = STORE.tag(1, 1);
    for (len, size) in sizes.into_iter().enumerate() {
        let log = (2, 1, vec![0xcd; len]);
        assert_eq!(record_size(len), size);
        let bytes = encoded(&log, tag);
        assert_eq!(bytes, oracle::record(2, 1, &log.2, tag.get()));
        assert_eq!(bytes.len(), size);
        let (header, payload) = decode_checked(&bytes, tag).unwrap();
        assert_eq!((header.len as usize, payload), (len, &log.2[..]));
        let zeros = bytes[24 + len..].iter().all(|byte| *byte == 0);
        assert!(zeros, "padding of {len}");
    }
}

#[test]
fn an_empty_payload_is_a_log_of_24_bytes() {
    let tag = STORE.tag(1, 1);
    let bytes = encoded(&(1, 0, Vec::new()), tag);
    assert_eq!(bytes.len(), 24);
    let (header, payload) = decode_checked(&bytes, tag).unwrap();
    assert_eq!(header, RecordHeader { seq_no: 1, prev_seq_no: 0, len: 0, crc: header.crc });
    assert!(payload.is_empty());
    let unassigned = encoded_with(&(1, 0, Vec::new()), Stamp::Payload);
    assert_eq!(RecordHeader::decode(&unassigned).unwrap().crc, 0);
}

#[test]
fn numbers_at_the_end_of_their_range_survive() {
    let tag = STORE.tag(u64::MAX, u64::MAX);
    let bytes = encoded(&(u64::MAX, u64::MAX - 1, vec![1]), tag);
    let (log, _) = decode_checked(&bytes, tag).unwrap();
    assert_eq!((log.seq_no, log.prev_seq_no), (u64::MAX, u64::MAX - 1));
    let most = FrameHeader {
        page_number: u64::MAX,
        incarnation: u64::MAX,
        count: u32::MAX,
        first_prev_seq_no: u64::MAX,
        last_seq_no: u64::MAX,
        durable_through: u64::MAX,
        ..header()
    };
    assert_eq!(FrameHeader::decode(STORE.seed(), &encoded_header(&most, STORE)), Some(most));
}

#[test]
fn every_value_of_one_padding_byte_but_zero_is_refused() {
    let tag = STORE.tag(1, 1);
    for len in 1..8 {
        let bytes = encoded(&(2, 1, vec![0xcd; len]), tag);
        for at in 24 + len..bytes.len() {
            for value in 1..=u8::MAX {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                assert_eq!(decode_checked(&bytes, tag), Err(RecordFault::Checksum));
            }
        }
    }
}

#[test]
fn zeros_are_no_log_no_frame_and_a_blank_page() {
    let zeros = vec![0; 8192];
    assert_eq!(decode_checked(&zeros, STORE.tag(1, 1)), Err(RecordFault::Checksum));
    assert_eq!(FrameHeader::decode(STORE.seed(), &zeros), None);
    assert_eq!(PageHeader::decode(&zeros), Err(PageHeaderFault::Blank));
    assert_eq!(PageHeader::decode(&zeros[..4095]), Err(PageHeaderFault::Damaged));
}

#[test]
fn offset_and_length_reach_their_limit_and_no_further() {
    let at_limit = FrameHeader { offset: OFFSET_LIMIT, length: OFFSET_LIMIT, ..header() };
    let bytes = encoded_header(&at_limit, STORE);
    assert_eq!(FrameHeader::decode(STORE.seed(), &bytes), Some(at_limit));
    for past in [OFFSET_LIMIT + 8, 1 << 40, u64::MAX - 7] {
        assert!(!encodes(&FrameHeader { offset: past, ..header() }));
        assert!(!encodes(&FrameHeader { length: past, ..header() }));
    }
}

#[test]
fn an_unaligned_offset_or_length_is_refused() {
    for unaligned in (1..8).flat_map(|rest| [4096 + rest, OFFSET_LIMIT - rest, u64::MAX - 8 + rest])
    {
        assert!(!encodes(&FrameHeader { offset: unaligned, ..header() }), "{unaligned}");
        assert!(!encodes(&FrameHeader { length: unaligned, ..header() }), "{unaligned}");
    }
    assert!(encodes(&header()));
}

#[test]
fn a_frame_that_could_not_hold_its_header_is_refused() {
    for length in [0, 8, 56] {
        let bytes = oracle::frame_header(&FrameHeader { length, ..header() }, STORE);
        assert_eq!(FrameHeader::decode(STORE.seed(), &bytes), None);
    }
}

#[test]
fn a_frame_header_is_not_written_where_it_does_not_fit() {
    for len in 0..64 {
        assert!(!header().encode(STORE.seed(), &mut vec![0; len]));
    }
}

#[test]
fn an_empty_body_is_its_crc_alone_and_less_is_refused() {
    let mut bytes = Vec::new();
    seal_with_crc(STORE.seed(), 1, 1, &mut bytes);
    assert_eq!(bytes, STORE.tag(1, 1).get().to_le_bytes());
    let body = |count| checked_body(STORE.seed(), &FrameHeader { count, ..header() }, &bytes);
    assert_eq!(body(4), Some(&[][..]));
    for count in [0, 1, 2, 3, 5, u32::MAX] {
        assert_eq!(body(count), None);
    }
}

#[test]
fn unknown_kinds_of_control_are_refused() {
    for kind in [0, 4, 5, u64::MAX] {
        let body = [u64::to_le_bytes(kind), u64::to_le_bytes(1)].concat();
        assert_eq!(Control::decode(&body), None);
    }
}

#[test]
fn a_seal_without_room_for_an_entry_has_none() {
    for capacity in [0, 64, 115, 116, 131] {
        assert_eq!(SealBody::entries_max(capacity), 0, "{capacity}");
    }
    assert_eq!(SealBody::entries_max(132), 1);
    assert_eq!(SealBody::entries_max(4096), 248);
}

#[test]
fn a_seal_without_incarnations_or_entries_is_its_fixed_fields() {
    let empty = SealBody::default();
    assert_eq!(empty.encode(), [0; 48]);
    assert_eq!(SealBody::decode(&[0; 48]), Some(empty));
}

#[test]
fn a_page_header_reaches_its_limits_and_no_further() {
    let fits = |page_size, frame_alignment, seal_capacity| {
        let store_id = STORE;
        let header = PageHeader { store_id, page_id: 0, page_size, frame_alignment, seal_capacity };
        match PageHeader::decode(&header.encode()) {
            Ok(found) => found == header,
            Err(fault) => {
                assert_eq!(fault, PageHeaderFault::Damaged);
                false
            }
        }
    };
    assert!(fits(OFFSET_LIMIT, 8, 4096));
    assert!(!fits(OFFSET_LIMIT + 8, 8, 4096));
    assert!(!fits(u64::MAX - 7, 8, 4096));
    assert!(fits(65536, 4096, 4096));
    assert!(!fits(65536, 8192, 8192));
    assert!(!fits(65536, 4, 4096));
    assert!(!fits(65536, 0, 4096));
    assert!(!fits(65536, 24, 4096));
    assert!(!fits(65536 + 8, 4096, 4096));
    assert!(!fits(65536, 4096, 4104));
    // There must be room for frames between the header and the seal.
    assert!(fits(8200, 8, 4096));
    assert!(!fits(8192, 8, 4096));
    assert!(!fits(4096, 8, 4096));
    assert!(!fits(4096, 8, u32::MAX - 7));
}

#[test]
fn only_the_incompatible_features_and_the_version_stop_a_reader() {
    let header = golden::page_header();
    let read = |version, incompatible, compatible| {
        let block = oracle::page_header_with(&header, version, incompatible, compatible);
        PageHeader::decode(&block)
    };
    assert_eq!(read(1, 0, u32::MAX), Ok(header));
    assert_eq!(read(2, 0, 0), Err(PageHeaderFault::Newer { version: 2, features: 0 }));
    assert_eq!(read(1, 4, 0), Err(PageHeaderFault::Newer { version: 1, features: 4 }));
}

#[test]
fn sizes_of_logs_saturate() {
    for len in [usize::MAX, usize::MAX - 7, usize::MAX - 24, usize::MAX - 31] {
        assert_eq!(record_size(len), usize::MAX - 7);
    }
}

#[test]
fn alignment_rounds_up_and_saturates() {
    for (value, alignment, aligned) in [
        (0, 8, 0),
        (1, 8, 8),
        (8, 8, 8),
        (4097, 4096, 8192),
        (u64::MAX, 8, u64::MAX - 7),
        (u64::MAX - 4096, 4096, u64::MAX - 4095),
        (u64::MAX, 1, u64::MAX),
    ] {
        assert_eq!(align_up(value, alignment), aligned, "{value} to {alignment}");
    }
}

#[test]
fn a_position_behind_a_page_is_before_the_next_page() {
    assert!(position(1, 65536, 65535) < position(2, 65536, 0));
    assert_eq!(position(1, 65536, 65536), position(2, 65536, 0));
    assert_eq!(position(u64::MAX, 65536, 1), u64::MAX);
}

#[test]
fn changing_the_tag_of_more_logs_than_there_are_changes_those_that_there_are() {
    let (from, to) = (STORE.tag(1, 1), STORE.tag(2, 1));
    let log = (2, 1, vec![0xcd; 9]);
    let mut bytes = encoded(&log, from);
    retag_all(from, to, usize::MAX, &mut bytes);
    assert_eq!(bytes, encoded(&log, to));
    retag_all(to, from, 0, &mut bytes);
    assert_eq!(bytes, encoded(&log, to));
    retag_all(from, to, 3, &mut []);
}
