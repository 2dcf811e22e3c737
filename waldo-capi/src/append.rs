//! Appending.

use std::ptr;
use std::sync::Arc;

use waldo_core::batch::{BatchLimits, check_log, check_payload};
use waldo_core::{AppendError, AppendOptions, Appended, Log, Waldo};

use crate::boundary::{array, call, flags, handle, hold, may_block, panicked, set};
use crate::error::{Failure, WaldoError};
use crate::log::WaldoLog;
use crate::queue::Queue;
use crate::status::waldo_status;
use crate::store::Store;
use crate::thread;
use crate::ticket::{Kind, Ticket, Yield};

/// Flags of the append calls.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFlags {
    /// The store numbers the logs from its newest on; their own numbers are not looked at.
    WALDO_APPEND_ASSIGN = 1,
    /// All logs or none, also after a crash; more than fits a frame is refused.
    WALDO_APPEND_ATOMIC = 2,
    /// Completes when the logs are durable, whatever the option `file_o_dsync` says.
    WALDO_APPEND_DURABLE = 4,
    /// The payloads stay valid and unchanged until the completion, so that they need not be
    /// copied before the call returns.
    WALDO_APPEND_BORROW = 8,
}

const ASSIGN: u32 = AppendFlags::WALDO_APPEND_ASSIGN as u32;
const ATOMIC: u32 = AppendFlags::WALDO_APPEND_ATOMIC as u32;
const DURABLE: u32 = AppendFlags::WALDO_APPEND_DURABLE as u32;
const BORROW: u32 = AppendFlags::WALDO_APPEND_BORROW as u32;
const KNOWN: u32 = ASSIGN | ATOMIC | DURABLE | BORROW;

/// Logs that were checked: their payloads can be read.
#[derive(Clone, Copy)]
struct Logs<'a> {
    logs: &'a [WaldoLog],
    flags: u32,
}

/// A payload, for the core.
#[repr(transparent)]
struct Payload(WaldoLog);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: made of checked logs only, which outlive it.
        unsafe { self.0.payload() }
    }
}

impl<'a> Logs<'a> {
    /// # Safety
    ///
    /// `logs` is NULL or valid for reading `count` logs, and so are their payloads, as long as
    /// the result is used.
    unsafe fn new(logs: *const WaldoLog, count: usize, bits: u32) -> Result<Self, Failure> {
        flags(bits, KNOWN)?;
        // SAFETY: by contract.
        let logs = unsafe { array(logs, count, "logs") }?;
        logs.iter().enumerate().try_for_each(|(at, log)| log.check(at))?;
        Ok(Self { logs, flags: bits })
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn options(&self) -> AppendOptions {
        AppendOptions { atomic: self.has(ATOMIC), durable: self.has(DURABLE) }
    }

    fn log(&self, log: &WaldoLog) -> Log<'a> {
        // SAFETY: it is one of the logs that `new` was given.
        Log::new_borrowed(log.seq_no, log.prev_seq_no, unsafe { log.payload() })
    }

    /// Appends, and waits.
    fn append(&self, waldo: &Waldo) -> Result<Appended, AppendError> {
        if self.has(ASSIGN) {
            // SAFETY: `Payload` is a `WaldoLog` in everything but its name.
            let payloads = unsafe { &*(ptr::from_ref(self.logs) as *const [Payload]) };
            return waldo.blocking_append_assigned_with(payloads, self.options());
        }
        if let [log] = self.logs {
            waldo.blocking_append_with(&[self.log(log)], self.options())?;
        } else {
            let logs: Vec<Log<'_>> = self.logs.iter().map(|log| self.log(log)).collect();
            waldo.blocking_append_with(&logs, self.options())?;
        }
        let tip = || waldo.prev_seq_no().unwrap_or(0);
        Ok(Appended {
            first_seq_no: self.logs.first().map_or_else(tip, |log| log.seq_no),
            last_seq_no: self.logs.last().map_or_else(tip, |log| log.seq_no),
            count: self.logs.len() as u64,
        })
    }

    /// Appends, and has the end completed through a queue.
    fn submit(
        &self,
        store: &Arc<Store>,
        queue: &Arc<Queue>,
        user_data: u64,
    ) -> Result<(), Failure> {
        let waldo = store.open_waldo()?;
        let ticket = Ticket::new(queue, Some(store), user_data, Kind::WALDO_KIND_APPEND)?;
        let limits = waldo.batch_limits();
        let size = self.logs.iter().map(|log| self.log(log).size()).fold(0, usize::saturating_add);
        let fits = size <= limits.size && self.logs.len() as u64 <= limits.count;
        if !fits && !self.has(ATOMIC) {
            self.check(&limits)?;
            return self.spread(store, ticket);
        }
        let mut batch = waldo.try_batch(size, self.has(ASSIGN))?;
        for log in self.logs {
            let log = self.log(log);
            let added =
                if self.has(ASSIGN) { batch.push_payload(log.data()) } else { batch.push(&log) };
            if !added? {
                return Err(AppendError::BatchTooLarge {
                    count: self.logs.len() as u64,
                    count_limit: limits.count,
                    size,
                    size_limit: limits.size,
                }
                .into());
            }
        }
        waldo.submit_append(batch.finish(), self.has(DURABLE), move |result| {
            ticket.finish(result.map(appended).map_err(Failure::from));
        })?;
        Ok(())
    }

    /// Finds what is wrong with logs that go in several parts, before the first of them goes.
    fn check(&self, limits: &BatchLimits) -> Result<(), AppendError> {
        if self.has(ASSIGN) {
            let payloads = self.logs.iter().map(|log| self.log(log).data().len());
            return (0..).zip(payloads).try_for_each(|(at, len)| check_payload(at, len, limits));
        }
        self.logs.iter().try_for_each(|log| check_log(&self.log(log), limits))?;
        let mut pairs = self.logs.iter().zip(self.logs.iter().skip(1));
        match pairs.find(|(before, log)| log.prev_seq_no != before.seq_no) {
            None => Ok(()),
            Some((before, log)) => Err(AppendError::Sequence {
                seq_no: log.seq_no,
                wanted: before.seq_no,
                actual: log.prev_seq_no,
            }),
        }
    }

    /// Appends in several parts, on a thread that waits for each of them.
    fn spread(&self, store: &Arc<Store>, ticket: Ticket) -> Result<(), Failure> {
        let own = if self.has(BORROW) { Kept::borrow(self.logs) } else { Kept::copy(self) };
        let (store, flags) = (Arc::clone(store), self.flags);
        thread::start("waldo-append", move || {
            let kept = own;
            let append = || {
                let logs = Logs { logs: &kept.logs, flags };
                Ok(appended(logs.append(store.waldo()?)?))
            };
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(append));
            let result = caught.unwrap_or_else(|_| Err(panicked()));
            drop(kept);
            ticket.finish(result);
        })
    }
}

fn appended(appended: Appended) -> Yield {
    let Appended { first_seq_no, last_seq_no, count, .. } = appended;
    Yield::Appended { first_seq_no, last_seq_no, count }
}

/// Logs that outlive the call that submitted them.
struct Kept {
    logs: Vec<WaldoLog>,
    /// What they point to, where that is not the caller's.
    _bytes: Vec<u8>,
}

// SAFETY: the payloads are owned, or the caller's who leaves them alone until the completion.
unsafe impl Send for Kept {}

impl Kept {
    fn borrow(logs: &[WaldoLog]) -> Self {
        Self { logs: logs.to_vec(), _bytes: Vec::new() }
    }

    fn copy(from: &Logs<'_>) -> Self {
        let mut bytes = Vec::with_capacity(from.logs.iter().map(|log| log.len as usize).sum());
        for log in from.logs {
            bytes.extend_from_slice(from.log(log).data());
        }
        let mut rest = bytes.as_slice();
        let mut logs = from.logs.to_vec();
        for log in &mut logs {
            let (payload, behind) = rest.split_at(log.len as usize);
            log.data = payload.as_ptr();
            rest = behind;
        }
        Self { logs, _bytes: bytes }
    }
}

/// Payloads that lie back to back.
///
/// # Safety
///
/// `base` is NULL or valid for reading `len` bytes, `ends` for reading `count` ends, as long as
/// the result is used.
unsafe fn unpack(
    base: *const u8,
    len: u64,
    ends: *const u64,
    count: usize,
) -> Result<Vec<WaldoLog>, Failure> {
    // SAFETY: by contract.
    let ends = unsafe { array(ends, count, "ends") }?;
    let len = usize::try_from(len).map_err(|_| Failure::argument("len is too large"))?;
    // SAFETY: by contract.
    let bytes = unsafe { array(base, len, "base") }?;
    let mut logs = Vec::with_capacity(count);
    let mut start = 0;
    for (at, &end) in ends.iter().enumerate() {
        let payload = usize::try_from(end).ok().and_then(|end| bytes.get(start..end));
        let Some(payload) = payload else {
            let range = format!("ends[{at}] = {end} is not from {start} to {len}");
            return Err(Failure::argument(range));
        };
        start += payload.len();
        let (data, len) = (payload.as_ptr(), payload.len() as u64);
        logs.push(WaldoLog { seq_no: 0, prev_seq_no: 0, data, len });
    }
    Ok(logs)
}

/// Appends, and waits.
///
/// # Safety
///
/// The pointers are NULL or valid.
unsafe fn wait(store: *const Store, logs: Logs<'_>, last_seq_no: *mut u64) -> Result<(), Failure> {
    // SAFETY: by contract.
    let store = unsafe { handle(store) }?;
    may_block()?;
    let appended = logs.append(store.open_waldo()?)?;
    // SAFETY: by contract.
    unsafe { set(last_seq_no, appended.last_seq_no) };
    Ok(())
}

/// Submits an append.
///
/// # Safety
///
/// The pointers are NULL or valid.
unsafe fn submit(
    store: *const Store,
    logs: Logs<'_>,
    queue: *const Queue,
    user_data: u64,
) -> Result<(), Failure> {
    // SAFETY: by contract.
    let (store, queue) = unsafe { (hold(store)?, handle(queue)?) };
    logs.submit(&store, &queue, user_data)
}

/// Appends logs, and waits until they are acknowledged.
///
/// The first log is accepted where its `prev_seq_no` is the newest log of the store, and every
/// other where it is the one before it; or with `WALDO_APPEND_ASSIGN` the store numbers them.
/// What fits one frame is appended all or not at all. More is appended in several parts, one
/// after the other: then an error says nothing of the parts before, which `waldo_prev_seq_no`
/// tells of.
///
/// `logs` and its payloads are used during the call only. `last_seq_no` may be NULL; it is set to
/// the number of the last log, and to 0 on failure. `count` may be 0: then it is the newest log.
/// From any thread, but not in a callback.
///
/// Errors: `WALDO_SEQUENCE`, `WALDO_ORDER`, `WALDO_EXCEEDS_LIMIT`, `WALDO_BATCH_TOO_LARGE`,
/// `WALDO_EXHAUSTED`, `WALDO_FULL`, `WALDO_NO_SPACE`, `WALDO_POISONED`, `WALDO_CLOSED`,
/// `WALDO_INVALID_ARGUMENT`, `WALDO_WOULD_DEADLOCK`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_append(
    store: *mut Store,
    logs: *const WaldoLog,
    count: usize,
    flags: u32,
    last_seq_no: *mut u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            set(last_seq_no, 0);
            wait(store, Logs::new(logs, count, flags)?, last_seq_no)
        })
    }
}

/// Appends logs, without waiting. The completion has the first and last number, and the count.
///
/// Appends that are submitted one after the other are carried out in that order. One that is
/// larger than a frame (`batch_size_limit` of `waldo_metadata`) is appended in several parts
/// beside what is submitted after it: wait for its completion before going on.
///
/// `logs` is used during the call only; so are the payloads, unless `WALDO_APPEND_BORROW` says
/// that they stay valid until the completion. From any thread.
///
/// Errors of the call: `WALDO_AGAIN`, and, where the batch itself is wrong, those of
/// `waldo_append`: nothing was submitted, and nothing completes. With the completion: those of
/// `waldo_append`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_append_async(
    store: *mut Store,
    logs: *const WaldoLog,
    count: usize,
    flags: u32,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe { call(error, || submit(store, Logs::new(logs, count, flags)?, queue, user_data)) }
}

/// Appends payloads that lie back to back in memory, and waits until they are acknowledged. The
/// store numbers them, with or without `WALDO_APPEND_ASSIGN`.
///
/// `base` has `len` bytes; payload `i` ends before the offset `ends[i]`, and starts where the one
/// before it ends. Both are used during the call only. Everything else is as in `waldo_append`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_append_packed(
    store: *mut Store,
    base: *const u8,
    len: u64,
    ends: *const u64,
    count: usize,
    flags: u32,
    last_seq_no: *mut u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            set(last_seq_no, 0);
            let logs = unpack(base, len, ends, count)?;
            wait(store, Logs::new(logs.as_ptr(), count, flags | ASSIGN)?, last_seq_no)
        })
    }
}

/// Like `waldo_append_packed`, without waiting; and like `waldo_append_async`, also in its
/// errors. `ends` is used during the call only; so is `base`, unless `WALDO_APPEND_BORROW` says
/// that it stays valid until the completion.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_append_packed_async(
    store: *mut Store,
    base: *const u8,
    len: u64,
    ends: *const u64,
    count: usize,
    flags: u32,
    queue: *mut Queue,
    user_data: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let logs = unpack(base, len, ends, count)?;
            let logs = Logs::new(logs.as_ptr(), count, flags | ASSIGN)?;
            submit(store, logs, queue, user_data)
        })
    }
}
