//! Puts memory and page cache into a known state before a run.
//!
//! A virtual machine may hand idle memory back to its host; the first touch of it then costs as
//! much as the work that is to be measured. So touch as much as a run may need, before it. A run
//! that met such memory all the same shows in its system CPU time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use crate::buffer::Buffer;

/// Touches `bytes` of memory, at most half of what is available, and gives it back.
///
/// # Errors
///
/// Where the memory cannot be mapped.
pub fn memory(bytes: u64) -> io::Result<()> {
    const STEP: u64 = 64 << 20;
    let mut left = bytes.min(available()? / 2);
    let mut held = Vec::new();
    while left > 0 {
        let step = left.min(STEP);
        held.push(Buffer::new(step as usize)?);
        left -= step;
    }
    Ok(())
}

/// Reads a whole file, so that the page cache holds it.
///
/// # Errors
///
/// What reading says.
pub fn page_cache(file: &File) -> io::Result<()> {
    let mut buffer = Buffer::new(1 << 20)?;
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(()),
            n => at += n as u64,
        }
    }
}

/// Writes dirty pages of a file back and drops its clean ones from the page cache.
///
/// # Errors
///
/// What the sync or `posix_fadvise` says.
pub fn drop_page_cache(file: &File) -> io::Result<()> {
    file.sync_all()?;
    // SAFETY: no memory is passed.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Share of a file's pages that the page cache holds, 0 to 1: proof that "cold" is cold.
///
/// # Errors
///
/// What `mmap` or `mincore` says.
pub fn cached_share(file: &File) -> io::Result<f64> {
    let len = file.metadata()?.len() as usize;
    if len == 0 {
        return Ok(0.0);
    }
    let mut pages = vec![0u8; len.div_ceil(page_size())];
    // SAFETY: a new mapping of the whole file that nothing reads through.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is `len` long and `pages` has one byte for each of its pages.
    let done = unsafe { libc::mincore(map, len, pages.as_mut_ptr()) };
    let result = if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: the mapping was made above and nothing refers to it.
    unsafe { libc::munmap(map, len) };
    result?;
    Ok(pages.iter().filter(|page| **page & 1 == 1).count() as f64 / pages.len() as f64)
}

fn page_size() -> usize {
    // SAFETY: no memory is passed.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

fn available() -> io::Result<u64> {
    let info = std::fs::read_to_string("/proc/meminfo")?;
    info.lines()
        .find_map(|line| {
            let kib: u64 =
                line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib * 1024)
        })
        .ok_or_else(|| io::Error::other("/proc/meminfo does not tell MemAvailable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_can_be_warmed() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
        page_cache(&file).unwrap();
        assert!(cached_share(&file).unwrap() > 0.99);
        drop_page_cache(&file).unwrap();
        memory(1 << 20).unwrap();
    }
}
