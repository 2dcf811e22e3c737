//! Waiting for a future on the calling thread: a small executor for the blocking forms.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

thread_local! {
    /// The thread's waker, unless it is in use: by a wait further down the stack.
    static IDLE: RefCell<Option<(Arc<Unpark>, Waker)>> = const { RefCell::new(None) };
}

/// Unparks a thread that waits.
struct Unpark {
    thread: Thread,
    /// Set by a wake-up, so that parking for another reason is not taken for one, and none is
    /// lost.
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

/// Waits for a future.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    with_waker(|unpark, context| {
        loop {
            unpark.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return output;
            }
            while !unpark.woken.load(Ordering::Acquire) {
                std::thread::park();
            }
        }
    })
}

/// Waits for a future, no longer than `timeout`.
pub(super) fn block_on_timeout<F: Future>(future: F, timeout: Duration) -> Option<F::Output> {
    // A time that cannot be expressed never comes.
    let Some(deadline) = Instant::now().checked_add(timeout) else { return Some(block_on(future)) };
    let mut future = pin!(future);
    with_waker(|unpark, context| {
        loop {
            unpark.woken.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Some(output);
            }
            while !unpark.woken.load(Ordering::Acquire) {
                let left = deadline.checked_duration_since(Instant::now())?;
                std::thread::park_timeout(left);
            }
        }
    })
}

/// Lends the thread's waker, or one of its own to a wait inside another.
fn with_waker<T>(wait: impl FnOnce(&Unpark, &mut Context<'_>) -> T) -> T {
    let (unpark, waker) = IDLE.with(|idle| idle.borrow_mut().take()).unwrap_or_else(|| {
        let thread = std::thread::current();
        let unpark = Arc::new(Unpark { thread, woken: AtomicBool::new(false) });
        let waker = Waker::from(Arc::clone(&unpark));
        (unpark, waker)
    });
    let output = wait(&unpark, &mut Context::from_waker(&waker));
    IDLE.with(|idle| *idle.borrow_mut() = Some((unpark, waker)));
    output
}
