//! Body of a seal frame: what a page holds up to an offset, so that an open need not scan it.
//!
//! The seal lies at a fixed place, the end of the page, and says where the frames that it vouches
//! for end. Frames may follow that end: a store that was closed and opened again goes on behind
//! it.
//!
//! ```text
//!  0     8            16          24          32        40                  48
//!  +-----+------------+-----------+-----------+---------+-------------------+---------------
//!  | end | first prev | last seq  | log count | trimmed | incarnation count | incarnations ...
//!  +-----+------------+-----------+-----------+---------+-------------------+---------------
//!  incarnation: offset u64, incarnation u64
//!  entry:       prev_seq_no u64, offset u32, frame end u32 (both in units of 8 bytes)  ... crc
//! ```

use super::bytes::{u32_at, u64_at};
use super::frame::FRAME_HEADER_SIZE;

/// One entry of the sparse index: where to start reading for a `seq_no`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// `prev_seq_no` of the log at the place: every log from there on is newer than this.
    pub prev_seq_no: u64,
    /// Offset in the page, in units of 8 bytes, of a frame's header or of a log.
    pub offset: u32,
    /// 0 where `offset` is a frame's header; else the end of the frame that the log lies in, in
    /// units of 8 bytes.
    pub frame_end: u32,
}

/// Body of a seal frame, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealBody {
    /// Offset at which the frames that the seal vouches for end.
    pub end: u64,
    /// `prev_seq_no` of the first log of the page.
    pub first_prev_seq_no: u64,
    /// `seq_no` of the last log of the page.
    pub last_seq_no: u64,
    /// Number of logs.
    pub log_count: u64,
    /// Every log up to and with this `seq_no` was trimmed.
    pub trimmed_seq_no: u64,
    /// Incarnations of the page's frames, ascending: each with the offset from which it holds.
    pub incarnations: Vec<(u64, u64)>,
    /// The sparse index, ascending.
    pub index: Vec<IndexEntry>,
}

/// Flag of a seal's header: the page holds a truncation, so that a summary does not do it
/// justice; it must be scanned.
pub const SEAL_FLAG_SCAN: u8 = 1;

const FIXED: usize = 48;
const PAIR: usize = 16;

impl SealBody {
    /// Entries, of the index or of incarnations, that fit a seal of `capacity` bytes.
    #[must_use]
    pub const fn entries_max(capacity: usize) -> usize {
        capacity.saturating_sub(FRAME_HEADER_SIZE + FIXED + 4) / PAIR
    }

    /// Bytes of a seal frame with `entries` entries of both kinds, before alignment.
    #[must_use]
    pub const fn frame_size(entries: usize) -> usize {
        FRAME_HEADER_SIZE + FIXED + 4 + entries * PAIR
    }

    /// The body, without its CRC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let pairs = self.incarnations.len() + self.index.len();
        let mut out = Vec::with_capacity(FIXED + pairs * PAIR + 4);
        for field in [
            self.end,
            self.first_prev_seq_no,
            self.last_seq_no,
            self.log_count,
            self.trimmed_seq_no,
            self.incarnations.len() as u64,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        for (offset, incarnation) in &self.incarnations {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&incarnation.to_le_bytes());
        }
        for entry in &self.index {
            out.extend_from_slice(&entry.prev_seq_no.to_le_bytes());
            out.extend_from_slice(&entry.offset.to_le_bytes());
            out.extend_from_slice(&entry.frame_end.to_le_bytes());
        }
        out
    }

    /// Reads a body.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let (fixed, pairs) = body.split_at_checked(FIXED)?;
        let (pairs, []) = pairs.as_chunks::<PAIR>() else { return None };
        let incarnation_count = usize::try_from(u64_at(fixed, 40)?).ok()?;
        let (incarnations, entries) = pairs.split_at_checked(incarnation_count)?;
        Some(Self {
            end: u64_at(fixed, 0)?,
            first_prev_seq_no: u64_at(fixed, 8)?,
            last_seq_no: u64_at(fixed, 16)?,
            log_count: u64_at(fixed, 24)?,
            trimmed_seq_no: u64_at(fixed, 32)?,
            incarnations: incarnations
                .iter()
                .map(|pair| Some((u64_at(pair, 0)?, u64_at(pair, 8)?)))
                .collect::<Option<_>>()?,
            index: entries.iter().map(decode_entry).collect::<Option<_>>()?,
        })
    }
}

fn decode_entry(pair: &[u8; PAIR]) -> Option<IndexEntry> {
    Some(IndexEntry {
        prev_seq_no: u64_at(pair, 0)?,
        offset: u32_at(pair, 8)?,
        frame_end: u32_at(pair, 12)?,
    })
}
