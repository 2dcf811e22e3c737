//! Body of a seal frame: what a page holds up to an offset, so that an open need not scan it.
//!
//! The seal lies at a fixed place, the end of the page, and says where the frames that it vouches
//! for end. Frames may follow that end: a store that was closed and opened again goes on behind
//! it.
//!
//! ```text
//!  0        8              16            24            32             40
//!  +--------+--------------+-------------+-------------+--------------+------------------
//!  | end    | first prev   | last seq_no | log count   | trimmed      | entries, 16 each
//!  +--------+--------------+-------------+-------------+--------------+------------------
//!  entry:   seq_no u64, offset u32, frame end u32 (both in units of 8 bytes)       ... crc
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
    /// The sparse index, ascending.
    pub index: Vec<IndexEntry>,
}

/// Flag of a seal's header: the page holds a truncation, so that a summary does not do it
/// justice; it must be scanned.
pub const SEAL_FLAG_SCAN: u8 = 1;

const FIXED: usize = 40;
const ENTRY: usize = 16;

impl SealBody {
    /// Entries that fit a seal of `capacity` bytes.
    #[must_use]
    pub const fn entries_max(capacity: usize) -> usize {
        capacity.saturating_sub(FRAME_HEADER_SIZE + FIXED + 4) / ENTRY
    }

    /// Bytes of a seal frame with `entries` entries, before alignment.
    #[must_use]
    pub const fn frame_size(entries: usize) -> usize {
        FRAME_HEADER_SIZE + FIXED + 4 + entries * ENTRY
    }

    /// The body, without its CRC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED + self.index.len() * ENTRY + 4);
        for field in [
            self.end,
            self.first_prev_seq_no,
            self.last_seq_no,
            self.log_count,
            self.trimmed_seq_no,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
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
        let (fixed, entries) = body.split_at_checked(FIXED)?;
        let (entries, []) = entries.as_chunks::<ENTRY>() else { return None };
        let index = entries
            .iter()
            .map(|entry| {
                Some(IndexEntry {
                    prev_seq_no: u64_at(entry, 0)?,
                    offset: u32_at(entry, 8)?,
                    frame_end: u32_at(entry, 12)?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            end: u64_at(fixed, 0)?,
            first_prev_seq_no: u64_at(fixed, 8)?,
            last_seq_no: u64_at(fixed, 16)?,
            log_count: u64_at(fixed, 24)?,
            trimmed_seq_no: u64_at(fixed, 32)?,
            index,
        })
    }
}
