//! One log on disk: a 24-byte header, the payload, and zeros up to a multiple of 8.
//!
//! ```text
//!  0              8              16       20       24
//!  +--------------+--------------+--------+--------+----------------+--------+
//!  | seq_no       | prev_seq_no  | length | crc    | payload        | zeros  |
//!  +--------------+--------------+--------+--------+----------------+--------+
//! ```

use super::bytes::{is_zero, put, put_u32, put_u64, u32_at, u64_at};
use super::checksum::{Tag, payload_crc, record_crc, retag};

/// Bytes of a log's header.
pub const RECORD_HEADER_SIZE: usize = 24;

const CRC_OFFSET: usize = 20;

/// Bytes that a log with a payload of `len` bytes takes, with header and padding.
///
/// Saturates at the largest multiple of 8 where the sum would overflow.
#[inline]
#[must_use]
pub const fn record_size(len: usize) -> usize {
    len.saturating_add(RECORD_HEADER_SIZE + 7) & !7
}

/// Header of a log, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Sequence number of the log.
    pub seq_no: u64,
    /// Sequence number of the log before it.
    pub prev_seq_no: u64,
    /// Bytes of payload.
    pub len: u32,
    /// CRC of header, payload and tag.
    pub crc: u32,
}

impl RecordHeader {
    /// Reads the header at the start of `bytes`.
    #[inline]
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER_SIZE] = bytes.first_chunk()?;
        Some(Self {
            seq_no: u64_at(bytes, 0)?,
            prev_seq_no: u64_at(bytes, 8)?,
            len: u32_at(bytes, 16)?,
            crc: u32_at(bytes, 20)?,
        })
    }

    /// Bytes of the whole log, with header and padding.
    #[inline]
    #[must_use]
    pub const fn size(&self) -> usize {
        record_size(self.len as usize)
    }
}

/// How the numbers of a log stand when it is serialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Numbers and tag are known: the CRC is finished.
    Complete(Tag),
    /// The numbers are still to be assigned: the CRC field holds that of the payload.
    Payload,
}

/// Writes a log to the start of `out` and returns the bytes taken.
///
/// `None` where it does not fit, or the payload is longer than a `u32` says.
#[inline]
#[must_use]
pub fn encode(
    seq_no: u64,
    prev_seq_no: u64,
    payload: &[u8],
    stamp: Stamp,
    out: &mut [u8],
) -> Option<usize> {
    let len = u32::try_from(payload.len()).ok()?;
    let size = record_size(payload.len());
    let out = out.get_mut(..size)?;
    let (body, padding) = out.split_at_mut_checked(RECORD_HEADER_SIZE + payload.len())?;
    padding.fill(0);
    let crc = payload_crc(payload);
    let crc = match stamp {
        Stamp::Complete(tag) => record_crc(crc, seq_no, prev_seq_no, len, tag),
        Stamp::Payload => crc,
    };
    put_u64(body, 0, seq_no);
    put_u64(body, 8, prev_seq_no);
    put_u32(body, 16, len);
    put_u32(body, CRC_OFFSET, crc);
    put(body, RECORD_HEADER_SIZE, payload);
    Some(size)
}

/// Gives a log that was encoded with [`Stamp::Payload`] its numbers, and finishes its CRC.
///
/// Returns the bytes of the log, `None` where `out` holds no whole log.
#[inline]
#[must_use]
pub fn assign(seq_no: u64, prev_seq_no: u64, tag: Tag, out: &mut [u8]) -> Option<usize> {
    let header = RecordHeader::decode(out)?;
    let size = header.size();
    if out.len() < size {
        return None;
    }
    put_u64(out, 0, seq_no);
    put_u64(out, 8, prev_seq_no);
    put_u32(out, CRC_OFFSET, record_crc(header.crc, seq_no, prev_seq_no, header.len, tag));
    Some(size)
}

/// Moves `count` finished logs at the start of `records` from one tag to another.
pub fn retag_all(from: Tag, to: Tag, count: usize, records: &mut [u8]) {
    let change = retag(from, to);
    if change == 0 {
        return;
    }
    let mut rest = records;
    for _ in 0..count {
        let Some(header) = RecordHeader::decode(rest) else { return };
        put_u32(rest, CRC_OFFSET, header.crc ^ change);
        let Some((_, after)) = rest.split_at_mut_checked(header.size()) else { return };
        rest = after;
    }
}

/// Why bytes are not a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// They end before the log does.
    Short,
    /// The CRC, or the zeros of the padding, are not those of a log with this tag.
    Checksum,
}

/// Reads and checks the log at the start of `bytes`.
///
/// # Errors
///
/// [`RecordFault`]. A length that reaches past the end of `bytes` is `Short`: a damaged length
/// cannot be told from a log that goes on.
#[inline]
pub fn decode_checked(bytes: &[u8], tag: Tag) -> Result<(RecordHeader, &[u8]), RecordFault> {
    let header = RecordHeader::decode(bytes).ok_or(RecordFault::Short)?;
    let end = RECORD_HEADER_SIZE.saturating_add(header.len as usize);
    let payload = bytes.get(RECORD_HEADER_SIZE..end).ok_or(RecordFault::Short)?;
    let padding = bytes.get(end..header.size()).ok_or(RecordFault::Short)?;
    if header.crc != expected_crc(&header, payload, tag) || !is_zero(padding) {
        return Err(RecordFault::Checksum);
    }
    Ok((header, payload))
}

/// The CRC that a log with this header and payload has under `tag`.
#[inline]
#[must_use]
pub fn expected_crc(header: &RecordHeader, payload: &[u8], tag: Tag) -> u32 {
    record_crc(payload_crc(payload), header.seq_no, header.prev_seq_no, header.len, tag)
}
