//! Waiting on a thread, with the interpreter free for others.
//!
//! A wait ends when what it waits for wakes it, when its time is over, or when a signal handler
//! raises. Python runs its handlers on the main thread only, between two steps of the interpreter;
//! so a wait of the main thread steps back into it whenever a signal arrives. The system call that
//! it waits in ends then. A signal that arrives just before that call is noticed after
//! [`SLICE`]; other threads have no slices, and sleep until they are woken.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::process;

/// How late a signal is noticed at the latest.
const SLICE: Duration = Duration::from_millis(50);

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const PARKED: u32 = 2;

/// Lets one thread sleep until it is woken.
#[derive(Default)]
struct Parker(AtomicU32);

/// Why a thread goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parked {
    Woken,
    /// By a signal, or the end of the time, or for no reason.
    Looks,
}

impl Parker {
    /// Sleeps until it is woken, but no longer than `limit`.
    fn park(&self, limit: Option<Duration>) -> Parked {
        if self.0.compare_exchange(EMPTY, PARKED, Ordering::Acquire, Ordering::Acquire).is_ok() {
            self.sleep(limit);
        }
        if self.0.swap(EMPTY, Ordering::Acquire) == NOTIFIED {
            Parked::Woken
        } else {
            Parked::Looks
        }
    }

    fn sleep(&self, limit: Option<Duration>) {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(limit.subsec_nanos()),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: both pointers are valid during the call, or NULL where that is allowed. What it
        // answers does not matter: whoever calls looks why it ended.
        unsafe {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, PARKED, limit);
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.0.swap(NOTIFIED, Ordering::Release) == PARKED {
            // SAFETY: the address is valid, and no memory is written.
            unsafe {
                let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
                libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, 1);
            }
        }
    }
}

thread_local! {
    /// The thread's parker, unless it is in use: by a wait that a signal handler interrupted.
    static IDLE: RefCell<Option<(Arc<Parker>, Waker)>> = const { RefCell::new(None) };
    /// Whether the thread is the one that runs signal handlers, in which process.
    static IS_MAIN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// Lends the thread's parker.
fn with_parker<T>(wait: impl FnOnce(&Parker, &mut Context<'_>) -> T) -> T {
    let (parker, waker) = IDLE.take().unwrap_or_else(|| {
        let parker = Arc::new(Parker::default());
        let waker = Waker::from(Arc::clone(&parker));
        (parker, waker)
    });
    let output = wait(&parker, &mut Context::from_waker(&waker));
    IDLE.set(Some((parker, waker)));
    output
}

/// Whether this thread runs the handlers of signals.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let generation = process::generation();
    if let Some((known, is_main)) = IS_MAIN.get()
        && known == generation
    {
        return Ok(is_main);
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let is_main = threading.call_method0("get_ident")?.eq(main)?;
    IS_MAIN.set(Some((generation, is_main)));
    Ok(is_main)
}

/// How long to wait, as Python says it: seconds, or for ever.
pub fn duration(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        None => Ok(None),
        Some(seconds) if seconds.is_nan() => {
            Err(PyValueError::new_err("timeout must be a number of seconds, or None"))
        }
        // What cannot be expressed never comes.
        Some(seconds) => Ok(Duration::try_from_secs_f64(seconds.max(0.0)).ok()),
    }
}

/// Waits until `poll` is ready; `None` where the time is over before.
///
/// The first poll keeps the interpreter where `is_short` says that it does not take long.
pub fn wait_for<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    is_short: bool,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T> + Send,
) -> PyResult<Option<T>> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    with_parker(|parker, context| {
        if is_short && let Poll::Ready(output) = poll(context) {
            return Ok(Some(output));
        }
        let slice = is_main_thread(py)?.then_some(SLICE);
        let waker = context.waker();
        let mut is_first = !is_short;
        loop {
            let output = py.detach(|| {
                let mut context = Context::from_waker(waker);
                loop {
                    let looks = !std::mem::take(&mut is_first) && {
                        let left = deadline.map(|deadline| deadline - Instant::now());
                        let limit = left.into_iter().chain(slice).min();
                        parker.park(limit) == Parked::Looks
                    };
                    if !looks && let Poll::Ready(output) = poll(&mut context) {
                        return Some(output);
                    }
                    if looks {
                        return None;
                    }
                }
            });
            if output.is_some() {
                return Ok(output);
            }
            py.check_signals()?;
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(None);
            }
        }
    })
}

/// Waits for a future as long as it takes.
pub fn block_on<F>(py: Python<'_>, is_short: bool, future: F) -> PyResult<F::Output>
where
    F: Future + Send,
    F::Output: Send,
{
    let mut future: Pin<&mut F> = pin!(future);
    loop {
        let output = wait_for(py, None, is_short, |context| future.as_mut().poll(context))?;
        if let Some(output) = output {
            return Ok(output);
        }
    }
}

/// Waits for a future on a thread that Python knows nothing of.
pub fn block_on_detached<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    with_parker(|parker, context| {
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return output;
            }
            while parker.park(None) != Parked::Woken {}
        }
    })
}
