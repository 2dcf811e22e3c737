//! Waldo through the symbols of its C ABI, declared as in `waldo.h`.

// Brings the symbols.
extern crate waldo as _;

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::time::Duration;

use anyhow::bail;
use waldo_core::{Backend, IoMode, Options};

use crate::engine::{Engine, Producer, Setup, Store};
use crate::rounds::Role;
use crate::waldo::WaldoEngine;

pub const OK: i32 = 0;
const AGAIN: i32 = -3;
const ASSIGN: u32 = 1;
const CURSOR_TIP: u32 = 1;

/// Completions that a producer may have to come.
const DEPTH: u32 = 64;

/// Numbers of `waldo_metadata`, and which of them counts pages that are prepared.
const METADATA: usize = 19;
const PENDING_RESETS: usize = 8;

/// `waldo_log`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Log {
    pub seq_no: u64,
    pub prev_seq_no: u64,
    pub data: *const u8,
    pub len: u64,
}

/// `waldo_error`
#[repr(C)]
pub struct Error {
    status: i32,
    os_errno: i32,
    wanted: u64,
    actual: u64,
    reserved: [u64; 4],
    message: [c_char; 256],
}

/// `waldo_completion`
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Completion {
    pub user_data: u64,
    pub kind: u32,
    pub status: i32,
    os_errno: i32,
    flags: u32,
    first_seq_no: u64,
    last_seq_no: u64,
    count: u64,
    wanted: u64,
    actual: u64,
    pub chunk: *mut c_void,
    store: *mut c_void,
    reserved: [u64; 2],
}

pub type CompletionFn = unsafe extern "C" fn(*mut c_void, *const Completion, usize);

unsafe extern "C" {
    fn waldo_options_new(options: *mut *mut c_void) -> i32;
    fn waldo_options_free(options: *mut c_void);
    fn waldo_options_set(
        options: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        error: *mut Error,
    ) -> i32;
    fn waldo_open(
        path: *const c_char,
        options: *const c_void,
        store: *mut *mut c_void,
        error: *mut Error,
    ) -> i32;
    fn waldo_close(store: *mut c_void, timeout_ns: i64, error: *mut Error) -> i32;
    fn waldo_release(store: *mut c_void);
    fn waldo_metadata_get(
        store: *const c_void,
        metadata: *mut [u64; METADATA],
        size: usize,
        error: *mut Error,
    ) -> i32;
    fn waldo_append(
        store: *mut c_void,
        logs: *const Log,
        count: usize,
        flags: u32,
        last_seq_no: *mut u64,
        error: *mut Error,
    ) -> i32;
    fn waldo_append_async(
        store: *mut c_void,
        logs: *const Log,
        count: usize,
        flags: u32,
        queue: *mut c_void,
        user_data: u64,
        error: *mut Error,
    ) -> i32;
    fn waldo_queue_new(depth: u32, queue: *mut *mut c_void, error: *mut Error) -> i32;
    fn waldo_queue_new_callback(
        depth: u32,
        callback: CompletionFn,
        context: *mut c_void,
        queue: *mut *mut c_void,
        error: *mut Error,
    ) -> i32;
    fn waldo_queue_wait(
        queue: *mut c_void,
        completions: *mut Completion,
        capacity: usize,
        min: usize,
        timeout_ns: i64,
        count: *mut usize,
    ) -> i32;
    pub fn waldo_queue_release(queue: *mut c_void);
    fn waldo_stream_new(
        store: *mut c_void,
        cursor: u32,
        seq_no: u64,
        flags: u32,
        stream: *mut *mut c_void,
        error: *mut Error,
    ) -> i32;
    pub fn waldo_stream_next_async(
        stream: *mut c_void,
        queue: *mut c_void,
        user_data: u64,
        error: *mut Error,
    ) -> i32;
    pub fn waldo_stream_release(stream: *mut c_void);
    pub fn waldo_chunk_logs(
        chunk: *const c_void,
        first: usize,
        logs: *mut Log,
        capacity: usize,
    ) -> usize;
    pub fn waldo_chunk_release(chunk: *mut c_void);
}

/// Makes a call that answers a status, with storage for its error.
fn call(call: impl FnOnce(*mut Error) -> i32) -> anyhow::Result<()> {
    let mut error = Error {
        status: OK,
        os_errno: 0,
        wanted: 0,
        actual: 0,
        reserved: [0; 4],
        message: [0; 256],
    };
    let status = call(&raw mut error);
    if status == OK {
        return Ok(());
    }
    // SAFETY: the message ends with a zero.
    let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
    bail!("status {status}: {}", message.to_string_lossy())
}

/// Waldo behind its C ABI.
pub struct CapiEngine(pub WaldoEngine);

impl Engine for CapiEngine {
    fn name(&self) -> String {
        "C ABI".to_owned()
    }

    fn role(&self) -> Role {
        Role::Waldo
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        Ok(Box::new(CapiStore::open(&self.0, dir, setup)?))
    }
}

/// An open store.
pub struct CapiStore {
    store: *mut c_void,
    depth: usize,
}

// SAFETY: the functions of the C ABI may be called with a store from any thread.
unsafe impl Send for CapiStore {}
// SAFETY: as above.
unsafe impl Sync for CapiStore {}

impl CapiStore {
    pub fn open(engine: &WaldoEngine, dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let path = CString::new(dir.as_os_str().as_bytes())?;
        let (mut options, mut store) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the pointers are valid during the calls, and the options until they are freed.
        unsafe {
            call(|_| waldo_options_new(&raw mut options))?;
            let opened = set_all(options, &engine.options(setup)).and_then(|()| {
                call(|error| waldo_open(path.as_ptr(), options, &raw mut store, error))
            });
            waldo_options_free(options);
            opened?;
        }
        let depth = if setup.batch_logs > 1 { engine.depth.max(1) } else { 1 };
        Ok(Self { store, depth })
    }

    /// A callback queue, to be released.
    pub fn callback_queue(
        depth: u32,
        callback: CompletionFn,
        context: *mut c_void,
    ) -> anyhow::Result<*mut c_void> {
        let mut queue = ptr::null_mut();
        // SAFETY: the caller keeps the context until the queue has ended.
        call(|error| unsafe {
            waldo_queue_new_callback(depth, callback, context, &raw mut queue, error)
        })?;
        Ok(queue)
    }

    /// A stream of what is appended from now on, to be released.
    pub fn stream(&self) -> anyhow::Result<*mut c_void> {
        let mut stream = ptr::null_mut();
        // SAFETY: the store is open, and the pointers are valid during the call.
        call(|error| unsafe {
            waldo_stream_new(self.store, CURSOR_TIP, 0, 0, &raw mut stream, error)
        })?;
        Ok(stream)
    }
}

/// Sets what the bench sets in Rust.
///
/// # Safety
///
/// `to` are options that nobody else uses.
unsafe fn set_all(to: *mut c_void, options: &Options) -> anyhow::Result<()> {
    let io = match options.io {
        IoMode::Auto => "auto",
        IoMode::Buffered => "buffered",
        IoMode::Direct => "direct",
    };
    let backend = match options.backend {
        Backend::Auto => "auto",
        Backend::IoUring => "io_uring",
        Backend::Threads => "threads",
        Backend::Memory => "memory",
    };
    for (key, value) in [
        (c"backend", backend.to_owned()),
        (c"memory.keep", options.memory.keep.to_string()),
        (c"ring_size", options.ring_size.unwrap_or(0).to_string()),
        (c"pool_size", options.pool_size.to_string()),
        (c"buf_capacity", options.buf_capacity.to_string()),
        (c"file_capacity", options.file_capacity.unwrap_or(0).to_string()),
        (c"tail_capacity", options.tail_capacity.to_string()),
        (c"index_capacity", options.index_capacity.to_string()),
        (c"file_o_dsync", options.file_o_dsync.to_string()),
        (c"io", io.to_owned()),
    ] {
        let value = CString::new(value)?;
        // SAFETY: by contract; both texts are valid during the call.
        call(|error| unsafe { waldo_options_set(to, key.as_ptr(), value.as_ptr(), error) })?;
    }
    Ok(())
}

impl Store for CapiStore {
    fn producer(&self, _index: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        let mut queue = ptr::null_mut();
        // SAFETY: the pointers are valid during the call.
        call(|error| unsafe { waldo_queue_new(DEPTH, &raw mut queue, error) })?;
        Ok(Box::new(CapiProducer { store: self, queue, logs: Vec::new(), done: 0, under_way: 0 }))
    }

    fn settle(&self) -> anyhow::Result<()> {
        let mut metadata = [0; METADATA];
        loop {
            // SAFETY: the store is open, and the struct is valid for writing.
            call(|error| unsafe {
                let size = size_of_val(&metadata);
                waldo_metadata_get(self.store, &raw mut metadata, size, error)
            })?;
            if metadata[PENDING_RESETS] == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        // SAFETY: the store is open, and released in the drop.
        call(|error| unsafe { waldo_close(self.store, -1, error) })
    }
}

impl Drop for CapiStore {
    fn drop(&mut self) {
        // SAFETY: it is this value's reference.
        unsafe { waldo_release(self.store) };
    }
}

struct CapiProducer<'a> {
    store: &'a CapiStore,
    queue: *mut c_void,
    /// Kept from append to append, so that none allocates.
    logs: Vec<Log>,
    /// Completions that were taken out before somebody waited for them.
    done: usize,
    under_way: usize,
}

// SAFETY: the functions of the C ABI may be called with a queue from any thread; the logs are
// pointers that are used during a call only.
unsafe impl Send for CapiProducer<'_> {}

impl CapiProducer<'_> {
    fn take_one(&mut self) -> anyhow::Result<()> {
        let mut done = std::mem::MaybeUninit::<Completion>::uninit();
        let mut count = 0;
        // SAFETY: there is room for one, and it is written where the call succeeds.
        let done = unsafe {
            let taken = waldo_queue_wait(self.queue, done.as_mut_ptr(), 1, 1, -1, &raw mut count);
            anyhow::ensure!(taken == OK, "status {taken}");
            done.assume_init()
        };
        self.under_way -= 1;
        anyhow::ensure!(done.status == OK, "status {}", done.status);
        Ok(())
    }
}

impl Producer for CapiProducer<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        let log = |log: &&[u8]| Log {
            seq_no: 0,
            prev_seq_no: 0,
            data: log.as_ptr(),
            len: log.len() as u64,
        };
        self.logs.clear();
        self.logs.extend(logs.iter().map(log));
        let (store, queue, count) = (self.store.store, self.queue, self.logs.len());
        if self.store.depth == 1 {
            let logs = self.logs.as_ptr();
            // SAFETY: the logs are valid during the call.
            return call(|error| unsafe {
                waldo_append(store, logs, count, ASSIGN, ptr::null_mut(), error)
            });
        }
        loop {
            let (logs, mut status) = (self.logs.as_ptr(), OK);
            // SAFETY: the logs are valid during the call, which copies them.
            let submitted = call(|error| unsafe {
                status = waldo_append_async(store, logs, count, ASSIGN, queue, 0, error);
                status
            });
            match status {
                AGAIN if self.under_way > 0 => {
                    self.take_one()?;
                    self.done += 1;
                }
                AGAIN => std::thread::yield_now(),
                _ => {
                    self.under_way += 1;
                    return submitted;
                }
            }
        }
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        if self.store.depth == 1 {
            return Ok(());
        }
        if self.done > 0 {
            self.done -= 1;
            return Ok(());
        }
        self.take_one()
    }

    fn depth(&self) -> usize {
        self.store.depth
    }
}

impl Drop for CapiProducer<'_> {
    fn drop(&mut self) {
        // SAFETY: it is this value's reference.
        unsafe { waldo_queue_release(self.queue) };
    }
}
