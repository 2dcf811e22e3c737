//! What every entry point does first and last: it checks arguments, initialises outputs, and
//! lets no panic through.

use std::ffi::{CStr, c_char};
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use waldo_core::tsan;

use crate::error::{Failure, WaldoError, report};
use crate::process::Process;
use crate::status::StatusCode::{WALDO_FORKED, WALDO_OK, WALDO_PANIC, WALDO_WOULD_DEADLOCK};
use crate::status::waldo_status;
use crate::thread;

/// What C holds a counted reference to.
pub(crate) trait Handle {
    /// What an argument of this type is called in messages.
    const NAME: &'static str;
    /// Where it was made.
    fn process(&self) -> Process;
}

/// Runs the body of an entry point; answers its status, and reports to `error`.
///
/// # Safety
///
/// `error` is NULL, or valid for writing a `WaldoError`.
pub(crate) unsafe fn call(
    error: *mut WaldoError,
    body: impl FnOnce() -> Result<(), Failure>,
) -> waldo_status {
    let _call = tsan::Call::begin();
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(panicked()));
    let status = result.as_ref().map_or_else(|failure| failure.status, |()| WALDO_OK);
    // SAFETY: by contract.
    let reported = AssertUnwindSafe(|| unsafe { report(error, result.as_ref().copied()) });
    if catch_unwind(reported).is_err() {
        return WALDO_PANIC as i32;
    }
    status as i32
}

/// Runs the body of an entry point that answers something else than a status.
pub(crate) fn shielded<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    let _call = tsan::Call::begin();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// What a panic is answered with.
pub(crate) fn panicked() -> Failure {
    Failure::new(WALDO_PANIC, "the library panicked; this is a defect of it")
}

/// Refuses to wait on a thread that runs callbacks.
pub(crate) fn may_block() -> Result<(), Failure> {
    if thread::is_dispatcher() {
        let message = "a blocking call inside a completion callback would wait for itself";
        return Err(Failure::new(WALDO_WOULD_DEADLOCK, message));
    }
    Ok(())
}

/// Refuses to work in a forked child.
pub(crate) fn not_forked(process: Process) -> Result<(), Failure> {
    if process.is_current() {
        return Ok(());
    }
    let message = "this handle belongs to the parent process; open the store anew after the fork";
    Err(Failure::new(WALDO_FORKED, message))
}

/// A pointer that may be used.
fn usable<T>(pointer: *const T) -> bool {
    !pointer.is_null() && pointer.is_aligned()
}

fn refused(name: &str) -> Failure {
    Failure::argument(format!("{name} must not be NULL"))
}

/// Writes an output where there is one: also what a call that fails leaves there.
///
/// # Safety
///
/// `out` is NULL, or valid for writing.
pub(crate) unsafe fn set<T>(out: *mut T, value: T) {
    if usable(out) {
        // SAFETY: by contract.
        unsafe { out.write(value) };
    }
}

/// Requires an output, and initialises it.
///
/// # Safety
///
/// `out` is NULL, or valid for writing.
pub(crate) unsafe fn output<T>(out: *mut T, initial: T, name: &str) -> Result<(), Failure> {
    if !usable(out) {
        return Err(refused(name));
    }
    // SAFETY: by contract.
    unsafe { out.write(initial) };
    Ok(())
}

/// Borrows a counted handle of this process.
///
/// # Safety
///
/// `handle` is NULL, or a reference that was given to the caller and not released, and it stays
/// so until the result is gone.
pub(crate) unsafe fn handle<T: Handle>(handle: *const T) -> Result<ManuallyDrop<Arc<T>>, Failure> {
    if !usable(handle) {
        return Err(refused(T::NAME));
    }
    // SAFETY: by contract it came from `Arc::into_raw`. The count is left as it is.
    let handle = ManuallyDrop::new(unsafe { Arc::from_raw(handle) });
    not_forked(handle.process())?;
    Ok(handle)
}

/// Counts one more reference to a handle of this process, for a call that submits: what completes may
/// be released in the callback, before that call has returned.
///
/// # Safety
///
/// As [`handle`], but for the beginning of the call.
pub(crate) unsafe fn hold<T: Handle>(pointer: *const T) -> Result<Arc<T>, Failure> {
    // SAFETY: by contract.
    unsafe { handle(pointer) }.map(|handle| Arc::clone(&handle))
}

/// Gives a handle to C, which counts as one reference.
pub(crate) fn give<T>(handle: Arc<T>) -> *mut T {
    Arc::into_raw(handle).cast_mut()
}

/// Counts one more reference.
///
/// # Safety
///
/// As [`handle`].
pub(crate) unsafe fn retain<T>(handle: *const T) {
    if usable(handle) {
        // SAFETY: by contract it came from `Arc::into_raw`, and is still counted.
        unsafe { Arc::increment_strong_count(handle) };
    }
}

/// Takes a reference back.
///
/// # Safety
///
/// `handle` is NULL, or a reference that was given to the caller and not released.
pub(crate) unsafe fn take<T>(handle: *const T) -> Option<Arc<T>> {
    // SAFETY: by contract.
    usable(handle).then(|| unsafe { Arc::from_raw(handle) })
}

/// Borrows an array.
///
/// # Safety
///
/// `start` is NULL, or valid for reading `count` elements as long as the result is used.
pub(crate) unsafe fn array<'a, T>(
    start: *const T,
    count: usize,
    name: &str,
) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if !usable(start) {
        return Err(refused(name));
    }
    if count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::argument(format!("{name} cannot have {count} elements")));
    }
    // SAFETY: by contract; it is not NULL, aligned, and no larger than memory can be.
    Ok(unsafe { std::slice::from_raw_parts(start, count) })
}

/// Borrows a text with a 0 at its end.
///
/// # Safety
///
/// `text` is NULL, or such a text, which stays as it is as long as the result is used.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, Failure> {
    if text.is_null() {
        return Err(refused(name));
    }
    // SAFETY: by contract.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// Refuses flags that are not known.
pub(crate) fn flags(flags: u32, known: u32) -> Result<(), Failure> {
    if flags & !known != 0 {
        return Err(Failure::argument(format!("flags {:#x} are unknown", flags & !known)));
    }
    Ok(())
}

/// A time in nanoseconds; `None` for ever.
pub(crate) fn timeout(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}
