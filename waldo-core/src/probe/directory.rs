//! A directory, and the file system that it is on.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Finding;
use super::system::size;
use crate::driver::files::direct_supported;
use crate::options::Options;

/// Durable writes that are timed.
const WRITES: u32 = 5;

/// What takes longer than this for a durable write of one block holds every commit up.
const SLOW: Duration = Duration::from_millis(20);

/// File systems by the numbers that `statfs` tells.
const NAMES: [(i64, &str); 9] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0x794c_7630, "overlayfs"),
    (0x6573_5546, "fuse"),
];

pub(super) fn findings(directory: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    match file_system(directory) {
        Ok(found) => findings.extend(found),
        Err(error) => return vec![unreachable(directory, &error)],
    }
    let file = match nameless_file(directory) {
        Ok(file) => file,
        Err(error) => {
            findings.push(unwritable(directory, &error));
            return findings;
        }
    };
    findings.push(direct_io(directory));
    findings.push(durable_writes(&file));
    findings
}

fn unreachable(directory: &Path, error: &io::Error) -> Finding {
    Finding::unusable(
        "directory",
        format!("{}: {error}", directory.display()),
        "no store can be there",
        "name a directory that exists and that this user may use",
    )
}

fn unwritable(directory: &Path, error: &io::Error) -> Finding {
    Finding::unusable(
        "directory",
        format!("{}: {error}", directory.display()),
        "no file can be made there",
        "give this user the right to write there, or name another directory",
    )
}

/// What the file system is, and how much room it has.
fn file_system(directory: &Path) -> io::Result<[Finding; 2]> {
    let path = CString::new(directory.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is a text that ends with a 0, and `found` is where the kernel may write.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has filled it; and zeros would do.
    let found = unsafe { found.assume_init() };
    let room = found.f_bavail.saturating_mul(u64::try_from(found.f_bsize).unwrap_or(0));
    Ok([kind(found.f_type), free_space(room)])
}

fn kind(number: i64) -> Finding {
    let name = NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
    let shown = name.map_or(format!("type {number:#x}"), str::to_owned);
    match name {
        Some("tmpfs") => Finding::degraded(
            "file_system",
            shown,
            "is in memory: nothing survives a reboot, whatever is said to be durable",
            "use a directory on a disk for logs that matter",
        ),
        Some("nfs" | "cifs" | "fuse") => Finding::degraded(
            "file_system",
            shown,
            "is not on a disk of this machine: locks and syncs are what its server makes of them",
            "use a local disk",
        ),
        Some("btrfs" | "zfs") => Finding::degraded(
            "file_system",
            shown,
            "writes every block to a new place: preparing pages ahead gains nothing",
            "ext4 and XFS overwrite in place, which is several times faster for durable appends",
        ),
        _ => Finding::ok("file_system", shown, "keeps what it is told to keep"),
    }
}

fn free_space(room: u64) -> Finding {
    let wanted = Options::default().disk_size();
    if room >= wanted {
        Finding::ok("free_space", size(room), "enough for a store with default options")
    } else {
        Finding::degraded(
            "free_space",
            size(room),
            format!("a store with default options takes {}", size(wanted)),
            "free some space, or make the store smaller (ring_size, file_capacity)",
        )
    }
}

fn direct_io(directory: &Path) -> Finding {
    match direct_supported(directory) {
        Ok(true) => Finding::ok(
            "direct_io",
            "works in blocks of 4096 bytes",
            "durable appends go past the page cache, at less cost",
        ),
        Ok(false) => Finding::degraded(
            "direct_io",
            "not supported",
            "durable appends go through the page cache, which costs throughput and CPU",
            "use ext4 or XFS on a disk with blocks of at most 4096 bytes",
        ),
        Err(error) => Finding::unusable(
            "direct_io",
            error.to_string(),
            "no store can be made there",
            "free some space, or use a disk that is sound",
        ),
    }
}

fn durable_writes(file: &File) -> Finding {
    match time_durable_writes(file) {
        Ok(took) if took <= SLOW => Finding::ok(
            "durable_writes",
            format!("{took:.0?} for one block"),
            "a commit takes about that long; commits at the same time share it",
        ),
        Ok(took) => Finding::degraded(
            "durable_writes",
            format!("{took:.0?} for one block"),
            "every durable commit takes at least that long",
            "use a faster disk, commit more at a time, or give up a little durability \
             (flush_interval)",
        ),
        Err(error) => Finding::unusable(
            "durable_writes",
            error.to_string(),
            "what is appended cannot be made durable here",
            "use another file system",
        ),
    }
}

/// How long a durable overwrite of a block takes: the middle of a few.
fn time_durable_writes(file: &File) -> io::Result<Duration> {
    let block = [0x5a; 4096];
    file.write_all_at(&block, 0)?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..WRITES {
        let started = Instant::now();
        write_durably(file, &block)?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

fn write_durably(file: &File, block: &[u8]) -> io::Result<()> {
    let vector = libc::iovec { iov_base: block.as_ptr().cast_mut().cast(), iov_len: block.len() };
    // SAFETY: the vector describes `block`, which is only read.
    let written =
        unsafe { libc::pwritev2(file.as_raw_fd(), &raw const vector, 1, 0, libc::RWF_DSYNC) };
    match usize::try_from(written) {
        Ok(written) if written == block.len() => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// A file without a name, which is gone when it is closed.
fn nameless_file(directory: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(directory).or_else(
        |error| {
            // Some file systems have no files without a name: one that loses its name at once does.
            if error.raw_os_error() != Some(libc::EOPNOTSUPP) {
                return Err(error);
            }
            let path = directory.join(format!(".waldo-probe-{}", std::process::id()));
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        },
    )
}
