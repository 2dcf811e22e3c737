//! What is written is what the oracle writes, and reading gives it back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::bytes;
use crate::format::checksum::{payload_crc, retag};
use crate::format::frame::{checked_body, seal_body as seal_with_crc};
use crate::format::record::{
    RecordHeader, Stamp, assign, decode_checked, encode, expected_crc, record_size, retag_all,
};

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn a_tag_is_the_crc_of_store_page_number_and_incarnation(identity in identity()) {
        let tag = identity.tag();
        prop_assert_eq!(tag.get(), oracle::tag(&identity));
        let again = Tag::new(identity.store.seed(), identity.page_number, identity.incarnation);
        prop_assert_eq!(again, tag);
        prop_assert_eq!(Tag::from_raw(tag.get()), tag);
    }

    #[test]
    fn a_log_is_written_as_the_oracle_writes_it(log in log(), identity in identity()) {
        let (seq_no, prev_seq_no, payload) = &log;
        let tag = identity.tag();
        prop_assert_eq!(
            encoded(&log, tag),
            oracle::record(*seq_no, *prev_seq_no, payload, oracle::tag(&identity))
        );
        prop_assert_eq!(
            encoded_with(&log, Stamp::Payload),
            oracle::unassigned_record(*seq_no, *prev_seq_no, payload)
        );
        prop_assert_eq!(payload_crc(payload), oracle::crc32c(payload));
    }

    #[test]
    fn a_log_is_read_as_it_was_written_whatever_follows_it(
        log in log(),
        raw in any::<u32>(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let tag = Tag::from_raw(raw);
        let mut bytes = oracle::record(log.0, log.1, &log.2, raw);
        let size = bytes.len();
        bytes.extend(after);
        let (header, payload) = decode_checked(&bytes, tag).unwrap();
        prop_assert_eq!((header.seq_no, header.prev_seq_no), (log.0, log.1));
        prop_assert_eq!(header.len as usize, log.2.len());
        prop_assert_eq!(payload, &log.2);
        prop_assert_eq!(header.size(), size);
        prop_assert_eq!(record_size(log.2.len()), size);
        prop_assert_eq!(expected_crc(&header, payload, tag), header.crc);
        prop_assert_eq!(RecordHeader::decode(&bytes), Some(header));
    }

    #[test]
    fn writing_a_log_touches_only_its_own_bytes(log in log(), raw in any::<u32>(), spare in 0..40_usize) {
        let size = record_size(log.2.len());
        let mut out = vec![0xaa; size + spare];
        let taken = encode(log.0, log.1, &log.2, Stamp::Complete(Tag::from_raw(raw)), &mut out);
        prop_assert_eq!(taken, Some(size));
        prop_assert_eq!(&out[..size], &oracle::record(log.0, log.1, &log.2, raw)[..]);
        prop_assert!(out[size..].iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn a_log_is_not_written_where_it_does_not_fit(log in log(), short in 1..1000_usize) {
        let size = record_size(log.2.len());
        let mut out = vec![0xaa; size - short.min(size)];
        prop_assert_eq!(encode(log.0, log.1, &log.2, Stamp::Payload, &mut out), None);
        prop_assert!(out.iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn assigning_numbers_later_gives_the_bytes_of_a_log_written_with_them(
        log in log(),
        before in (number(), number()),
        raw in any::<u32>(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let tag = Tag::from_raw(raw);
        let mut bytes = encoded_with(&(before.0, before.1, log.2.clone()), Stamp::Payload);
        let size = bytes.len();
        bytes.extend(&after);
        prop_assert_eq!(assign(log.0, log.1, tag, &mut bytes), Some(size));
        let mut expected = encoded(&log, tag);
        expected.extend(&after);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn assigning_refuses_a_log_that_is_cut_short(log in log(), cut in 1..1000_usize) {
        let mut bytes = encoded_with(&log, Stamp::Payload);
        bytes.truncate(bytes.len() - cut.min(bytes.len()));
        let before = bytes.clone();
        prop_assert_eq!(assign(1, 0, Tag::from_raw(0), &mut bytes), None);
        prop_assert_eq!(bytes, before);
    }

    #[test]
    fn changing_the_tag_gives_the_bytes_of_logs_written_under_the_new_tag(
        logs in vec(log(), 0..8),
        from in any::<u32>(),
        to in prop_oneof![9 => any::<u32>().prop_map(Some), 1 => Just(None)],
        moved in 0..10_usize,
        after in vec(any::<u8>(), 0..23),
    ) {
        // No other tag: a change to the tag that the logs have.
        let (from, to) = (Tag::from_raw(from), Tag::from_raw(to.unwrap_or(from)));
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (at, log) in logs.iter().enumerate() {
            bytes.extend(encoded(log, from));
            expected.extend(encoded(log, if at < moved { to } else { from }));
        }
        // Too few bytes for one more header: they stay what they are.
        bytes.extend(&after);
        expected.extend(&after);
        retag_all(from, to, moved, &mut bytes);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn the_change_of_a_tag_is_the_same_for_every_log(
        one in log(),
        other in log(),
        from in any::<u32>(),
        to in any::<u32>(),
    ) {
        let (from, to) = (Tag::from_raw(from), Tag::from_raw(to));
        for log in [one, other] {
            let crc = |tag| RecordHeader::decode(&encoded(&log, tag)).unwrap().crc;
            prop_assert_eq!(crc(from) ^ crc(to), retag(from, to));
        }
        prop_assert_eq!(retag(from, to), retag(to, from));
    }

    #[test]
    fn a_frame_header_is_written_as_the_oracle_writes_it_and_read_back(
        header in frame_header(),
        store in store_id(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = encoded_header(&header, store);
        prop_assert_eq!(&bytes, &oracle::frame_header(&header, store));
        bytes.extend(after);
        prop_assert_eq!(FrameHeader::decode(store.seed(), &bytes), Some(header));
        prop_assert_eq!(FrameHeader::decode_trusted(&bytes), Some(header));
    }

    #[test]
    fn writing_a_frame_header_touches_only_its_own_bytes(
        header in frame_header(),
        store in store_id(),
        spare in 0..40_usize,
    ) {
        let mut out = vec![0xaa; 64 + spare];
        prop_assert!(header.encode(store.seed(), &mut out));
        prop_assert_eq!(&out[..64], &oracle::frame_header(&header, store)[..]);
        prop_assert!(out[64..].iter().all(|byte| *byte == 0xaa));
    }

    #[test]
    fn a_body_gets_the_oracles_crc_and_passes_with_it(
        body in vec(any::<u8>(), 0..200),
        identity in identity(),
        mut header in frame_header(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let Identity { store, page_number, incarnation } = identity;
        let mut bytes = body.clone();
        seal_with_crc(store.seed(), page_number, incarnation, &mut bytes);
        prop_assert_eq!(&bytes, &oracle::sealed_body(&identity, &body));
        header.page_number = page_number;
        header.incarnation = incarnation;
        header.count = bytes.len() as u32;
        bytes.extend(after);
        prop_assert_eq!(checked_body(store.seed(), &header, &bytes), Some(&body[..]));
    }

    #[test]
    fn an_open_body_is_written_as_the_oracle_writes_it_and_read_back(
        body in open_body(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = body.encode();
        prop_assert_eq!(bytes.len(), OpenBody::SIZE);
        prop_assert_eq!(&bytes, &oracle::open_body(&body));
        // A later version may say more behind it.
        bytes.extend(after);
        prop_assert_eq!(OpenBody::decode(&bytes), Some(body));
    }

    #[test]
    fn a_control_body_is_written_as_the_oracle_writes_it_and_read_back(
        control in control(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = control.encode();
        prop_assert_eq!(bytes.len(), Control::SIZE);
        prop_assert_eq!(&bytes, &oracle::control(&control));
        bytes.extend(after);
        prop_assert_eq!(Control::decode(&bytes), Some(control));
    }

    #[test]
    fn a_seal_body_is_written_as_the_oracle_writes_it_and_read_back(body in seal_body()) {
        let bytes = body.encode();
        prop_assert_eq!(&bytes, &oracle::seal_body(&body));
        prop_assert_eq!(SealBody::decode(&bytes), Some(body));
    }

    #[test]
    fn a_seals_size_is_that_of_its_header_body_and_crc(body in seal_body(), spare in 0..16_usize) {
        let size = 64 + oracle::seal_body(&body).len() + 4;
        let pairs = body.incarnations.len() + body.index.len();
        prop_assert_eq!(SealBody::frame_size(pairs), size);
        prop_assert_eq!(SealBody::entries_max(size + spare), pairs);
    }

    #[test]
    fn integers_are_read_and_written_within_the_bytes_or_not_at_all(
        mut out in vec(any::<u8>(), 0..24),
        offset in prop_oneof![8 => 0..32_usize, 1 => usize::MAX - 9..=usize::MAX],
        value in any::<u64>(),
    ) {
        let whole = |len: usize| offset.checked_add(len).is_some_and(|end| end <= out.len());
        let (fits_u64, fits_u32) = (whole(8), whole(4));
        let before = out.clone();
        prop_assert_eq!(bytes::put_u64(&mut out, offset, value), fits_u64);
        prop_assert_eq!(bytes::u64_at(&out, offset), fits_u64.then_some(value));
        if !fits_u64 {
            prop_assert_eq!(&out, &before);
        }
        let before = out.clone();
        prop_assert_eq!(bytes::put_u32(&mut out, offset, value as u32), fits_u32);
        prop_assert_eq!(bytes::u32_at(&out, offset), fits_u32.then_some(value as u32));
        for (at, (new, old)) in out.iter().zip(&before).enumerate() {
            let inside = fits_u32 && (offset..offset + 4).contains(&at);
            prop_assert!(inside || new == old, "byte {at} changed");
        }
    }

    #[test]
    fn bytes_are_zero_exactly_where_none_is_set(len in 0..70_usize, set in 0..140_usize, value in 1..=u8::MAX) {
        let mut all = vec![0; len];
        prop_assert!(bytes::is_zero(&all));
        if let Some(byte) = all.get_mut(set) {
            *byte = value;
            prop_assert!(!bytes::is_zero(&all));
        }
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn a_page_header_is_written_as_the_oracle_writes_it_and_read_back(
        header in page_header(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let mut bytes = header.encode();
        prop_assert_eq!(&bytes, &oracle::page_header(&header));
        bytes.extend(after);
        prop_assert_eq!(PageHeader::decode(&bytes), Ok(header));
        prop_assert_eq!(header.frames_start(), 4096);
        let seal_capacity = u64::from(header.seal_capacity);
        prop_assert_eq!(header.seal_offset() + seal_capacity, header.page_size);
    }
}
