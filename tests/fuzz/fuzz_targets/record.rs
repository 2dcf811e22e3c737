//! Logs one after the other: any bytes, read as what they claim to be, finished and retagged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_core::format::record::{RecordFault, RecordHeader, assign, decode_checked, retag_all};
use waldo_core::format::{RECORD_HEADER_SIZE, Tag};
use waldo_fuzz::fix_records;

fuzz_target!(|data: &[u8]| {
    let (tag, other) = (Tag::from_raw(0x5EED), Tag::from_raw(7));
    read(data, tag);

    let mut bytes = data.to_vec();
    let count = fix_records(&mut bytes, u32::MAX, tag);
    assert!(read(&bytes, tag) >= count, "logs with good checksums are read");
    retag_all(tag, other, count, &mut bytes);
    assert!(read(&bytes, other) >= count, "and under another tag after that was changed");
    assert!(count == 0 || read(&bytes, tag) == 0, "under which alone they are good");

    let mut bytes = data.to_vec();
    if let Some(size) = assign(7, 3, tag, &mut bytes) {
        let header = RecordHeader::decode(&bytes).expect("it has room for a header");
        assert_eq!((header.seq_no, header.prev_seq_no, header.size()), (7, 3, size));
        assert_eq!(bytes[size..], data[size..], "what follows is left alone");
    }
});

/// Reads logs up to the first that is bad; answers how many.
fn read(mut bytes: &[u8], tag: Tag) -> usize {
    let mut count = 0;
    loop {
        match decode_checked(bytes, tag) {
            Ok((header, payload)) => {
                assert_eq!(payload.len(), header.len as usize);
                assert!(header.size() >= RECORD_HEADER_SIZE + payload.len());
                bytes = &bytes[header.size()..];
                count += 1;
            }
            Err(RecordFault::Short) => return count,
            Err(RecordFault::Checksum) => {
                assert!(bytes.len() >= RECORD_HEADER_SIZE);
                return count;
            }
        }
    }
}
