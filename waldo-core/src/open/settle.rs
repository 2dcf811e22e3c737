//! What is on the disk, and what only the page cache has.
//!
//! A process that was killed may have left logs in the page cache alone: a sync brings them to the
//! disk. One of which a sync *failed* left there what no later sync brings anywhere, since the system
//! takes what it could not write for clean, and goes on to show it. Whoever believed that would
//! append behind logs that the next power loss takes away.
//!
//! So whatever no frame says had been durable is read once more, past the page cache. Where the two
//! differ, the page cache has to forget the file. After a clean close there is no such thing, and
//! after a kill it is what had been written since the last sync.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::io_error;
use super::pages::read_full;
use crate::driver::files::{AlignedBytes, Home, forget_cached, page_ids};
use crate::error::Error;
use crate::format::PAGE_HEADER_SIZE;
use crate::options::BLOCK_SIZE;
use crate::recovery::Unvouched;

/// Bytes that are compared at a time.
const STEP: usize = 256 * 1024;

/// What the disk has, compared with what the page cache shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Same,
    Different,
    /// The file system has no reads past the page cache.
    Unknown,
}

/// Makes what the page files hold, and their names, durable; and has what is read of their headers
/// come from the disk.
///
/// # Errors
///
/// [`Error::Io`] where the system cannot.
pub(super) fn sync(home: &Home) -> Result<(), Error> {
    if home.is_in_memory() {
        return Ok(());
    }
    for page in page_ids(home.path())? {
        let path = home.page_path(page);
        sync_page(&path)?;
        // Of a page that was never completed.
        if compare(&path, 0..PAGE_HEADER_SIZE as u64)? == Disk::Different {
            forget(&path)?;
        }
    }
    home.sync()
}

/// A sync that fails may tell of what was written before: the system says so once, to whoever asks
/// first. What is then read comes from the disk, and needs another one.
fn sync_page(path: &Path) -> Result<(), Error> {
    let sync = || File::open(path).and_then(|file| file.sync_data());
    if let Err(error) = sync() {
        log::warn!("{} is read from the disk again: cannot sync it: {error}", path.display());
        forget(path)?;
        sync().map_err(|error| io_error("sync", path, error))?;
    }
    Ok(())
}

/// Has reads see what is on the disk where no frame says that it is there. Answers whether they saw
/// something else before.
///
/// # Errors
///
/// [`Error::Io`] where the system cannot.
pub(super) fn forget_unwritten(home: &Home, unvouched: &[Unvouched]) -> Result<bool, Error> {
    if home.is_in_memory() {
        return Ok(false);
    }
    let mut forgotten = false;
    for Unvouched { page, bytes } in unvouched {
        let path = home.page_path(*page);
        if compare(&path, bytes.clone())? == Disk::Same {
            continue;
        }
        log::debug!("{} is read from the disk again", path.display());
        forget(&path)?;
        forgotten = true;
        if compare(&path, bytes.clone())? == Disk::Different {
            return Err(io_error("read from the disk", &path, ErrorKind::ResourceBusy.into()));
        }
    }
    Ok(forgotten)
}

fn forget(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| forget_cached(&file))
        .map_err(|error| io_error("read from the disk", path, error))
}

fn compare(path: &Path, bytes: Range<u64>) -> Result<Disk, Error> {
    match compare_files(path, bytes) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            Ok(Disk::Unknown)
        }
        result => result.map_err(|error| io_error("read", path, error)),
    }
}

fn compare_files(path: &Path, bytes: Range<u64>) -> io::Result<Disk> {
    let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)?;
    let cached = File::open(path)?;
    let mut on_disk = AlignedBytes::new(STEP);
    let mut shown = vec![0; STEP];
    let block = BLOCK_SIZE as u64;
    let (mut offset, end) = (bytes.start / block * block, bytes.end.next_multiple_of(block));
    while offset < end {
        let len = STEP.min(usize::try_from(end - offset).unwrap_or(STEP));
        let (on_disk, shown) = (&mut on_disk.get()[..len], &mut shown[..len]);
        let found = read_full(&direct, offset, on_disk)?;
        if read_full(&cached, offset, shown)? != found || on_disk[..found] != shown[..found] {
            return Ok(Disk::Different);
        }
        offset += len as u64;
    }
    Ok(Disk::Same)
}
