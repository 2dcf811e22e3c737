//! A sequenced log record.

use std::borrow::Cow;
use std::fmt;

use crate::error::LogError;
use crate::format::checksum::{Tag, payload_crc};
use crate::format::record::{self, RecordHeader};

/// One log: a payload with its number and the number of the log before it.
///
/// Two logs are equal when their numbers and payloads are.
#[derive(Clone)]
pub struct Log<'a> {
    seq_no: u64,
    prev_seq_no: u64,
    data: Cow<'a, [u8]>,
    /// Where the log was read from a store: its stored checksum, and what seeded it.
    stored: Option<(u32, Tag)>,
}

impl<'a> Log<'a> {
    /// A log that borrows its payload.
    ///
    /// `seq_no` must be greater than `prev_seq_no` by the time the log is appended.
    #[must_use]
    pub fn new_borrowed(seq_no: u64, prev_seq_no: u64, data: &'a [u8]) -> Self {
        Self { seq_no, prev_seq_no, data: Cow::Borrowed(data), stored: None }
    }

    /// A log that owns its payload.
    ///
    /// `seq_no` must be greater than `prev_seq_no` by the time the log is appended.
    #[must_use]
    pub fn new_owned(seq_no: u64, prev_seq_no: u64, data: Vec<u8>) -> Log<'static> {
        Log { seq_no, prev_seq_no, data: Cow::Owned(data), stored: None }
    }

    #[inline]
    pub(crate) fn from_stored(header: &RecordHeader, data: &'a [u8], tag: Tag) -> Self {
        Self {
            seq_no: header.seq_no,
            prev_seq_no: header.prev_seq_no,
            data: Cow::Borrowed(data),
            stored: Some((header.crc, tag)),
        }
    }

    /// The same log, borrowing its payload from this one.
    #[must_use]
    pub fn borrow(&self) -> Log<'_> {
        Log {
            seq_no: self.seq_no,
            prev_seq_no: self.prev_seq_no,
            data: Cow::Borrowed(&self.data),
            stored: self.stored,
        }
    }

    /// The same log with a payload of its own, for keeping after its chunk is gone.
    #[must_use]
    pub fn into_owned(self) -> Log<'static> {
        Log {
            seq_no: self.seq_no,
            prev_seq_no: self.prev_seq_no,
            data: Cow::Owned(self.data.into_owned()),
            stored: self.stored,
        }
    }

    /// Sequence number of the log.
    #[inline]
    #[must_use]
    pub fn seq_no(&self) -> u64 {
        self.seq_no
    }

    /// Sequence number of the log before it.
    #[inline]
    #[must_use]
    pub fn prev_seq_no(&self) -> u64 {
        self.prev_seq_no
    }

    /// The payload.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// CRC32C of the payload.
    #[must_use]
    pub fn data_hash(&self) -> u32 {
        payload_crc(&self.data)
    }

    /// Checks that numbers and payload are those that were appended.
    ///
    /// A log that was not read from a store is always valid.
    ///
    /// # Errors
    ///
    /// [`LogError::Corruption`] where the stored checksum is not that of the log.
    pub fn validate_data(&self) -> Result<(), LogError> {
        let Some((wanted, tag)) = self.stored else { return Ok(()) };
        let header = RecordHeader {
            seq_no: self.seq_no,
            prev_seq_no: self.prev_seq_no,
            len: self.data.len() as u32,
            crc: wanted,
        };
        let actual = record::expected_crc(&header, &self.data, tag);
        if actual == wanted {
            Ok(())
        } else {
            Err(LogError::Corruption { seq_no: self.seq_no, wanted, actual })
        }
    }

    /// Bytes that the log takes on disk, with its header and padding.
    #[must_use]
    pub fn size(&self) -> usize {
        record::record_size(self.data.len())
    }
}

impl PartialEq<Log<'_>> for Log<'_> {
    fn eq(&self, other: &Log<'_>) -> bool {
        self.seq_no == other.seq_no
            && self.prev_seq_no == other.prev_seq_no
            && self.data == other.data
    }
}

impl Eq for Log<'_> {}

impl fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 32;
        let shown = &self.data[..self.data.len().min(SHOWN)];
        f.debug_struct("Log")
            .field("seq_no", &self.seq_no)
            .field("prev_seq_no", &self.prev_seq_no)
            .field("len", &self.data.len())
            .field("data", &format_args!("{}", shown.escape_ascii()))
            .finish()
    }
}
