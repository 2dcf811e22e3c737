//! Memory for direct I/O: mapped, page-aligned, touched once before use.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// What memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Backing {
    /// Normal pages.
    Plain,
    /// Transparent huge pages, where the system has some.
    Huge,
}

const HUGE_PAGE: usize = 2 << 20;

/// An anonymous private mapping.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    len: usize,
    /// The whole mapping, which may be larger.
    map: (NonNull<u8>, usize),
}

// SAFETY: the mapping is owned by this value alone and is plain memory.
unsafe impl Send for Buffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Maps `len` bytes of normal pages and touches every page of them.
    ///
    /// # Errors
    ///
    /// As [`Buffer::backed`].
    pub fn new(len: usize) -> io::Result<Self> {
        Self::backed(len, Backing::Plain)
    }

    /// Maps `len` bytes and touches every page of them.
    ///
    /// # Errors
    ///
    /// What `mmap` says, or `InvalidInput` where `len` is 0.
    pub fn backed(len: usize, backing: Backing) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a buffer needs a length"));
        }
        let map_len = match backing {
            Backing::Plain => len,
            Backing::Huge => len.next_multiple_of(HUGE_PAGE) + HUGE_PAGE,
        };
        // SAFETY: an anonymous mapping at an address that the kernel chooses.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                map_len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(first) = NonNull::new(address.cast::<u8>()) else {
            return Err(io::Error::other("mmap answered a null address"));
        };
        let mut start = first;
        if backing == Backing::Huge {
            let skip = first.as_ptr().align_offset(HUGE_PAGE);
            // SAFETY: the mapping is longer than `len` by at least a huge page, and `skip` is less.
            start = unsafe { first.add(skip) };
            // SAFETY: advice on a mapping that is this function's own. Where it is refused, pages
            // are normal ones.
            unsafe { libc::madvise(start.as_ptr().cast(), map_len - skip, libc::MADV_HUGEPAGE) };
        }
        let mut buffer = Self { start, len, map: (first, map_len) };
        for page in buffer.chunks_mut(4096) {
            page[0] = 1;
            page[0] = 0;
        }
        Ok(buffer)
    }

    /// Address of the first byte, as a vector for `pwritev2`, `preadv2` or registration.
    #[must_use]
    pub fn iovec(&self) -> libc::iovec {
        libc::iovec { iov_base: self.start.as_ptr().cast(), iov_len: self.len }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is `len` bytes long and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `backed` with this length and is used no more.
        unsafe { libc::munmap(self.map.0.as_ptr().cast(), self.map.1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_both_kinds_can_be_written() {
        for backing in [Backing::Plain, Backing::Huge] {
            let mut buffer = Buffer::backed(HUGE_PAGE + 4096, backing).unwrap();
            buffer.fill(7);
            assert_eq!(buffer.len(), HUGE_PAGE + 4096);
            assert!(buffer.iter().all(|byte| *byte == 7));
        }
        assert!(Buffer::new(0).is_err());
    }
}
