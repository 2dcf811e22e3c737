//! Readers answer whatever the bytes are: nothing here may panic, or reach past its bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::frame::{checked_body, position, starts_with_magic};
use crate::format::page_header::PageHeaderFault;
use crate::format::record::{
    RecordFault, RecordHeader, assign, decode_checked, expected_crc, retag_all,
};

/// Calls every reader.
fn read_as_everything(bytes: &[u8], seed: u32, header: &FrameHeader) {
    let tag = Tag::from_raw(seed);
    if let Some(found) = FrameHeader::decode(seed, bytes) {
        assert!(found.length >= 64);
        assert_eq!(FrameHeader::decode_trusted(bytes), Some(found));
        let body = bytes.get(64..).unwrap_or_default();
        let _ = checked_body(seed, &found, body);
    }
    let _ = FrameHeader::decode_trusted(bytes);
    let _ = starts_with_magic(bytes);
    if let Some(body) = checked_body(seed, header, bytes) {
        assert_eq!(body.len() + 4, header.count as usize);
    }
    if let Some(found) = RecordHeader::decode(bytes) {
        assert!(found.size() >= 24 && found.size() % 8 == 0);
        let _ = expected_crc(&found, bytes, tag);
    }
    match decode_checked(bytes, tag) {
        Ok((header, payload)) => assert_eq!(payload.len(), header.len as usize),
        Err(RecordFault::Checksum) => assert!(bytes.len() >= 24),
        Err(RecordFault::Short) => {}
    }
    let mut copy = bytes.to_vec();
    if let Some(size) = assign(u64::MAX, u64::MAX, tag, &mut copy) {
        assert!(size <= copy.len());
        assert!(decode_checked(&copy, tag).is_ok() || copy != bytes);
    }
    retag_all(tag, Tag::from_raw(!seed), header.count as usize, &mut copy);
    let _ = OpenBody::decode(bytes);
    let _ = Control::decode(bytes);
    let _ = SealBody::decode(bytes);
    let _ = PageHeader::decode(bytes);
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn arbitrary_bytes_never_make_a_reader_panic(
        bytes in vec(any::<u8>(), 0..300),
        seed in any::<u32>(),
        header in frame_header(),
        count in 0..400_u32,
    ) {
        read_as_everything(&bytes, seed, &header);
        read_as_everything(&bytes, seed, &FrameHeader { count, ..header });
    }

    /// Arbitrary bytes hardly ever get past a checksum; these do.
    #[test]
    fn arbitrary_fields_behind_a_good_checksum_never_make_a_reader_panic(
        mut fields in vec(any::<u8>(), 64),
        magic in prop::bool::weighted(0.9),
        kind in prop_oneof![4 => 0..8_u8, 1 => any::<u8>()],
        zeros in prop::bool::weighted(0.8),
        store in store_id(),
        header in frame_header(),
        body in vec(any::<u8>(), 0..200),
    ) {
        if magic {
            fields[..4].copy_from_slice(b"WFr1");
        }
        fields[4] = kind;
        if zeros {
            fields[6..8].fill(0);
        }
        let covered = [&store.0, &fields[..36], &fields[40..]].concat();
        fields[36..40].copy_from_slice(&oracle::crc32c(&covered).to_le_bytes());
        let units = u32::from_le_bytes([fields[28], fields[29], fields[30], fields[31]]);
        let sound = magic && (1..=4).contains(&kind) && fields[6..8] == [0, 0] && units >= 8;
        prop_assert_eq!(FrameHeader::decode(store.seed(), &fields).is_some(), sound);
        fields.extend(body);
        read_as_everything(&fields, store.seed(), &header);
    }

    #[test]
    fn valid_bytes_that_are_cut_or_run_on_never_make_a_reader_panic(
        logs in vec(log(), 1..4),
        header in frame_header(),
        open in open_body(),
        control in control(),
        seal in seal_body(),
        identity in identity(),
        cut in any::<prop::sample::Index>(),
        after in vec(any::<u8>(), 0..40),
    ) {
        let seed = identity.store.seed();
        let frame = [
            encoded_header(&header, identity.store),
            logs.iter().flat_map(|log| encoded(log, identity.tag())).collect(),
        ];
        for bytes in [
            frame.concat(),
            encoded(&logs[0], identity.tag()),
            oracle::sealed_body(&identity, &open.encode()),
            oracle::sealed_body(&identity, &control.encode()),
            oracle::sealed_body(&identity, &seal.encode()),
        ] {
            read_as_everything(&bytes[..cut.index(bytes.len() + 1)], seed, &header);
            read_as_everything(&[&bytes[..], &after[..]].concat(), seed, &header);
        }
    }

    #[test]
    fn any_length_of_a_log_is_answered(len in any::<u32>(), bytes in vec(any::<u8>(), 24..64)) {
        let mut bytes = bytes;
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        let header = RecordHeader::decode(&bytes).unwrap();
        let size = (24 + u64::from(len)).div_ceil(8) * 8;
        prop_assert_eq!(header.size() as u64, size.min(usize::MAX as u64 - 7));
        if header.size() > bytes.len() {
            let tag = Tag::from_raw(0);
            prop_assert_eq!(decode_checked(&bytes, tag), Err(RecordFault::Short));
            let before = bytes.clone();
            prop_assert_eq!(assign(1, 0, tag, &mut bytes), None);
            prop_assert_eq!(bytes, before);
        }
    }

    /// Of the pairs behind the fixed fields, as many are incarnations as the count says.
    #[test]
    fn any_count_of_incarnations_is_answered(
        body in seal_body(),
        count in prop_oneof![4 => 0..30_u64, 1 => number(), 1 => (0..8_u32).prop_map(|bit| 1 << (56 + bit))],
    ) {
        let mut bytes = oracle::seal_body(&body);
        bytes[40..48].copy_from_slice(&count.to_le_bytes());
        let pairs = body.incarnations.len() + body.index.len();
        let found = SealBody::decode(&bytes);
        prop_assert_eq!(found.is_some(), count <= pairs as u64);
        if let Some(found) = found {
            prop_assert_eq!(found.incarnations.len() as u64, count);
            prop_assert_eq!(found.index.len(), pairs - found.incarnations.len());
            prop_assert_eq!(oracle::seal_body(&found), bytes);
        }
    }

    #[test]
    fn positions_grow_with_the_place_and_never_overflow(
        page_number in number(),
        page_size in number(),
        offset in number(),
    ) {
        let exact = u128::from(page_number) * u128::from(page_size) + u128::from(offset);
        let expected = u64::try_from(exact).unwrap_or(u64::MAX);
        prop_assert_eq!(position(page_number, page_size, offset), expected);
    }
}

proptest! {
    #![proptest_config(config(256))]

    /// Fields that make no sense, with the CRC that they should have, are refused; all others
    /// are read as they are.
    #[test]
    fn a_page_header_is_read_exactly_where_its_fields_make_sense(
        store_id in store_id(),
        page_id in any::<u32>(),
        page_size in prop_oneof![number(), (0..200_u64).prop_map(|blocks| blocks * 512)],
        frame_alignment in prop_oneof![any::<u32>(), 0..20_u32, (0..32_u32).prop_map(|bit| 1 << bit)],
        seal_capacity in prop_oneof![any::<u32>(), (0..20_u32).prop_map(|blocks| blocks * 4096)],
        version in prop_oneof![8 => Just(1_u32), 1 => any::<u32>()],
        incompatible in prop_oneof![8 => Just(0_u32), 1 => any::<u32>()],
        compatible in any::<u32>(),
    ) {
        let header = PageHeader { store_id, page_id, page_size, frame_alignment, seal_capacity };
        let block = oracle::page_header_with(&header, version, incompatible, compatible);
        let alignment = u64::from(frame_alignment);
        let sound = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096].contains(&alignment)
            && page_size % alignment == 0
            && u64::from(seal_capacity) % alignment == 0
            && u128::from(page_size) > 4096 + u128::from(seal_capacity)
            && page_size <= 32 * (1 << 30) - 8;
        let expected = if version != 1 || incompatible != 0 {
            Err(PageHeaderFault::Newer { version, features: incompatible })
        } else if sound {
            Ok(header)
        } else {
            Err(PageHeaderFault::Damaged)
        };
        prop_assert_eq!(PageHeader::decode(&block), expected);
    }

    #[test]
    fn a_block_of_arbitrary_bytes_is_no_page_header(
        mut block in vec(any::<u8>(), 4096..4200),
        magic in any::<bool>(),
    ) {
        if magic {
            block[..8].copy_from_slice(b"WALDOPG1");
        }
        let expected = if magic { PageHeaderFault::Damaged } else { PageHeaderFault::Foreign };
        prop_assert_eq!(PageHeader::decode(&block), Err(expected));
    }
}
