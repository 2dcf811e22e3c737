//! What the CRC32Cs cover, and how they are seeded.
//!
//! A page file is used over and over, and its bytes are never wiped in between. What keeps an
//! old frame or log from being taken for a new one is identity inside the checksum: every CRC
//! starts from the store's id, and a log's CRC also ends with a [`Tag`] made of the page number
//! and the incarnation that the log was written under.
//!
//! The payload comes first in a log's CRC, so that the thread that appends can compute that part
//! without knowing any number; the header and the tag follow, 24 bytes. CRCs are linear, so a
//! CRC that was finished with one tag is turned into the CRC with another by one exclusive or
//! that is the same for every log: see [`retag`].

use super::bytes::{put_u32, put_u64};

/// Random identity of one store, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

impl StoreId {
    /// CRC that every header's CRC of this store continues.
    #[must_use]
    pub fn seed(&self) -> u32 {
        crc32c::crc32c(&self.0)
    }

    /// The tag for logs written under this page number and incarnation.
    #[must_use]
    pub fn tag(&self, page_number: u64, incarnation: u64) -> Tag {
        Tag::new(self.seed(), page_number, incarnation)
    }
}

/// Identity of one use of a page, mixed into the CRC of every log written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The tag for a store's [`StoreId::seed`], page number and incarnation.
    #[inline]
    #[must_use]
    pub fn new(seed: u32, page_number: u64, incarnation: u64) -> Self {
        let mut identity = [0; 16];
        put_u64(&mut identity, 0, page_number);
        put_u64(&mut identity, 8, incarnation);
        Self(crc32c::crc32c_append(seed, &identity))
    }

    /// The tag as a number, to pass through an atomic.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The tag that [`Tag::get`] gave.
    #[must_use]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

/// CRC of a payload: the part of a log's CRC that needs no numbers.
#[inline]
#[must_use]
pub fn payload_crc(payload: &[u8]) -> u32 {
    // Twice as fast as the other one, which can continue a CRC.
    crc_fast::crc32_iscsi(payload)
}

/// CRC of a whole log, from the CRC of its payload, its header's fields and the tag.
#[inline]
#[must_use]
pub fn record_crc(payload_crc: u32, seq_no: u64, prev_seq_no: u64, len: u32, tag: Tag) -> u32 {
    let mut header = [0; 24];
    put_u64(&mut header, 0, seq_no);
    put_u64(&mut header, 8, prev_seq_no);
    put_u32(&mut header, 16, len);
    put_u32(&mut header, 20, tag.0);
    crc32c::crc32c_append(payload_crc, &header)
}

/// The exclusive or that turns any log's CRC under `from` into its CRC under `to`.
#[must_use]
pub fn retag(from: Tag, to: Tag) -> u32 {
    crc32c::crc32c_append(0, &from.0.to_le_bytes()) ^ crc32c::crc32c_append(0, &to.0.to_le_bytes())
}
