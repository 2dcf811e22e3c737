//! An anonymous memory mapping: the memory behind a pool of buffers.

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
}

// SAFETY: the mapping is plain memory that belongs to this value. It hands out nothing but its
// address; whoever makes references from that answers for their exclusivity.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes, with huge pages where `huge` is asked for and the system has them.
    ///
    /// Falls back to normal pages, with a log line, where it has none.
    ///
    /// # Errors
    ///
    /// The system's error where the memory cannot be mapped.
    pub fn new(len: usize, huge: bool) -> io::Result<Self> {
        if huge {
            let rounded = len.next_multiple_of(HUGE_PAGE_SIZE);
            match map(rounded, libc::MAP_HUGETLB) {
                Ok(start) => return Ok(Self { start, len: rounded, huge: true }),
                Err(error) => log::warn!(
                    "no huge pages for {rounded} bytes of buffers ({error}); using normal pages. \
                     Reserve some with: sysctl vm.nr_hugepages={}",
                    rounded / HUGE_PAGE_SIZE
                ),
            }
        }
        Ok(Self { start: map(len.max(1), 0)?, len: len.max(1), huge: false })
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

    /// Whether huge pages back it.
    #[must_use]
    pub fn is_huge(&self) -> bool {
        self.huge
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are those of a mapping that this value made and owns.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
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
