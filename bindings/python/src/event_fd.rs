//! Event descriptors: readable from a signal until they are cleared.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Makes one, readable at once where `value` is not 0.
pub fn new(value: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let fd = unsafe { libc::eventfd(value, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes it readable.
pub fn signal(fd: &OwnedFd) {
    let value = 1_u64.to_ne_bytes();
    // SAFETY: `value` is valid for reading. It fails only where it is readable already.
    unsafe { libc::write(fd.as_raw_fd(), value.as_ptr().cast(), value.len()) };
}

/// Makes it not readable.
pub fn clear(fd: &OwnedFd) {
    let mut value = [0_u8; 8];
    // SAFETY: `value` is valid for writing. It fails only where it is not readable anyway.
    unsafe { libc::read(fd.as_raw_fd(), value.as_mut_ptr().cast(), value.len()) };
}
