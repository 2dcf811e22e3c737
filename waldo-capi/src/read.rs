//! Reading: queries and streams.

use std::ptr;

use waldo_core::Cursor;

use crate::boundary::{
    call, flags, give, handle, hold, may_block, not_forked, output, set, shielded, take, timeout,
};
use crate::chunk::ChunkHandle;
use crate::error::{Failure, WaldoError};
use crate::queue::Queue;
use crate::reader::{Reader, Source};
use crate::status::waldo_status;
use crate::store::Store;

/// Where reading starts.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorKind {
    /// At the oldest log there is; `seq_no` is not looked at.
    WALDO_CURSOR_TRIM = 0,
    /// Behind the newest log; `seq_no` is not looked at.
    WALDO_CURSOR_TIP = 1,
    /// At the first log whose number is greater than `seq_no`.
    WALDO_CURSOR_AFTER = 2,
    /// At the first log whose number is `seq_no` or greater.
    WALDO_CURSOR_FROM = 3,
}

/// Flags of the query calls.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryFlags {
    /// Waits for a log where there is none yet.
    WALDO_QUERY_WAIT = 1,
}

const WAIT: u32 = QueryFlags::WALDO_QUERY_WAIT as u32;

fn cursor(kind: u32, seq_no: u64) -> Result<Cursor, Failure> {
    const TRIM: u32 = CursorKind::WALDO_CURSOR_TRIM as u32;
    const TIP: u32 = CursorKind::WALDO_CURSOR_TIP as u32;
    const AFTER: u32 = CursorKind::WALDO_CURSOR_AFTER as u32;
    const FROM: u32 = CursorKind::WALDO_CURSOR_FROM as u32;

    match kind {
        TRIM => Ok(Cursor::Trim),
        TIP => Ok(Cursor::Tip),
        AFTER => Ok(Cursor::After(seq_no)),
        FROM => Ok(Cursor::From(seq_no)),
        _ => Err(Failure::argument(format!("cursor {kind} is unknown"))),
    }
}

/// What the flags of a query say.
fn waits(query_flags: u32) -> Result<bool, Failure> {
    flags(query_flags, WAIT)?;
    Ok(query_flags & WAIT != 0)
}

/// Reads the logs from a place on, as many as can be had at once: at least one where there is
/// one.
///
/// Where there is none, the answer is `WALDO_OK` and an empty chunk, at once. With
/// `WALDO_QUERY_WAIT` it waits for the next log instead, `timeout_ns` nanoseconds at most
/// (negative: for ever), and answers `WALDO_TIMEOUT` where none comes.
///
/// `*chunk` is yours to release with `waldo_chunk_release`; NULL on failure. From any thread, but
/// not in a callback.
///
/// Errors: `WALDO_TIMEOUT`, `WALDO_TRIMMED`, `WALDO_TRUNCATED`, `WALDO_CORRUPTION`, `WALDO_IO`,
/// `WALDO_POISONED` and `WALDO_CLOSED` where no newer logs will come, `WALDO_INVALID_ARGUMENT`,
/// `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_query(
    store: *mut Store,
    cursor_kind: u32,
    seq_no: u64,
    query_flags: u32,
    timeout_ns: i64,
    chunk: *mut *mut ChunkHandle,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(chunk, ptr::null_mut(), "chunk")?;
            let store = handle(store)?;
            let cursor = cursor(cursor_kind, seq_no)?;
            let wait = waits(query_flags)?;
            may_block()?;
            let waldo = store.open_waldo()?;
            let found = match timeout(timeout_ns).filter(|_| wait) {
                Some(timeout) => waldo.blocking_query_timeout(cursor, timeout),
                None => waldo.blocking_query(cursor, wait),
            }?;
            set(chunk, ChunkHandle::give(found));
            Ok(())
        })
    }
}

/// Like `waldo_query`, without waiting: the completion has the chunk. One that waits for logs
/// ends early with `waldo_queue_cancel`. `WALDO_CURSOR_TIP` is resolved now: what is appended
/// from now on ends the wait. From any thread.
///
/// Errors of the call: `WALDO_AGAIN`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
/// with the completion: those of `waldo_query`, and `WALDO_CANCELLED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_query_async(
    store: *mut Store,
    cursor_kind: u32,
    seq_no: u64,
    query_flags: u32,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let store = hold(store)?;
            let queue = handle(queue)?;
            let cursor = cursor(cursor_kind, seq_no)?;
            let wait = waits(query_flags)?;
            let waldo = store.open_waldo()?.clone();
            // Where the newest log is now, and not when somebody looks for completions.
            let cursor = match cursor {
                Cursor::Tip => Cursor::After(waldo.prev_seq_no().unwrap_or(0)),
                cursor => cursor,
            };
            let query = async move { waldo.query(cursor, wait).await };
            Reader::new(&store, Source::Query(Box::pin(query))).submit(&queue, user_data)
        })
    }
}

/// Makes a reader that starts at a place and follows the log, chunk by chunk.
///
/// `WALDO_CURSOR_TIP` is resolved now: the stream returns what is appended from now on. There may
/// be tens of thousands of streams; one that waits costs nothing. A stream keeps the store as a
/// reference does.
///
/// `stream_flags` must be 0. `*stream` is yours to release with `waldo_stream_release`; NULL on
/// failure. From any thread.
///
/// Errors: `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_new(
    store: *mut Store,
    cursor_kind: u32,
    seq_no: u64,
    stream_flags: u32,
    stream: *mut *mut Reader,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(stream, ptr::null_mut(), "stream")?;
            let store = handle(store)?;
            let cursor = cursor(cursor_kind, seq_no)?;
            flags(stream_flags, 0)?;
            let source = Source::Stream(Box::new(store.open_waldo()?.stream(cursor)));
            set(stream, give(Reader::new(&store, source)));
            Ok(())
        })
    }
}

/// Waits for the next logs of a stream, `timeout_ns` nanoseconds at most (negative: for ever; 0:
/// what can be had at once). The position moves only with the chunk that is returned.
///
/// After `WALDO_TRIMMED` and `WALDO_TRUNCATED` the stream goes on with what is there. Streams of
/// a closed store go on to the last log, and then answer `WALDO_CLOSED`.
///
/// `*chunk` is yours to release with `waldo_chunk_release`; NULL on failure. From any thread, but
/// not in a callback, and one `next` at a time.
///
/// Errors: those of `waldo_query`, and `WALDO_BUSY` while another `next` waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_next(
    stream: *mut Reader,
    timeout_ns: i64,
    chunk: *mut *mut ChunkHandle,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(chunk, ptr::null_mut(), "chunk")?;
            let stream = handle(stream)?;
            may_block()?;
            let found = stream.wait(timeout(timeout_ns))?;
            set(chunk, ChunkHandle::give(found));
            Ok(())
        })
    }
}

/// Like `waldo_stream_next`, without waiting: the completion has the chunk. It ends early with
/// `waldo_queue_cancel`, or the release of the stream. From any thread, one `next` at a time.
///
/// Errors of the call: `WALDO_AGAIN`, `WALDO_BUSY`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
/// with the completion: those of `waldo_stream_next`, and `WALDO_CANCELLED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_next_async(
    stream: *mut Reader,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let stream = hold(stream)?;
            let queue = handle(queue)?;
            stream.submit(&queue, user_data)
        })
    }
}

/// The number of the last log that a stream returned; before the first, where it starts. 0 for
/// NULL and in a forked child. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_position(stream: *const Reader) -> u64 {
    // SAFETY: NULL or a reference of the caller's.
    shielded(0, || unsafe { handle(stream) }.map_or(0, |stream| stream.position()))
}

/// Has a stream go on behind the log `seq_no`, forwards or backwards: past damage, for example.
/// From any thread.
///
/// Errors: `WALDO_BUSY` while a `next` waits, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_seek(
    stream: *mut Reader,
    seq_no: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || handle(stream)?.seek(seq_no)) }
}

/// Releases a stream. NULL is fine.
///
/// A `next` that was submitted and waits completes with `WALDO_CANCELLED`. Never blocks; from any
/// thread, callbacks and finalizers included. In a forked child it frees memory only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_stream_release(stream: *mut Reader) {
    shielded((), || {
        // SAFETY: NULL or a reference of the caller's.
        let Some(stream) = (unsafe { take(stream) }) else { return };
        if not_forked(crate::boundary::Handle::process(&*stream)).is_ok() {
            stream.cancel(None);
        }
    });
}
