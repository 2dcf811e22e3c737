//! A system that has no more threads to give.

mod common;

use std::io;

use waldo_core::format::StoreId;
use waldo_core::index::Spacing;
use waldo_core::recovery::{Layout, PageSource, scan_all};
use waldo_core::{Backend, Error, Recovery, Waldo};

/// Has the kernel refuse new threads to the thread that calls this, and to no other.
fn refuse_threads() {
    let statement = |code: u32, jf, k| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0)];
    for call in [libc::SYS_clone, libc::SYS_clone3] {
        program.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, call as u32));
        let refused = libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32;
        program.push(statement(libc::BPF_RET | libc::BPF_K, 0, refused));
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: `filter` and the program that it points to are only read, during the call.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter)
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Runs on a thread that can start no other.
fn without_threads(work: impl FnOnce() + Send) {
    let confined = || {
        refuse_threads();
        work();
    };
    std::thread::scope(|scope| scope.spawn(confined).join().unwrap());
}

struct Blank;

impl PageSource for Blank {
    fn read_at(&self, _: u32, _: u64, bytes: &mut [u8]) -> io::Result<usize> {
        bytes.fill(0);
        Ok(bytes.len())
    }
}

/// A process was near its limit of threads. The store's worker got one; those that were to scan the
/// pages were refused, and opening panicked. Now whoever scans does it alone.
#[test]
fn pages_are_scanned_without_more_threads() {
    let layout = Layout {
        store_id: StoreId([7; 16]),
        ring_size: 5,
        page_size: 64 * 1024,
        alignment: 8,
        seal_offset: 60 * 1024,
        index_capacity: 16,
        spacing: Spacing { bytes: 4096, count: 64 },
        recovery: Recovery::Full,
        blank_limit: 64 * 1024,
        threads: 4,
    };
    without_threads(|| {
        let refused = std::thread::Builder::new().spawn(|| {});
        assert_eq!(refused.map(drop).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        assert_eq!(scan_all(&Blank, &layout).unwrap().len(), 5);
    });
}

#[test]
fn a_store_without_a_worker_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    without_threads(|| {
        for backend in [Backend::Auto, Backend::IoUring, Backend::Threads] {
            match Waldo::blocking_open(dir.path(), common::options(backend)) {
                Err(Error::Io { action, source, .. }) => {
                    assert_eq!(action, "start a thread for");
                    assert_eq!(source.raw_os_error(), Some(libc::EAGAIN));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    // Nobody has it.
    Waldo::blocking_open(dir.path(), common::options(Backend::Auto)).unwrap();
}
