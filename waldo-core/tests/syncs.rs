//! What becomes durable when, and what happens where that fails: the system's `fsync` and
//! `fdatasync` pass through here, where they are noted, and fail on demand.

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use common::{assert_run, logs, open, options};
use waldo_core::{
    AppendError, AppendOptions, Backend, CorruptionPolicy, Cursor, Error, Options, Waldo,
};

/// Paths that were synced, in order.
static SYNCED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// What `fdatasync` fails with; 0 where it works.
static FAILURE: AtomicI32 = AtomicI32::new(0);

/// One test at a time: what is noted is common to all.
static TURN: Mutex<()> = Mutex::new(());

/// While it lives, `fdatasync` fails.
struct Failing;

impl Failing {
    fn with(errno: i32) -> Self {
        FAILURE.store(errno, Ordering::SeqCst);
        Self
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        FAILURE.store(0, Ordering::SeqCst);
    }
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn fsync(fd: libc::c_int) -> libc::c_int {
    SYNCED.lock().unwrap().extend(std::fs::read_link(format!("/proc/self/fd/{fd}")));
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fsync, fd) as libc::c_int }
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: libc::c_int) -> libc::c_int {
    let errno = FAILURE.load(Ordering::SeqCst);
    if errno != 0 {
        // SAFETY: the place of this thread's error number, which lives as long as the thread.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fdatasync, fd) as libc::c_int }
}

fn was_synced(path: &Path) -> bool {
    let path = path.canonicalize().unwrap();
    SYNCED.lock().unwrap().contains(&path)
}

/// Files were synced, the directories that name them were not: after a power loss, acknowledged
/// records were in files that nobody could find.
#[test]
fn the_names_of_new_files_are_durable() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a/b");
    let waldo = Waldo::blocking_open(&home, options(Backend::Auto)).unwrap();
    for path in [dir.path(), &dir.path().join("a"), &home, &home.join("0000000002.page")] {
        assert!(was_synced(path), "{}", path.display());
    }
    for at in 0..20 {
        waldo.blocking_append(&logs(at * 50 + 1, at * 50 + 50)).unwrap();
    }
    waldo.blocking_close().unwrap();
}

/// A file got its name by a rename that was not made durable before what depends on it.
#[test]
fn the_names_of_copies_are_durable() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options(Backend::Auto));
    for at in 0..20 {
        waldo.blocking_append(&logs(at * 50 + 1, at * 50 + 50)).unwrap();
    }
    waldo.blocking_close().unwrap();
    let path = dir.path().join("0000000000.page");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20_500] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options(Backend::Auto) };
    let (_waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
    let copy = &report.quarantined[0];
    assert!(was_synced(copy.parent().unwrap()));
    assert!(was_synced(dir.path()));
}

/// A sync failed, the mark "is syncing" stayed, and everybody who wanted the next one waited for
/// ever. Nor may the next one succeed: the system forgets what it could not write.
#[test]
fn a_failed_sync_ends_for_everybody() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let options = Options { file_o_dsync: false, ..options(Backend::Threads) };
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_sync().unwrap();
    waldo.blocking_append(&logs(11, 20)).unwrap();
    let failing = Failing::with(libc::EIO);
    let (sender, receiver) = std::sync::mpsc::channel();
    for at in 0..8 {
        let (waldo, sender) = (waldo.clone(), sender.clone());
        std::thread::spawn(move || {
            let result = if at % 2 == 0 {
                waldo.blocking_sync()
            } else {
                let durable = AppendOptions { durable: true, ..AppendOptions::default() };
                let appended = waldo.blocking_append_assigned_with(&[b"x"], durable);
                appended.map(|_| ()).map_err(Error::from)
            };
            sender.send(result).unwrap();
        });
    }
    for _ in 0..8 {
        // The limit only keeps the bug itself from stopping the tests.
        let result = receiver.recv_timeout(std::time::Duration::from_secs(20));
        assert_poisoned(result.expect("it hangs"));
    }
    // The disk is well again; what was lost is not.
    drop(failing);
    assert_poisoned(waldo.blocking_sync());
    assert_poisoned(waldo.blocking_append(&logs(21, 21)).map_err(Error::from));
    assert_eq!(waldo.durable_seq_no(), Some(10));
    assert_poisoned(waldo.blocking_close());
    let waldo = open(&dir, options);
    let tip = waldo.prev_seq_no().unwrap();
    assert!(tip >= 10);
    let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
    let first_ten: Vec<u64> = found.iter().take(10).map(|log| log.seq_no()).collect();
    assert_run(&first_ten, 1, 10);
}

#[track_caller]
fn assert_poisoned(result: Result<(), Error>) {
    let errno = match &result {
        Err(Error::Poisoned(poison) | Error::Append(AppendError::Poisoned(poison))) => poison.errno,
        _ => None,
    };
    assert_eq!(errno, Some(libc::EIO), "{result:?}");
}
