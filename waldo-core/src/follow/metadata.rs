//! What a store holds, seen from outside.

use super::follower::Follower;
use crate::error::QueryError;
use crate::format::FORMAT_VERSION;
use crate::handle::Cursor;

/// What a store holds, as its page files tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowMetadata {
    /// Random identity of the store, fixed when it was made.
    pub store_id: [u8; 16],
    /// Version of the format on disk.
    pub format_version: u32,
    /// Every log up to and with this one is gone. `Cursor::After` of it is the oldest log.
    pub after_seq_no: u64,
    /// The newest log that is served; 0 where there is none.
    pub prev_seq_no: u64,
    /// The newest log that is proved to be durable; 0 where there is none. The writer may know of
    /// a newer one: the proof of a write is in the next one, or in the seal of a close.
    pub durable_seq_no: u64,
    /// Logs that can be read.
    pub log_count: u64,
    /// Pages that hold logs, or held logs that were trimmed.
    pub page_count: u64,
    /// Page files.
    pub ring_size: u32,
    /// Bytes of each.
    pub file_capacity: u64,
    /// Bytes that frames are aligned to: 4,096 in a store that was made for direct I/O, else 8.
    pub frame_alignment: u32,
    /// Bytes on disk, the page files at their full size.
    pub disk_size: u64,
    /// Entries of the indexes that this follower keeps.
    pub index_count: u64,
    /// Bytes of memory that they take.
    pub index_size: u64,
    /// Incarnation of the newest frame: it grows each time the store is opened.
    pub incarnation: u64,
    /// The process that has the store open for writing, as far as its lock file and the system
    /// tell; not to be relied on across containers.
    pub writer_pid: Option<u32>,
    /// Whether it is noticed by itself that something was written; else page files are polled.
    pub watching: bool,
}

impl Follower {
    /// What the store holds now. Reads up to its newest log first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Corruption`], [`QueryError::Io`] where pages cannot be read,
    /// [`QueryError::Forked`].
    pub fn metadata(&mut self) -> Result<FollowMetadata, QueryError> {
        let live = self.live(false)?;
        live.catch_up()?;
        let durable_seq_no = live.tracker.durable_seq_no(&live.pages)?;
        let published = live.tracker.published();
        let totals = published.catalog.totals();
        let (geometry, ring_size) = (live.pages.geometry, live.pages.ring_size);
        Ok(FollowMetadata {
            store_id: geometry.store_id.0,
            format_version: FORMAT_VERSION,
            after_seq_no: published.progress.trimmed(),
            prev_seq_no: published.progress.tip(),
            durable_seq_no,
            log_count: totals.log_count,
            page_count: totals.page_count,
            ring_size,
            file_capacity: geometry.page_size,
            frame_alignment: geometry.alignment,
            disk_size: geometry.page_size * u64::from(ring_size),
            index_count: totals.index_count,
            index_size: totals.index_size,
            incarnation: live.tracker.incarnation(),
            writer_pid: live.pages.writer_pid(),
            watching: live.watcher.is_watching(),
        })
    }

    /// A cursor behind all but the newest `count` logs: for those who want the end of a log and
    /// what comes then.
    ///
    /// # Errors
    ///
    /// As [`metadata`](Self::metadata).
    pub fn cursor_of_last(&mut self, count: u64) -> Result<Cursor, QueryError> {
        let live = self.live(false)?;
        live.catch_up()?;
        let published = live.tracker.published();
        let (trimmed, tip) = (published.progress.trimmed(), published.progress.tip());
        // Numbers may have gaps, so that whole pages are counted first.
        let (mut after, mut skip, mut left) = (trimmed, 0, count);
        published.catalog.each_newest_first(|page| {
            let logs = page.log_count - page.trimmed_count;
            if left > 0 && logs >= left {
                (after, skip) = (page.first_prev_seq_no.max(trimmed), logs - left);
            }
            left = left.saturating_sub(logs);
        });
        if count == 0 {
            return Ok(Cursor::After(tip));
        }
        while skip > 0 {
            let chunk = self.query(Cursor::After(after))?;
            if chunk.is_empty() {
                break;
            }
            for log in chunk.iter().take(usize::try_from(skip).unwrap_or(usize::MAX)) {
                after = log.seq_no();
                skip -= 1;
            }
        }
        Ok(Cursor::After(after))
    }
}
