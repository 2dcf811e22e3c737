//! How a store is opened.

use std::time::Duration;

use crate::error::Error;
use crate::format::seal::SealBody;
use crate::format::{FRAME_HEADER_SIZE, PAGE_HEADER_SIZE, align_up};
use crate::memory::read_pool::LARGE_READ;

/// Size of the blocks that direct I/O reads and writes.
pub const BLOCK_SIZE: usize = 4096;

/// How a store is laid out, written and read.
///
/// The defaults suit a small service: 256 MiB on disk, under 40 MiB of memory, every append
/// durable. A store that exists is opened with the sizes that it was made with. A program names what
/// it wants to be different:
///
/// ```
/// use waldo_core::Options;
/// let options = Options { ring_size: Some(8), ..Options::default() };
/// ```
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Options {
    /// Pages in the ring, at least 2. The newest page is written; when it is full the oldest is
    /// used anew. `None`: as many as the store has, and [`NEW_RING_SIZE`](Self::NEW_RING_SIZE) in
    /// a new one.
    pub ring_size: Option<u32>,

    /// I/O operations that may be under way at a time.
    pub queue_depth: u32,

    /// Buffers that producers may fill or have written at a time.
    pub pool_size: u16,

    /// Backs the buffers with huge pages, where the system has some reserved.
    pub huge_buf: bool,

    /// Bytes of each buffer: the largest frame, and so the largest atomic batch. A multiple of
    /// 4,096.
    pub buf_capacity: usize,

    /// Largest number of logs in a page.
    pub page_capacity: u64,

    /// Largest number of entries in a page's index. Where a page needs more, its index becomes
    /// sparser.
    pub index_capacity: usize,

    /// Bytes between two entries of the index: what looking up one log reads.
    pub index_sparse_bytes: usize,

    /// Logs between two entries of the index.
    pub index_sparse_count: usize,

    /// Acknowledges an append when it is durable. Without it an append is acknowledged when the
    /// system has it, and survives a crash of the process but not of the machine, until a sync.
    pub file_o_dsync: bool,

    /// Bytes of each page file. A multiple of 4,096, and at least `buf_capacity`; fixed when the
    /// store is made. `None`: as it was made, with buffers no larger than a page, and
    /// [`NEW_FILE_CAPACITY`](Self::NEW_FILE_CAPACITY) in a new one.
    pub file_capacity: Option<u64>,

    /// Bytes of the newest logs that are kept in memory, so that readers at the tip never touch
    /// the disk. At least one buffer is kept. Readers that hold on to what they read can make it
    /// three times as much, and no more.
    pub tail_capacity: usize,

    /// Bytes for reading older logs, shared by all readers.
    pub read_capacity: usize,

    /// How the system is asked for I/O.
    pub backend: Backend,

    /// Whether appends go through the page cache.
    pub io: IoMode,

    /// What happens when the ring is full.
    pub retention: Retention,

    /// How much of the store is checked when it is opened.
    pub recovery: Recovery,

    /// What happens where logs that had been durable are found damaged at open.
    pub corruption: CorruptionPolicy,

    /// Without `file_o_dsync`: syncs this long after an append that is not yet durable.
    pub flush_interval: Option<Duration>,

    /// With [`Backend::Memory`]: how long its contents live, and what fails.
    pub memory: Memory,
}

/// How the system is asked for I/O.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Backend {
    /// io_uring, or threads where that is refused.
    #[default]
    Auto,
    /// io_uring; opening fails where it is refused.
    IoUring,
    /// A few threads with `pwritev2`, `preadv2` and `fdatasync`.
    Threads,
    /// Nothing is on disk: page files are in the memory of this process, and
    /// [`Options::memory`] says what fails. For tests of programs and bindings.
    ///
    /// The path is only a name: whoever opens it again in this process finds the logs, until the
    /// process ends. It takes as much memory as was written, and a file descriptor for each page.
    /// A forked child starts without any.
    Memory,
}

/// What [`Backend::Memory`] does besides working.
///
/// `fail_after` operations of the kind that is to fail succeed after the store is open; then
/// `fail_count` fail; then everything works again, as far as the store goes on. What is counted
/// is the store's own operations on its files, of which several appends may share one.
///
/// ```
/// use waldo_core::{AppendError, Backend, Error, Fault, Memory, Options, Waldo};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let memory = Memory { fail: Fault::Write, fail_after: 1, ..Memory::default() };
/// let options = Options { backend: Backend::Memory, memory, ..Options::default() };
/// let waldo = Waldo::blocking_open("a name", options)?;
/// waldo.blocking_append_assigned(&[b"written"])?;
/// let failed = waldo.blocking_append_assigned(&[b"not written"]);
/// assert!(matches!(failed, Err(AppendError::Poisoned(_))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Keeps the contents when the store is closed, for whoever opens the same name again.
    pub keep: bool,

    /// What fails.
    pub fail: Fault,

    /// How many operations succeed before; bytes, for [`Fault::Space`].
    pub fail_after: u64,

    /// How many operations fail then.
    pub fail_count: u64,

    /// The system's error number that they fail with; `EIO` by default. A short write needs none,
    /// and [`Fault::Space`] is always `ENOSPC`.
    pub errno: i32,
}

/// What fails in [`Backend::Memory`].
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Writes: nothing of them is written.
    Write,
    /// Writes: only the first half is written.
    ShortWrite,
    /// Syncs, and the end of writes that are to be durable. What was written is there.
    Sync,
    /// Reads of logs that are not in memory any more (see `tail_capacity`).
    Read,
    /// Preparing pages, as on a full disk, once the pages prepared since the store was opened
    /// take more than `fail_after` bytes.
    Space,
}

impl Default for Memory {
    fn default() -> Self {
        Self { keep: true, fail: Fault::None, fail_after: 0, fail_count: 1, errno: libc::EIO }
    }
}

/// Whether appends go through the page cache.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum IoMode {
    /// Direct for durable logs where the file system can, else buffered.
    #[default]
    Auto,
    /// Through the page cache.
    Buffered,
    /// Past the page cache; opening fails where the file system cannot.
    Direct,
}

/// What happens when the ring is full.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Retention {
    /// The oldest logs go.
    #[default]
    Overwrite,
    /// Appends wait until enough is trimmed.
    Hold,
    /// Appends fail with [`AppendError::Full`](crate::AppendError::Full) until enough is trimmed.
    Refuse,
}

/// How much of the store is checked when it is opened.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Recovery {
    /// Every checksum of every page.
    #[default]
    Full,
    /// Full pages by their seal, the newest page in full. Damage in older pages is found when it
    /// is read.
    Fast,
}

/// What happens where logs that had been durable are found damaged at open.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum CorruptionPolicy {
    /// Opening fails with [`Error::Corruption`], and nothing is changed.
    #[default]
    Refuse,
    /// The log is cut before the damage. The page files that are cut are copied to `quarantine/` in
    /// the home directory first. Where it cannot be told which page files are those of the store,
    /// opening fails.
    Truncate,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ring_size: None,
            queue_depth: 64,
            pool_size: 8,
            huge_buf: false,
            buf_capacity: 1024 * 1024,
            page_capacity: u64::MAX,
            index_capacity: 4096,
            index_sparse_bytes: 16 * 1024,
            index_sparse_count: 1024,
            file_o_dsync: true,
            file_capacity: None,
            tail_capacity: 4 * 1024 * 1024,
            read_capacity: 8 * 1024 * 1024,
            backend: Backend::Auto,
            io: IoMode::Auto,
            retention: Retention::Overwrite,
            recovery: Recovery::Full,
            corruption: CorruptionPolicy::Refuse,
            flush_interval: None,
            memory: Memory::default(),
        }
    }
}

/// The largest error number that Linux has.
const ERRNO_MAX: i32 = 4095;

/// The newest page is written while the oldest is given up.
const RING_SIZE_MIN: u32 = 2;

/// Offsets in frames and indexes have room for no more.
const FILE_CAPACITY_MAX: u64 = 1 << 34;

/// Buffers that the engine needs for itself: one that small appends are gathered in, one to go
/// on with while that is being written, and one for a seal.
const ENGINE_BUFFERS: usize = 3;

impl Options {
    /// Pages of a new store, where [`ring_size`](Self::ring_size) does not say.
    pub const NEW_RING_SIZE: u32 = 4;

    /// Bytes of each page file of a new store, where [`file_capacity`](Self::file_capacity) does
    /// not say.
    pub const NEW_FILE_CAPACITY: u64 = 64 * 1024 * 1024;

    /// Checks every option against its limits, and the options against each other. What depends on
    /// the size of the page files is checked when the store is opened, where that is left open.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the name of the first option that cannot work, its value, and why.
    pub fn validate(&self) -> Result<(), Error> {
        let Self { queue_depth, buf_capacity, index_capacity, .. } = *self;
        let ring_size = self.ring_size_or_new();
        let checks: [(&'static str, u64, bool, &str); 14] = [
            ("ring_size", ring_size.into(), ring_size >= RING_SIZE_MIN, "at least 2"),
            ("ring_size", ring_size.into(), ring_size <= 1 << 20, "at most 1048576"),
            ("queue_depth", queue_depth.into(), queue_depth >= 1, "at least 1"),
            ("queue_depth", queue_depth.into(), queue_depth <= 16384, "at most 16384"),
            ("pool_size", self.pool_size.into(), self.pool_size >= 1, "at least 1"),
            ("buf_capacity", buf_capacity as u64, buf_capacity >= 4 * BLOCK_SIZE, "at least 16384"),
            (
                "buf_capacity",
                buf_capacity as u64,
                buf_capacity.is_multiple_of(BLOCK_SIZE),
                "a multiple of 4096",
            ),
            ("buf_capacity", buf_capacity as u64, buf_capacity <= 1 << 30, "at most 1073741824"),
            ("page_capacity", self.page_capacity, self.page_capacity >= 1, "at least 1"),
            ("index_capacity", index_capacity as u64, index_capacity >= 2, "at least 2"),
            (
                "index_capacity",
                index_capacity as u64,
                index_capacity <= 1 << 24,
                "at most 16777216",
            ),
            (
                "index_sparse_bytes",
                self.index_sparse_bytes as u64,
                self.index_sparse_bytes >= 1,
                "at least 1",
            ),
            (
                "index_sparse_count",
                self.index_sparse_count as u64,
                self.index_sparse_count >= 1,
                "at least 1",
            ),
            (
                "tail_capacity",
                self.tail_capacity as u64,
                self.tail_capacity <= 1 << 40,
                "at most 1099511627776",
            ),
        ];
        for (name, value, fits, limit) in checks {
            if !fits {
                let (value, reason) = (value.to_string(), format!("it must be {limit}"));
                return Err(Error::Option { name, value, reason });
            }
        }
        self.validate_memory()?;
        self.file_capacity.map_or(Ok(()), |file_capacity| self.validate_capacity(file_capacity))
    }

    /// Checks the size of the page files against its limits, and the other options against it.
    fn validate_capacity(&self, file_capacity: u64) -> Result<(), Error> {
        let block = BLOCK_SIZE as u64;
        let seal = self.seal_capacity(BLOCK_SIZE) as u64;
        let least = PAGE_HEADER_SIZE as u64 + seal + 4 * block;
        let reason = if !file_capacity.is_multiple_of(block) {
            "it must be a multiple of 4096".to_owned()
        } else if file_capacity < self.buf_capacity as u64 {
            format!("it must be at least buf_capacity, which is {}", self.buf_capacity)
        } else if file_capacity > FILE_CAPACITY_MAX {
            format!("it must be at most {FILE_CAPACITY_MAX}")
        } else if file_capacity < least {
            format!("with index_capacity {} it must be at least {least}", self.index_capacity)
        } else {
            return Ok(());
        };
        Err(Error::Option { name: "file_capacity", value: file_capacity.to_string(), reason })
    }

    /// With every size that is left open as the store was made: `made` has its page files' number
    /// and size; `None` for a new store.
    pub(crate) fn fitted(&self, made: Option<(u32, u64)>) -> Self {
        let Some((page_count, page_size)) = made else {
            return Self {
                ring_size: self.ring_size.or(Some(Self::NEW_RING_SIZE)),
                file_capacity: self.file_capacity.or(Some(Self::NEW_FILE_CAPACITY)),
                ..*self
            };
        };
        // Who says nothing of the pages' size cannot know that a buffer is larger.
        let page = usize::try_from(page_size).unwrap_or(usize::MAX);
        let largest = if self.file_capacity.is_none() { page } else { usize::MAX };
        Self {
            // A store that was killed while it was made may have one.
            ring_size: self.ring_size.or(Some(page_count.max(RING_SIZE_MIN))),
            file_capacity: self.file_capacity.or(Some(page_size)),
            buf_capacity: self.buf_capacity.min(largest),
            ..*self
        }
    }

    /// Failures can be had where they hurt nobody only.
    fn validate_memory(&self) -> Result<(), Error> {
        let Memory { fail, errno, .. } = self.memory;
        if self.backend != Backend::Memory && self.memory != Memory::default() {
            let reason = "it must be memory where the options of memory are set".to_owned();
            let value = match self.backend {
                Backend::Auto => "auto",
                Backend::IoUring => "io_uring",
                Backend::Threads => "threads",
                Backend::Memory => "memory",
            };
            let value = value.to_owned();
            return Err(Error::Option { name: "backend", value, reason });
        }
        if fail != Fault::None && !(1..=ERRNO_MAX).contains(&errno) {
            let reason = format!("it must be from 1 to {ERRNO_MAX}");
            return Err(Error::Option { name: "memory.errno", value: errno.to_string(), reason });
        }
        if self.io == IoMode::Direct && self.backend == Backend::Memory {
            let reason = "there is no direct I/O in memory".to_owned();
            return Err(Error::Option { name: "io", value: "direct".to_owned(), reason });
        }
        Ok(())
    }

    /// Bytes at the end of a page that its seal needs, where frames are aligned to `alignment`.
    #[must_use]
    pub(crate) fn seal_capacity(&self, alignment: usize) -> usize {
        let size = SealBody::frame_size(self.index_capacity);
        align_up(size as u64, alignment as u64) as usize
    }

    /// Buffers of the newest logs that are kept in memory.
    #[must_use]
    pub(crate) fn tail_buffers(&self) -> usize {
        (self.tail_capacity / self.buf_capacity.max(1)).max(1)
    }

    /// All buffers: those of producers and of the engine, those of the tail, and twice as many
    /// again for readers that hold what left the tail.
    #[must_use]
    pub(crate) fn buffer_count(&self) -> usize {
        usize::from(self.pool_size) + ENGINE_BUFFERS + 3 * self.tail_buffers()
    }

    /// Most bytes of memory that a store with these options takes for logs and indexes, whatever
    /// its readers do: its buffers, one more for small appends that wait, what readers read into,
    /// and what logs are counted in before a trim or truncation. Handles, queues and the program
    /// itself come on top, a few hundred kilobytes.
    ///
    /// Where sizes are left open these are those of a new store, here and below.
    #[must_use]
    pub fn memory_max(&self) -> u64 {
        let ring_size = self.ring_size_or_new();
        let index = self.index_capacity as u64 * 16 * u64::from(ring_size);
        let count = self.buf_capacity.max(LARGE_READ) as u64;
        (self.buffer_count() as u64 + 1) * self.buf_capacity as u64
            + self.read_capacity as u64
            + count
            + index
    }

    /// Bytes on disk: the page files at their full size.
    #[must_use]
    pub fn disk_size(&self) -> u64 {
        self.file_capacity_or_new() * u64::from(self.ring_size_or_new())
    }

    /// Most bytes that a log may take with its 24-byte header, before anything is known of the
    /// file system; see [`Waldo::log_size_limit`](crate::Options::log_size_limit).
    #[must_use]
    pub fn log_size_limit(&self) -> usize {
        let kept = PAGE_HEADER_SIZE + self.seal_capacity(BLOCK_SIZE) + BLOCK_SIZE;
        let usable = (self.file_capacity_or_new() as usize).saturating_sub(kept);
        usable.min(self.buf_capacity).saturating_sub(FRAME_HEADER_SIZE)
    }

    /// Pages; those of a new store, where that is left open.
    pub(crate) fn ring_size_or_new(&self) -> u32 {
        self.ring_size.unwrap_or(Self::NEW_RING_SIZE)
    }

    /// Bytes of each page file; those of a new store, where that is left open.
    pub(crate) fn file_capacity_or_new(&self) -> u64 {
        self.file_capacity.unwrap_or(Self::NEW_FILE_CAPACITY)
    }
}
