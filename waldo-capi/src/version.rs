//! Versions, and what the system can do.

use std::ffi::{CStr, c_char};

use waldo_core::Fitness;

use crate::boundary::{call, output, set, shielded};
use crate::error::{Failure, WaldoError, report};
use crate::status::StatusCode::WALDO_UNSUPPORTED;
use crate::status::waldo_status;

/// What the system can do: bits of `waldo_probe`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Features {
    /// The kernel is 6.8 or later.
    WALDO_FEATURE_KERNEL = 1,
    /// io_uring may be used.
    WALDO_FEATURE_IO_URING = 2,
    /// Enough memory may be locked to register buffers.
    WALDO_FEATURE_MEMORY_LOCK = 4,
    /// Huge pages are reserved, for the option `huge_buf`.
    WALDO_FEATURE_HUGE_PAGES = 8,
}

/// Raised where a program that was built for an earlier version would not work any more.
const ABI_VERSION: u32 = 0;

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"0",
    };

/// The version of the library as a number: `major * 1000000 + minor * 1000 + patch`.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_version_number() -> u32 {
    shielded(0, || {
        let parts = env!("CARGO_PKG_VERSION").split(['.', '-']).take(3);
        parts.fold(0, |number, part| number * 1000 + part.parse::<u32>().unwrap_or(0))
    })
}

/// The version of the library, such as `"0.1.0"`. The text is the library's, and stays valid.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_version_string() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the ABI: a program works with the library where it was built for the same.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_abi_version() -> u32 {
    ABI_VERSION
}

/// Says what of the system Waldo can use: `*features` gets `WALDO_FEATURE_…` bits. Everything
/// works without any of them, more slowly. Where something is missing, the message of `error`
/// says what, and what to do about it; the answer is `WALDO_OK` all the same. From any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_probe(features: *mut u64, error: *mut WaldoError) -> waldo_status {
    let mut advice = String::new();
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    let status = unsafe {
        call(error, || {
            output(features, 0, "features")?;
            let mut found = 0;
            for finding in waldo_core::probe(None) {
                let Some(feature) = feature(finding.name) else { continue };
                if finding.fitness == Fitness::Ok {
                    found |= feature as u64;
                } else {
                    advice.push_str(if advice.is_empty() { "" } else { "; " });
                    advice.push_str(&format!("{}: {}", finding.name, finding.advice));
                }
            }
            set(features, found);
            Ok(())
        })
    };
    if status == 0 && !advice.is_empty() {
        let failure = Failure::new(WALDO_UNSUPPORTED, advice);
        // SAFETY: as above. A message with a status of success.
        unsafe {
            report(error, Err(&failure));
            if !error.is_null() && error.is_aligned() {
                (&raw mut (*error).status).write(status);
            }
        }
    }
    status
}

fn feature(name: &str) -> Option<Features> {
    match name {
        "kernel" => Some(Features::WALDO_FEATURE_KERNEL),
        "io_uring" => Some(Features::WALDO_FEATURE_IO_URING),
        "memory_lock" => Some(Features::WALDO_FEATURE_MEMORY_LOCK),
        "huge_pages" => Some(Features::WALDO_FEATURE_HUGE_PAGES),
        _ => None,
    }
}
