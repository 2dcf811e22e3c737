//! Why a call failed, on its way from the core to the caller's storage.

use std::borrow::Cow;
use std::ffi::c_char;
use std::fmt;
use std::mem::offset_of;

use waldo_core::{AppendError, Error, QueryError};

use crate::status::StatusCode::{self, *};
use crate::status::waldo_status;

/// Bytes of a message, with the 0 at its end.
pub(crate) const MESSAGE_SIZE: usize = size_of::<WaldoError>() - offset_of!(WaldoError, message);

/// Why a call failed, in the caller's own storage: there is nothing to free, and nothing that
/// another thread could change.
///
/// Every call that takes one writes it, also where the call succeeds: `status` is what the call
/// answers, then. Where the call succeeds, `message` is the empty string.
#[repr(C)]
pub struct WaldoError {
    /// What the call answers.
    pub status: waldo_status,
    /// The system's error number; 0 where the system has no part in it.
    pub os_errno: i32,
    /// What would have been right; see `waldo_status_code`.
    pub wanted: u64,
    /// What was found; see `waldo_status_code`.
    pub actual: u64,
    /// Zeros.
    pub reserved: [u64; 4],
    /// What happened, and what to do about it: UTF-8 with a 0 at its end, cut to fit.
    pub message: [c_char; 256],
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub status: StatusCode,
    pub os_errno: i32,
    pub wanted: u64,
    pub actual: u64,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Text(Cow<'static, str>),
    General(Box<Error>),
    Append(AppendError),
    Query(QueryError),
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        let cause = Cause::Text(message.into());
        Self { status, os_errno: 0, wanted: 0, actual: 0, cause }
    }

    pub fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(WALDO_INVALID_ARGUMENT, message)
    }

    /// The last error of the system.
    pub fn system(what: &str, error: &std::io::Error) -> Self {
        let os_errno = error.raw_os_error().unwrap_or(0);
        Self { os_errno, ..Self::new(WALDO_IO, format!("{what}: {error}")) }
    }

    pub fn with_numbers(self, wanted: u64, actual: u64) -> Self {
        Self { wanted, actual, ..self }
    }

    pub fn with_errno(self, os_errno: Option<i32>) -> Self {
        Self { os_errno: os_errno.unwrap_or(0), ..self }
    }

    fn caused(status: StatusCode, cause: Cause) -> Self {
        Self { status, os_errno: 0, wanted: 0, actual: 0, cause }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Text(text) => f.write_str(text),
            Cause::General(error) => error.fmt(f),
            Cause::Append(error) => error.fmt(f),
            Cause::Query(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, os_errno, wanted, actual) = match error {
            Error::Append(error) => return error.into(),
            Error::Query(error) => return error.into(),
            Error::Io { ref source, .. } => (WALDO_IO, source.raw_os_error(), 0, 0),
            Error::Option { .. } => (WALDO_OPTION, None, 0, 0),
            Error::Locked { pid, .. } => (WALDO_LOCKED, None, 0, pid.map_or(0, u64::from)),
            Error::NotAStore { .. } => (WALDO_NOT_A_STORE, None, 0, 0),
            Error::Newer { version, .. } => (WALDO_NEWER, None, 0, u64::from(version)),
            Error::Corruption(ref found) => (WALDO_CORRUPTION, None, 0, found.after_seq_no),
            Error::Unsupported { ref source, .. } => {
                (WALDO_UNSUPPORTED, source.raw_os_error(), 0, 0)
            }
            Error::NotFound { seq_no } => (WALDO_NOT_FOUND, None, seq_no, 0),
            Error::Poisoned(ref poison) => (WALDO_POISONED, poison.errno, 0, 0),
            Error::Closed => (WALDO_CLOSED, None, 0, 0),
            Error::Forked => (WALDO_FORKED, None, 0, 0),
            _ => (WALDO_IO, None, 0, 0),
        };
        Self::caused(status, Cause::General(Box::new(error)))
            .with_numbers(wanted, actual)
            .with_errno(os_errno)
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let (status, os_errno, wanted, actual) = match error {
            AppendError::Sequence { wanted, actual, .. } => (WALDO_SEQUENCE, None, wanted, actual),
            AppendError::Order { seq_no, prev_seq_no } => (WALDO_ORDER, None, prev_seq_no, seq_no),
            AppendError::ExceedsLimit { size, limit, .. } => {
                (WALDO_EXCEEDS_LIMIT, None, limit as u64, size as u64)
            }
            AppendError::BatchTooLarge { size, size_limit, .. } => {
                (WALDO_BATCH_TOO_LARGE, None, size_limit as u64, size as u64)
            }
            AppendError::Exhausted { tip } => (WALDO_EXHAUSTED, None, 0, tip),
            AppendError::Full { oldest } => (WALDO_FULL, None, 0, oldest),
            AppendError::NoSpace { errno } => (WALDO_NO_SPACE, Some(errno), 0, 0),
            AppendError::WouldBlock => (WALDO_AGAIN, None, 0, 0),
            AppendError::Timeout => (WALDO_TIMEOUT, None, 0, 0),
            AppendError::Poisoned(ref poison) => (WALDO_POISONED, poison.errno, 0, 0),
            AppendError::Closed => (WALDO_CLOSED, None, 0, 0),
            AppendError::Forked => (WALDO_FORKED, None, 0, 0),
            _ => (WALDO_IO, None, 0, 0),
        };
        Self::caused(status, Cause::Append(error)).with_numbers(wanted, actual).with_errno(os_errno)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let (status, os_errno, actual) = match error {
            QueryError::Trimmed { oldest } => (WALDO_TRIMMED, None, oldest),
            QueryError::Truncated { tip } => (WALDO_TRUNCATED, None, tip),
            QueryError::Corruption(ref found) => (WALDO_CORRUPTION, None, found.after_seq_no),
            QueryError::Io { errno, .. } => (WALDO_IO, Some(errno), 0),
            QueryError::Timeout => (WALDO_TIMEOUT, None, 0),
            QueryError::Poisoned(ref poison) => (WALDO_POISONED, poison.errno, 0),
            QueryError::Closed => (WALDO_CLOSED, None, 0),
            QueryError::Forked => (WALDO_FORKED, None, 0),
            _ => (WALDO_IO, None, 0),
        };
        Self::caused(status, Cause::Query(error)).with_numbers(0, actual).with_errno(os_errno)
    }
}

/// Writes an error, or that there is none, to the caller's storage, which need not be
/// initialised.
///
/// # Safety
///
/// `out` is NULL, or valid for writing a `WaldoError`.
pub(crate) unsafe fn report(out: *mut WaldoError, result: Result<(), &Failure>) {
    if out.is_null() || !out.is_aligned() {
        return;
    }
    let (status, os_errno, wanted, actual) = match result {
        Ok(()) => (WALDO_OK, 0, 0, 0),
        Err(failure) => (failure.status, failure.os_errno, failure.wanted, failure.actual),
    };
    let mut text = result.err().map(ToString::to_string).unwrap_or_default().replace('\0', " ");
    if text.len() >= MESSAGE_SIZE {
        let mut end = MESSAGE_SIZE - 1;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    // SAFETY: `out` is valid for writes by contract. The text is shorter than `message`, so that
    // there is room for the 0. The rest of `message` is not touched.
    unsafe {
        (&raw mut (*out).status).write(status as i32);
        (&raw mut (*out).os_errno).write(os_errno);
        (&raw mut (*out).wanted).write(wanted);
        (&raw mut (*out).actual).write(actual);
        (&raw mut (*out).reserved).write([0; 4]);
        let message = (&raw mut (*out).message).cast::<u8>();
        message.copy_from_nonoverlapping(text.as_ptr(), text.len());
        message.add(text.len()).write(0);
    }
}
