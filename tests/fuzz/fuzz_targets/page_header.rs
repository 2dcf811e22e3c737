//! The first block of a page file: any bytes, and any fields behind a good checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_core::format::page_header::PageHeaderFault;
use waldo_core::format::{PAGE_HEADER_SIZE, PageHeader};
use waldo_fuzz::header_block;

fuzz_target!(|data: &[u8]| {
    let _ = PageHeader::decode(data);
    let block = header_block(data);
    match PageHeader::decode(&block) {
        Ok(header) => {
            assert!(header.seal_offset() > header.frames_start());
            assert!(header.page_size >= header.seal_offset());
            assert!(header.frame_alignment.is_power_of_two());
            assert_eq!(PageHeader::decode(&header.encode()), Ok(header));
        }
        Err(PageHeaderFault::Newer { version, features }) => {
            assert!(version != 1 || features != 0);
        }
        Err(PageHeaderFault::Foreign) => assert!(!block.starts_with(b"WALDOPG1")),
        Err(PageHeaderFault::Blank) => panic!("a block with a checksum is not blank"),
        Err(PageHeaderFault::Damaged) => {}
    }
    assert_eq!(block.len(), PAGE_HEADER_SIZE);
});
