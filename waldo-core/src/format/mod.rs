//! Format 1: bytes to frames and logs, and back.
//!
//! Pure functions, without I/O, that never panic on any bytes. `docs/format.md` draws every
//! structure byte by byte; the modules here are its implementation, one structure each:
//!
//! - [`page_header`]: the first block of a page file, written once when the file is made;
//! - [`frame`]: the 64-byte header of every unit of writing;
//! - [`record`]: one log inside a data frame;
//! - [`meta`]: the bodies of open and control frames;
//! - [`seal`]: the body of a seal frame;
//! - [`checksum`]: what is covered by which CRC, and how it is seeded.
//!
//! All integers are little-endian.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod bytes;
pub mod checksum;
pub mod frame;
pub mod meta;
pub mod page_header;
pub mod record;
pub mod seal;

#[cfg(test)]
mod tests;

pub use checksum::{StoreId, Tag};
pub use frame::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
pub use page_header::{PAGE_HEADER_SIZE, PageHeader};
pub use record::{RECORD_HEADER_SIZE, RecordHeader, record_size};

/// Version of the format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Every structure starts at a multiple of this many bytes.
pub const ALIGNMENT: usize = 8;

/// Rounds `value` up to a multiple of `alignment`, which is a power of two.
///
/// Saturates at the largest multiple where the sum would overflow.
#[must_use]
pub const fn align_up(value: u64, alignment: u64) -> u64 {
    let mask = alignment - 1;
    value.saturating_add(mask) & !mask
}
