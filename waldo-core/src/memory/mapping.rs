//! An anonymous memory mapping: the memory behind a pool of buffers.
//!
//! Large mappings ask for transparent huge pages. What is contiguous in memory goes to a disk in
//! one piece, where hundreds of scattered pages are cut into several requests; and whoever walks
//! through it finds its addresses in the processor's caches.

use std::io;
use std::ptr::NonNull;

/// Size of the pages that `huge` mappings are made of on the common platforms.
pub const HUGE_PAGE_SIZE: usize = 2 * 1024 * 1024;

/// Zeroed, page-aligned memory. The kernel backs it with real memory when it is first touched.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    len: usize,
    huge: bool,
    /// What was mapped: the memory, and what is left before and behind it where it is aligned.
    map: (NonNull<u8>, usize),
}

// SAFETY: the mapping is plain memory that belongs to this value. It hands out nothing but its
// address; whoever makes references from that answers for their exclusivity.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes, with reserved huge pages where `huge` is asked for and the system has
    /// them.
    ///
    /// Falls back to pages that the system chooses, with a log line, where it has none.
    ///
    /// # Errors
    ///
    /// The system's error where the memory cannot be mapped.
    pub fn new(len: usize, huge: bool) -> io::Result<Self> {
        if huge {
            let rounded = len.next_multiple_of(HUGE_PAGE_SIZE);
            match map(rounded, libc::MAP_HUGETLB) {
                Ok(start) => {
                    return Ok(Self { start, len: rounded, huge: true, map: (start, rounded) });
                }
                Err(error) => log::warn!(
                    "no huge pages for {rounded} bytes of buffers ({error}); using normal pages. \
                     Reserve some with: sysctl vm.nr_hugepages={}",
                    rounded / HUGE_PAGE_SIZE
                ),
            }
        }
        if len >= HUGE_PAGE_SIZE {
            return Self::aligned(len);
        }
        let len = len.max(1);
        let start = map(len, 0)?;
        Ok(Self { start, len, huge: false, map: (start, len) })
    }

    /// Maps `len` bytes from the start of a huge page on, of which the system may make any.
    fn aligned(len: usize) -> io::Result<Self> {
        let size = len.checked_add(HUGE_PAGE_SIZE).ok_or(io::ErrorKind::OutOfMemory)?;
        let first = map(size, 0)?;
        let skip = first.as_ptr().align_offset(HUGE_PAGE_SIZE);
        // SAFETY: `skip` is less than a huge page, and the mapping that much longer than `len`.
        let start = unsafe { first.add(skip) };
        // SAFETY: advice on memory that was mapped just now. Where it is refused, pages are small.
        unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        Ok(Self { start, len, huge: false, map: (first, size) })
    }

    /// First byte of the mapping.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes of the mapping: at least one.
    #[must_use]
    pub fn size(&self) -> usize {
        self.len
    }

    /// Whether reserved huge pages back it.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        self.huge
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let (start, len) = self.map;
        // SAFETY: the mapping is one that this value made and owns.
        unsafe { libc::munmap(start.as_ptr().cast(), len) };
    }
}

fn map(len: usize, flags: libc::c_int) -> io::Result<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no
    // memory that exists.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(mapping: &mut Mapping) -> &mut [u8] {
        // SAFETY: the mapping is the test's own, and nobody else looks at it.
        unsafe { std::slice::from_raw_parts_mut(mapping.start().as_ptr(), mapping.size()) }
    }

    #[test]
    fn large_mappings_start_with_a_huge_page() {
        for len in [HUGE_PAGE_SIZE, HUGE_PAGE_SIZE + 1, 5 * HUGE_PAGE_SIZE - 4096] {
            let mapping = Mapping::new(len, false).unwrap();
            assert_eq!(mapping.start().as_ptr().align_offset(HUGE_PAGE_SIZE), 0);
            assert_eq!(mapping.size(), len);
        }
    }

    #[test]
    fn mappings_of_every_size_are_zeros_that_can_be_written() {
        for len in [0, 1, 4096, HUGE_PAGE_SIZE - 1, HUGE_PAGE_SIZE, 3 * HUGE_PAGE_SIZE + 7] {
            let mut mapping = Mapping::new(len, false).unwrap();
            let bytes = mapped(&mut mapping);
            assert_eq!(bytes.len(), len.max(1));
            assert!(bytes.iter().all(|byte| *byte == 0));
            bytes.fill(7);
        }
    }

    #[test]
    fn more_than_there_are_addresses_is_an_error() {
        for len in [usize::MAX, usize::MAX - HUGE_PAGE_SIZE, usize::MAX / 2] {
            assert!(Mapping::new(len, false).is_err());
        }
    }
}
