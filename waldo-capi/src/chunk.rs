//! Chunks: runs of logs that were read.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use waldo_core::{Chunk, LogIter, LogPlace};

use crate::boundary::{give, retain, set, shielded, take};
use crate::log::WaldoLog;
use crate::process::Local;

/// An immutable run of logs.
pub struct ChunkHandle {
    local: Local<Inner>,
}

struct Inner {
    chunk: Chunk,
    /// All its logs, for those who do not take them in one go. They point into the chunk.
    index: OnceLock<Vec<WaldoLog>>,
    /// Where the logs were last described to: the number of the next, and its place. Most callers
    /// ask for some after the others, and for them no index is built.
    next: Mutex<Option<(usize, LogPlace)>>,
    /// Several readers were given it. Then describing its logs once pays.
    is_shared: AtomicBool,
}

// SAFETY: the pointers of the index point to memory that the chunk holds, which does not change.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl ChunkHandle {
    pub fn new(chunk: Chunk) -> Self {
        Self {
            local: Local::new(Inner {
                chunk,
                index: OnceLock::new(),
                next: Mutex::new(None),
                is_shared: AtomicBool::new(false),
            }),
        }
    }

    /// Gives a chunk to C, which counts as one reference.
    pub fn give(chunk: Chunk) -> *mut Self {
        give(Arc::new(Self::new(chunk)))
    }

    /// Whether a reader of `chunk` may be given this one.
    pub fn share(&self, chunk: &Chunk) -> bool {
        let is_same = self.local.chunk.is_same(chunk);
        if is_same {
            self.local.is_shared.store(true, Ordering::Relaxed);
        }
        is_same
    }

    fn index(&self) -> &[WaldoLog] {
        let inner = &*self.local;
        // A log that borrows its payload points into the chunk.
        inner.index.get_or_init(|| inner.chunk.iter().map(|log| WaldoLog::of(&log)).collect())
    }

    /// The logs from the one with the number `first` on, where its place is known.
    fn resume(&self, first: usize) -> Option<LogIter<'_>> {
        let Inner { chunk, index, is_shared, .. } = &*self.local;
        if is_shared.load(Ordering::Relaxed) || index.get().is_some() {
            return None;
        }
        if first == 0 {
            return Some(chunk.iter());
        }
        let next = *self.local.next.try_lock().ok()?;
        next.filter(|(number, _)| *number == first).map(|(_, place)| chunk.iter_from(place))
    }

    /// Hands descriptions of the logs from the one with the number `first` on to `put`, each with
    /// its place among them; answers how many.
    fn logs(&self, first: usize, capacity: usize, mut put: impl FnMut(usize, WaldoLog)) -> usize {
        let Some(mut logs) = self.resume(first) else {
            let logs = self.index().iter().skip(first).take(capacity);
            return logs.enumerate().map(|(at, log)| put(at, *log)).count();
        };
        let mut count = 0;
        for log in logs.by_ref().take(capacity) {
            put(count, WaldoLog::of(&log));
            count += 1;
        }
        if let Ok(mut next) = self.local.next.try_lock() {
            *next = Some((first + count, logs.place()));
        }
        count
    }
}

/// Borrows a chunk. Chunks are only read, so that a forked child may, too.
///
/// # Safety
///
/// `chunk` is NULL, or a reference of the caller's.
unsafe fn borrow<'a>(chunk: *const ChunkHandle) -> Option<&'a ChunkHandle> {
    if chunk.is_aligned() {
        // SAFETY: by contract.
        unsafe { chunk.as_ref() }
    } else {
        None
    }
}

/// How many logs a chunk has; 0 for NULL. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_chunk_count(chunk: *const ChunkHandle) -> usize {
    // SAFETY: NULL or a reference of the caller's.
    shielded(0, || unsafe { borrow(chunk) }.map_or(0, |chunk| chunk.index().len()))
}

/// Describes the logs of a chunk from the index `first` on, `capacity` of them at most; answers
/// how many. Their payloads are not copied: they are valid until the chunk is released.
///
/// 0 for NULL, and where there are no more. To ask for the next some hundred at a time is fastest:
/// what was described is still in the nearest cache when it is read. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_chunk_logs(
    chunk: *const ChunkHandle,
    first: usize,
    logs: *mut WaldoLog,
    capacity: usize,
) -> usize {
    shielded(0, || {
        // SAFETY: NULL or a reference of the caller's.
        let Some(chunk) = (unsafe { borrow(chunk) }) else { return 0 };
        if logs.is_null() || !logs.is_aligned() {
            return 0;
        }
        // SAFETY: `logs` is valid for writing `capacity` of them, and there are no more.
        chunk.logs(first, capacity, |at, log| unsafe { logs.add(at).write(log) })
    })
}

/// The memory in which the payloads of a chunk's logs lie, oldest first, with other bytes in
/// between; `*len` is set to its size. For bindings that make one view of memory for a chunk:
/// payloads are found in it by the difference to the `data` of `waldo_chunk_logs`.
///
/// Valid until the chunk is released; NULL and 0 for NULL and for an empty chunk. `len` may be
/// NULL. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_chunk_data(chunk: *const ChunkHandle, len: *mut usize) -> *const u8 {
    // SAFETY: NULL or valid for writing.
    unsafe { set(len, 0) };
    shielded(ptr::null(), || {
        // SAFETY: NULL or a reference of the caller's.
        let index = unsafe { borrow(chunk) }.map(ChunkHandle::index).unwrap_or_default();
        let (Some(first), Some(last)) = (index.first(), index.last()) else { return ptr::null() };
        let size = last.data.addr() + last.len as usize - first.data.addr();
        // SAFETY: NULL or valid for writing.
        unsafe { set(len, size) };
        first.data
    })
}

/// Counts one more reference to a chunk: each is released once. NULL is fine. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_chunk_retain(chunk: *mut ChunkHandle) {
    // SAFETY: NULL or a reference of the caller's.
    shielded((), || unsafe { retain(chunk) });
}

/// Releases a reference to a chunk; with the last one its logs end. NULL is fine. A chunk is
/// valid after its store was closed and released, but holds memory of it, so release it soon.
/// Never blocks; from any thread, callbacks and finalizers included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_chunk_release(chunk: *mut ChunkHandle) {
    // SAFETY: NULL or a reference of the caller's.
    shielded((), || drop(unsafe { take(chunk) }));
}
