//! A frame's header and body: any bytes, and any fields behind good checksums.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_core::format::bytes::put_u32;
use waldo_core::format::frame::{checked_body, seal_body};
use waldo_core::format::meta::{Control, OpenBody};
use waldo_core::format::seal::SealBody;
use waldo_core::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
use waldo_fuzz::{STORE_ID, fix_header};

fuzz_target!(|data: &[u8]| {
    let seed = STORE_ID.seed();
    assert_eq!(FrameHeader::decode(seed ^ 1, data).and(FrameHeader::decode(seed, data)), None);
    let mut bytes = data.to_vec();
    bytes.resize(bytes.len().max(FRAME_HEADER_SIZE), 0);
    let (header, body) = bytes.split_at_mut(FRAME_HEADER_SIZE);
    let mut body = body.to_vec();
    if let Some(found) = FrameHeader::decode_trusted(header) {
        seal_body(seed, found.page_number, found.incarnation, &mut body);
        put_u32(header, 32, body.len() as u32);
    }
    fix_header(header, STORE_ID);
    let Some(found) = FrameHeader::decode(seed, header) else { return };
    let mut again = vec![0; FRAME_HEADER_SIZE];
    assert!(found.encode(seed, &mut again));
    assert_eq!(FrameHeader::decode(seed, &again), Some(found));
    assert_eq!(again, header, "all that is read is written");
    assert!(found.length >= FRAME_HEADER_SIZE as u64);

    let body = checked_body(seed, &found, &body).expect("its checksum was made just now");
    match found.kind {
        FrameKind::Open => {
            if let Some(open) = OpenBody::decode(body) {
                assert_eq!(open.encode(), body[..OpenBody::SIZE]);
            }
        }
        FrameKind::Control => {
            if let Some(control) = Control::decode(body) {
                assert_eq!(Control::decode(&control.encode()), Some(control));
            }
        }
        FrameKind::Seal => {
            if let Some(seal) = SealBody::decode(body) {
                assert_eq!(seal.encode(), body);
            }
        }
        FrameKind::Data => {}
    }
});
