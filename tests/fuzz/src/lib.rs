//! What the fuzz targets share: bytes of pages with checksums that are good, so that what is
//! mutated gets past them, and readers of whatever comes of that.

pub mod pages;
pub mod reading;
pub mod store;

use waldo_core::format::bytes::{put, put_u32, put_u64};
use waldo_core::format::frame::{FRAME_MAGIC, checked_body};
use waldo_core::format::meta::Control;
use waldo_core::format::record::{RecordHeader, expected_crc};
use waldo_core::format::{
    FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, RECORD_HEADER_SIZE, StoreId, Tag,
};

/// The store that pages belong to which are made here.
pub const STORE_ID: StoreId = StoreId(*b"the fuzzed store");

/// Bytes of a page header's fields; zeros follow up to its checksum.
pub const HEADER_FIELDS_SIZE: usize = 56;

/// The first block of a page with these fields and a good checksum.
pub fn header_block(fields: &[u8]) -> Vec<u8> {
    let mut block = vec![0; PAGE_HEADER_SIZE];
    let fields = &fields[..fields.len().min(HEADER_FIELDS_SIZE)];
    put(&mut block, 0, fields);
    let crc = crc32c::crc32c(&block[..PAGE_HEADER_SIZE - 4]);
    put_u32(&mut block, PAGE_HEADER_SIZE - 4, crc);
    block
}

/// Gives the header of a frame the checksum that its fields should have.
pub fn fix_header(header: &mut [u8], store: StoreId) {
    let crc = crc32c::crc32c_append(store.seed(), &header[..36]);
    let crc = crc32c::crc32c_append(crc, &header[40..FRAME_HEADER_SIZE]);
    put_u32(header, 36, crc);
}

/// Gives up to `limit` logs at the start of `bytes` good checksums and padding; answers how many
/// there are.
pub fn fix_records(bytes: &mut [u8], limit: u32, tag: Tag) -> usize {
    let mut rest = bytes;
    for count in 0..limit as usize {
        let Some(header) = RecordHeader::decode(rest) else { return count };
        let Some((record, after)) = rest.split_at_mut_checked(header.size()) else { return count };
        let (payload, padding) = record[RECORD_HEADER_SIZE..].split_at_mut(header.len as usize);
        padding.fill(0);
        let crc = expected_crc(&header, payload, tag);
        put_u32(record, 20, crc);
        rest = after;
    }
    limit as usize
}

/// Gives the body of a frame other than data its checksum.
fn fix_body(header: &FrameHeader, store: StoreId, bytes: &mut [u8]) {
    let Some(body) = bytes.get_mut(..header.count as usize) else { return };
    let Some((body, crc)) = body.split_last_chunk_mut::<4>() else { return };
    let mut identity = [0; 16];
    put_u64(&mut identity, 0, header.page_number);
    put_u64(&mut identity, 8, header.incarnation);
    let seed = crc32c::crc32c_append(store.seed(), &identity);
    *crc = crc32c::crc32c_append(seed, body).to_le_bytes();
}

/// Gives every frame in the bytes of a page good checksums, as long as one follows another, and
/// the one at `seal_offset`.
pub fn fix_frames(page: &mut [u8], store: StoreId, seal_offset: usize) {
    let mut offset = PAGE_HEADER_SIZE;
    while let Some(length) = fix_frame(page, store, offset) {
        offset = offset.saturating_add(length);
    }
    fix_frame(page, store, seal_offset);
}

/// Whether a frame in the bytes of a page truncates the log, as long as one follows another.
pub fn has_truncation(page: &[u8], store: StoreId) -> bool {
    let mut offset = PAGE_HEADER_SIZE;
    while let Some(frame) = page.get(offset..)
        && let Some(header) = FrameHeader::decode(store.seed(), frame)
    {
        let body = frame.get(FRAME_HEADER_SIZE..).unwrap_or_default();
        let control = checked_body(store.seed(), &header, body).and_then(Control::decode);
        if header.kind == FrameKind::Control && matches!(control, Some(Control::Truncate { .. })) {
            return true;
        }
        offset = offset.saturating_add(usize::try_from(header.length).unwrap_or(usize::MAX));
    }
    false
}

/// Gives the frame at `offset` good checksums; answers its length.
fn fix_frame(page: &mut [u8], store: StoreId, offset: usize) -> Option<usize> {
    let frame = page.get_mut(offset..)?;
    let (header, body) = frame.split_at_mut_checked(FRAME_HEADER_SIZE)?;
    if !header.starts_with(&FRAME_MAGIC) {
        return None;
    }
    fix_header(header, store);
    let header = FrameHeader::decode(store.seed(), header)?;
    if header.kind == FrameKind::Data {
        let tag = store.tag(header.page_number, header.incarnation);
        fix_records(body, header.count, tag);
    } else {
        fix_body(&header, store, body);
    }
    usize::try_from(header.length).ok()
}
