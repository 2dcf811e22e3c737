//! Format 1 once more, as naively as it can be said: every structure is a run of bytes that grows
//! at its end, every CRC is that of one run of bytes from its start, bit by bit.
//!
//! Nothing here calls the code under test; only its types are used, to pass fields.

use super::Identity;
use crate::format::StoreId;
use crate::format::frame::{FrameHeader, FrameKind};
use crate::format::meta::{Control, OpenBody};
use crate::format::page_header::PageHeader;
use crate::format::seal::SealBody;

/// CRC32C (Castagnoli): polynomial 0x1EDC6F41, reflected, all ones in and out.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = 0xffff_ffff_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc >>= 1;
            if low == 1 {
                crc ^= 0x82f6_3b78;
            }
        }
    }
    crc ^ 0xffff_ffff
}

fn push_u16(out: &mut Vec<u8>, value: u16) {
    out.extend([value as u8, (value >> 8) as u8]);
}

fn push_u32(out: &mut Vec<u8>, value: u32) {
    push_u16(out, value as u16);
    push_u16(out, (value >> 16) as u16);
}

fn push_u64(out: &mut Vec<u8>, value: u64) {
    push_u32(out, value as u32);
    push_u32(out, (value >> 32) as u32);
}

fn pad(out: &mut Vec<u8>, alignment: usize) {
    while !out.len().is_multiple_of(alignment) {
        out.push(0);
    }
}

/// Store id, page number, incarnation: what a tag is the CRC of.
fn identity_bytes(identity: &Identity) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(identity.store.0);
    push_u64(&mut out, identity.page_number);
    push_u64(&mut out, identity.incarnation);
    out
}

pub fn tag(identity: &Identity) -> u32 {
    crc32c(&identity_bytes(identity))
}

/// A log whose CRC field is `crc`.
fn record_with(crc: u32, seq_no: u64, prev_seq_no: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    push_u64(&mut out, seq_no);
    push_u64(&mut out, prev_seq_no);
    push_u32(&mut out, payload.len() as u32);
    push_u32(&mut out, crc);
    out.extend(payload);
    pad(&mut out, 8);
    out
}

pub fn record(seq_no: u64, prev_seq_no: u64, payload: &[u8], tag: u32) -> Vec<u8> {
    let mut covered = Vec::new();
    covered.extend(payload);
    push_u64(&mut covered, seq_no);
    push_u64(&mut covered, prev_seq_no);
    push_u32(&mut covered, payload.len() as u32);
    push_u32(&mut covered, tag);
    record_with(crc32c(&covered), seq_no, prev_seq_no, payload)
}

/// A log that waits for its numbers.
pub fn unassigned_record(seq_no: u64, prev_seq_no: u64, payload: &[u8]) -> Vec<u8> {
    record_with(crc32c(payload), seq_no, prev_seq_no, payload)
}

pub fn frame_header(header: &FrameHeader, store: StoreId) -> Vec<u8> {
    let mut before = Vec::new();
    before.extend(b"WFr1");
    before.push(match header.kind {
        FrameKind::Data => 1,
        FrameKind::Open => 2,
        FrameKind::Control => 3,
        FrameKind::Seal => 4,
    });
    before.push(header.flags);
    push_u16(&mut before, 0);
    push_u64(&mut before, header.page_number);
    push_u64(&mut before, header.incarnation);
    push_u32(&mut before, (header.offset / 8) as u32);
    push_u32(&mut before, (header.length / 8) as u32);
    push_u32(&mut before, header.count);

    let mut after = Vec::new();
    push_u64(&mut after, header.first_prev_seq_no);
    push_u64(&mut after, header.last_seq_no);
    push_u64(&mut after, header.durable_through);

    let mut covered = Vec::new();
    covered.extend(store.0);
    covered.extend(&before);
    covered.extend(&after);

    let mut out = before;
    push_u32(&mut out, crc32c(&covered));
    out.extend(after);
    out
}

/// A body, and the CRC behind it.
pub fn sealed_body(identity: &Identity, body: &[u8]) -> Vec<u8> {
    let mut covered = identity_bytes(identity);
    covered.extend(body);
    let mut out = body.to_vec();
    push_u32(&mut out, crc32c(&covered));
    out
}

pub fn open_body(body: &OpenBody) -> Vec<u8> {
    let mut out = Vec::new();
    push_u64(&mut out, body.predecessor_page_number);
    push_u64(&mut out, body.predecessor_end);
    push_u64(&mut out, body.predecessor_incarnation);
    push_u64(&mut out, body.trimmed_seq_no);
    out
}

pub fn control(control: &Control) -> Vec<u8> {
    let (kind, seq_no) = match control {
        Control::Trim { up_to_seq_no } => (1, *up_to_seq_no),
        Control::Truncate { after_seq_no } => (2, *after_seq_no),
        Control::Clear => (3, 0),
    };
    let mut out = Vec::new();
    push_u64(&mut out, kind);
    push_u64(&mut out, seq_no);
    out
}

pub fn seal_body(body: &SealBody) -> Vec<u8> {
    let mut out = Vec::new();
    push_u64(&mut out, body.end);
    push_u64(&mut out, body.first_prev_seq_no);
    push_u64(&mut out, body.last_seq_no);
    push_u64(&mut out, body.log_count);
    push_u64(&mut out, body.trimmed_seq_no);
    push_u64(&mut out, body.incarnations.len() as u64);
    for (offset, incarnation) in &body.incarnations {
        push_u64(&mut out, *offset);
        push_u64(&mut out, *incarnation);
    }
    for entry in &body.index {
        push_u64(&mut out, entry.prev_seq_no);
        push_u32(&mut out, entry.offset);
        push_u32(&mut out, entry.frame_end);
    }
    out
}

pub fn page_header(header: &PageHeader) -> Vec<u8> {
    page_header_with(header, 1, 0, 0)
}

/// The header of a page of another version, or with features.
pub fn page_header_with(
    header: &PageHeader,
    version: u32,
    incompatible: u32,
    compatible: u32,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(b"WALDOPG1");
    push_u32(&mut out, version);
    push_u32(&mut out, incompatible);
    push_u32(&mut out, compatible);
    push_u32(&mut out, header.page_id);
    out.extend(header.store_id.0);
    push_u64(&mut out, header.page_size);
    push_u32(&mut out, header.frame_alignment);
    push_u32(&mut out, header.seal_capacity);
    while out.len() < 4092 {
        out.push(0);
    }
    let crc = crc32c(&out);
    push_u32(&mut out, crc);
    out
}

#[test]
fn the_oracles_crc_has_the_published_check_values() {
    // RFC 3720, appendix B.4, and the check value of the catalogues.
    assert_eq!(crc32c(b""), 0);
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
}
