//! The kernel and its limits.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use super::Finding;
use crate::driver::uring;
use crate::options::Options;

/// The first kernel that has everything the io_uring backend is made for.
const KERNEL_MIN: (u32, u32) = (6, 8);

/// Descriptors that a store of default size needs, with room for the program's own.
const DESCRIPTORS_MIN: u64 = 256;

pub(super) fn findings() -> Vec<Finding> {
    vec![kernel(), io_uring(), memory_lock(), huge_pages(), descriptors()]
}

fn kernel() -> Finding {
    let release = release();
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= KERNEL_MIN {
        Finding::ok("kernel", release, "has all that Waldo makes use of")
    } else {
        Finding::degraded(
            "kernel",
            release,
            "the io_uring backend is made for Linux 6.8 and later; earlier ones lack parts of it",
            "use a later kernel, or the threads backend",
        )
    }
}

fn release() -> String {
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: it is valid for writing, and zeros are texts without characters.
    let name = unsafe {
        libc::uname(name.as_mut_ptr());
        name.assume_init()
    };
    // SAFETY: the system, or the zeros, end it with a 0.
    unsafe { CStr::from_ptr(name.release.as_ptr()) }.to_string_lossy().into_owned()
}

fn io_uring() -> Finding {
    let Err(error) = uring::probe() else {
        return Finding::ok("io_uring", "works", "appends are written by one worker and no other");
    };
    let advice = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) if is_disabled() => {
            "the system forbids it: sysctl kernel.io_uring_disabled=0"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "a security policy (seccomp) refuses it, as container runtimes do by default: run the \
             container with a profile that allows io_uring_setup, io_uring_enter and \
             io_uring_register"
        }
        Some(libc::ENOSYS | libc::EINVAL) => "the kernel lacks it: use Linux 6.8 or later",
        Some(libc::ENOMEM) => "raise the limit for locked memory (ulimit -l)",
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit for open files (ulimit -n)",
        _ => "see the error",
    };
    let meaning = "a few threads write instead: it works all the same, with less throughput";
    Finding::degraded("io_uring", error.to_string(), meaning, advice)
}

fn is_disabled() -> bool {
    setting("/proc/sys/kernel/io_uring_disabled").is_some_and(|value| value > 0)
}

fn memory_lock() -> Finding {
    let defaults = Options::default();
    let wanted = u64::from(defaults.pool_size) * defaults.buf_capacity as u64;
    match limit(libc::RLIMIT_MEMLOCK) {
        None => Finding::ok("memory_lock", "unlimited", "all buffers can be registered"),
        Some(found) if found >= wanted => Finding::ok(
            "memory_lock",
            size(found),
            "the buffers of a store with default options can be registered",
        ),
        Some(found) => Finding::degraded(
            "memory_lock",
            size(found),
            "not all buffers can be registered with io_uring: large writes take somewhat more CPU",
            format!("raise the limit for locked memory to {} (ulimit -l)", size(wanted)),
        ),
    }
}

fn huge_pages() -> Finding {
    let reserved = setting("/proc/sys/vm/nr_hugepages").unwrap_or(0);
    if reserved > 0 {
        let meaning = "the option huge_buf can make use of them";
        Finding::ok("huge_pages", format!("{reserved} reserved"), meaning)
    } else {
        Finding::degraded(
            "huge_pages",
            "none reserved",
            "the option huge_buf falls back to normal pages; without that option nothing changes",
            "to use it: sysctl vm.nr_hugepages=64",
        )
    }
}

fn descriptors() -> Finding {
    match limit(libc::RLIMIT_NOFILE) {
        Some(found) if found < DESCRIPTORS_MIN => Finding::degraded(
            "open_files",
            found.to_string(),
            "a store takes up to two descriptors for each page file, and a few more",
            "raise the limit for open files (ulimit -n)",
        ),
        found => {
            let value = found.map_or("unlimited".to_owned(), |found| found.to_string());
            Finding::ok("open_files", value, "enough for rings of common sizes")
        }
    }
}

/// A limit of this process; `None` where there is none.
fn limit(resource: libc::__rlimit_resource_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is where the kernel may write.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// A number that the kernel shows in a file.
fn setting(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or(format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}
