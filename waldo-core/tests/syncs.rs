//! What becomes durable when, and what happens where that fails: the system's `fsync` and
//! `fdatasync` pass through here, where they are noted, and fail on demand. So do reads, of files of
//! which the page cache has more than the disk.

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};

use common::{assert_run, logs, open, options};
use waldo_core::{
    AppendError, AppendOptions, Backend, CorruptionPolicy, Cursor, Error, Options, Waldo,
};

/// Paths that were synced, in order.
static SYNCED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// What `fdatasync` fails with; 0 where it works.
static FAILURE: AtomicI32 = AtomicI32::new(0);

/// The next `fdatasync` fails, and those after it do not.
static FAIL_ONCE: AtomicBool = AtomicBool::new(false);

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
    let once = FAIL_ONCE.swap(false, Ordering::SeqCst);
    let errno = if once { libc::EIO } else { FAILURE.load(Ordering::SeqCst) };
    if errno != 0 {
        // SAFETY: the place of this thread's error number, which lives as long as the thread.
        unsafe { *libc::__errno_location() = errno };
        return -1;
    }
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fdatasync, fd) as libc::c_int }
}

/// What the disk has of files of which the page cache has more.
static DISK: Mutex<Option<HashMap<PathBuf, Vec<u8>>>> = Mutex::new(None);

/// Whether there are any.
static DIFFERS: AtomicBool = AtomicBool::new(false);

/// Paths that were dropped from the page cache, in order.
static DROPPED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Somebody keeps the pages of all files where they are.
static PINNED: AtomicBool = AtomicBool::new(false);

fn path_of(fd: libc::c_int) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

/// What a read past the page cache, or of a file that is not in it, finds on the disk.
fn read_from_disk(fd: libc::c_int, offset: libc::off64_t, bytes: &mut [u8]) -> Option<usize> {
    let path = path_of(fd)?;
    // SAFETY: no memory is involved.
    let is_direct = unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_DIRECT != 0;
    let is_cached = PINNED.load(Ordering::SeqCst) || !DROPPED.lock().unwrap().contains(&path);
    let disk = DISK.lock().unwrap();
    let file = disk.as_ref()?.get(&path).filter(|_| is_direct || !is_cached)?;
    let rest = file.get(usize::try_from(offset).ok()?..).unwrap_or_default();
    let len = rest.len().min(bytes.len());
    bytes[..len].copy_from_slice(&rest[..len]);
    Some(len)
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn pread64(
    fd: libc::c_int,
    bytes: *mut libc::c_void,
    count: usize,
    offset: libc::off64_t,
) -> isize {
    if DIFFERS.load(Ordering::SeqCst) {
        // SAFETY: whoever calls this has so much memory there that nobody else uses.
        let bytes = unsafe { std::slice::from_raw_parts_mut(bytes.cast::<u8>(), count) };
        if let Some(len) = read_from_disk(fd, offset, bytes) {
            return len as isize;
        }
    }
    // SAFETY: passes on what it was called with.
    unsafe { libc::syscall(libc::SYS_pread64, fd, bytes, count, offset) as isize }
}

/// Takes the place of the C library's.
#[unsafe(no_mangle)]
extern "C" fn posix_fadvise(
    fd: libc::c_int,
    offset: libc::off_t,
    len: libc::off_t,
    advice: libc::c_int,
) -> libc::c_int {
    if (offset, len, advice) == (0, 0, libc::POSIX_FADV_DONTNEED) {
        DROPPED.lock().unwrap().extend(path_of(fd));
    }
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_fadvise64, fd, offset, len, advice) as libc::c_int }
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

/// A store of which a sync failed, and the disk has what was synced before: ten logs of twenty.
fn store_after_failed_sync() -> (tempfile::TempDir, Options) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { file_o_dsync: false, ..options(Backend::Threads) };
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_sync().unwrap();
    let disk =
        page_files(&dir).into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap()));
    let disk = disk.collect();
    waldo.blocking_append(&logs(11, 20)).unwrap();
    let failing = Failing::with(libc::EIO);
    assert_poisoned(waldo.blocking_sync());
    assert_poisoned(waldo.blocking_close());
    drop(failing);
    *DISK.lock().unwrap() = Some(disk);
    DIFFERS.store(true, Ordering::SeqCst);
    DROPPED.lock().unwrap().clear();
    (dir, options)
}

fn page_files(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let dir = dir.path().canonicalize().unwrap();
    (0..3).map(|page| dir.join(format!("{page:010}.page"))).collect()
}

/// The disk has what the page cache has, once it is dropped.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        DIFFERS.store(false, Ordering::SeqCst);
        PINNED.store(false, Ordering::SeqCst);
    }
}

/// A sync failed, and the program ended. What had not come to the disk was still in the page cache,
/// where it passed for clean: the next open took it for durable logs, said so, and appended behind
/// them. After a power loss they were gone, and the log had a hole.
#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_not_believed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, options) = store_after_failed_sync();
    let _restored = Restored;
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), options).unwrap();
    assert_eq!((report.prev_seq_no, report.log_count), (10, 10));
    assert_eq!(*DROPPED.lock().unwrap(), page_files(&dir)[..1]);
    // What is written from here on is on the disk.
    DIFFERS.store(false, Ordering::SeqCst);
    waldo.blocking_append(&logs(11, 15)).unwrap();
    waldo.blocking_close().unwrap();
    let found = open(&dir, options).blocking_query(Cursor::Trim, false).unwrap();
    assert_run(&common::numbers(&found), 1, 15);
}

/// What could not be written after a store was closed, or killed, is told to the next one who syncs:
/// the first open was refused, and the second found nothing wrong.
#[test]
fn a_failure_of_the_past_is_told_once() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, options) = store_after_failed_sync();
    let _restored = Restored;
    FAIL_ONCE.store(true, Ordering::SeqCst);
    assert_eq!(open(&dir, options).prev_seq_no(), Some(10));
    assert!(!FAIL_ONCE.load(Ordering::SeqCst));

    // The disk is not well, and says so again.
    let _failing = Failing::with(libc::EIO);
    assert!(matches!(Waldo::blocking_open(dir.path(), options), Err(Error::Io { .. })));
}

/// Somebody has mapped the files, and so the system does not forget what it shows of them.
#[test]
fn what_cannot_be_forgotten_is_refused() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, options) = store_after_failed_sync();
    let restored = Restored;
    PINNED.store(true, Ordering::SeqCst);
    match Waldo::blocking_open(dir.path(), options) {
        Err(Error::Io { source, path, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::ResourceBusy);
            assert_eq!(path.canonicalize().unwrap(), page_files(&dir)[0]);
        }
        other => panic!("{:?}", other.err()),
    }
    drop(restored);
    assert_eq!(open(&dir, options).prev_seq_no(), Some(20));
}

/// Whoever was killed leaves nothing in the page cache that the disk has not, once it was synced;
/// and what the page cache has makes the next open, and the readers after it, fast.
#[test]
fn what_is_on_the_disk_stays_in_the_page_cache() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (dir, options) = store_after_failed_sync();
    DIFFERS.store(false, Ordering::SeqCst);
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), Some(20));
    waldo.blocking_close().unwrap();
    drop(open(&dir, options));
    assert_eq!(*DROPPED.lock().unwrap(), [] as [PathBuf; 0]);
}

#[track_caller]
fn assert_poisoned(result: Result<(), Error>) {
    let errno = match &result {
        Err(Error::Poisoned(poison) | Error::Append(AppendError::Poisoned(poison))) => poison.errno,
        _ => None,
    };
    assert_eq!(errno, Some(libc::EIO), "{result:?}");
}
