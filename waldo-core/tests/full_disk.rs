//! Opening on a disk that is full, or fails: the calls that write and read files pass through here,
//! and fail on demand.

mod common;

use std::ffi::c_void;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use common::{logs, open, options};
use waldo_core::{Backend, Error, IoMode, Options, Waldo};

/// What writes to files outside of the engine fail with; 0 where they work.
static WRITING: AtomicI32 = AtomicI32::new(0);

/// What reads past the page cache fail with; 0 where they work.
static READING: AtomicI32 = AtomicI32::new(0);

/// One test at a time: what fails is common to all.
static TURN: Mutex<()> = Mutex::new(());

/// While it lives, calls fail.
struct Failing(&'static AtomicI32);

impl Failing {
    fn with(calls: &'static AtomicI32, errno: i32) -> Self {
        calls.store(errno, Ordering::SeqCst);
        Self(calls)
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

fn fails(errno: i32) -> isize {
    // SAFETY: the place of this thread's error number, which lives as long as the thread.
    unsafe { *libc::__errno_location() = errno };
    -1
}

fn is_direct(fd: RawFd) -> bool {
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_DIRECT != 0 }
}

fn is_lock(fd: RawFd) -> bool {
    let path = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    path.is_ok_and(|path| path.file_name().is_some_and(|name| name == "LOCK"))
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn write(fd: RawFd, bytes: *const c_void, count: usize) -> isize {
    match WRITING.load(Ordering::SeqCst) {
        errno if errno != 0 && is_lock(fd) => fails(errno),
        // SAFETY: passes on what it was called with.
        _ => unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) as isize },
    }
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn pwrite64(fd: RawFd, bytes: *const c_void, count: usize, offset: i64) -> isize {
    match WRITING.load(Ordering::SeqCst) {
        // SAFETY: passes on what it was called with.
        0 => unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) as isize },
        errno => fails(errno),
    }
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn pread64(fd: RawFd, bytes: *mut c_void, count: usize, offset: i64) -> isize {
    match READING.load(Ordering::SeqCst) {
        errno if errno != 0 && is_direct(fd) => fails(errno),
        // SAFETY: passes on what it was called with.
        _ => unsafe { libc::syscall(libc::SYS_pread64, fd, bytes, count, offset) as isize },
    }
}

/// A store with ten logs, where the file system has direct I/O.
fn store(io: IoMode) -> Option<(tempfile::TempDir, Options)> {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { io, file_o_dsync: true, ..options(Backend::Threads) };
    match Waldo::blocking_open(dir.path(), options) {
        Ok(waldo) => {
            waldo.blocking_append(&logs(1, 10)).unwrap();
            waldo.blocking_close().unwrap();
            Some((dir, options))
        }
        Err(Error::Option { name: "io", .. }) => {
            eprintln!("skipped: no direct I/O in {}", dir.path().display());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_errno(result: Result<Waldo, Error>, wanted: i32) -> PathBuf {
    match result {
        Err(Error::Io { source, path, .. }) if source.raw_os_error() == Some(wanted) => path,
        other => panic!("{:?}", other.err()),
    }
}

/// The test for direct I/O wrote a block; on a full disk there was no room for it, that passed for a
/// file system without direct I/O, and a store that needs no more room could not be opened. Nor is
/// the owner's number worth it, which others only read to be told who he is.
#[test]
fn a_store_can_be_opened_on_a_full_disk() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((dir, options)) = store(IoMode::Direct) else { return };
    for errno in [libc::ENOSPC, libc::EDQUOT] {
        let _full = Failing::with(&WRITING, errno);
        let waldo = open(&dir, options);
        let next = waldo.prev_seq_no().unwrap() + 1;
        waldo.blocking_append(&logs(next, next)).unwrap();
        let again = Waldo::blocking_open(dir.path(), options);
        assert!(matches!(again, Err(Error::Locked { .. })), "{:?}", again.err());
        waldo.blocking_close().unwrap();
    }
}

/// The error said that the file system has no direct I/O, and not what was wrong; or it said
/// nothing, and the store went through the page cache from then on.
#[test]
fn what_a_disk_fails_with_is_told() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for io in [IoMode::Direct, IoMode::Auto] {
        let Some((dir, options)) = store(io) else { return };
        let failing = Failing::with(&READING, libc::EIO);
        let path = assert_errno(Waldo::blocking_open(dir.path(), options), libc::EIO);
        assert!(path.starts_with(dir.path()), "{}", path.display());
        drop(failing);
        open(&dir, options).blocking_close().unwrap();

        let new = tempfile::tempdir().unwrap();
        for errno in [libc::ENOSPC, libc::EIO] {
            let _failing = Failing::with(&WRITING, errno);
            assert_errno(Waldo::blocking_open(new.path(), options), errno);
        }
        open(&new, options).blocking_close().unwrap();
    }
}
