//! A small real file system in a file, mounted through a loop device.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::disk::Missing;

const MIB: u64 = 1 << 20;

/// How long the kernel may take to let go of files.
const PATIENCE: Duration = Duration::from_secs(20);

/// The file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// ext4.
    Ext4,
    /// ext4 without extents: it cannot promise room, so that pages run out of it while they are
    /// written.
    Mapped,
    /// XFS.
    Xfs,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ext4, Self::Mapped, Self::Xfs];

    fn size(self) -> u64 {
        match self {
            Self::Ext4 | Self::Mapped => 24 * MIB,
            // mkfs.xfs makes none that are smaller.
            Self::Xfs => 300 * MIB,
        }
    }

    fn make(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["mkfs.ext4", "-qF", "-m0", "-b4096", "-Jsize=4"],
            Self::Mapped => &["mkfs.ext4", "-qF", "-m0", "-b4096", "-Jsize=4", "-O^extents,^64bit"],
            Self::Xfs => &["mkfs.xfs", "-qf"],
        }
    }

    fn options(self) -> &'static str {
        match self {
            Self::Ext4 | Self::Mapped => "loop,errors=remount-ro",
            Self::Xfs => "loop",
        }
    }

    /// The name of the file system.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Mapped => "ext4 without extents",
            Self::Xfs => "XFS",
        }
    }
}

/// How a file system is shut down under those who use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// After it wrote what it had.
    Flushed = 0,
    /// With what its journal has.
    Journalled = 1,
    /// With what is on the disk, as after a power loss.
    Sudden = 2,
}

/// A mounted file system. Dropping it unmounts it.
#[derive(Debug)]
pub struct Volume {
    kind: Kind,
    dir: TempDir,
    is_mounted: bool,
}

impl Volume {
    /// Makes and mounts one, in a file in `dir`; says why not where this machine does not have what
    /// that takes.
    ///
    /// # Errors
    ///
    /// Where it fails all the same.
    pub fn new(kind: Kind, dir: &Path) -> anyhow::Result<Result<Self, Missing>> {
        // SAFETY: no memory is involved.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(Err(Missing("only root may mount a file system".to_owned())));
        }
        let dir = tempfile::Builder::new().prefix("waldo-volume-").tempdir_in(dir)?;
        let mut volume = Self { kind, dir, is_mounted: false };
        File::create(volume.image())?.set_len(kind.size())?;
        std::fs::create_dir(volume.top())?;
        let [program, arguments @ ..] = kind.make() else { bail!("no program") };
        let mut make = Command::new(program);
        make.args(arguments).arg(volume.image());
        for command in [&mut make, &mut volume.mounting()] {
            if let Err(what) = run(command) {
                return Ok(Err(Missing(format!("no {}: {what}", kind.name()))));
            }
        }
        volume.is_mounted = true;
        Ok(Ok(volume))
    }

    /// Where it is mounted.
    pub fn top(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mounting(&self) -> Command {
        let mut command = Command::new("mount");
        command.args(["-o", self.kind.options()]).arg(self.image()).arg(self.top());
        command
    }

    /// Unmounts and mounts it. Nobody may have a file open.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn mount_again(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            once_idle(|| run(Command::new("umount").arg(self.top())))?;
            self.is_mounted = false;
            run(&mut self.mounting()).map_err(anyhow::Error::msg)?;
            self.is_mounted = true;
            match File::create(self.top().join("alive")) {
                Ok(_) => return Ok(()),
                // What is mounted may still be what was shut down, until the kernel has let go of it.
                Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Mounts it with other options, under those who use it.
    ///
    /// # Errors
    ///
    /// Where the system refuses, with what it says.
    pub fn remount(&self, options: &str) -> Result<(), String> {
        run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.top()))
    }

    /// Mounts it with other options, once nobody uses it.
    ///
    /// # Errors
    ///
    /// Where the system refuses for another reason.
    pub fn remount_idle(&self, options: &str) -> anyhow::Result<()> {
        once_idle(|| self.remount(options))
    }

    /// Shuts it down under those who use it. Until it is mounted again, nothing works.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn shut_down(&self, how: Shutdown) -> anyhow::Result<()> {
        /// `_IOR('X', 125, __u32)`: known to ext4 and XFS.
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;

        let top = File::open(self.top())?;
        let flags = how as u32;
        // SAFETY: the number is read from `flags`, which lives longer than the call.
        match unsafe { libc::ioctl(top.as_raw_fd(), SHUTDOWN, &raw const flags) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()).context("cannot shut the file system down"),
        }
    }

    /// Leaves room for about so many bytes.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn leave(&self, room: u64) -> anyhow::Result<()> {
        let path = self.dir.path().join("mnt/ballast");
        let mut ballast =
            OpenOptions::new().append(true).create(true).open(path).context("no ballast")?;
        // What was removed is free once the journal says so.
        sync_file_system(&ballast)?;
        let free = free(&ballast)?;
        let len = ballast.metadata()?.len();
        if free < room {
            ballast.set_len(len.saturating_sub(room - free))?;
            return Ok(sync_file_system(&ballast)?);
        }
        let mut missing = free - room;
        let mut step = missing;
        while step >= 4096 {
            let grown = grow(&mut ballast, step.min(missing));
            match grown {
                Ok(()) => missing -= step.min(missing),
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => step /= 2,
                Err(error) => return Err(error.into()),
            }
            if missing < 4096 {
                break;
            }
        }
        Ok(sync_file_system(&ballast)?)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.is_mounted
            && let Err(what) = run(Command::new("umount").arg("-l").arg(self.top()))
        {
            eprintln!("{what}");
        }
    }
}

/// Repeats what is refused as long as files are open: the kernel lets go of those of an io_uring a
/// moment after it was closed.
fn once_idle(act: impl Fn() -> Result<(), String>) -> anyhow::Result<()> {
    let started = Instant::now();
    while let Err(what) = act() {
        anyhow::ensure!(what.contains("busy") && started.elapsed() < PATIENCE, what);
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Appends so many bytes, where there is room for them.
fn grow(file: &mut File, len: u64) -> io::Result<()> {
    let end = file.metadata()?.len();
    // SAFETY: no memory is involved.
    let refused = unsafe {
        libc::fallocate64(file.as_raw_fd(), 0, end.cast_signed(), len.cast_signed()) != 0
    };
    match io::Error::last_os_error() {
        _ if !refused => Ok(()),
        error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            let written = io::copy(&mut io::Read::take(io::repeat(0xba), len), file).map(drop);
            // What is in the page cache only has no room yet.
            written.and_then(|()| file.flush()).and_then(|()| file.sync_all())
        }
        error => Err(error),
    }
}

fn free(file: &File) -> io::Result<u64> {
    // SAFETY: it consists of integers, for which zeros are valid.
    let mut found: libc::statfs64 = unsafe { std::mem::zeroed() };
    // SAFETY: `found` is where the kernel may write, and lives longer than the call.
    if unsafe { libc::fstatfs64(file.as_raw_fd(), &raw mut found) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(found.f_bfree * found.f_bsize.cast_unsigned())
}

fn sync_file_system(file: &File) -> io::Result<()> {
    // SAFETY: no memory is involved.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs a program; answers what it says where it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{name}: {}", said.trim().replace('\n', "; ")))
        }
        Err(error) => Err(format!("{name} cannot be run: {error}")),
    }
}
