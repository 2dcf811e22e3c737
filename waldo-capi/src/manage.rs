//! Making durable, trimming, truncating, clearing.

use waldo_core::Error;

use crate::boundary::{call, handle, hold, may_block};
use crate::error::{Failure, WaldoError};
use crate::queue::Queue;
use crate::status::waldo_status;
use crate::store::Store;
use crate::ticket::{Kind, Ticket, Yield};

type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Takes a place in the queue, and submits an operation that completes there.
///
/// # Safety
///
/// The pointers are NULL or valid.
unsafe fn submit(
    store: *const Store,
    queue: *const Queue,
    user_data: u64,
    kind: Kind,
    operation: impl FnOnce(&waldo_core::Waldo, Done) -> Result<(), Error>,
) -> Result<(), Failure> {
    // SAFETY: by contract.
    let (store, queue) = unsafe { (hold(store)?, handle(queue)?) };
    let waldo = store.open_waldo()?;
    let ticket = Ticket::new(&queue, Some(&store), user_data, kind)?;
    let done = move |result: Result<(), Error>| {
        ticket.finish(result.map(|()| Yield::Nothing).map_err(Failure::from));
    };
    Ok(operation(waldo, Box::new(done))?)
}

/// Carries out an operation, and waits.
///
/// # Safety
///
/// `store` is NULL or valid.
unsafe fn wait(
    store: *const Store,
    operation: impl FnOnce(&waldo_core::Waldo) -> Result<(), Error>,
) -> Result<(), Failure> {
    // SAFETY: by contract.
    let store = unsafe { handle(store) }?;
    may_block()?;
    Ok(operation(store.open_waldo()?)?)
}

/// Makes durable what was submitted before, and waits for that. From any thread, but not in a
/// callback.
///
/// Errors: `WALDO_POISONED`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`,
/// `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_sync(store: *mut Store, error: *mut WaldoError) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || wait(store, |waldo| waldo.blocking_sync())) }
}

/// Like `waldo_sync`, without waiting. From any thread.
///
/// Errors of the call: `WALDO_AGAIN` and those of `waldo_sync`; with the completion: the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_sync_async(
    store: *mut Store,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            submit(store, queue, user_data, Kind::WALDO_KIND_SYNC, |waldo, done| {
                waldo.submit_sync(done)
            })
        })
    }
}

/// Gives up the logs up to and with `up_to_seq_no`, durably, and waits for that: readers do not
/// get them any more, and their room may be used anew. More than there is means all that is
/// there. From any thread, but not in a callback.
///
/// Errors: `WALDO_POISONED`, `WALDO_CLOSED`, `WALDO_CORRUPTION` or `WALDO_IO` where logs that
/// must be counted cannot be read, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`,
/// `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_trim(
    store: *mut Store,
    up_to_seq_no: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || wait(store, |waldo| waldo.blocking_trim(up_to_seq_no))) }
}

/// Like `waldo_trim`, without waiting. From any thread.
///
/// Errors of the call: `WALDO_AGAIN` and those of `waldo_trim`; with the completion: the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_trim_async(
    store: *mut Store,
    up_to_seq_no: u64,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            submit(store, queue, user_data, Kind::WALDO_KIND_TRIM, |waldo, done| {
                waldo.submit_trim(up_to_seq_no, done)
            })
        })
    }
}

/// Removes the logs after `after_seq_no`, durably, and waits for that. There must be a log with
/// this number, or it is the trim point. Readers that were further on get `WALDO_TRUNCATED`.
/// From any thread, but not in a callback.
///
/// Errors: `WALDO_NOT_FOUND`, `WALDO_FULL`, `WALDO_NO_SPACE` and those of `waldo_trim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_truncate(
    store: *mut Store,
    after_seq_no: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || wait(store, |waldo| waldo.blocking_truncate(after_seq_no))) }
}

/// Like `waldo_truncate`, without waiting. From any thread.
///
/// Errors of the call: `WALDO_AGAIN`, `WALDO_IO` where the system refuses a thread, and those of
/// `waldo_truncate`; with the completion: the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_truncate_async(
    store: *mut Store,
    after_seq_no: u64,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            submit(store, queue, user_data, Kind::WALDO_KIND_TRUNCATE, |waldo, done| {
                waldo.submit_truncate(after_seq_no, done)
            })
        })
    }
}

/// Removes every log, durably, and waits for that. The next may have any number. From any
/// thread, but not in a callback.
///
/// Errors: `WALDO_FULL`, `WALDO_NO_SPACE` and those of `waldo_sync`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_clear(store: *mut Store, error: *mut WaldoError) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || wait(store, |waldo| waldo.blocking_clear())) }
}

/// Like `waldo_clear`, without waiting. From any thread.
///
/// Errors of the call: `WALDO_AGAIN`, `WALDO_IO` where the system refuses a thread, and those of
/// `waldo_clear`; with the completion: the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_clear_async(
    store: *mut Store,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            submit(store, queue, user_data, Kind::WALDO_KIND_CLEAR, |waldo, done| {
                waldo.submit_clear(done)
            })
        })
    }
}
