//! Waking what waits for file descriptors.
//!
//! What follows a store from outside waits for a descriptor, where everything else here waits for
//! a waker. One thread stands between the two, from the first such wait on: it waits for the
//! descriptors of all of them.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::process;

/// Descriptors that are looked at in one go.
const EVENTS: usize = 64;

/// The thread, and what it wakes.
struct Watcher {
    generation: u32,
    epoll: OwnedFd,
    waiting: Mutex<HashMap<u64, Waker>>,
}

/// The thread of this process. Not behind a lock, which a forked child might find locked.
static WATCHER: AtomicPtr<Watcher> = AtomicPtr::new(ptr::null_mut());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A descriptor that is watched. It must not be closed before this is dropped.
pub struct Watched {
    watcher: &'static Watcher,
    fd: RawFd,
    key: u64,
}

impl Watched {
    /// Watches a descriptor, from the first [`wake`](Self::wake) on.
    pub fn new(fd: RawFd) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);

        let watcher = running()?;
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        let watched = Self { watcher, fd, key };
        watched.control(libc::EPOLL_CTL_ADD, 0)?;
        Ok(watched)
    }

    /// Has `waker` woken once, when the descriptor is readable, instead of the one before.
    pub fn wake(&self, waker: &Waker) -> io::Result<()> {
        lock(&self.watcher.waiting).insert(self.key, waker.clone());
        self.control(libc::EPOLL_CTL_MOD, libc::EPOLLIN | libc::EPOLLONESHOT)
    }

    fn control(&self, operation: i32, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: self.key };
        // SAFETY: `event` is valid during the call, which does not change it.
        let done = unsafe {
            libc::epoll_ctl(self.watcher.epoll.as_raw_fd(), operation, self.fd, &raw mut event)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Fails only where it is not watched any more.
        let _ = self.control(libc::EPOLL_CTL_DEL, 0);
        lock(&self.watcher.waiting).remove(&self.key);
    }
}

/// The thread of this process, which a forked child does not have.
fn running() -> io::Result<&'static Watcher> {
    loop {
        let known = WATCHER.load(Ordering::Acquire);
        // SAFETY: it is NULL, or was leaked below.
        if let Some(watcher) = unsafe { known.as_ref() }
            && watcher.generation == process::generation()
        {
            return Ok(watcher);
        }
        // SAFETY: no memory is involved.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if epoll < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was made just now, and nobody else knows it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let generation = process::generation();
        let new = Box::new(Watcher { generation, epoll, waiting: Mutex::default() });
        let new = Box::into_raw(new);
        let order = Ordering::AcqRel;
        if WATCHER.compare_exchange(known, new, order, Ordering::Relaxed).is_err() {
            // SAFETY: it came from a box, and nobody else has seen it.
            drop(unsafe { Box::from_raw(new) });
            continue;
        }
        // SAFETY: nobody frees it any more.
        let watcher: &'static Watcher = unsafe { &*new };
        if let Err(error) = waldo_core::thread::start("waldo-watcher", || watcher.run()) {
            WATCHER.store(ptr::null_mut(), Ordering::Release);
            return Err(error);
        }
        return Ok(watcher);
    }
}

impl Watcher {
    fn run(&self) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        loop {
            // SAFETY: `events` is valid for writing as many as it has.
            let count = unsafe {
                let room = EVENTS as i32;
                libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), room, -1)
            };
            // Fails only where a signal came.
            let count = usize::try_from(count).unwrap_or(0);
            for event in events.iter().take(count) {
                let waker = lock(&self.waiting).remove(&{ event.u64 });
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}
