//! The driver for systems that refuse io_uring: a few threads with blocking calls.
//!
//! Requests wait in one of two lanes. Reads have a thread of their own and never run on another,
//! so that however slow the disk answers them, a write or a sync finds its threads free; and the
//! other way round, a sync of a whole page does not keep readers waiting. One thread for reads is
//! enough here: what the page cache has, callers read themselves, and large reads make the kernel
//! read ahead. The other threads take writes, zeros and syncs in the order of submission. Where
//! there are several of them, the zeros and syncs that prepare a page leave room for appends.
//!
//! All threads sleep in the kernel while there is nothing to do.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::files::{PageFile, PageFiles, signed, zeros};
use super::{Completion, Driver, Io, Notifier, Parts, Request, Wait};
use crate::memory::ReadBuffer;

/// One for reads and one for all else.
const THREADS_MIN: usize = 2;

/// One for reads and three for all else: direct durable writes gain nothing from more than that.
const THREADS_MAX: usize = 4;

/// Carries out requests on threads of its own.
#[derive(Debug)]
pub struct ThreadsDriver {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Where the threads are. They do not exist in a forked child.
    process: u32,
}

/// What the threads, the driver and its notifiers share.
#[derive(Debug)]
struct Shared {
    files: Arc<PageFiles>,
    // Not parking_lot's: those keep waiting threads in a table of the process, which a forked
    // child inherits without the threads.
    state: Mutex<State>,
    /// Signalled when a read was submitted, or the driver is dropped.
    read_ready: Condvar,
    /// The same for writes, zeros and syncs.
    write_ready: Condvar,
    /// Signalled when a request is done, on a notification, and when a thread is broken.
    progress: Condvar,
    /// Set when the system has no `RWF_DSYNC`: a write and a sync take its place.
    lacks_write_sync: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    reads: VecDeque<Request>,
    writes: VecDeque<Request>,
    done: Vec<Completion>,
    notified: bool,
    closing: bool,
    /// A thread panicked, and what it was doing will never complete.
    broken: bool,
}

/// Which requests a thread takes.
#[derive(Clone, Copy, Debug)]
enum Lane {
    Reads,
    Writes,
}

impl ThreadsDriver {
    /// Starts the threads: at least 2, at most 4, and no more than `queue_depth` in between.
    ///
    /// # Errors
    ///
    /// The system's error where it refuses a thread, or the memory for zeros.
    pub fn new(files: Arc<PageFiles>, queue_depth: u32) -> io::Result<Self> {
        // Now, because later there is nobody to report that to.
        zeros()?;
        let shared = Arc::new(Shared {
            files,
            state: Mutex::default(),
            read_ready: Condvar::new(),
            write_ready: Condvar::new(),
            progress: Condvar::new(),
            lacks_write_sync: AtomicBool::new(false),
        });
        let mut driver = Self { shared, threads: Vec::new(), process: std::process::id() };
        driver.start("waldo-read".to_owned(), Lane::Reads)?;
        let count = (queue_depth as usize).clamp(THREADS_MIN, THREADS_MAX);
        for number in 1..count {
            driver.start(format!("waldo-write-{number}"), Lane::Writes)?;
        }
        Ok(driver)
    }

    /// Where this fails, dropping the driver ends the threads that were started before.
    fn start(&mut self, name: String, lane: Lane) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = crate::thread::start(&name, move || shared.serve(lane))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Driver for ThreadsDriver {
    fn submit(&mut self, request: Request) {
        let mut state = self.shared.lock();
        let ready = if matches!(request.io, Io::Read { .. }) {
            state.reads.push_back(request);
            &self.shared.read_ready
        } else {
            state.writes.push_back(request);
            &self.shared.write_ready
        };
        drop(state);
        ready.notify_one();
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        let mut state = self.shared.await_progress(self.shared.lock(), wait);
        // Whoever waits looks around when it returns, for whatever reason: the notification has
        // done its work in any case.
        state.notified = false;
        completions.append(&mut state.done);
        if state.broken {
            return Err(io::Error::other("a thread of the driver panicked"));
        }
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::new(Waker(Arc::downgrade(&self.shared)))
    }
}

impl Drop for ThreadsDriver {
    /// Lets requests that were started finish, and drops those that were not.
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // A forked child has neither the threads nor, maybe, a state that can be locked.
            std::mem::forget(std::mem::take(&mut self.threads));
            return;
        }
        let mut state = self.shared.lock();
        state.closing = true;
        let unstarted = (std::mem::take(&mut state.reads), std::mem::take(&mut state.writes));
        drop(state);
        self.shared.read_ready.notify_all();
        self.shared.write_ready.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a thread of the driver panicked");
            }
        }
        drop(unstarted);
    }
}

/// Does not keep the page files open when the driver is gone.
struct Waker(Weak<Shared>);

impl Notifier for Waker {
    fn notify(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lock().notified = true;
            shared.progress.notify_one();
        }
    }
}

impl Shared {
    /// The state. A thread that panics while it holds it leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_progress<'a>(
        &self,
        state: MutexGuard<'a, State>,
        wait: Wait,
    ) -> MutexGuard<'a, State> {
        let has_nothing =
            |state: &mut State| state.done.is_empty() && !state.notified && !state.broken;
        match wait {
            Wait::Poll => state,
            Wait::Forever => {
                self.progress.wait_while(state, has_nothing).unwrap_or_else(PoisonError::into_inner)
            }
            Wait::For(duration) => {
                self.progress
                    .wait_timeout_while(state, duration, has_nothing)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }

    /// What a thread does: one request after the other, until the driver is dropped.
    fn serve(&self, lane: Lane) {
        let _alarm = Alarm(self);
        let mut state = self.lock();
        loop {
            let request = match lane {
                Lane::Reads => state.reads.pop_front(),
                Lane::Writes => state.writes.pop_front(),
            };
            if let Some(request) = request {
                drop(state);
                let completion = self.carry_out(request);
                state = self.lock();
                state.done.push(completion);
                self.progress.notify_one();
            } else if state.closing {
                return;
            } else {
                let ready = match lane {
                    Lane::Reads => &self.read_ready,
                    Lane::Writes => &self.write_ready,
                };
                state = ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn carry_out(&self, request: Request) -> Completion {
        let mut read = None;
        let result = match request.io {
            Io::Write { page, offset, parts, durable } => {
                self.file(page).and_then(|file| self.write(file, offset, &parts, durable))
            }
            Io::Zero { page, offset, len } => {
                self.file(page).and_then(|file| write_zeros(file, offset, len))
            }
            Io::Sync { page } => self.file(page).and_then(|file| sync(file.for_reads())),
            Io::Read { page, offset, mut buffer } => {
                let result = self.file(page).and_then(|file| fill(file, offset, &mut buffer));
                read = Some(buffer);
                result
            }
        };
        Completion { id: request.id, result: result.map_err(|error| errno(&error)), buffer: read }
    }

    fn file(&self, page: u32) -> io::Result<&PageFile> {
        self.files.get(page).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn write(
        &self,
        file: &PageFile,
        offset: u64,
        parts: &Parts,
        durable: bool,
    ) -> io::Result<usize> {
        let second = parts.second.as_deref().unwrap_or_default();
        let vectors = [vector(&parts.first), vector(second)];
        let used = if second.is_empty() { &vectors[..1] } else { &vectors[..] };
        if durable && !self.lacks_write_sync.load(Ordering::Relaxed) {
            match write_vectors(file.for_writes(), used, offset, libc::RWF_DSYNC) {
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                    log::info!("no RWF_DSYNC here: durable writes take a write and a sync");
                    self.lacks_write_sync.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
        let count = write_vectors(file.for_writes(), used, offset, 0)?;
        if durable {
            sync(file.for_writes())?;
        }
        Ok(count)
    }
}

/// Reports it when its thread ends by a panic: what it was doing would be waited for in vain.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.progress.notify_one();
        }
    }
}

pub(super) fn vector(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

/// Writes what `vectors` describe, which must be memory that is borrowed by the caller.
pub(super) fn write_vectors(
    file: BorrowedFd<'_>,
    vectors: &[libc::iovec],
    offset: u64,
    flags: libc::c_int,
) -> io::Result<usize> {
    let offset = signed(offset)?;
    // At most two.
    let count = vectors.len() as libc::c_int;
    // SAFETY: each vector describes bytes that the caller borrows during this call, and the
    // kernel only reads them.
    counted(|| unsafe { libc::pwritev2(file.as_raw_fd(), vectors.as_ptr(), count, offset, flags) })
}

fn write_zeros(file: &PageFile, offset: u64, len: usize) -> io::Result<usize> {
    let too_many = || io::Error::from_raw_os_error(libc::EINVAL);
    let bytes = zeros()?.get(..len).ok_or_else(too_many)?;
    write_vectors(file.for_writes(), &[vector(bytes)], offset, 0)
}

pub(super) fn fill(file: &PageFile, offset: u64, buffer: &mut ReadBuffer) -> io::Result<usize> {
    let offset = signed(offset)?;
    let (start, len) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: `start` and `len` are those of `buffer`, which is borrowed exclusively.
    counted(|| unsafe { libc::pread64(file.for_reads().as_raw_fd(), start.cast(), len, offset) })
}

fn sync(file: BorrowedFd<'_>) -> io::Result<usize> {
    // Once only, whatever comes: a sync that failed says nothing when it is repeated.
    // SAFETY: fdatasync on a descriptor that is borrowed; no memory is involved.
    if unsafe { libc::fdatasync(file.as_raw_fd()) } == 0 {
        Ok(0)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Carries out a call that returns a count, until no signal interrupts it.
fn counted(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    // Every error here comes from the system, so the other case does not occur.
    error.raw_os_error().unwrap_or(libc::EIO)
}
