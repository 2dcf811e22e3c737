//! The driver of [`Backend::Memory`](crate::Backend::Memory): page files in memory, and failures
//! on demand.
//!
//! It carries out requests in the order of submission, on the worker's own thread, so that what
//! fails is the same each time. Failures count what the store does for its users: neither what
//! opening it takes, nor the preparation of pages, unless that is what is to fail.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::files::{PageFile, PageFiles, signed};
use super::threads::{fill, vector, write_vectors};
use super::{Completion, Driver, Io, Notifier, Parts, Request, Wait, ZERO_SIZE_MAX};
use crate::options::{Fault, Memory};

/// Carries out requests one after the other.
#[derive(Debug)]
pub struct MemoryDriver {
    files: Arc<PageFiles>,
    submitted: VecDeque<Request>,
    faults: Faults,
    bell: Arc<Bell>,
}

/// Which requests fail.
#[derive(Debug)]
struct Faults {
    options: Memory,
    armed: bool,
    /// How much there was so far of what is to fail: requests, or bytes.
    seen: u64,
    failed: u64,
    /// Pages with zeros that no sync followed yet: one that does prepares the page.
    zeroed: HashSet<u32>,
}

impl MemoryDriver {
    /// A driver for files in memory.
    #[must_use]
    pub fn new(files: Arc<PageFiles>, options: Memory) -> Self {
        let faults =
            Faults { options, armed: false, seen: 0, failed: 0, zeroed: HashSet::default() };
        Self { files, submitted: VecDeque::new(), faults, bell: Arc::default() }
    }

    fn carry_out(&mut self, request: Request) -> Completion {
        let mut read = None;
        let result = match request.io {
            Io::Write { page, offset, parts, durable } => self.write(page, offset, &parts, durable),
            Io::Zero { page, offset, len } => self.zero(page, offset, len),
            Io::Sync { page } => self.sync(page),
            Io::Read { page, offset, mut buffer } => {
                let filled = match self.faults.check(Fault::Read) {
                    Ok(()) => self.file(page).and_then(|file| fill(file, offset, &mut buffer)),
                    Err(error) => Err(error),
                };
                read = Some(buffer);
                filled
            }
        };
        let result = result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO));
        Completion { id: request.id, result, buffer: read }
    }

    fn file(&self, page: u32) -> io::Result<&PageFile> {
        self.files.get(page).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn write(&mut self, page: u32, offset: u64, parts: &Parts, durable: bool) -> io::Result<usize> {
        self.faults.check(Fault::Write)?;
        let is_short = self.faults.strikes(Fault::ShortWrite);
        let second = parts.second.as_deref().unwrap_or_default();
        let mut vectors = [vector(&parts.first), vector(second)];
        if is_short {
            let mut left = parts.len() / 2;
            for vector in &mut vectors {
                vector.iov_len = vector.iov_len.min(left);
                left -= vector.iov_len;
            }
        }
        let written = write_vectors(self.file(page)?.for_writes(), &vectors, offset, 0)?;
        if durable {
            self.faults.check(Fault::Sync)?;
        }
        Ok(written)
    }

    fn sync(&mut self, page: u32) -> io::Result<usize> {
        self.file(page)?;
        let prepares = self.faults.zeroed.remove(&page);
        if !prepares {
            self.faults.check(Fault::Sync)?;
        }
        Ok(0)
    }

    /// Zeros that take no memory.
    fn zero(&mut self, page: u32, offset: u64, len: usize) -> io::Result<usize> {
        if len > ZERO_SIZE_MAX {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        self.faults.take_space(len as u64)?;
        self.faults.zeroed.insert(page);
        let file = self.file(page)?.for_writes();
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let (start, size) = (signed(offset)?, signed(len as u64)?);
        // SAFETY: fallocate on a descriptor that is borrowed; no memory is involved.
        if unsafe { libc::fallocate64(file.as_raw_fd(), mode, start, size) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(len)
    }
}

impl Faults {
    /// Counts a request of this kind; answers whether it is one of those that fail.
    fn strikes(&mut self, kind: Fault) -> bool {
        if !self.armed || self.options.fail != kind {
            return false;
        }
        self.seen += 1;
        let is_due = self.seen > self.options.fail_after && self.failed < self.options.fail_count;
        self.failed += u64::from(is_due);
        is_due
    }

    fn check(&mut self, kind: Fault) -> io::Result<()> {
        if self.strikes(kind) {
            return Err(io::Error::from_raw_os_error(self.options.errno));
        }
        Ok(())
    }

    /// Takes room for `len` bytes, if there is as much.
    fn take_space(&mut self, len: u64) -> io::Result<()> {
        if self.options.fail != Fault::Space || !self.armed {
            return Ok(());
        }
        let is_scarce = self.failed < self.options.fail_count;
        if is_scarce && self.seen.saturating_add(len) > self.options.fail_after {
            self.failed += 1;
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.seen = self.seen.saturating_add(len);
        Ok(())
    }
}

impl Driver for MemoryDriver {
    fn submit(&mut self, request: Request) {
        self.submitted.push_back(request);
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        if self.submitted.is_empty() {
            self.bell.wait(wait);
        }
        while let Some(request) = self.submitted.pop_front() {
            let completion = self.carry_out(request);
            completions.push(completion);
        }
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::<Bell>::clone(&self.bell)
    }

    fn handed_out(&mut self) {
        self.faults.armed = true;
    }
}

/// Ends a wait.
#[derive(Debug, Default)]
struct Bell {
    // Not parking_lot's: those keep waiting threads in a table of the process, which a forked
    // child inherits without the threads.
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, wait: Wait) {
        let is_silent = |rung: &mut bool| !*rung;
        let rung = self.lock();
        let mut rung = match wait {
            Wait::Poll => rung,
            Wait::Forever => {
                self.changed.wait_while(rung, is_silent).unwrap_or_else(PoisonError::into_inner)
            }
            Wait::For(duration) => {
                self.changed
                    .wait_timeout_while(rung, duration, is_silent)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        *rung = false;
    }
}

impl Notifier for Bell {
    fn notify(&self) {
        *self.lock() = true;
        self.changed.notify_one();
    }
}
