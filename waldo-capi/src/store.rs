//! Opening, closing, and the handle.

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::{panic, ptr};

use waldo_core::{Error, Options, Waldo};

use crate::boundary::{
    Handle, call, give, handle, hold, may_block, output, panicked, retain, set, shielded, take,
    text, timeout,
};
use crate::error::{Failure, WaldoError};
use crate::options::OptionSet;
use crate::process::{Local, Process};
use crate::queue::Queue;
use crate::status::StatusCode::{WALDO_CLOSED, WALDO_TIMEOUT};
use crate::status::waldo_status;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::thread;
use crate::ticket::{Kind, Ticket, Yield};

/// An open store.
pub struct Store {
    local: Local<Inner>,
}

struct Inner {
    /// `None` in the drop only.
    waldo: Option<Waldo>,
    /// Asynchronous operations under way that a close completes after.
    under_way: AtomicUsize,
    /// The store is closed; what is submitted from now on does not count any more.
    ended: AtomicBool,
    /// How the close ended was told to somebody.
    told: AtomicBool,
    closing: Mutex<Vec<(Closer, Result<(), Failure>)>>,
    /// Queues that readers of this store wait in.
    queues: Mutex<Vec<Weak<Queue>>>,
}

/// Who is told how a close ended.
enum Closer {
    Queue(Ticket),
    Thread(SyncSender<Result<(), Failure>>),
}

impl Handle for Store {
    const NAME: &'static str = "waldo";

    fn process(&self) -> Process {
        self.local.process()
    }
}

impl Store {
    fn open(path: PathBuf, options: Options) -> Result<Arc<Self>, Failure> {
        let waldo = Waldo::blocking_open(path, options)?;
        let inner = Inner {
            waldo: Some(waldo),
            under_way: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            told: AtomicBool::new(false),
            closing: Mutex::default(),
            queues: Mutex::default(),
        };
        Ok(Arc::new(Self { local: Local::new(inner) }))
    }

    /// The core's handle.
    pub fn waldo(&self) -> Result<&Waldo, Failure> {
        self.local.waldo.as_ref().ok_or_else(closed)
    }

    /// The core's handle, unless the store is closed.
    pub fn open_waldo(&self) -> Result<&Waldo, Failure> {
        if self.is_ended() {
            return Err(closed());
        }
        self.waldo()
    }

    /// Whether the store is closed.
    pub fn is_ended(&self) -> bool {
        self.local.ended.load(Ordering::SeqCst)
    }

    /// Counts an operation; answers whether a close completes after it.
    pub fn enter(&self) -> bool {
        self.local.under_way.fetch_add(1, Ordering::SeqCst);
        if self.is_ended() {
            self.leave();
            return false;
        }
        true
    }

    /// An operation has completed.
    pub fn leave(&self) {
        let before = self.local.under_way.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.is_ended() {
            self.finish_close();
        }
    }

    /// Remembers a queue that readers wait in.
    pub fn note_queue(&self, queue: &Arc<Queue>) {
        let mut queues = self.local.queues.lock();
        let is_known = |known: &Weak<Queue>| ptr::eq(known.as_ptr(), Arc::as_ptr(queue));
        if !queues.iter().any(is_known) {
            queues.retain(|known| known.strong_count() > 0);
            queues.push(Arc::downgrade(queue));
        }
    }

    /// Asks the core to close.
    fn close(self: &Arc<Self>, closer: Closer) -> Result<(), Failure> {
        let own = Arc::clone(self);
        let done = move |result: Result<(), Error>| own.end(closer, result.map_err(Failure::from));
        Ok(self.waldo()?.submit_close(done)?)
    }

    /// The core has closed the store.
    fn end(&self, closer: Closer, result: Result<(), Failure>) {
        self.local.closing.lock().push((closer, result));
        self.local.ended.store(true, Ordering::SeqCst);
        let queues = self.local.queues.lock().clone();
        for queue in queues.iter().filter_map(Weak::upgrade) {
            queue.end_readers_of(self);
        }
        if self.local.under_way.load(Ordering::SeqCst) == 0 {
            self.finish_close();
        }
    }

    /// Tells everybody who closed the store.
    fn finish_close(&self) {
        let closing = std::mem::take(&mut *self.local.closing.lock());
        for (closer, result) in closing {
            match closer {
                Closer::Queue(ticket) => {
                    self.local.told.store(true, Ordering::Release);
                    ticket.finish(result.map(|()| Yield::Nothing));
                }
                Closer::Thread(sender) => {
                    // Whoever waited may have given up.
                    let _ = sender.try_send(result);
                }
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(waldo) = self.waldo.take() else { return };
        // Dropping the core's last handle waits for the end of its worker. So the last one is
        // given to the worker, whom it does not wait for.
        let last = waldo.clone();
        if let Err(error) = waldo.submit_close(move |result| {
            if let Err(error) = result {
                log::error!("a store that was released without a close has failed: {error}");
            }
            drop(last);
        }) {
            log::debug!("released a store: {error}");
        }
    }
}

pub(crate) fn closed() -> Failure {
    Failure::new(WALDO_CLOSED, "the store is closed")
}

/// What a store is opened with.
///
/// # Safety
///
/// Both are NULL or valid.
unsafe fn arguments(
    path: *const c_char,
    options: *const OptionSet,
) -> Result<(PathBuf, Options), Failure> {
    // SAFETY: by contract.
    let path: &CStr = unsafe { text(path, "path") }?;
    if path.is_empty() {
        return Err(Failure::argument("path must not be empty"));
    }
    let options = if options.is_null() {
        Options::default()
    } else {
        // SAFETY: by contract, no other thread uses it.
        unsafe { OptionSet::borrow(options) }?.options()
    };
    // Here, because a completion has no room to name the option.
    options.validate()?;
    Ok((PathBuf::from(OsStr::from_bytes(path.to_bytes())), options))
}

/// Opens the store in the directory `path`, or makes one there, and waits for it. Recovers what
/// is there: `waldo_recovery_get` says what was found.
///
/// `options` may be NULL for the defaults; it stays yours. `*store` is yours to release with
/// `waldo_release`, and NULL on failure. From any thread, but not in a callback.
///
/// Errors: `WALDO_OPTION`, `WALDO_LOCKED`, `WALDO_NOT_A_STORE`, `WALDO_NEWER`,
/// `WALDO_CORRUPTION`, `WALDO_UNSUPPORTED`, `WALDO_IO`, `WALDO_INVALID_ARGUMENT`,
/// `WALDO_WOULD_DEADLOCK`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_open(
    path: *const c_char,
    options: *const OptionSet,
    store: *mut *mut Store,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            output(store, ptr::null_mut(), "store")?;
            let (path, options) = arguments(path, options)?;
            may_block()?;
            set(store, give(Store::open(path, options)?));
            Ok(())
        })
    }
}

/// Like `waldo_open`, without waiting: the completion has the store. `path` and `options` are
/// not used after the call. From any thread.
///
/// Errors of the call: `WALDO_OPTION`, `WALDO_AGAIN`, `WALDO_INVALID_ARGUMENT`, `WALDO_IO` where
/// the system refuses a thread, `WALDO_FORKED`; all others come with the completion.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_open_async(
    path: *const c_char,
    options: *const OptionSet,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let (path, options) = arguments(path, options)?;
            let queue = handle(queue)?;
            let ticket = Ticket::new(&queue, None, user_data, Kind::WALDO_KIND_OPEN)?;
            thread::start("waldo-open", move || {
                let opened = panic::catch_unwind(|| Store::open(path, options));
                let opened = opened.unwrap_or_else(|_| Err(panicked()));
                ticket.finish(opened.map(Yield::Store));
            })
        })
    }
}

/// Closes a store, and waits: finishes what was submitted, makes it durable, seals, and releases
/// the lock on the directory. Waits no longer than `timeout_ns` nanoseconds (negative: for
/// ever); after `WALDO_TIMEOUT` the close goes on, and may be waited for again.
///
/// Every operation that was submitted before has completed when this returns. Later calls answer
/// `WALDO_CLOSED`; streams go on to the last log first. The handle stays valid until it is
/// released. From any thread, but not in a callback.
///
/// Errors: `WALDO_TIMEOUT`, `WALDO_POISONED` (closed all the same), `WALDO_CLOSED` where it was
/// closed before, `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_close(
    store: *mut Store,
    timeout_ns: i64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let store = handle(store)?;
            may_block()?;
            let (sender, receiver) = sync_channel(1);
            if let Err(failure) = store.close(Closer::Thread(sender)) {
                let is_closed = failure.status == WALDO_CLOSED;
                if is_closed && !store.local.told.swap(true, Ordering::AcqRel) {
                    // An earlier call did not wait for the end.
                    return Ok(store.waldo()?.clone().blocking_close()?);
                }
                return Err(failure);
            }
            let answer = match timeout(timeout_ns) {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(timeout) => receiver.recv_timeout(timeout),
            };
            match answer {
                Ok(result) => {
                    store.local.told.store(true, Ordering::Release);
                    result
                }
                Err(RecvTimeoutError::Timeout) => {
                    Err(Failure::new(WALDO_TIMEOUT, "not closed in time; the close goes on"))
                }
                Err(RecvTimeoutError::Disconnected) => Err(closed()),
            }
        })
    }
}

/// Like `waldo_close`, without waiting. The completion comes after those of all operations that
/// were submitted before. From any thread.
///
/// Errors of the call: `WALDO_AGAIN`, `WALDO_CLOSED`, `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`;
/// with the completion: `WALDO_POISONED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_close_async(
    store: *mut Store,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let store = hold(store)?;
            let queue = handle(queue)?;
            let ticket = Ticket::new(&queue, None, user_data, Kind::WALDO_KIND_CLOSE)?;
            store.close(Closer::Queue(ticket))
        })
    }
}

/// Counts one more reference to a store: each is released once. NULL is fine. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_retain(store: *mut Store) {
    // SAFETY: NULL or a reference of the caller's.
    shielded((), || unsafe { retain(store) });
}

/// Releases a reference to a store. NULL is fine.
///
/// Where it is the last one, and no stream or operation is left, a store that was not closed is
/// closed in the background; what goes wrong then is only logged, so close before. Never blocks;
/// from any thread, callbacks and finalizers included. In a forked child it frees memory only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_release(store: *mut Store) {
    // SAFETY: NULL or a reference of the caller's.
    shielded((), || drop(unsafe { take(store) }));
}
