//! Completion queues: every asynchronous result travels through one.
//!
//! A queue also polls the readers that it was given: the store's worker only says which of them
//! may go on, and whoever takes completions out looks what they find. So the worker is never
//! kept from writing by those who read.

#[cfg(all(test, waldo_loom))]
mod races;

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use waldo_core::tsan;

use crate::boundary::{
    Handle, call, give, handle, may_block, not_forked, output, set, shielded, take, timeout,
};
use crate::error::{Failure, WaldoError};
use crate::process::{Local, Process};
use crate::reader::{Reader, Wakeup};
use crate::status::StatusCode::{WALDO_NOT_FOUND, WALDO_TIMEOUT};
use crate::status::waldo_status;
use crate::store::Store;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::thread;
use crate::ticket::Completion;

/// Most operations that one queue may have under way.
const DEPTH_MAX: u32 = 1 << 20;

/// Most completions that a callback gets at a time.
const BATCH_MAX: usize = 256;

/// Takes completions, on the queue's own thread.
///
/// `completions` is valid during the call only; the chunks and stores in it are yours. Any
/// asynchronous call, retain and release is allowed inside; a blocking call answers
/// `WALDO_WOULD_DEADLOCK`. It must return normally: no exception, no `longjmp`.
pub type waldo_completion_fn = Option<
    unsafe extern "C" fn(context: *mut c_void, completions: *const Completion, count: usize),
>;

/// A queue of completions.
pub struct Queue {
    local: Local<Inner>,
}

struct Inner {
    depth: usize,
    /// Places taken: by operations under way, and completions that nobody took yet.
    used: AtomicUsize,
    /// Completions go to a callback.
    is_dispatched: bool,
    event: EventFd,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    completions: VecDeque<Completion>,
    /// Readers that may go on.
    ready: VecDeque<Arc<Wakeup>>,
    /// Readers under way, for those who cancel them.
    readers: Vec<Option<Arc<Reader>>>,
    free_slots: Vec<usize>,
    /// Threads that wait for news.
    sleepers: usize,
    released: bool,
    /// Nobody takes anything out any more.
    is_over: bool,
    /// Somebody asked for the file descriptor, so that it must be kept up.
    is_watched: bool,
    /// The file descriptor is readable.
    is_signalled: bool,
}

impl State {
    fn has_news(&self) -> bool {
        !self.completions.is_empty() || !self.ready.is_empty()
    }
}

struct Callback {
    function: unsafe extern "C" fn(*mut c_void, *const Completion, usize),
    context: *mut c_void,
}

// SAFETY: whoever makes a callback queue promises that the context may be used on its thread.
unsafe impl Send for Callback {}

impl Handle for Queue {
    const NAME: &'static str = "queue";

    fn process(&self) -> Process {
        self.local.process()
    }
}

impl Queue {
    fn new(depth: u32, is_dispatched: bool) -> Result<Arc<Self>, Failure> {
        if depth == 0 || depth > DEPTH_MAX {
            return Err(Failure::argument(format!("depth must be from 1 to {DEPTH_MAX}")));
        }
        let inner = Inner {
            depth: depth as usize,
            used: AtomicUsize::new(0),
            is_dispatched,
            event: if is_dispatched { EventFd(-1) } else { EventFd::new()? },
            state: Mutex::default(),
            news: Condvar::default(),
        };
        Ok(Arc::new(Self { local: Local::new(inner) }))
    }

    /// Takes a place, if there is one.
    pub fn reserve(&self) -> bool {
        let depth = self.local.depth;
        let take = |used: usize| (used < depth).then_some(used + 1);
        self.local.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Gives places back.
    pub fn give_back(&self, count: usize) {
        self.local.used.fetch_sub(count, Ordering::Relaxed);
    }

    /// Gives a place back for an operation that was refused.
    pub fn refuse(&self) {
        self.give_back(1);
        let mut state = self.local.state.lock();
        if state.released {
            // The callback's thread may wait for just this.
            self.local.tell(&mut state);
        }
    }

    /// Puts a completion where it will be taken out. There is a place for it.
    pub fn post(&self, completion: Completion) {
        let inner = &*self.local;
        let mut state = inner.state.lock();
        if state.is_over {
            drop(state);
            self.give_back(1);
            return completion.discard();
        }
        state.completions.push_back(completion);
        inner.tell(&mut state);
    }

    /// Has a reader polled.
    pub fn schedule(&self, wakeup: Arc<Wakeup>) {
        let inner = &*self.local;
        let mut state = inner.state.lock();
        if state.is_over {
            return;
        }
        state.ready.push_back(wakeup);
        inner.tell(&mut state);
    }

    /// Takes note of a reader under way; answers where.
    pub fn register(&self, reader: Arc<Reader>) -> usize {
        let mut state = self.local.state.lock();
        let slot = state.free_slots.pop().unwrap_or(state.readers.len());
        if slot == state.readers.len() {
            state.readers.push(None);
        }
        if let Some(place) = state.readers.get_mut(slot) {
            *place = Some(reader);
        }
        slot
    }

    /// Forgets a reader.
    pub fn unregister(&self, slot: usize) {
        let mut state = self.local.state.lock();
        let reader = state.readers.get_mut(slot).and_then(Option::take);
        if reader.is_some() {
            state.free_slots.push(slot);
        }
        drop(state);
        drop(reader);
    }

    fn readers(&self) -> Vec<Arc<Reader>> {
        self.local.state.lock().readers.iter().flatten().cloned().collect()
    }

    /// Completes what readers of a store that has ended wait for.
    pub fn end_readers_of(&self, store: &Store) {
        for reader in self.readers() {
            if reader.is_of(store) {
                reader.end();
            }
        }
    }

    /// Takes completions out, up to `limit` in all.
    fn collect(&self, out: &mut Vec<Completion>, limit: usize) {
        let inner = &*self.local;
        let before = out.len();
        let mut ready = Vec::new();
        while out.len() < limit {
            let mut state = inner.state.lock();
            let count = state.completions.len().min(limit - out.len());
            out.extend(state.completions.drain(..count));
            let count = state.ready.len().min(limit - out.len());
            ready.extend(state.ready.drain(..count));
            drop(state);
            if ready.is_empty() {
                break;
            }
            for wakeup in ready.drain(..) {
                wakeup.run(self, out);
            }
        }
        self.give_back(out.len() - before);
        if !inner.is_dispatched {
            let mut state = inner.state.lock();
            if state.is_signalled && !state.has_news() {
                state.is_signalled = false;
                inner.event.clear();
            }
        }
    }

    /// Waits until there may be something to take out; `false` where the deadline passed.
    fn wait(&self, deadline: Option<Instant>) -> bool {
        let inner = &*self.local;
        let mut state = inner.state.lock();
        while !state.has_news() {
            let left = match deadline.map(|at| at.checked_duration_since(Instant::now())) {
                None => None,
                Some(Some(left)) if !left.is_zero() => Some(left),
                Some(_) => return false,
            };
            state.sleepers += 1;
            state = match left {
                None => inner.news.wait(state),
                Some(left) => inner.news.wait_timeout(state, left),
            };
            state.sleepers -= 1;
        }
        true
    }

    /// Calls the callback, until the queue is released and nothing is under way any more.
    fn dispatch(&self, callback: &Callback) {
        let inner = &*self.local;
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            let mut state = inner.state.lock();
            while !state.has_news() {
                if state.released && inner.used.load(Ordering::Relaxed) == 0 {
                    state.is_over = true;
                    return;
                }
                state.sleepers += 1;
                state = inner.news.wait(state);
                state.sleepers -= 1;
            }
            drop(state);
            self.collect(&mut batch, BATCH_MAX);
            if !batch.is_empty() {
                let Callback { function, context } = *callback;
                // SAFETY: it is the function that the caller of `waldo_queue_new_callback` gave
                // for this, with its context. The batch lives until it returns.
                tsan::call_back(|| unsafe { function(context, batch.as_ptr(), batch.len()) });
                batch.clear();
            }
        }
    }

    /// Nobody will take completions out any more.
    fn release(&self) {
        let inner = &*self.local;
        let mut state = inner.state.lock();
        state.released = true;
        let mut dropped = VecDeque::new();
        if !inner.is_dispatched {
            state.is_over = true;
            std::mem::swap(&mut dropped, &mut state.completions);
            state.ready.clear();
        }
        inner.tell(&mut state);
        drop(state);
        self.give_back(dropped.len());
        dropped.into_iter().for_each(Completion::discard);
        for reader in self.readers() {
            reader.cancel(None);
        }
    }
}

impl Inner {
    /// Wakes who waits.
    fn tell(&self, state: &mut State) {
        if state.sleepers > 0 {
            self.news.notify_one();
        }
        if state.is_watched && !state.is_signalled {
            state.is_signalled = true;
            self.event.signal();
        }
    }
}

/// A file descriptor that is readable on request.
struct EventFd(c_int);

impl EventFd {
    fn new() -> Result<Self, Failure> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            let error = std::io::Error::last_os_error();
            return Err(Failure::system("cannot make an eventfd", &error));
        }
        Ok(Self(fd))
    }

    fn signal(&self) {
        let one = 1_u64;
        // SAFETY: 8 bytes are read from `one`. A failure means that it is readable already.
        unsafe { libc::write(self.0, (&raw const one).cast(), size_of::<u64>()) };
    }

    fn clear(&self) {
        let mut value = 0_u64;
        // SAFETY: 8 bytes are written to `value`. A failure means that it is not readable.
        unsafe { libc::read(self.0, (&raw mut value).cast(), size_of::<u64>()) };
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        if self.0 >= 0 {
            // SAFETY: it is owned, and not used any more.
            unsafe { libc::close(self.0) };
        }
    }
}

/// Makes a queue from which you take completions yourself: with `waldo_queue_poll` when
/// `waldo_queue_fd` is readable, or with `waldo_queue_wait`.
///
/// `depth`, from 1 to 1048576, is how many operations may be under way through it, counting
/// those whose completions were not taken out. One thread at a time takes completions out; any
/// thread submits.
///
/// Yours to release with `waldo_queue_release`; NULL on failure. From any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_new(
    depth: u32,
    queue: *mut *mut Queue,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(queue, ptr::null_mut(), "queue")?;
            set(queue, give(Queue::new(depth, false)?));
            Ok(())
        })
    }
}

/// Makes a queue that hands completions to a callback, in batches, on a thread of its own.
///
/// The callback never runs inside the call that submitted, and never twice at the same time.
/// `context` is passed to it as it is, and must stay valid until the queue is released and every
/// operation that was accepted has completed; after that the callback does not run any more.
/// A language runtime that runs the callback on a thread of its own, while the queue's waits,
/// must not wait for the store there: nobody would notice, and it could be for ever.
///
/// Yours to release with `waldo_queue_release`; NULL on failure. From any thread.
///
/// Errors: `WALDO_INVALID_ARGUMENT`, `WALDO_IO` where the system refuses a thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_new_callback(
    depth: u32,
    callback: waldo_completion_fn,
    context: *mut c_void,
    queue: *mut *mut Queue,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(queue, ptr::null_mut(), "queue")?;
            let function = callback.ok_or(Failure::argument("callback must not be NULL"))?;
            let callback = Callback { function, context };
            let new = Queue::new(depth, true)?;
            let own = Arc::clone(&new);
            thread::start("waldo-callbacks", move || {
                thread::mark_dispatcher();
                let callback = callback;
                own.dispatch(&callback);
            })?;
            set(queue, give(new));
            Ok(())
        })
    }
}

/// The file descriptor that is readable while there may be completions to take out: for epoll,
/// poll, libuv, asyncio and the like. Do not read, write or close it: it is closed when the queue
/// is released, so take it out of your event loop before. A loop that closes what it watches is
/// given a duplicate (`dup`).
///
/// -1 for a callback queue, for NULL, and in a forked child. It may be readable although
/// `waldo_queue_poll` finds nothing; edge-triggered users poll until it answers less than they
/// asked for. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_fd(queue: *const Queue) -> c_int {
    shielded(-1, || {
        // SAFETY: NULL or a reference of the caller's.
        let Ok(queue) = (unsafe { handle(queue) }) else { return -1 };
        let inner = &*queue.local;
        if inner.is_dispatched {
            return -1;
        }
        let mut state = inner.state.lock();
        if !state.is_watched {
            state.is_watched = true;
            if state.has_news() {
                inner.tell(&mut state);
            }
        }
        inner.event.0
    })
}

/// Takes out the completions that are there, up to `capacity`; answers how many. Does not wait.
///
/// The chunks and stores in them are yours. 0 for a callback queue, for NULL, and in a forked
/// child. From any thread, one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_poll(
    queue: *mut Queue,
    completions: *mut Completion,
    capacity: usize,
) -> usize {
    shielded(0, || {
        // SAFETY: NULL or a reference of the caller's.
        let Ok(queue) = (unsafe { handle(queue) }) else { return 0 };
        if completions.is_null() || !completions.is_aligned() || queue.local.is_dispatched {
            return 0;
        }
        let mut out = Vec::new();
        queue.collect(&mut out, capacity);
        // SAFETY: valid for writing `capacity` of them, and there are no more.
        unsafe { completions.copy_from_nonoverlapping(out.as_ptr(), out.len()) };
        out.len()
    })
}

/// Takes completions out, and waits until there are `min`, or `timeout_ns` nanoseconds are over
/// (negative: for ever). `min` is at most `capacity`, and may be 0.
///
/// `*count` says how many were taken, also after `WALDO_TIMEOUT`. The chunks and stores in them
/// are yours. From any thread, one at a time.
///
/// Errors: `WALDO_TIMEOUT`, `WALDO_INVALID_ARGUMENT` (also for a callback queue),
/// `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_wait(
    queue: *mut Queue,
    completions: *mut Completion,
    capacity: usize,
    min: usize,
    timeout_ns: i64,
    count: *mut usize,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(ptr::null_mut(), || {
            output(count, 0, "count")?;
            let queue = handle(queue)?;
            let is_odd = completions.is_null() || !completions.is_aligned();
            if (is_odd && capacity > 0) || min > capacity || queue.local.is_dispatched {
                return Err(Failure::argument("completions, capacity or min, or a callback queue"));
            }
            may_block()?;
            let deadline =
                timeout(timeout_ns).and_then(|timeout| Instant::now().checked_add(timeout));
            let mut out = Vec::new();
            let in_time = loop {
                queue.collect(&mut out, capacity);
                if out.len() >= min {
                    break true;
                }
                if !queue.wait(deadline) {
                    break false;
                }
            };
            completions.copy_from_nonoverlapping(out.as_ptr(), out.len());
            count.write(out.len());
            if in_time { Ok(()) } else { Err(Failure::new(WALDO_TIMEOUT, "not in time")) }
        })
    }
}

/// Cancels the queries and stream reads that wait with `user_data`: each completes with
/// `WALDO_CANCELLED`. Everything else that was submitted goes on.
///
/// From any thread.
///
/// Errors: `WALDO_NOT_FOUND` where none waits with it (any more), `WALDO_INVALID_ARGUMENT`,
/// `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_cancel(queue: *mut Queue, user_data: u64) -> waldo_status {
    // SAFETY: NULL or a reference of the caller's.
    unsafe {
        call(ptr::null_mut(), || {
            let queue = handle(queue)?;
            let mut found = false;
            for reader in queue.readers() {
                found |= reader.cancel(Some(user_data));
            }
            if !found {
                return Err(Failure::new(WALDO_NOT_FOUND, "nothing waits with this user_data"));
            }
            Ok(())
        })
    }
}

/// Releases a queue. NULL is fine.
///
/// Queries and stream reads that wait are cancelled; other operations go on. Their completions
/// still reach the callback of a callback queue; those of a pollable queue are dropped, with
/// their chunks. Never blocks; from any thread, callbacks and finalizers included.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_queue_release(queue: *mut Queue) {
    shielded((), || {
        // SAFETY: NULL or a reference of the caller's.
        let Some(queue) = (unsafe { take(queue) }) else { return };
        if not_forked(queue.process()).is_ok() {
            queue.release();
        }
    });
}
