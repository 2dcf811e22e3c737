//! Bytes that were changed never pass.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::frame::checked_body;
use crate::format::page_header::PageHeaderFault;
use crate::format::record::{RecordFault, decode_checked};

/// Calls `check` with every version of the first `len` bytes that differs in one bit.
fn each_flip(
    bytes: &mut [u8],
    len: usize,
    mut check: impl FnMut(usize, &[u8]) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    for bit in 0..len * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(bit, bytes)?;
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Ok(())
}

#[test]
#[cfg_attr(miri, ignore = "32,768 CRCs of a block")]
fn every_flipped_bit_of_a_page_header_is_noticed() {
    let ordinary = golden::page_header();
    let extreme = PageHeader {
        store_id: StoreId([0xff; 16]),
        page_id: u32::MAX,
        page_size: 1 << 34,
        frame_alignment: 4096,
        seal_capacity: 1 << 20,
    };
    for header in [ordinary, extreme] {
        let mut block = header.encode();
        let len = block.len();
        each_flip(&mut block, len, |bit, block| {
            let fault = if bit < 64 { PageHeaderFault::Foreign } else { PageHeaderFault::Damaged };
            prop_assert_eq!(PageHeader::decode(block), Err(fault), "bit {}", bit);
            Ok(())
        })
        .unwrap();
        assert_eq!(PageHeader::decode(&block), Ok(header));
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn every_flipped_bit_of_a_frame_header_is_noticed(header in frame_header(), store in store_id()) {
        let mut bytes = encoded_header(&header, store);
        each_flip(&mut bytes, 64, |bit, bytes| {
            prop_assert_eq!(FrameHeader::decode(store.seed(), bytes), None, "bit {}", bit);
            Ok(())
        })?;
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_body_is_noticed(
        body in vec(any::<u8>(), 0..100),
        identity in identity(),
        mut header in frame_header(),
    ) {
        let seed = identity.store.seed();
        let mut bytes = oracle::sealed_body(&identity, &body);
        header.page_number = identity.page_number;
        header.incarnation = identity.incarnation;
        header.count = bytes.len() as u32;
        let len = bytes.len();
        each_flip(&mut bytes, len, |bit, bytes| {
            prop_assert_eq!(checked_body(seed, &header, bytes), None, "bit {}", bit);
            Ok(())
        })?;
        prop_assert_eq!(checked_body(seed, &header, &bytes), Some(&body[..]));
    }

    /// Also those of the length, which make other bytes payload, and those of the padding.
    #[test]
    fn every_flipped_bit_of_a_log_is_noticed(
        log in log(),
        raw in any::<u32>(),
        after in prop_oneof![vec(any::<u8>(), 0..600), (0..600_usize).prop_map(|len| vec![0; len])],
    ) {
        let tag = Tag::from_raw(raw);
        let mut bytes = encoded(&log, tag);
        let len = bytes.len();
        bytes.extend(after);
        each_flip(&mut bytes, len, |bit, bytes| {
            prop_assert!(decode_checked(bytes, tag).is_err(), "bit {}", bit);
            Ok(())
        })?;
        prop_assert!(decode_checked(&bytes, tag).is_ok());
    }

    /// Within the payload or the numbers a CRC of 32 bits promises it; elsewhere, across their
    /// border or in the length, all but one in 2^32 are.
    #[test]
    fn damage_of_up_to_32_bits_in_a_row_is_noticed_anywhere_in_a_log(
        log in log(),
        raw in any::<u32>(),
        place in any::<prop::sample::Index>(),
        change in 1..=u32::MAX,
        shift in 0..8_usize,
    ) {
        let tag = Tag::from_raw(raw);
        let mut bytes = encoded(&log, tag);
        let intact = bytes.clone();
        let change = (u64::from(change) << shift).to_le_bytes();
        let at = place.index(bytes.len());
        for (byte, change) in bytes[at..].iter_mut().zip(change) {
            *byte ^= change;
        }
        // A change that begins with zeros at the end of the bytes may fall behind them.
        prop_assume!(bytes != intact);
        prop_assert!(decode_checked(&bytes, tag).is_err());
    }

    #[test]
    fn a_log_whose_end_was_never_written_is_noticed(
        log in log(),
        old in vec(any::<u8>(), 400),
        zeros in any::<bool>(),
        raw in any::<u32>(),
    ) {
        let tag = Tag::from_raw(raw);
        let bytes = encoded(&log, tag);
        for cut in 0..bytes.len() {
            let mut torn = if zeros { vec![0; bytes.len()] } else { old[..bytes.len()].to_vec() };
            torn[..cut].copy_from_slice(&bytes[..cut]);
            // The rest may happen to be what it should be.
            if torn != bytes {
                prop_assert!(decode_checked(&torn, tag).is_err(), "torn at {cut}");
            }
        }
    }

    #[test]
    fn a_frame_header_whose_end_was_never_written_is_noticed(
        new in frame_header(),
        old in frame_header(),
        store in store_id(),
    ) {
        let (new, old) = (encoded_header(&new, store), encoded_header(&old, store));
        for cut in 1..64 {
            let mut torn = old.clone();
            torn[..cut].copy_from_slice(&new[..cut]);
            if torn != new && torn != old {
                prop_assert_eq!(FrameHeader::decode(store.seed(), &torn), None, "torn at {}", cut);
            }
        }
    }

    #[test]
    fn a_log_that_is_cut_short_is_short(log in log(), raw in any::<u32>()) {
        let tag = Tag::from_raw(raw);
        let bytes = encoded(&log, tag);
        for cut in 0..bytes.len() {
            prop_assert_eq!(decode_checked(&bytes[..cut], tag), Err(RecordFault::Short), "cut at {}", cut);
        }
    }

    #[test]
    fn a_frame_header_that_is_cut_short_is_refused(header in frame_header(), store in store_id()) {
        let bytes = encoded_header(&header, store);
        for cut in 0..64 {
            prop_assert_eq!(FrameHeader::decode(store.seed(), &bytes[..cut]), None);
            prop_assert_eq!(FrameHeader::decode_trusted(&bytes[..cut]), None);
        }
    }

    #[test]
    fn a_body_that_is_cut_short_is_refused(
        body in vec(any::<u8>(), 0..100),
        identity in identity(),
        mut header in frame_header(),
    ) {
        let bytes = oracle::sealed_body(&identity, &body);
        header.page_number = identity.page_number;
        header.incarnation = identity.incarnation;
        for cut in 0..bytes.len() {
            // The bytes end too early, and the header says too little.
            header.count = bytes.len() as u32;
            prop_assert_eq!(checked_body(identity.store.seed(), &header, &bytes[..cut]), None);
            header.count = cut as u32;
            prop_assert_eq!(checked_body(identity.store.seed(), &header, &bytes), None);
        }
    }

    #[test]
    fn bodies_that_are_cut_short_are_refused(open in open_body(), control in control(), seal in seal_body()) {
        let entries_start = 48 + 16 * seal.incarnations.len();
        let (open, control, seal) = (open.encode(), control.encode(), seal.encode());
        for cut in 0..open.len() {
            prop_assert_eq!(OpenBody::decode(&open[..cut]), None);
        }
        for cut in 0..control.len() {
            prop_assert_eq!(Control::decode(&control[..cut]), None);
        }
        for cut in 0..seal.len() {
            // Nothing says how many entries there are: one less is a body, too.
            let whole_entries = cut >= entries_start && (cut - entries_start) % 16 == 0;
            prop_assert_eq!(SealBody::decode(&seal[..cut]).is_some(), whole_entries);
        }
    }
}

#[test]
fn a_page_header_that_is_cut_short_is_damaged() {
    let block = golden::page_header().encode();
    for cut in [0, 1, 8, 24, 56, 512, 4091, 4092, 4095] {
        assert_eq!(PageHeader::decode(&block[..cut]), Err(PageHeaderFault::Damaged));
    }
}
