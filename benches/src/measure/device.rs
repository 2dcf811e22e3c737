//! The counter of the block device that holds the files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Statistics file of the device, once it is known.
static DEVICE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Names the directory whose device is watched from now on; the first call of a process counts.
///
/// # Errors
///
/// Where `dir` cannot be looked at.
pub fn watch_device_of(dir: &Path) -> std::io::Result<()> {
    let device = fs::metadata(dir)?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat"));
    // A file system without a device of its own has no such file.
    DEVICE.get_or_init(|| path.exists().then_some(path));
    Ok(())
}

/// Bytes that the device has written since it was started; `None` where it is not known.
pub(super) fn written() -> Option<u64> {
    sectors_written(&fs::read_to_string(DEVICE.get()?.as_ref()?).ok()?).map(|sectors| sectors * 512)
}

fn sectors_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_field_counts_written_sectors() {
        assert_eq!(sectors_written("  1 2 3 4 5 6 77 8 9 10 11\n"), Some(77));
        assert_eq!(sectors_written(""), None);
    }
}
