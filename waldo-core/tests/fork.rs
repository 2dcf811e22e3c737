//! Handles in a forked child refuse to work, and leave the parent's store alone.

mod common;

use common::{logs, open, options};
use waldo_core::{AppendError, Backend, Cursor, Error, QueryError, Waldo};

/// Runs `child` in a forked process; answers whether it returned `true`.
fn forked(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs nothing but `child`, which the tests keep simple, and leaves with
    // `_exit`.
    unsafe {
        match libc::fork() {
            0 => {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
                libc::_exit(if result.unwrap_or(false) { 0 } else { 1 })
            }
            pid => {
                assert!(pid > 0, "fork failed");
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}

#[test]
fn a_child_can_do_nothing_and_harms_nothing() {
    for backend in [Backend::IoUring, Backend::Threads] {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options(backend));
        waldo.blocking_append(&logs(1, 10)).unwrap();
        let child = waldo.clone();
        let mut stream = waldo.stream(Cursor::Trim);
        let refused = forked(|| {
            let appended = child.blocking_append(&logs(11, 11)) == Err(AppendError::Forked);
            let synced = matches!(child.blocking_sync(), Err(Error::Forked));
            let query = child.blocking_query(Cursor::Trim, true);
            let queried = query.is_err_and(|error| error == QueryError::Forked);
            let streamed = stream.blocking_next().is_err_and(|error| error == QueryError::Forked);
            let closed = matches!(child.clone().blocking_close(), Err(Error::Forked));
            let submitted = matches!(child.submit_sync(|_| ()), Err(Error::Forked));
            let numbers = child.prev_seq_no() == Some(10) && child.blocking_metadata().is_none();
            // All handles of the child's: nothing of that reaches the parent's worker or lock.
            drop(child);
            drop(stream);
            drop(waldo.clone());
            appended && synced && queried && streamed && closed && submitted && numbers
        });
        assert!(refused);
        // The store is the parent's as before, and still locked.
        waldo.blocking_append(&logs(11, 20)).unwrap();
        let second = Waldo::blocking_open(dir.path(), options(backend));
        assert!(matches!(second, Err(Error::Locked { .. })));
        waldo.blocking_close().unwrap();
        assert_eq!(open(&dir, options(backend)).prev_seq_no(), Some(20));
    }
}
