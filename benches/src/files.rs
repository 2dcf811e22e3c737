//! Page files whose blocks are written, opened for buffered or direct I/O.

use std::cell::OnceCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

use crate::buffer::Buffer;
use crate::options::WorkDir;
use crate::warm;

/// Alignment of direct I/O, and size of the header of a page file.
pub const BLOCK: usize = 4096;

/// Whether I/O passes through the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Io {
    /// Through the page cache.
    Buffered,
    /// `O_DIRECT`.
    Direct,
}

impl Io {
    /// Name in reports.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Direct => "direct",
        }
    }
}

/// A set of files of the same size.
#[derive(Clone, Debug)]
pub struct PageFiles {
    paths: Vec<PathBuf>,
    file_bytes: u64,
}

impl PageFiles {
    /// Makes `count` files of `file_bytes` in `dir`, writes zeros to all their blocks and syncs.
    ///
    /// # Errors
    ///
    /// Where a file cannot be made or written.
    pub fn create(dir: &Path, count: usize, file_bytes: u64) -> anyhow::Result<Self> {
        Self::create_with(dir, count, file_bytes, 0, |_, _| ())
    }

    /// Like [`PageFiles::create`], with blocks of `block` bytes (0: any) filled by `fill`, which
    /// gets the position of the block in all files together.
    ///
    /// # Errors
    ///
    /// Where a file cannot be made or written.
    pub fn create_with(
        dir: &Path,
        count: usize,
        file_bytes: u64,
        block: usize,
        mut fill: impl FnMut(u64, &mut [u8]),
    ) -> anyhow::Result<Self> {
        let step = if block == 0 { 1 << 20 } else { block };
        let mut buffer = Buffer::new(step)?;
        let paths: Vec<_> = (0..count).map(|i| dir.join(format!("{i:010}.page"))).collect();
        for (number, path) in paths.iter().enumerate() {
            let file = File::create_new(path).with_context(|| path.display().to_string())?;
            let mut at = 0;
            while at < file_bytes {
                let len = (file_bytes - at).min(step as u64) as usize;
                fill(number as u64 * file_bytes + at, &mut buffer[..len]);
                file.write_all_at(&buffer[..len], at)
                    .with_context(|| format!("writing {}", path.display()))?;
                at += len as u64;
            }
            warm::drop_page_cache(&file)?;
        }
        File::open(dir)?.sync_all()?;
        Ok(Self { paths, file_bytes })
    }

    /// The page files in a directory.
    ///
    /// # Errors
    ///
    /// Where there is none, or the directory cannot be read.
    pub fn find(dir: &Path) -> anyhow::Result<Self> {
        let entries: io::Result<Vec<_>> = std::fs::read_dir(dir)?.collect();
        let mut paths: Vec<_> = entries?.into_iter().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "page"));
        paths.sort();
        let first = paths.first().context("no page files")?;
        let file_bytes = std::fs::metadata(first)?.len();
        Ok(Self { paths, file_bytes })
    }

    /// The files' paths.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Size of each file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Size of all files together.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.file_bytes * self.paths.len() as u64
    }

    /// Opens all files.
    ///
    /// # Errors
    ///
    /// Where one cannot be opened, for example since the file system refuses `O_DIRECT`.
    pub fn open(&self, io: Io) -> anyhow::Result<Vec<File>> {
        let flags = if io == Io::Direct { libc::O_DIRECT } else { 0 };
        self.paths
            .iter()
            .map(|path| {
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(flags)
                    .open(path)
                    .with_context(|| format!("opening {} for {io:?} I/O", path.display()))
            })
            .collect()
    }

    /// Brings the files into the same state before a run: nothing dirty, and all of it in the
    /// page cache for buffered I/O, nothing of it for direct I/O.
    ///
    /// # Errors
    ///
    /// What syncing or reading says.
    pub fn settle(&self, io: Io) -> anyhow::Result<()> {
        for file in self.open(Io::Buffered)? {
            match io {
                Io::Buffered => {
                    file.sync_all()?;
                    if warm::cached_share(&file)? < 1.0 {
                        warm::page_cache(&file)?;
                    }
                }
                Io::Direct => warm::drop_page_cache(&file)?,
            }
        }
        Ok(())
    }

    /// Drops all files from the page cache and answers the share that stayed in it.
    ///
    /// # Errors
    ///
    /// What syncing or asking says.
    pub fn cool(&self) -> anyhow::Result<f64> {
        let files = self.open(Io::Buffered)?;
        files.iter().try_for_each(warm::drop_page_cache)?;
        self.cached()
    }

    /// Share of the files that is in the page cache, 0 to 1.
    ///
    /// # Errors
    ///
    /// What asking says.
    pub fn cached(&self) -> anyhow::Result<f64> {
        let files = self.open(Io::Buffered)?;
        let shares: io::Result<Vec<f64>> = files.iter().map(warm::cached_share).collect();
        Ok(shares?.iter().sum::<f64>() / files.len().max(1) as f64)
    }
}

type Make = Box<dyn Fn(&Path) -> anyhow::Result<PageFiles>>;

/// Page files in a directory of their own, made when they are first needed, and removed with the
/// last reference.
pub struct Scratch {
    parent: PathBuf,
    file_bytes: u64,
    make: Make,
    made: OnceCell<(PageFiles, WorkDir)>,
}

impl Scratch {
    /// `count` files of `file_bytes` full of zeros, in a directory inside `parent`.
    #[must_use]
    pub fn zeros(parent: &Path, count: usize, file_bytes: u64) -> Rc<Self> {
        Self::with(parent, file_bytes, move |dir| PageFiles::create(dir, count, file_bytes))
    }

    /// Files of `file_bytes` that `make` makes.
    #[must_use]
    pub fn with(
        parent: &Path,
        file_bytes: u64,
        make: impl Fn(&Path) -> anyhow::Result<PageFiles> + 'static,
    ) -> Rc<Self> {
        let (parent, make) = (parent.to_owned(), Box::new(make));
        Rc::new(Self { parent, file_bytes, make, made: OnceCell::new() })
    }

    /// Size of each file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The files.
    ///
    /// # Errors
    ///
    /// Where they cannot be made.
    pub fn get(&self) -> anyhow::Result<&PageFiles> {
        if self.made.get().is_none() {
            let dir = WorkDir::new(&self.parent, "files")?;
            let files = (self.make)(dir.path())?;
            sync_file_system(&self.parent)?;
            // It was empty, and this is the only thread.
            let _ = self.made.set((files, dir));
        }
        self.made.get().map(|(files, _)| files).context("the files are gone")
    }

    /// A directory of the file system that the files are on.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.parent
    }
}

/// Writes everything back that is dirty in the file system that holds `path`.
///
/// # Errors
///
/// What opening or syncing says.
pub fn sync_file_system(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // SAFETY: no memory is passed.
    match unsafe { libc::syncfs(file.as_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tells the kernel that a file will be read from start to end.
pub fn expect_sequential_reads(file: &File) {
    advise(file, libc::POSIX_FADV_SEQUENTIAL);
}

/// Tells the kernel that reading ahead is in vain.
pub fn expect_random_reads(file: &File) {
    advise(file, libc::POSIX_FADV_RANDOM);
}

/// Only advice: nothing is lost where it is refused.
fn advise(file: &File, advice: libc::c_int) {
    // SAFETY: no memory is passed.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) };
}

/// Writes all of `data` at `offset` in one `pwritev2`.
///
/// # Errors
///
/// What the call says, and `WriteZero` where it wrote less.
pub fn pwritev2(file: &File, data: &[u8], offset: u64, flags: i32) -> io::Result<()> {
    let vector = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: `vector` describes `data`, which is borrowed for the whole call and only read.
    let written = unsafe {
        libc::pwritev2(file.as_raw_fd(), &raw const vector, 1, offset as libc::off_t, flags)
    };
    match usize::try_from(written) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(n) if n == data.len() => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::WriteZero, "short write")),
    }
}
