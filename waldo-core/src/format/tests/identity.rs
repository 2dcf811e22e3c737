//! What was written in one use of a page never passes in another.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::format::frame::checked_body;
use crate::format::record::{RecordFault, decode_checked};

/// A number and another one: a neighbour, as rings have them, or any.
fn two_numbers() -> impl Strategy<Value = (u64, u64)> {
    prop_oneof![
        (0..1_u64 << 40, 1..5000_u64).prop_map(|(one, step)| (one, one + step)),
        (number(), number()),
    ]
    .prop_filter("two different numbers", |(one, other)| one != other)
    .prop_flat_map(|(one, other)| prop_oneof![Just((one, other)), Just((other, one))])
}

/// An identity and the same in another store, whose id may differ in one bit.
fn two_stores() -> impl Strategy<Value = (Identity, Identity)> {
    (identity(), store_id(), 0..128_u32, any::<bool>()).prop_map(|(identity, any, bit, near)| {
        let one_bit = u128::from_le_bytes(identity.store.0) ^ (1 << bit);
        let near = near || any == identity.store;
        let store = if near { StoreId(one_bit.to_le_bytes()) } else { any };
        (identity, Identity { store, ..identity })
    })
}

/// An identity and one that differs in exactly one part.
fn two_identities() -> impl Strategy<Value = (Identity, Identity)> {
    let pages = (identity(), two_numbers()).prop_map(|(identity, (one, other))| {
        (Identity { page_number: one, ..identity }, Identity { page_number: other, ..identity })
    });
    let incarnations = (identity(), two_numbers()).prop_map(|(identity, (one, other))| {
        (Identity { incarnation: one, ..identity }, Identity { incarnation: other, ..identity })
    });
    prop_oneof![pages, incarnations, two_stores()]
}

proptest! {
    #![proptest_config(config(1024))]

    /// Without exception: the tag ends the bytes that the CRC covers, and a CRC tells any two
    /// values of its last 32 bits apart.
    #[test]
    fn a_log_under_one_tag_never_passes_under_another(
        log in log(),
        tag in any::<u32>(),
        change in prop_oneof![1..=u32::MAX, (0..32_u32).prop_map(|bit| 1 << bit)],
    ) {
        let bytes = encoded(&log, Tag::from_raw(tag));
        let other = Tag::from_raw(tag ^ change);
        prop_assert!(decode_checked(&bytes, Tag::from_raw(tag)).is_ok());
        prop_assert_eq!(decode_checked(&bytes, other), Err(RecordFault::Checksum));
    }

    #[test]
    fn a_log_never_passes_under_another_page_number_incarnation_or_store(
        log in log(),
        (one, other) in two_identities(),
    ) {
        let bytes = encoded(&log, one.tag());
        prop_assert!(decode_checked(&bytes, one.tag()).is_ok());
        prop_assert_eq!(decode_checked(&bytes, other.tag()), Err(RecordFault::Checksum));
    }

    #[test]
    fn a_body_never_passes_under_another_page_number_incarnation_or_store(
        body in vec(any::<u8>(), 0..100),
        (one, other) in two_identities(),
        mut header in frame_header(),
    ) {
        let bytes = oracle::sealed_body(&one, &body);
        header.count = bytes.len() as u32;
        header.page_number = other.page_number;
        header.incarnation = other.incarnation;
        prop_assert_eq!(checked_body(other.store.seed(), &header, &bytes), None);
    }

    #[test]
    fn a_frame_header_of_another_store_is_refused(
        header in frame_header(),
        (one, other) in two_stores(),
    ) {
        let bytes = encoded_header(&header, one.store);
        prop_assert_eq!(FrameHeader::decode(other.store.seed(), &bytes), None);
    }

    /// A page number differs from the one that the bytes had before by the size of the ring or
    /// little more; so no leftover of the same incarnation can have the tag of what comes next.
    #[test]
    fn tags_of_page_numbers_or_incarnations_within_32_bits_differ(
        identity in identity(),
        change in 1..=u32::MAX,
        shift in 0..=32_u32,
    ) {
        let change = u64::from(change) << shift;
        let page = Identity { page_number: identity.page_number ^ change, ..identity };
        let incarnation = Identity { incarnation: identity.incarnation ^ change, ..identity };
        prop_assert_ne!(page.tag(), identity.tag());
        prop_assert_ne!(incarnation.tag(), identity.tag());
    }
}
