//! What a child that was forked does with its parent's buffers.

use super::pool::Purpose;
use super::{Pool, ReadPool};

/// Runs `child` in a forked process; answers whether it came to an end.
fn forked(child: impl FnOnce()) -> bool {
    /// Seconds after which a child that hangs is killed.
    const PATIENCE: u32 = 10;

    // SAFETY: the child runs nothing but `child`, which the tests keep simple, and leaves with
    // `_exit`; the parent waits for it.
    unsafe {
        match libc::fork() {
            0 => {
                libc::alarm(PATIENCE);
                child();
                libc::_exit(0)
            }
            pid => {
                assert!(pid > 0, "fork failed");
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                libc::WIFEXITED(status)
            }
        }
    }
}

/// A chunk was dropped in a child that was forked while another thread had the pool's lock: the child
/// waited for ever for a thread that it does not have.
#[test]
fn a_child_drops_buffers_without_the_lock_of_its_parent() {
    let pool = Pool::new(4, 4, 4096, false).unwrap();
    let mut filled = pool.try_take(Purpose::Producer).unwrap();
    let slice = filled.freeze(10);
    let other = pool.try_take(Purpose::Producer).unwrap();
    assert!(pool.locked(|| forked(|| drop((slice.clone(), filled.buffer().clone())))));
    let copies = (&raw const slice, &raw const filled, &raw const other);
    let ended = pool.locked(|| {
        // SAFETY: in the child, whose memory is a copy of its own: each is dropped there once.
        forked(|| unsafe { drop((copies.0.read(), copies.1.read(), copies.2.read())) })
    });
    assert!(ended);
    drop((slice, filled, other));
    assert_eq!(pool.free_count(), 4);
}

#[test]
fn a_child_drops_what_it_read_without_the_lock_of_its_parent() {
    let pool = ReadPool::new(1 << 20);
    let buffer = pool.try_take(100).unwrap();
    let copy = &raw const buffer;
    // SAFETY: in the child, whose memory is a copy of its own: it is dropped there once.
    assert!(pool.locked(|| forked(|| unsafe { drop(copy.read()) })));
    drop(buffer);
    assert_eq!(pool.used(), 0);
}
