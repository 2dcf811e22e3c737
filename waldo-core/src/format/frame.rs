//! The header of a frame: the unit of one write.
//!
//! ```text
//!  0        4    5    6      8              16             24      28      32      36
//!  +--------+----+----+------+--------------+--------------+-------+-------+-------+-------+
//!  | magic  |kind|flag| zero | page number  | incarnation  | offset| length| count | crc   |
//!  +--------+----+----+------+--------------+--------------+-------+-------+-------+-------+
//! 40              48             56             64
//!  +--------------+--------------+--------------+
//!  | first prev   | last seq_no  | durable thr. |  body ...
//!  +--------------+--------------+--------------+
//! ```

use super::bytes::{put, put_u32, put_u64, u32_at, u64_at};

/// Bytes of a frame's header.
pub const FRAME_HEADER_SIZE: usize = 64;

/// First four bytes of every frame.
pub const FRAME_MAGIC: [u8; 4] = *b"WFr1";

/// Largest length of a frame and offset of a frame within a page: 32 GiB, in units of 8 bytes.
pub const OFFSET_LIMIT: u64 = (u32::MAX as u64) * 8;

const CRC_OFFSET: usize = 36;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Logs.
    Data = 1,
    /// The start of one use of a page.
    Open = 2,
    /// A trim point or a truncation.
    Control = 3,
    /// Summary and index of a page.
    Seal = 4,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Data),
            2 => Some(Self::Open),
            3 => Some(Self::Control),
            4 => Some(Self::Seal),
            _ => None,
        }
    }
}

/// Header of a frame, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame holds.
    pub kind: FrameKind,
    /// Bits that belong to the kind; 0 where none is defined.
    pub flags: u8,
    /// Number of the use of the page that the frame belongs to.
    pub page_number: u64,
    /// Incarnation that it was written under.
    pub incarnation: u64,
    /// Offset of the frame in its page, in bytes; a multiple of 8.
    pub offset: u64,
    /// Length with header and padding, in bytes; a multiple of 8.
    pub length: u64,
    /// Data: number of logs. Others: bytes of the body, with its CRC.
    pub count: u32,
    /// Data: `prev_seq_no` of the first log. Others: the tip when it was written.
    pub first_prev_seq_no: u64,
    /// Data: `seq_no` of the last log. Others: the tip when it was written.
    pub last_seq_no: u64,
    /// Log position (see [`position`]) through which everything was known to be durable when
    /// this frame was built.
    pub durable_through: u64,
}

impl FrameHeader {
    /// Writes the header to the first [`FRAME_HEADER_SIZE`] bytes of `out`.
    ///
    /// `seed` is the store's seed. Answers `false`, and leaves `out` in an unspecified state,
    /// where `out` is too short or an offset or length cannot be expressed.
    #[must_use]
    pub fn encode(&self, seed: u32, out: &mut [u8]) -> bool {
        let Some(out) = out.get_mut(..FRAME_HEADER_SIZE) else { return false };
        let (Some(offset), Some(length)) = (units(self.offset), units(self.length)) else {
            return false;
        };
        let done = put(out, 0, &FRAME_MAGIC)
            && put(out, 4, &[self.kind as u8, self.flags, 0, 0])
            && put_u64(out, 8, self.page_number)
            && put_u64(out, 16, self.incarnation)
            && put_u32(out, 24, offset)
            && put_u32(out, 28, length)
            && put_u32(out, 32, self.count)
            && put_u64(out, 40, self.first_prev_seq_no)
            && put_u64(out, 48, self.last_seq_no)
            && put_u64(out, 56, self.durable_through);
        done && header_crc(seed, out).is_some_and(|crc| put_u32(out, CRC_OFFSET, crc))
    }

    /// Reads and checks the header at the start of `bytes`.
    ///
    /// `None` where the bytes are not a frame's header of this store: too short, another magic,
    /// a wrong CRC, or a length that cannot hold the header.
    #[must_use]
    pub fn decode(seed: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_SIZE)?;
        if !starts_with_magic(bytes) || u32_at(bytes, CRC_OFFSET)? != header_crc(seed, bytes)? {
            return None;
        }
        let header = Self::decode_trusted(bytes)?;
        (header.length >= FRAME_HEADER_SIZE as u64).then_some(header)
    }

    /// Reads a header whose CRC the caller has no need to check: it lies in memory that this
    /// process wrote or checked before.
    #[inline]
    #[must_use]
    pub fn decode_trusted(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_SIZE)?;
        let [kind, flags, 0, 0] = u32_at(bytes, 4)?.to_le_bytes() else { return None };
        Some(Self {
            kind: FrameKind::from_byte(kind)?,
            flags,
            page_number: u64_at(bytes, 8)?,
            incarnation: u64_at(bytes, 16)?,
            offset: u64::from(u32_at(bytes, 24)?) * 8,
            length: u64::from(u32_at(bytes, 28)?) * 8,
            count: u32_at(bytes, 32)?,
            first_prev_seq_no: u64_at(bytes, 40)?,
            last_seq_no: u64_at(bytes, 48)?,
            durable_through: u64_at(bytes, 56)?,
        })
    }
}

/// Whether `bytes` starts as a frame does: the cheap test before [`FrameHeader::decode`].
#[inline]
#[must_use]
pub fn starts_with_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(&FRAME_MAGIC)
}

/// Position in the whole log of an offset in a page: it only grows, through every page.
///
/// `page_size` is the size of the store's page files.
#[must_use]
pub const fn position(page_number: u64, page_size: u64, offset: u64) -> u64 {
    page_number.saturating_mul(page_size).saturating_add(offset)
}

/// Seals `body` with its CRC: appends four bytes that cover it and the frame's identity.
pub fn seal_body(seed: u32, page_number: u64, incarnation: u64, body: &mut Vec<u8>) {
    let crc = body_crc(seed, page_number, incarnation, body);
    body.extend_from_slice(&crc.to_le_bytes());
}

/// The body of a frame other than data without its CRC, from the bytes that follow the header.
///
/// `None` where it is cut short or its CRC is wrong.
#[must_use]
pub fn checked_body<'a>(seed: u32, header: &FrameHeader, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let body = bytes.get(..header.count as usize)?;
    let (body, crc) = body.split_last_chunk::<4>()?;
    let expected = body_crc(seed, header.page_number, header.incarnation, body);
    (u32::from_le_bytes(*crc) == expected).then_some(body)
}

fn body_crc(seed: u32, page_number: u64, incarnation: u64, body: &[u8]) -> u32 {
    let mut identity = [0; 16];
    put_u64(&mut identity, 0, page_number);
    put_u64(&mut identity, 8, incarnation);
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &identity), body)
}

fn header_crc(seed: u32, header: &[u8]) -> Option<u32> {
    let before = header.get(..CRC_OFFSET)?;
    let after = header.get(CRC_OFFSET + 4..FRAME_HEADER_SIZE)?;
    Some(crc32c::crc32c_append(crc32c::crc32c_append(seed, before), after))
}

fn units(bytes: u64) -> Option<u32> {
    if bytes.is_multiple_of(8) { u32::try_from(bytes / 8).ok() } else { None }
}
