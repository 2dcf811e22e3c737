//! What can go wrong, and what the caller needs to act on it.
//!
//! One type for each family of calls. Every variant maps to one status of the C ABI and one
//! exception of the Python package.

use std::io;
use std::path::PathBuf;

/// Why a store could not be opened, closed or managed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a call on a file.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// An option has a value that cannot work.
    #[error("option {name} = {value} is not possible: {reason}")]
    Option {
        /// Name of the option, as in [`Options`](crate::Options).
        name: &'static str,
        /// The value it has.
        value: String,
        /// The limit that it violates.
        reason: String,
    },

    /// Another handle, in this process or another, has the store open.
    #[error("{} is in use{}", path.display(), owner(*.pid))]
    Locked {
        /// The home directory.
        path: PathBuf,
        /// The process that holds it, where that could be read.
        pid: Option<u32>,
    },

    /// The directory holds something other than a store.
    #[error("{} is not a Waldo store: {reason}", path.display())]
    NotAStore {
        /// The home directory.
        path: PathBuf,
        /// What was found, or missed.
        reason: String,
    },

    /// The store was written by a newer version of Waldo, or uses a feature unknown to this one.
    #[error(
        "{} has format version {version} with features {features:#x}, newer than this library \
         reads; open it with the version of Waldo that wrote it", path.display()
    )]
    Newer {
        /// The page file.
        path: PathBuf,
        /// Format version found there.
        version: u32,
        /// Incompatible features that are unknown here.
        features: u32,
    },

    /// Logs that had been durable are damaged. Nothing was changed.
    #[error("{0}")]
    Corruption(#[from] Corruption),

    /// The system lacks something that was asked for explicitly.
    #[error("{what} cannot be used here: {source}. {hint}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
        /// What to do about it.
        hint: &'static str,
    },

    /// A truncation names a log that the store does not hold.
    #[error("log {seq_no} is not in the store")]
    NotFound {
        /// The `seq_no` asked for.
        seq_no: u64,
    },

    /// Logs that a call needs could not be read.
    #[error("{0}")]
    Query(#[from] QueryError),

    /// There is no room for the note that a call must leave in the log.
    #[error("{0}")]
    Append(#[from] AppendError),

    /// The store failed earlier; reopen it to recover.
    #[error("{0}")]
    Poisoned(#[from] Poison),

    /// The store is closed.
    #[error("the store is closed")]
    Closed,

    /// The handle was made before a fork, and is used in the child.
    #[error("this handle belongs to the parent process; open the store anew after the fork")]
    Forked,
}

/// Why logs were not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The first log does not follow the tip, or a log does not follow the one before it in the
    /// batch. Nothing of this batch was appended, and no other append was hurt.
    #[error("log {seq_no} follows {actual}, but the log before it is {wanted}")]
    Sequence {
        /// `seq_no` of the log that does not follow.
        seq_no: u64,
        /// The `prev_seq_no` that would have been accepted.
        wanted: u64,
        /// The `prev_seq_no` that it has.
        actual: u64,
    },

    /// A log's `seq_no` is not greater than its `prev_seq_no`.
    #[error("log {seq_no} must be greater than its prev_seq_no {prev_seq_no}")]
    Order {
        /// `seq_no` of the log.
        seq_no: u64,
        /// Its `prev_seq_no`.
        prev_seq_no: u64,
    },

    /// A log is larger than a page, or a buffer, can take.
    #[error(
        "log {seq_no} takes {size} bytes, over the limit of {limit}; see buf_capacity and file_capacity"
    )]
    ExceedsLimit {
        /// `seq_no` of the log; its place in the batch where numbers are assigned.
        seq_no: u64,
        /// Bytes that it takes, with its header.
        size: usize,
        /// Bytes that a log may take.
        limit: usize,
    },

    /// An atomic batch does not fit one frame.
    #[error(
        "an atomic batch of {count} logs and {size} bytes is over the limit of {count_limit} \
         logs and {size_limit} bytes; see buf_capacity, file_capacity and page_capacity"
    )]
    BatchTooLarge {
        /// Logs in the batch.
        count: u64,
        /// Logs that a frame may hold.
        count_limit: u64,
        /// Bytes that the batch takes.
        size: usize,
        /// Bytes that a frame may take.
        size_limit: usize,
    },

    /// Numbers after `seq_no` `u64::MAX` cannot be assigned.
    #[error("there are no sequence numbers left after {tip}")]
    Exhausted {
        /// The newest log.
        tip: u64,
    },

    /// The ring is full of logs that are held (`Retention::Hold`): trim some.
    #[error("the ring is full: nothing up to log {oldest} was trimmed")]
    Full {
        /// The oldest log, which would have to go.
        oldest: u64,
    },

    /// The next page has no room on disk. The store keeps serving what it has, and an append is
    /// possible again once there is room.
    #[error("no room on disk for the next page: {}", io::Error::from_raw_os_error(*errno))]
    NoSpace {
        /// The system's error number.
        errno: i32,
    },

    /// A call that does not wait found no room in the queue or the buffer pool.
    #[error("no room in the queue; try again")]
    WouldBlock,

    /// The time allowed for the call is over. The logs may have been appended.
    #[error("not acknowledged in time; the logs may have been appended")]
    Timeout,

    /// A write or a sync failed: this append, and every later one, may not be on disk. Reopen
    /// the store to recover.
    #[error("{0}")]
    Poisoned(#[from] Poison),

    /// The store is closed.
    #[error("the store is closed")]
    Closed,

    /// The handle was made before a fork, and is used in the child.
    #[error("this handle belongs to the parent process; open the store anew after the fork")]
    Forked,
}

/// Why logs could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The logs asked for are gone; what is left begins at `oldest`.
    #[error("logs before {oldest} are trimmed")]
    Trimmed {
        /// The smallest `seq_no` that a log may have now. The oldest log has it, or a greater one
        /// where numbers have gaps: `Cursor::From(oldest)` goes on there in either case.
        oldest: u64,
    },

    /// The logs that the reader had reached were truncated; the log goes on after `tip`.
    #[error("logs after {tip} were truncated")]
    Truncated {
        /// The last log before the truncation. `Cursor::After(tip)` goes on from there.
        tip: u64,
    },

    /// Stored bytes are not what was written.
    #[error("{0}")]
    Corruption(#[from] Corruption),

    /// The system refused a read.
    #[error("cannot read page {page}: {}", io::Error::from_raw_os_error(*errno))]
    Io {
        /// Number of the page file.
        page: u32,
        /// The system's error number.
        errno: i32,
    },

    /// The time allowed for the call is over.
    #[error("no logs in time")]
    Timeout,

    /// Somebody interrupted the call. The logs that it would have returned are still to be read.
    #[error("the call was interrupted")]
    Interrupted,

    /// The store that was followed is not there any more: its directory was removed, moved, or
    /// holds another store now.
    #[error("the store was removed, moved or replaced")]
    Gone,

    /// A write or a sync failed, so that no newer log will come. What is there can be read.
    #[error("{0}")]
    Poisoned(#[from] Poison),

    /// The store is closed.
    #[error("the store is closed")]
    Closed,

    /// The handle was made before a fork, and is used in the child.
    #[error("this handle belongs to the parent process; open the store anew after the fork")]
    Forked,
}

/// Where stored bytes are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "page {page} is damaged at offset {offset}: {detail}; the logs after {after_seq_no} cannot \
     be trusted"
)]
pub struct Corruption {
    /// Number of the page file.
    pub page: u32,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Last log before the damage.
    pub after_seq_no: u64,
    /// What is wrong there.
    pub detail: &'static str,
}

/// The failure after which a store accepts nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed earlier and must be reopened: {reason}{}", cause(*.errno))]
pub struct Poison {
    /// What failed.
    pub reason: &'static str,
    /// The system's error number, where the system failed it.
    pub errno: Option<i32>,
}

/// Why a log is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The bytes are not those that were appended.
    #[error("log {seq_no} has checksum {actual:#010x}, but was stored with {wanted:#010x}")]
    Corruption {
        /// `seq_no` of the log.
        seq_no: u64,
        /// The stored checksum.
        wanted: u32,
        /// The checksum of the bytes.
        actual: u32,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

fn cause(errno: Option<i32>) -> String {
    errno.map(|errno| format!(": {}", io::Error::from_raw_os_error(errno))).unwrap_or_default()
}
