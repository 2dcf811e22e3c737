//! What recovery found, for the user.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Corruption;

/// What opening a store read, checked, dropped and cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The store was made by this open.
    pub created: bool,
    /// Pages that hold logs.
    pub page_count: u64,
    /// Pages whose seal stood in for a scan (`Recovery::Fast`).
    pub sealed_page_count: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Logs that can be read.
    pub log_count: u64,
    /// Every log up to and with this one is gone.
    pub after_seq_no: u64,
    /// The newest log; 0 where there is none.
    pub prev_seq_no: u64,
    /// The torn tail that was dropped: writes that were under way when the process or the
    /// machine stopped, and that nobody was told had succeeded.
    pub dropped: Option<Dropped>,
    /// The damage at which the log was cut (`CorruptionPolicy::Truncate`).
    pub cut: Option<Corruption>,
    /// Copies of the page files that were cut.
    pub quarantined: Vec<PathBuf>,
    /// How long it took.
    pub duration: Duration,
}

/// A torn tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Number of the page file in which it starts.
    pub page: u32,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Whole frames that were found behind the tear and dropped with it.
    pub frame_count: u64,
}
