//! Versions, and what the system can do.

use std::ffi::{CStr, c_char, c_long};
use std::mem::MaybeUninit;

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

/// Memory that buffers of default size take when they are registered.
const LOCKED_BYTES: u64 = 64 * 1024 * 1024;

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
            for (feature, probed) in [
                (Features::WALDO_FEATURE_KERNEL, kernel()),
                (Features::WALDO_FEATURE_IO_URING, io_uring()),
                (Features::WALDO_FEATURE_MEMORY_LOCK, memory_lock()),
                (Features::WALDO_FEATURE_HUGE_PAGES, huge_pages()),
            ] {
                match probed {
                    Ok(()) => found |= feature as u64,
                    Err(missing) => {
                        advice.push_str(if advice.is_empty() { "" } else { "; " });
                        advice.push_str(&missing);
                    }
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

fn kernel() -> Result<(), String> {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: it is valid for writing, and zeros are texts without characters.
    let name = unsafe {
        libc::uname(name.as_mut_ptr());
        name.assume_init()
    };
    // SAFETY: the system, or the zeros, end it with a 0.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>());
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    if (next(), next()) >= (6, 8) {
        return Ok(());
    }
    Err(format!("Linux {release} is older than 6.8"))
}

fn io_uring() -> Result<(), String> {
    /// Bytes of `struct io_uring_params`.
    const PARAMS: usize = 120;

    let mut params = [0_u64; PARAMS / 8];
    // SAFETY: `params` is as large as the system expects.
    let fd: c_long = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4_u32, params.as_mut_ptr()) };
    if fd >= 0 {
        // SAFETY: it was made just now, and nobody else knows it.
        unsafe { libc::close(fd as i32) };
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "io_uring is forbidden: allow it in the seccomp \
            profile of the container, or set the sysctl kernel.io_uring_disabled to 0"
            .to_owned(),
        _ => format!("io_uring cannot be used ({error})"),
    })
}

fn memory_lock() -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: valid for writing.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if limit.rlim_cur >= LOCKED_BYTES {
        return Ok(());
    }
    Err(format!("only {} bytes may be locked: raise ulimit -l", limit.rlim_cur))
}

fn huge_pages() -> Result<(), String> {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = info.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    match free.map(|free| free.trim().parse::<u64>()) {
        Some(Ok(1..)) => Ok(()),
        _ => Err("no huge pages are free: set the sysctl vm.nr_hugepages".to_owned()),
    }
}
