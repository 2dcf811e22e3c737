//! The first block of a page file: written once, when the file is made, and never again.
//!
//! ```text
//!  0          8        12        16        20      24         40          48        52
//!  +----------+--------+---------+---------+-------+----------+-----------+---------+------+
//!  | WALDOPG1 | version| incompat| compat  | id    | store id | page size | align   | seal |
//!  +----------+--------+---------+---------+-------+----------+-----------+---------+------+
//!  | zeros ...                                                              | crc (4092)   |
//!  +------------------------------------------------------------------------+--------------+
//! ```

use super::FORMAT_VERSION;
use super::bytes::{is_zero, put, put_u32, put_u64, u32_at, u64_at};
use super::checksum::StoreId;

/// Bytes of a page header; the first frame starts right behind it.
pub const PAGE_HEADER_SIZE: usize = 4096;

/// First eight bytes of every page file.
pub const PAGE_MAGIC: [u8; 8] = *b"WALDOPG1";

const CRC_OFFSET: usize = PAGE_HEADER_SIZE - 4;

/// Header of a page file, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageHeader {
    /// The store that the page belongs to.
    pub store_id: StoreId,
    /// Number of the file, as in its name.
    pub page_id: u32,
    /// Size of the file in bytes.
    pub page_size: u64,
    /// Frames start at, and are padded to, multiples of this many bytes: 8, or the block size
    /// where the store is written with direct I/O.
    pub frame_alignment: u32,
    /// Bytes at the end of the file that are kept for the seal frame.
    pub seal_capacity: u32,
}

/// Why a block is not the header of a page that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageHeaderFault {
    /// All zeros: the file was never made ready.
    Blank,
    /// The magic is not ours.
    Foreign,
    /// The CRC does not match, or a field makes no sense.
    Damaged,
    /// Written by a newer version, or with a feature that this version must not ignore.
    Newer {
        /// The version in the header.
        version: u32,
        /// Its incompatible features that are unknown here.
        features: u32,
    },
}

impl PageHeader {
    /// The block to write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; PAGE_HEADER_SIZE];
        put(&mut out, 0, &PAGE_MAGIC);
        put_u32(&mut out, 8, FORMAT_VERSION);
        put_u32(&mut out, 20, self.page_id);
        put(&mut out, 24, &self.store_id.0);
        put_u64(&mut out, 40, self.page_size);
        put_u32(&mut out, 48, self.frame_alignment);
        put_u32(&mut out, 52, self.seal_capacity);
        let crc = crc32c::crc32c(out.get(..CRC_OFFSET).unwrap_or_default());
        put_u32(&mut out, CRC_OFFSET, crc);
        out
    }

    /// Reads and checks the header block.
    ///
    /// # Errors
    ///
    /// [`PageHeaderFault`] where `block` is not a usable header. A block shorter than
    /// [`PAGE_HEADER_SIZE`] is damaged.
    pub fn decode(block: &[u8]) -> Result<Self, PageHeaderFault> {
        use PageHeaderFault::{Blank, Damaged, Foreign, Newer};

        let block = block.get(..PAGE_HEADER_SIZE).ok_or(Damaged)?;
        if is_zero(block) {
            return Err(Blank);
        }
        if !block.starts_with(&PAGE_MAGIC) {
            return Err(Foreign);
        }
        let crc = crc32c::crc32c(block.get(..CRC_OFFSET).ok_or(Damaged)?);
        if u32_at(block, CRC_OFFSET) != Some(crc) {
            return Err(Damaged);
        }
        let version = u32_at(block, 8).ok_or(Damaged)?;
        let features = u32_at(block, 12).ok_or(Damaged)?;
        if version != FORMAT_VERSION || features != 0 {
            return Err(Newer { version, features });
        }
        let store_id = block.get(24..40).and_then(|id| id.try_into().ok()).ok_or(Damaged)?;
        let header = Self {
            store_id: StoreId(store_id),
            page_id: u32_at(block, 20).ok_or(Damaged)?,
            page_size: u64_at(block, 40).ok_or(Damaged)?,
            frame_alignment: u32_at(block, 48).ok_or(Damaged)?,
            seal_capacity: u32_at(block, 52).ok_or(Damaged)?,
        };
        if header.is_sound() { Ok(header) } else { Err(Damaged) }
    }

    /// Offset of the first frame.
    #[must_use]
    pub const fn frames_start(&self) -> u64 {
        PAGE_HEADER_SIZE as u64
    }

    /// Offset of the seal frame: frames of other kinds end at or before it.
    #[must_use]
    pub const fn seal_offset(&self) -> u64 {
        self.page_size.saturating_sub(self.seal_capacity as u64)
    }

    fn is_sound(&self) -> bool {
        let alignment = u64::from(self.frame_alignment);
        alignment >= 8
            && alignment.is_power_of_two()
            && alignment <= PAGE_HEADER_SIZE as u64
            && self.page_size.is_multiple_of(alignment)
            && u64::from(self.seal_capacity).is_multiple_of(alignment)
            && self.seal_offset() > self.frames_start()
            && self.page_size <= super::frame::OFFSET_LIMIT
    }
}
