//! The home directory of a store, and its page files.
//!
//! ```text
//! home/
//!   LOCK                  held with flock while the store is open; the owner's pid is in it
//!   0000000000.page       the ring, `ring_size` files of equal size
//!   0000000001.page
//!   quarantine/           copies of pages that were cut because they were damaged
//! ```
//!
//! [`Home`] is the right to touch all of this; [`PageFile`]s are what drivers write to, and what
//! callers read from on their own threads. Nothing here looks into a page beyond its header.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::ZERO_SIZE_MAX;
use super::memory_home::{self, MemoryHome};
use crate::error::Error;
use crate::format::PageHeader;
use crate::format::page_header::{PAGE_HEADER_SIZE, PageHeaderFault};
use crate::memory::mapping::Mapping;
use crate::options::BLOCK_SIZE;

const LOCK_NAME: &str = "LOCK";
const QUARANTINE_NAME: &str = "quarantine";
const PAGE_SUFFIX: &str = ".page";

/// Digits of a page's number in its file name: all that a `u32` can need, so that names sort as
/// numbers do.
const PAGE_DIGITS: usize = 10;

/// What `mkfs` leaves in the root of a file system: no reason to refuse a home that is one.
const LOST_AND_FOUND: &str = "lost+found";

/// The home directory of a store, locked.
///
/// The lock belongs to this value: another `Home` for the same directory cannot be acquired until
/// it is dropped, whether in this process or in another. A child that was forked meanwhile does
/// not release it, neither by dropping its copy nor by exiting, and does not keep it either.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Directory(Directory),
    Memory(MemoryHome),
}

#[derive(Debug)]
struct Directory {
    file: File,
    lock: File,
    /// The process that acquired the lock; in a forked child it is another than the running one.
    owner: u32,
}

impl Home {
    /// Locks the directory at `path` for a store, and makes it where there is none.
    ///
    /// The directory may be empty, hold hidden files, or hold a store. One that holds anything
    /// else, and no page file, is refused before anything is changed in it.
    ///
    /// # Errors
    ///
    /// - [`Error::Locked`] where another `Home` holds the directory;
    /// - [`Error::NotAStore`] where it holds something other than a store, or is no directory;
    /// - [`Error::Io`] where the system refuses a call.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        // Absolute, so that a later change of the working directory changes nothing.
        let path = std::path::absolute(path).map_err(failed("resolve", path))?;
        make_directory(&path)?;
        let directory = open_directory(&path)?;
        refuse_foreign(&path)?;
        if !path.join(LOCK_NAME).exists() {
            // An earlier process may have made the directory, and died before its name was
            // durable. Not an error: the directory may be older than that, and its parent none
            // of ours.
            if let Err(error) = sync_parent(&path) {
                log::debug!("{error}");
            }
        }
        let lock = take_lock(&path)?;
        let place =
            Place::Directory(Directory { file: directory, lock, owner: std::process::id() });
        Ok(Self { path, place })
    }

    /// Locks a home in the memory of this process. It is empty where there was none of this
    /// name, or the last one was not to be kept.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] where another `Home` holds it.
    pub fn in_memory(name: &Path, keep: bool) -> Result<Self, Error> {
        let memory = MemoryHome::acquire(name, keep)?;
        Ok(Self { path: memory.path().to_owned(), place: Place::Memory(memory) })
    }

    /// Whether it is in memory only.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// The directory, as an absolute path; for a home in memory, one at which there is none.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of page `id`, whether it exists or not.
    #[must_use]
    pub fn page_path(&self, id: u32) -> PathBuf {
        page_path(&self.path, id)
    }

    /// Makes the file of page `header.page_id`: at its full size, with its header, durable.
    ///
    /// The blocks behind the header are allocated, not written. The file's *name* is durable
    /// after the next [`sync`](Self::sync): once for all pages, rather than once for each. A file
    /// whose header was never completed is made anew; one that has this very header already is
    /// completed.
    ///
    /// # Errors
    ///
    /// A file that did not exist before does not exist after any of these, as far as the system
    /// lets it be removed:
    ///
    /// - [`Error::Io`] with the action `allocate` where there is no room for it (`ENOSPC`), with
    ///   another action where the system refuses something else, or with
    ///   [`AlreadyExists`](ErrorKind::AlreadyExists) where the page has another valid header;
    /// - [`Error::NotAStore`] where the file is none of ours;
    /// - [`Error::Newer`] where a newer version wrote it.
    pub fn create_page(&self, header: &PageHeader) -> Result<(), Error> {
        if let Place::Memory(memory) = &self.place {
            memory.make_page(header.page_id).map_err(failed("create", &self.path))?;
        }
        let path = self.page_path(header.page_id);
        let (file, is_new) = open_or_create(&path)?;
        let rewritable = if is_new { Ok(()) } else { check_rewritable(&file, &path, header) };
        // What is in memory takes as much of it as is written.
        let room = if self.is_in_memory() { resize } else { allocate };
        let result = rewritable.and_then(|()| prepare_page(&file, &path, header, room));
        if is_new && result.is_err() {
            remove_incomplete(&path);
        }
        result
    }

    /// Makes an empty file for page `id`, where there is none: for
    /// [`create_page`](Self::create_page) to complete. There are none in memory, which no crash
    /// leaves half done.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the system refuses a call.
    pub fn name_page(&self, id: u32) -> Result<(), Error> {
        match &self.place {
            Place::Directory(_) => open_or_create(&self.page_path(id)).map(drop),
            Place::Memory(_) => Ok(()),
        }
    }

    /// Removes the file of page `id`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be removed, also where there is none.
    pub fn remove_page(&self, id: u32) -> Result<(), Error> {
        let path = self.page_path(id);
        let removed = match &self.place {
            Place::Directory(_) => fs::remove_file(&path),
            Place::Memory(memory) => memory.remove_page(id),
        };
        removed.map_err(failed("remove", &path))
    }

    /// Makes the names of all files in the directory durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the system cannot.
    pub fn sync(&self) -> Result<(), Error> {
        match &self.place {
            Place::Directory(directory) => sync_directory(&directory.file, &self.path),
            Place::Memory(_) => Ok(()),
        }
    }

    /// Copies the file of page `id` into the quarantine, and returns the path of the copy, which
    /// is durable. Holes stay holes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the system refuses a call. No incomplete copy has the name of a
    /// complete one.
    pub fn quarantine(&self, id: u32, page_number: u64) -> Result<PathBuf, Error> {
        if let Place::Memory(memory) = &self.place {
            let target = memory.make_quarantined().map_err(failed("create", &self.path))?;
            return copy_file(&self.page_path(id), &target).map(|()| target);
        }
        let folder = self.path.join(QUARANTINE_NAME);
        make_directory(&folder)?;
        self.sync()?;
        let source = self.page_path(id);
        let partial = folder.join(format!(".{id:0PAGE_DIGITS$}-{page_number}.partial"));
        if let Err(error) = copy_file(&source, &partial) {
            remove_incomplete(&partial);
            return Err(error);
        }
        // The lock makes this process the only one that names files here: what is free now is
        // still free when the copy gets its name.
        let target = free_name(&folder, &format!("{id:0PAGE_DIGITS$}-{page_number}"))?;
        fs::rename(&partial, &target).map_err(failed("rename", &partial))?;
        sync_directory(&open_directory(&folder)?, &folder)?;
        Ok(target)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The lock belongs to the open file, which a forked child shares. Its copy must not
        // unlock what the parent holds; and the parent must unlock explicitly, because closing
        // would leave the lock to the child.
        if std::process::id() != self.owner {
            return;
        }
        // The pid is of no use to anybody any more. Nothing depends on this.
        let _ = self.lock.set_len(0);
        // SAFETY: flock on a descriptor that this value owns; no memory is involved.
        if unsafe { libc::flock(self.lock.as_raw_fd(), libc::LOCK_UN) } != 0 {
            log::warn!("cannot unlock a store: {}", io::Error::last_os_error());
        }
    }
}

/// The file of page `id` of the store in the directory `home`, whether it exists or not.
#[must_use]
pub fn page_path(home: &Path, id: u32) -> PathBuf {
    if let Some(path) = memory_home::page_path(home, id) {
        return path;
    }
    home.join(format!("{id:0PAGE_DIGITS$}{PAGE_SUFFIX}"))
}

/// The file in the directory `home` that is locked while the store is open, and names the process
/// that has it open.
pub(crate) fn lock_path(home: &Path) -> PathBuf {
    home.join(LOCK_NAME)
}

/// Numbers of all page files that exist in the directory `home`, in ascending order.
///
/// # Errors
///
/// [`Error::Io`] where the directory cannot be read.
pub fn page_ids(home: &Path) -> Result<Vec<u32>, Error> {
    if let Some(ids) = memory_home::page_ids(home) {
        return Ok(ids);
    }
    let mut ids = Vec::new();
    for entry in fs::read_dir(home).map_err(failed("list", home))? {
        let entry = entry.map_err(failed("list", home))?;
        ids.extend(entry.file_name().to_str().and_then(page_id));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Whether files in `dir` can be written with direct I/O in blocks of 4,096 bytes.
///
/// Tries it on a file without a name, so that nothing is left behind. That takes room: for a store
/// that exists, ask one of its page files, with [`direct_supported_by`].
///
/// # Errors
///
/// The system's where it cannot be tried: the directory is not there, the disk is full, or fails.
pub fn direct_supported(dir: &Path) -> io::Result<bool> {
    told(try_direct_write(dir))
}

/// Whether the page file at `path` can be read and written with direct I/O in blocks of 4,096 bytes.
///
/// Reads its first block.
///
/// # Errors
///
/// The system's where that fails for another reason than that there is no direct I/O.
pub fn direct_supported_by(path: &Path) -> io::Result<bool> {
    told(try_direct_read(path))
}

/// What a file system answers where it has no direct I/O, or none in such blocks, is no error.
fn told(tried: io::Result<bool>) -> io::Result<bool> {
    match tried {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            log::debug!("no direct I/O: {error}");
            Ok(false)
        }
        result => result,
    }
}

/// An open page file.
///
/// It is read through the page cache, and written through it as well unless it was opened for
/// direct writes. Direct writes must have their offset, their length and their memory at
/// multiples of 4,096 bytes; the system refuses others with `EINVAL`.
#[derive(Debug)]
pub struct PageFile {
    path: PathBuf,
    buffered: File,
    direct: Option<File>,
    /// Every read goes to the driver, which may be meant to fail it.
    is_in_memory: bool,
}

impl PageFile {
    /// Opens the page file at `path`, for direct writes where `direct`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where direct writes are asked for and the file system has none,
    /// [`Error::Io`] where the file cannot be opened.
    pub fn open(path: &Path, direct: bool) -> Result<Self, Error> {
        let buffered =
            OpenOptions::new().read(true).write(true).open(path).map_err(failed("open", path))?;
        let direct = if direct { Some(open_direct(path)?) } else { None };
        Ok(Self { path: path.to_owned(), buffered, direct, is_in_memory: false })
    }

    /// Opens a page file of a home in memory.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_in_memory(path: &Path) -> Result<Self, Error> {
        Ok(Self { is_in_memory: true, ..Self::open(path, false)? })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether writes go past the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Bytes of the file.
    ///
    /// # Errors
    ///
    /// The system's error where it cannot tell.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.buffered.metadata()?.len())
    }

    /// Whether every block of the file was written once, so that overwriting it changes no
    /// metadata. Where the system cannot tell: no.
    ///
    /// Blocks that were written a moment ago may count before they are durable.
    #[must_use]
    pub fn is_fully_written(&self) -> bool {
        let Ok(size) = self.size() else { return false };
        // The position that this moves is used by nobody: all else names its offset.
        // Blocks that are allocated and not written count as a hole on ext4 and XFS; the end of
        // the file always does.
        matches!(seek_hole(&self.buffered, 0), Ok(hole) if hole == size)
    }

    /// Fills as much of `buffer` from `offset` as is in the page cache, without waiting for the
    /// disk.
    ///
    /// Fewer bytes than asked for mean that the rest is not cached, or that the file ends there.
    /// `None` where nothing is cached, or the file system cannot tell.
    ///
    /// # Errors
    ///
    /// The system's error where the read fails for another reason.
    pub fn read_at_now(&self, offset: u64, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if self.is_in_memory {
            return Ok(None);
        }
        let offset = signed(offset)?;
        let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        loop {
            // SAFETY: `part` describes `buffer`, which is borrowed exclusively during the call.
            let count = unsafe {
                libc::preadv2(
                    self.buffered.as_raw_fd(),
                    &raw const part,
                    1,
                    offset,
                    libc::RWF_NOWAIT,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                return Ok(Some(count));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(None),
                _ => return Err(error),
            }
        }
    }

    /// Fills `buffer` from `offset`, waiting for the disk as needed.
    ///
    /// # Errors
    ///
    /// The system's error, or [`UnexpectedEof`](ErrorKind::UnexpectedEof) where the file ends
    /// before.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.buffered.read_exact_at(buffer, offset)
    }

    /// What reads and syncs go to.
    pub(super) fn for_reads(&self) -> BorrowedFd<'_> {
        self.buffered.as_fd()
    }

    /// What writes go to.
    pub(super) fn for_writes(&self) -> BorrowedFd<'_> {
        self.direct.as_ref().unwrap_or(&self.buffered).as_fd()
    }
}

/// All page files of a store; a page's number is its place here.
///
/// Shared by the driver and by callers that read on their own threads.
#[derive(Debug)]
pub struct PageFiles(pub Vec<PageFile>);

impl PageFiles {
    /// The file of page `page`, if there is one.
    #[must_use]
    pub fn get(&self, page: u32) -> Option<&PageFile> {
        self.0.get(page as usize)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Page-aligned zeros that last as long as the process: [`ZERO_SIZE_MAX`] of them.
///
/// They take addresses and hardly any memory: the kernel backs what is only ever read with its
/// one page of zeros.
pub(super) fn zeros() -> io::Result<&'static [u8]> {
    static ZEROS: OnceLock<Mapping> = OnceLock::new();

    let mapping = match ZEROS.get() {
        Some(mapping) => mapping,
        None => {
            let made = Mapping::new(ZERO_SIZE_MAX, false)?;
            ZEROS.get_or_init(|| made)
        }
    };
    // SAFETY: the mapping is at least that long, lives in a static and so is never unmapped, and
    // nobody is ever given a way to write to it.
    Ok(unsafe { std::slice::from_raw_parts(mapping.start().as_ptr(), ZERO_SIZE_MAX) })
}

/// An offset as the system takes it. To the system -1 means "wherever the file's position is", so
/// this is what keeps a wrong offset from becoming a write to the wrong place.
pub(super) fn signed(offset: u64) -> io::Result<libc::off64_t> {
    offset.try_into().map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Has the next read of a file, of which nothing waits to be written, come from the disk. What
/// somebody has mapped into memory stays as it is.
pub(crate) fn forget_cached(file: &File) -> io::Result<()> {
    // SAFETY: gives advice about a descriptor that `file` keeps open; no memory is involved.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Turns the system's answer to `action` on `path` into an error.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// The number in a page file's name, if it is one.
pub(crate) fn page_id(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(PAGE_SUFFIX)?;
    let is_number = digits.len() == PAGE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// Makes a directory, and those above it, and makes their names durable. One that exists already
/// is as good.
fn make_directory(path: &Path) -> Result<(), Error> {
    let Err(error) = DirBuilder::new().create(path) else {
        return sync_parent(path);
    };
    match (error.kind(), path.parent()) {
        (ErrorKind::AlreadyExists, _) => Ok(()),
        (ErrorKind::NotFound, Some(parent)) => {
            make_directory(parent)?;
            match DirBuilder::new().create(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(failed("create", path)(error)),
                Ok(()) => sync_parent(path),
            }
        }
        _ => Err(failed("create", path)(error)),
    }
}

fn open_directory(path: &Path) -> Result<File, Error> {
    match OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(Error::NotAStore {
            path: path.to_owned(),
            reason: "it is not a directory".to_owned(),
        }),
        result => result.map_err(failed("open", path)),
    }
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let Some(parent) = path.parent() else { return Ok(()) };
    sync_directory(&open_directory(parent)?, parent)
}

fn sync_directory(directory: &File, path: &Path) -> Result<(), Error> {
    match directory.sync_all() {
        // Some network file systems have no such call for directories, and do not need it.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        result => result.map_err(failed("sync", path)),
    }
}

/// Refuses a directory without page files that holds what no store puts there.
///
/// A file `LOCK` proves nothing: other storage engines have one too.
fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let mut foreign = None;
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let name = entry.map_err(failed("list", path))?.file_name();
        if name.to_str().and_then(page_id).is_some() {
            return Ok(());
        }
        let is_expected = name.as_bytes().starts_with(b".")
            || [LOCK_NAME, QUARANTINE_NAME, LOST_AND_FOUND].iter().any(|known| name == *known);
        if !is_expected {
            foreign = Some(name);
        }
    }
    let Some(name) = foreign else { return Ok(()) };
    let reason = format!("it has no page files, but holds {}", Path::new(&name).display());
    Err(Error::NotAStore { path: path.to_owned(), reason })
}

fn take_lock(home: &Path) -> Result<File, Error> {
    let path = lock_path(home);
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        // Until the lock is ours, what is in the file is the owner's.
        .truncate(false)
        .open(&path)
        .map_err(failed("open", &path))?;
    match flock_exclusive(&lock) {
        Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => {
            return Err(Error::Locked { path: home.to_owned(), pid: read_pid(&lock) });
        }
        result => result.map_err(failed("lock", &path))?,
    }
    // Others read it only to be told who has the store. Where the disk is full that is not worth
    // being refused.
    let pid = format!("{}\n", std::process::id());
    if let Err(error) = lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())) {
        log::warn!("cannot write the owner's number to {}: {error}", path.display());
    }
    Ok(lock)
}

fn flock_exclusive(file: &File) -> io::Result<()> {
    // SAFETY: flock on a descriptor that `file` keeps open; no memory is involved.
    retried(|| unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })
}

fn read_pid(mut lock: &File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Carries out a call that returns 0, until no signal interrupts it.
fn retried(mut call: impl FnMut() -> libc::c_int) -> io::Result<()> {
    loop {
        if call() == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Opens a file, and tells whether it had to be made.
fn open_or_create(path: &Path) -> Result<(File, bool), Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok((options.open(path).map_err(failed("open", path))?, false))
        }
        Err(error) => Err(failed("create", path)(error)),
    }
}

/// Refuses to make a page anew where that could destroy something.
fn check_rewritable(file: &File, path: &Path, header: &PageHeader) -> Result<(), Error> {
    let mut block = [0; PAGE_HEADER_SIZE];
    match file.read_exact_at(&mut block, 0) {
        // Not even a header's length: it was never completed.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        result => result.map_err(failed("read", path))?,
    }
    let path = path.to_owned();
    match PageHeader::decode(&block) {
        Err(PageHeaderFault::Blank | PageHeaderFault::Damaged) => Ok(()),
        // A tear may have kept the end of the block and lost its start.
        Err(PageHeaderFault::Foreign) if block.starts_with(&[0; 8]) => Ok(()),
        Err(PageHeaderFault::Foreign) => {
            Err(Error::NotAStore { path, reason: "it does not start as a page does".to_owned() })
        }
        Err(PageHeaderFault::Newer { version, features }) => {
            Err(Error::Newer { path, version, features })
        }
        Ok(found) if found == *header => Ok(()),
        Ok(_) => Err(Error::Io { action: "create", path, source: ErrorKind::AlreadyExists.into() }),
    }
}

fn prepare_page(
    file: &File,
    path: &Path,
    header: &PageHeader,
    room: impl FnOnce(&File, u64) -> io::Result<()>,
) -> Result<(), Error> {
    let size = file.metadata().map_err(failed("stat", path))?.len();
    if size > header.page_size {
        file.set_len(header.page_size).map_err(failed("truncate", path))?;
    }
    room(file, header.page_size).map_err(failed("allocate", path))?;
    file.write_all_at(&header.encode(), 0).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Gives a file its size.
fn resize(file: &File, size: u64) -> io::Result<()> {
    file.set_len(size)
}

/// Gives a file its size, and room for it on disk where the file system can promise that.
fn allocate(file: &File, size: u64) -> io::Result<()> {
    let len = signed(size)?;
    // SAFETY: fallocate on a descriptor that `file` keeps open; no memory is involved.
    match retried(|| unsafe { libc::fallocate64(file.as_raw_fd(), 0, 0, len) }) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
            file.set_len(size)
        }
        result => result,
    }
}

/// Removes what was not completed. That it cannot be removed is the lesser error: the one that
/// led here is reported.
fn remove_incomplete(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            log::warn!("cannot remove the incomplete {}: {error}", path.display());
        }
        _ => {}
    }
}

/// The first of `stem.page`, `stem-1.page`, `stem-2.page` and so on that is free in `folder`.
fn free_name(folder: &Path, stem: &str) -> Result<PathBuf, Error> {
    let first = folder.join(format!("{stem}{PAGE_SUFFIX}"));
    let others = (1u64..).map(|count| folder.join(format!("{stem}-{count}{PAGE_SUFFIX}")));
    for path in std::iter::once(first).chain(others) {
        // Not `exists`: a link that leads nowhere is not free.
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(failed("stat", &path)(error)),
            Ok(_) => {}
        }
    }
    Err(failed("name", folder)(ErrorKind::AlreadyExists.into()))
}

/// Makes a durable copy of a file.
fn copy_file(source: &Path, target: &Path) -> Result<(), Error> {
    let mut from = File::open(source).map_err(failed("open", source))?;
    let mut to = File::create(target).map_err(failed("create", target))?;
    let size = from.metadata().map_err(failed("stat", source))?.len();
    copy_data(&mut from, &mut to, size)
        .and_then(|()| to.set_len(size))
        .map_err(failed("copy", source))?;
    to.sync_all().map_err(failed("sync", target))
}

/// Copies the parts of a file that are not holes to the same places of another.
fn copy_data(from: &mut File, to: &mut File, size: u64) -> io::Result<()> {
    let mut offset = 0;
    while offset < size {
        let Some(start) = seek_data(from, offset)? else { return Ok(()) };
        let end = seek_hole(from, start)?.min(size);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        let len = end.saturating_sub(start);
        // Within the kernel, and sharing blocks, where the file system can.
        if io::copy(&mut from.take(len), to)? != len {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        offset = end;
    }
    Ok(())
}

/// The first offset from `offset` on that is data; `None` where only a hole is left.
fn seek_data(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match seek(file, offset, libc::SEEK_DATA) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        result => result.map(Some),
    }
}

/// The first offset from `offset` on that is in a hole, or the file's end.
fn seek_hole(file: &File, offset: u64) -> io::Result<u64> {
    seek(file, offset, libc::SEEK_HOLE)
}

fn seek(file: &File, offset: u64, whence: libc::c_int) -> io::Result<u64> {
    // SAFETY: lseek on a descriptor that `file` keeps open; no memory is involved.
    let found = unsafe { libc::lseek64(file.as_raw_fd(), signed(offset)?, whence) };
    u64::try_from(found).map_err(|_| io::Error::last_os_error())
}

fn open_direct(path: &Path) -> Result<File, Error> {
    let result = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path);
    match result {
        Err(source) if source.raw_os_error() == Some(libc::EINVAL) => Err(Error::Unsupported {
            what: "direct I/O",
            source,
            hint: "Use a file system that has it, or the option io = buffered",
        }),
        result => result.map_err(failed("open", path)),
    }
}

fn try_direct_write(dir: &Path) -> io::Result<bool> {
    let file = unnamed_direct_file(dir)?;
    if is_too_coarse(&file) {
        return Ok(false);
    }
    // The proof, also where the kernel does not tell the alignment.
    let block = zeros()?.get(..BLOCK_SIZE).unwrap_or_default();
    Ok(file.write_at(block, 0)? > 0)
}

fn try_direct_read(path: &Path) -> io::Result<bool> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path)?;
    if is_too_coarse(&file) {
        return Ok(false);
    }
    Ok(file.read_at(AlignedBytes::new(BLOCK_SIZE).get(), 0)? > 0)
}

/// Whether the kernel says that direct I/O on a file takes larger blocks, or is not there.
fn is_too_coarse(file: &File) -> bool {
    // 0 means that the file has no direct I/O.
    let is_usable = |alignment: &usize| (1..=BLOCK_SIZE).contains(alignment);
    direct_alignment(file).is_some_and(|alignments| !alignments.iter().all(is_usable))
}

/// Memory that direct I/O can use.
pub(crate) struct AlignedBytes {
    bytes: Vec<u8>,
    len: usize,
}

impl AlignedBytes {
    pub fn new(len: usize) -> Self {
        Self { bytes: vec![0; len + BLOCK_SIZE], len }
    }

    pub fn get(&mut self) -> &mut [u8] {
        let start = self.bytes.as_ptr().align_offset(BLOCK_SIZE);
        self.bytes.get_mut(start..start + self.len).unwrap_or_default()
    }
}

/// A file for direct writes that is gone when it is closed.
fn unnamed_direct_file(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    let unnamed = options.clone().custom_flags(libc::O_DIRECT | libc::O_TMPFILE).open(dir);
    match unnamed {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {}
        result => return result,
    }
    // Hidden, so that what a crash leaves here does not make the directory a foreign one.
    let path = dir.join(format!(".direct-probe-{}", std::process::id()));
    // Removed first: a leftover of a crash is in the way of `create_new`.
    let _ = fs::remove_file(&path);
    let result = options.create_new(true).custom_flags(libc::O_DIRECT).open(&path);
    // Also after a failure: some file systems make the file before they refuse the flag.
    let _ = fs::remove_file(&path);
    result
}

/// What memory and offsets of direct I/O on a file must be aligned to, where the kernel tells.
fn direct_alignment(file: &File) -> Option<[usize; 2]> {
    let name = CString::default();
    // SAFETY: `statx` consists of integers, for which zeros are valid.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a string that ends with a zero, `stat` is where the kernel may write,
    // and both live longer than the call.
    let result = unsafe {
        libc::statx(
            file.as_raw_fd(),
            name.as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &raw mut stat,
        )
    };
    let is_told = result == 0 && stat.stx_mask & libc::STATX_DIOALIGN != 0;
    is_told.then_some([stat.stx_dio_mem_align as usize, stat.stx_dio_offset_align as usize])
}
