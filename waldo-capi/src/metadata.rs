//! What a store holds, and what opening it found, in numbers.

use waldo_core::{Metadata, RecoveryReport};

use crate::boundary::{call, handle, output, set};
use crate::error::{Failure, WaldoError};
use crate::status::waldo_status;
use crate::store::Store;

/// What a store holds and does just now. The numbers are looked up one after the other while the
/// store goes on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WaldoMetadata {
    /// Every log up to and with this one is gone.
    pub after_seq_no: u64,
    /// The newest log; 0 where there is none.
    pub prev_seq_no: u64,
    /// The newest log that survives a power loss; 0 where there is none.
    pub durable_seq_no: u64,
    /// Logs that can be read.
    pub log_count: u64,
    /// Entries of all indexes.
    pub index_count: u64,
    /// Bytes on disk.
    pub disk_size: u64,
    /// Bytes of memory that indexes take.
    pub index_size: u64,
    /// Page files in use.
    pub page_count: u64,
    /// Page files whose blocks are being written ahead of need.
    pub pending_resets: u64,
    /// Appends and other operations that are not acknowledged yet.
    pub pending_appends: u64,
    /// Reads from disk under way.
    pub pending_queries: u64,
    /// Syncs under way.
    pub pending_fsyncs: u64,
    /// Buffers that nobody holds.
    pub buffers_free: u64,
    /// Buffers that only readers hold.
    pub buffers_detached: u64,
    /// Bytes of memory for older logs that readers hold.
    pub read_memory_used: u64,
    /// Streams and queries that wait for newer logs.
    pub waiting_streams: u64,
    /// Most bytes that a log may take with its header of 24 bytes and padding to 8.
    pub log_size_limit: u64,
    /// Most bytes of logs, counted like that, that are appended all or none.
    pub batch_size_limit: u64,
    /// Most logs that are appended all or none.
    pub batch_count_limit: u64,
}

/// What recovery found when a store was opened.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct WaldoRecovery {
    /// 1 where the store was made by this open.
    pub created: u64,
    /// Page files that hold logs.
    pub page_count: u64,
    /// Page files whose summary stood in for a scan.
    pub sealed_page_count: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Logs that can be read.
    pub log_count: u64,
    /// Every log up to and with this one is gone.
    pub after_seq_no: u64,
    /// The newest log; 0 where there is none.
    pub prev_seq_no: u64,
    /// 1 where a torn tail was dropped: writes that nobody was told had succeeded.
    pub dropped: u64,
    /// The page file in which it starts.
    pub dropped_page: u64,
    /// Where in it, in bytes.
    pub dropped_offset: u64,
    /// Frames behind the tear that were dropped with it.
    pub dropped_frame_count: u64,
    /// 1 where the log was cut at damage, as the option `corruption` asks for.
    pub cut: u64,
    /// The page file that is damaged.
    pub cut_page: u64,
    /// Where in it, in bytes.
    pub cut_offset: u64,
    /// The last log before the damage.
    pub cut_after_seq_no: u64,
    /// Page files of which copies were kept in `quarantine/`.
    pub quarantined_count: u64,
    /// How long it took, in nanoseconds.
    pub duration_ns: u64,
}

impl From<&Metadata> for WaldoMetadata {
    fn from(from: &Metadata) -> Self {
        Self {
            after_seq_no: from.after_seq_no,
            prev_seq_no: from.prev_seq_no,
            durable_seq_no: from.durable_seq_no,
            log_count: from.log_count,
            index_count: from.index_count,
            disk_size: from.disk_size,
            index_size: from.index_size,
            page_count: from.page_count,
            pending_resets: from.pending_resets as u64,
            pending_appends: from.pending_appends as u64,
            pending_queries: from.pending_queries as u64,
            pending_fsyncs: from.pending_fsyncs as u64,
            buffers_free: from.buffers_free as u64,
            buffers_detached: from.buffers_detached as u64,
            read_memory_used: from.read_memory_used as u64,
            waiting_streams: from.waiting_streams as u64,
            ..Self::default()
        }
    }
}

impl From<&RecoveryReport> for WaldoRecovery {
    fn from(from: &RecoveryReport) -> Self {
        let (dropped, cut) = (from.dropped.as_ref(), from.cut.as_ref());
        Self {
            created: from.created.into(),
            page_count: from.page_count,
            sealed_page_count: from.sealed_page_count,
            bytes_read: from.bytes_read,
            log_count: from.log_count,
            after_seq_no: from.after_seq_no,
            prev_seq_no: from.prev_seq_no,
            dropped: dropped.is_some().into(),
            dropped_page: dropped.map_or(0, |dropped| dropped.page.into()),
            dropped_offset: dropped.map_or(0, |dropped| dropped.offset),
            dropped_frame_count: dropped.map_or(0, |dropped| dropped.frame_count),
            cut: cut.is_some().into(),
            cut_page: cut.map_or(0, |cut| cut.page.into()),
            cut_offset: cut.map_or(0, |cut| cut.offset),
            cut_after_seq_no: cut.map_or(0, |cut| cut.after_seq_no),
            quarantined_count: from.quarantined.len() as u64,
            duration_ns: u64::try_from(from.duration.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// The least size of each struct: that of the first version.
const METADATA_SIZE: usize = 19 * 8;
const RECOVERY_SIZE: usize = 17 * 8;

/// Most bytes that a struct of a later version can have.
const SIZE_MAX: usize = 64 * 1024;

/// Zeros an output whose size the caller knows: it may be smaller or larger than here.
///
/// # Safety
///
/// `out` is NULL, or valid for writing `size` bytes.
unsafe fn prepare<T>(out: *mut T, size: usize, least: usize, name: &str) -> Result<(), Failure> {
    if out.is_null() || !out.is_aligned() {
        return Err(Failure::argument(format!("{name} must not be NULL")));
    }
    if size < least || size > SIZE_MAX || !size.is_multiple_of(align_of::<T>()) {
        return Err(Failure::argument(format!("the size of {name} cannot be {size}")));
    }
    // SAFETY: by contract.
    unsafe { out.cast::<u8>().write_bytes(0, size) };
    Ok(())
}

/// Writes as much of a struct as the caller knows of.
///
/// # Safety
///
/// `out` is valid for writing `size` bytes.
unsafe fn fill<T: Copy>(out: *mut T, size: usize, value: &T) {
    let size = size.min(size_of::<T>());
    // SAFETY: by contract, and no more than there is is read.
    unsafe {
        out.cast::<u8>().copy_from_nonoverlapping(std::ptr::from_ref(value).cast(), size);
    }
}

/// What a store holds and does just now. `size` is `sizeof(waldo_metadata)`; fields that this
/// version of the library does not know are set to 0, and so are all on failure, unless it is
/// the size that cannot be. Works after a close, too. Does not block; from any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_metadata_get(
    store: *const Store,
    metadata: *mut WaldoMetadata,
    size: usize,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller; `metadata` for
    // `size` bytes.
    unsafe {
        call(error, || {
            prepare(metadata, size, METADATA_SIZE, "metadata")?;
            let store = handle(store)?;
            let waldo = store.waldo()?;
            let limits = waldo.batch_limits();
            let found = waldo.blocking_metadata().as_ref().map(WaldoMetadata::from);
            let empty = WaldoMetadata {
                disk_size: waldo.options().disk_size(),
                ..WaldoMetadata::default()
            };
            let value = WaldoMetadata {
                log_size_limit: waldo.log_size_limit() as u64,
                batch_size_limit: limits.size as u64,
                batch_count_limit: limits.count,
                ..found.unwrap_or(empty)
            };
            fill(metadata, size, &value);
            Ok(())
        })
    }
}

/// What recovery found when the store was opened. `size` is `sizeof(waldo_recovery)`; fields that
/// this version of the library does not know are set to 0, and so are all on failure, unless it
/// is the size that cannot be. Does not block; from any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_recovery_get(
    store: *const Store,
    recovery: *mut WaldoRecovery,
    size: usize,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller; `recovery` for
    // `size` bytes.
    unsafe {
        call(error, || {
            prepare(recovery, size, RECOVERY_SIZE, "recovery")?;
            let store = handle(store)?;
            fill(recovery, size, &store.waldo()?.recovery_report().into());
            Ok(())
        })
    }
}

/// The newest log that readers see; 0 where there is none, and on failure. Takes no lock; works
/// after a close, too. From any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_prev_seq_no(store: *const Store, seq_no: *mut u64) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(std::ptr::null_mut(), || {
            output(seq_no, 0, "seq_no")?;
            set(seq_no, handle(store)?.waldo()?.prev_seq_no().unwrap_or(0));
            Ok(())
        })
    }
}

/// The newest log that survives a power loss; 0 where there is none, and on failure. Takes no
/// lock; works after a close, too. From any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_durable_seq_no(
    store: *const Store,
    seq_no: *mut u64,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(std::ptr::null_mut(), || {
            output(seq_no, 0, "seq_no")?;
            set(seq_no, handle(store)?.waldo()?.durable_seq_no().unwrap_or(0));
            Ok(())
        })
    }
}
