//! What calls answer.

use std::ffi::{CStr, c_char};

use crate::boundary::shielded;

/// What a call answers: `WALDO_OK`, or a negative `waldo_status_code`.
pub type waldo_status = i32;

/// The values of a `waldo_status`. New ones may be added; those that are there keep their value
/// and meaning. What `wanted` and `actual` of a `waldo_error` say is noted in brackets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCode {
    /// It is done.
    WALDO_OK = 0,
    /// An argument cannot be: NULL where something is needed, an unknown flag, a wrong size.
    WALDO_INVALID_ARGUMENT = -1,
    /// An option is unknown, or has a value that cannot work. The message names it.
    WALDO_OPTION = -2,
    /// There is no room just now in the completion queue, in the store's queue or in its
    /// buffers. Nothing was submitted; try again after a completion, or in a moment where none
    /// is to come: others may use the store as well.
    WALDO_AGAIN = -3,
    /// The time is over. A close goes on nevertheless; reading changed nothing.
    WALDO_TIMEOUT = -4,
    /// The operation was cancelled, or its stream was released.
    WALDO_CANCELLED = -5,
    /// A blocking call inside a completion callback: it would wait for itself.
    WALDO_WOULD_DEADLOCK = -6,
    /// The stream is in use: it has one outstanding `next` at a time.
    WALDO_BUSY = -7,
    /// The store is closed.
    WALDO_CLOSED = -8,
    /// The handle was made before a fork, and is used in the child.
    WALDO_FORKED = -9,
    /// The library failed in a way that it should not; the operation may have been done or not.
    WALDO_PANIC = -10,
    /// Nothing has the number asked for (wanted: that number), or no operation waits with it.
    WALDO_NOT_FOUND = -11,
    /// The system refused a call; see `os_errno`.
    WALDO_IO = -20,
    /// The store is open already, here or in another process (actual: its pid, or 0).
    WALDO_LOCKED = -21,
    /// The directory holds something other than a store.
    WALDO_NOT_A_STORE = -22,
    /// The store was written by a newer version (actual: its format).
    WALDO_NEWER = -23,
    /// Stored logs are damaged (actual: the last log before the damage).
    WALDO_CORRUPTION = -24,
    /// The system lacks what an option asks for. The message says what to do.
    WALDO_UNSUPPORTED = -25,
    /// A write or a sync failed, now or earlier. What was not acknowledged may be on disk or
    /// not; close the store and open it again to recover.
    WALDO_POISONED = -26,
    /// The disk is full. What is there can be read; try the append again once there is room.
    WALDO_NO_SPACE = -27,
    /// The ring is full of logs that are held (actual: the oldest); trim some.
    WALDO_FULL = -28,
    /// A log does not follow the one before it (wanted: the `prev_seq_no` that would have been
    /// accepted; actual: the one it has). Nothing of its frame was appended.
    WALDO_SEQUENCE = -40,
    /// The `seq_no` of a log (actual) is not greater than its `prev_seq_no` (wanted).
    WALDO_ORDER = -41,
    /// A log is too large (wanted: the limit in bytes; actual: its size).
    WALDO_EXCEEDS_LIMIT = -42,
    /// An atomic append is too large (wanted: the limit in bytes; actual: its size).
    WALDO_BATCH_TOO_LARGE = -43,
    /// No sequence numbers are left to be assigned (actual: the newest log).
    WALDO_EXHAUSTED = -44,
    /// The logs asked for are trimmed (actual: from which number on logs are left; a query from
    /// there finds the oldest). A stream goes on there.
    WALDO_TRIMMED = -60,
    /// Logs that a reader had reached were truncated (actual: the last that is left). A stream
    /// goes on behind it.
    WALDO_TRUNCATED = -61,
}

/// What `waldo_status_traits` answers: bits that say what to do about a status.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusTraits {
    /// The same call may succeed later.
    WALDO_TRAIT_RETRY = 1,
    /// This handle will not work again; open the store anew.
    WALDO_TRAIT_FATAL = 2,
    /// Logs of the append may have been appended.
    WALDO_TRAIT_MAYBE_APPENDED = 4,
    /// The caller made a mistake.
    WALDO_TRAIT_USAGE = 8,
}

use StatusCode::*;
use StatusTraits::*;

const RETRY: u32 = WALDO_TRAIT_RETRY as u32;
const FATAL: u32 = WALDO_TRAIT_FATAL as u32;
const MAYBE: u32 = WALDO_TRAIT_MAYBE_APPENDED as u32;
const USAGE: u32 = WALDO_TRAIT_USAGE as u32;

/// Every status, its name, and what to do about it.
pub(crate) const TABLE: &[(StatusCode, &CStr, u32)] = &[
    (WALDO_OK, c"WALDO_OK", 0),
    (WALDO_INVALID_ARGUMENT, c"WALDO_INVALID_ARGUMENT", USAGE),
    (WALDO_OPTION, c"WALDO_OPTION", USAGE),
    (WALDO_AGAIN, c"WALDO_AGAIN", RETRY),
    (WALDO_TIMEOUT, c"WALDO_TIMEOUT", RETRY),
    (WALDO_CANCELLED, c"WALDO_CANCELLED", 0),
    (WALDO_WOULD_DEADLOCK, c"WALDO_WOULD_DEADLOCK", USAGE),
    (WALDO_BUSY, c"WALDO_BUSY", USAGE),
    (WALDO_CLOSED, c"WALDO_CLOSED", FATAL),
    (WALDO_FORKED, c"WALDO_FORKED", FATAL | USAGE),
    (WALDO_PANIC, c"WALDO_PANIC", FATAL | MAYBE),
    (WALDO_NOT_FOUND, c"WALDO_NOT_FOUND", 0),
    (WALDO_IO, c"WALDO_IO", 0),
    (WALDO_LOCKED, c"WALDO_LOCKED", RETRY),
    (WALDO_NOT_A_STORE, c"WALDO_NOT_A_STORE", 0),
    (WALDO_NEWER, c"WALDO_NEWER", 0),
    (WALDO_CORRUPTION, c"WALDO_CORRUPTION", 0),
    (WALDO_UNSUPPORTED, c"WALDO_UNSUPPORTED", 0),
    (WALDO_POISONED, c"WALDO_POISONED", FATAL | MAYBE),
    (WALDO_NO_SPACE, c"WALDO_NO_SPACE", RETRY | MAYBE),
    (WALDO_FULL, c"WALDO_FULL", RETRY | MAYBE),
    (WALDO_SEQUENCE, c"WALDO_SEQUENCE", MAYBE),
    (WALDO_ORDER, c"WALDO_ORDER", USAGE),
    (WALDO_EXCEEDS_LIMIT, c"WALDO_EXCEEDS_LIMIT", USAGE),
    (WALDO_BATCH_TOO_LARGE, c"WALDO_BATCH_TOO_LARGE", USAGE),
    (WALDO_EXHAUSTED, c"WALDO_EXHAUSTED", MAYBE),
    (WALDO_TRIMMED, c"WALDO_TRIMMED", RETRY),
    (WALDO_TRUNCATED, c"WALDO_TRUNCATED", RETRY),
];

fn entry(status: waldo_status) -> Option<&'static (StatusCode, &'static CStr, u32)> {
    TABLE.iter().find(|(code, ..)| *code as i32 == status)
}

/// The name of a status, such as `"WALDO_AGAIN"`; `"unknown"` where there is none.
///
/// Never NULL; the text is the library's, and stays valid. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_status_name(status: waldo_status) -> *const c_char {
    shielded(c"unknown".as_ptr(), || entry(status).map_or(c"unknown", |entry| entry.1).as_ptr())
}

/// What to do about a status: `WALDO_TRAIT_…` bits. 0 for `WALDO_OK` and unknown ones.
///
/// `WALDO_TRAIT_MAYBE_APPENDED` matters for appends that are larger than a frame: parts before
/// the one that failed were appended. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_status_traits(status: waldo_status) -> u32 {
    shielded(0, || entry(status).map_or(0, |entry| entry.2))
}
