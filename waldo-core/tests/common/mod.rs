//! What the integration tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use waldo_core::{Backend, Chunk, Log, Options, Waldo};

/// Small sizes, so that tests are fast and rings wrap.
pub fn options(backend: Backend) -> Options {
    Options {
        ring_size: Some(3),
        queue_depth: 16,
        pool_size: 4,
        buf_capacity: 64 * 1024,
        index_capacity: 256,
        file_capacity: Some(512 * 1024),
        tail_capacity: 128 * 1024,
        read_capacity: 1024 * 1024,
        backend,
        ..Options::default()
    }
}

/// Logs `first..=last`, whose payloads tell their numbers.
pub fn logs(first: u64, last: u64) -> Vec<Log<'static>> {
    (first..=last).map(|seq_no| Log::new_owned(seq_no, seq_no - 1, payload(seq_no))).collect()
}

/// The payload of the log `seq_no`: of varying length, and different for each.
pub fn payload(seq_no: u64) -> Vec<u8> {
    format!("payload of {seq_no} {}", "x".repeat((seq_no % 50) as usize)).into_bytes()
}

/// The numbers of a chunk's logs, whose payloads are checked.
pub fn numbers(chunk: &Chunk) -> Vec<u64> {
    chunk
        .iter()
        .map(|log| {
            log.validate_data().unwrap();
            assert_eq!(log.data(), payload(log.seq_no()), "payload of log {}", log.seq_no());
            log.seq_no()
        })
        .collect()
}

/// Checks that numbers are those from `first` to `last`, and says where they are not.
#[track_caller]
pub fn assert_run(found: &[u64], first: u64, last: u64) {
    let ends = (found.first().copied(), found.last().copied());
    assert_eq!(ends, (Some(first), Some(last)), "first and last");
    for pair in found.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "a gap, or no order");
    }
}

/// Opens a store.
pub fn open(dir: &tempfile::TempDir, options: Options) -> Waldo {
    Waldo::blocking_open(dir.path(), options).unwrap()
}

/// Makes a module with the same tests for each backend.
///
/// The tests are functions of the options to open a store with.
#[macro_export]
macro_rules! on_both_backends {
    ($($test:ident),+ $(,)?) => {
        mod io_uring {
            $(#[test] fn $test() { super::$test($crate::common::options(waldo_core::Backend::IoUring)); })+
        }
        mod threads {
            $(#[test] fn $test() { super::$test($crate::common::options(waldo_core::Backend::Threads)); })+
        }
    };
}
