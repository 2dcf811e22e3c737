//! Bodies of open and control frames.

use super::bytes::{put_u64, u64_at};

/// Body of an open frame: how one use of a page follows another.
///
/// ```text
///  0                  8                     16                       24            32
///  +------------------+---------------------+------------------------+-------------+-----+
///  | predecessor page | predecessor end     | predecessor incarnation| trimmed     | crc |
///  +------------------+---------------------+------------------------+-------------+-----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBody {
    /// Page number of the page before this one; 0 for the first page of a store.
    pub predecessor_page_number: u64,
    /// Offset at which the frames of the page before end.
    pub predecessor_end: u64,
    /// Incarnation of the last frame of the page before.
    pub predecessor_incarnation: u64,
    /// Every log up to and with this `seq_no` was trimmed.
    pub trimmed_seq_no: u64,
}

impl OpenBody {
    /// Bytes of the body without its CRC.
    pub const SIZE: usize = 32;

    /// The body, without its CRC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; Self::SIZE];
        put_u64(&mut out, 0, self.predecessor_page_number);
        put_u64(&mut out, 8, self.predecessor_end);
        put_u64(&mut out, 16, self.predecessor_incarnation);
        put_u64(&mut out, 24, self.trimmed_seq_no);
        out
    }

    /// Reads a body; what follows the known fields is ignored.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        Some(Self {
            predecessor_page_number: u64_at(body, 0)?,
            predecessor_end: u64_at(body, 8)?,
            predecessor_incarnation: u64_at(body, 16)?,
            trimmed_seq_no: u64_at(body, 24)?,
        })
    }
}

/// What a control frame says.
///
/// ```text
///  0      8          16
///  +------+----------+-----+
///  | kind | seq_no   | crc |
///  +------+----------+-----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Every log up to and with this `seq_no` is gone.
    Trim {
        /// The last log that is gone.
        up_to_seq_no: u64,
    },
    /// Every log after this `seq_no` that lies before this frame is gone; the next log follows
    /// it.
    Truncate {
        /// The last log that stays.
        after_seq_no: u64,
    },
    /// The log starts again from nothing: every log before this frame is gone, and the next may
    /// have any number.
    Clear,
}

impl Control {
    /// Bytes of the body without its CRC.
    pub const SIZE: usize = 16;

    /// The body, without its CRC.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, seq_no) = match *self {
            Self::Trim { up_to_seq_no } => (1, up_to_seq_no),
            Self::Truncate { after_seq_no } => (2, after_seq_no),
            Self::Clear => (3, 0),
        };
        let mut out = vec![0; Self::SIZE];
        put_u64(&mut out, 0, kind);
        put_u64(&mut out, 8, seq_no);
        out
    }

    /// Reads a body. `None` for a kind that this version does not know.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        let seq_no = u64_at(body, 8)?;
        match u64_at(body, 0)? {
            1 => Some(Self::Trim { up_to_seq_no: seq_no }),
            2 => Some(Self::Truncate { after_seq_no: seq_no }),
            3 => Some(Self::Clear),
            _ => None,
        }
    }
}
