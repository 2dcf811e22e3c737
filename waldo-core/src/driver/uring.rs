//! The driver for production: io_uring.
//!
//! One ring, used by the thread that made it. [`submit`](Driver::submit) only fills entries of
//! the submission queue; [`wait`](Driver::wait) starts them and waits for completions with one
//! system call. The kernel defers all work on completions to that call (`DEFER_TASKRUN`), so
//! nothing interrupts the thread in between.
//!
//! Page files and the pool's buffers are registered with the ring where the system allows it,
//! which saves looking them up for every request. Memory that is registered counts as locked, and
//! common limits for that are low: doing without is a normal way to run, not an error.
//!
//! **Invariant.** What a request points to belongs to its slot from before the kernel learns of
//! the request until after its completion was seen, whatever happens in between. Dropping the
//! driver, also by a panic, therefore waits for the kernel; where it cannot, the memory is leaked.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};

use super::files::{PageFile, PageFiles, signed, zeros};
use super::{Completion, Driver, Io, Notifier, Parts, Request, Wait};
use crate::memory::{Pool, ReadBuffer, Slice};

/// Marks completions of the poll for notifications; all others carry their slot's index.
const NOTIFICATION: u64 = u64::MAX;

/// Entries of the submission queue that requests leave free for the poll.
const RESERVED_ENTRIES: u32 = 1;

/// Most buffers that the kernel registers.
const REGIONS_MAX: usize = 1 << 14;

/// How often a request is started anew that the kernel gave up for lack of a moment
/// (`EAGAIN`) or for a signal (`EINTR`).
const RESTARTS_MAX: u8 = 16;

/// How often, and how far apart, the kernel is asked again while it has no memory for requests.
const BUSY_ATTEMPTS_MAX: u32 = 10_000;
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Carries out requests with io_uring.
///
/// It stays on the thread that made it: the kernel insists.
pub struct UringDriver {
    /// Dropped by hand, as it must not be where the kernel still uses what it holds.
    ring: ManuallyDrop<IoUring>,
    slab: ManuallyDrop<Slab>,
    registration: Registration,
    files: Arc<PageFiles>,
    /// Requests for which there was no slot, in order.
    backlog: VecDeque<Request>,
    /// Completions of requests that were never given to the kernel.
    refused: Vec<Completion>,
    event: Arc<Event>,
    /// Whether the kernel watches `event`, or is about to.
    armed: bool,
    notified: bool,
    /// Entries that were ever put into the submission queue.
    pushed: u64,
    /// Where the ring was made; a forked child must not touch it.
    process: u32,
    #[cfg(test)]
    enters: u64,
    /// Not `Send`: `SINGLE_ISSUER` binds the ring to its thread, also for draining it.
    _thread: PhantomData<*mut ()>,
}

/// The requests that are under way.
struct Slab {
    slots: Box<[Option<Slot>]>,
    /// Where the two runs of a write are, by slot. Never moves, as the kernel reads it.
    vectors: Box<[[libc::iovec; 2]]>,
    free: Vec<u32>,
}

/// A request that is under way, and what the kernel may touch for its sake.
struct Slot {
    id: u64,
    held: Held,
    /// For starting it again.
    entry: squeue::Entry,
    /// Its place among all entries that were ever pushed.
    sequence: u64,
    restarts: u8,
}

/// Memory that belongs to the kernel while a request is under way.
enum Held {
    /// Nothing.
    Sync,
    /// Nothing: the zeros are there for ever.
    Zeros,
    /// Never read, only kept.
    Write {
        _parts: Parts,
    },
    Read(ReadBuffer),
}

/// What the kernel was told in advance.
struct Registration {
    /// Each page has two places: for reads and syncs, then for writes.
    files: bool,
    buffers: Option<Regions>,
}

/// A pool's memory, cut into runs that the kernel takes as one buffer each, and that no buffer of
/// the pool straddles.
struct Regions {
    /// Held so that no other memory can get the addresses that were registered.
    pool: Arc<Pool>,
    start: usize,
    len: usize,
    region_size: usize,
}

/// What to try for a ring. Everything, except in tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub defer_work: bool,
    pub register_files: bool,
    pub register_buffers: bool,
    /// Largest run of memory that is registered as one buffer; the kernel takes 1 GiB.
    pub region_size_max: usize,
}

impl Setup {
    pub(super) const BEST: Self = Self {
        defer_work: true,
        register_files: true,
        register_buffers: true,
        region_size_max: 1 << 30,
    };
}

/// Tells whether io_uring can be used here, by using it.
///
/// # Errors
///
/// The system's error where it cannot:
///
/// - `ENOSYS` where the kernel lacks it, or something of it that is needed;
/// - `EINVAL` where the kernel is older than 5.19;
/// - `EPERM` where a policy refuses it, as containers do (seccomp), or the setting
///   `kernel.io_uring_disabled`;
/// - `ENOMEM` where the user's limit for locked memory has no room for a ring.
pub fn probe() -> io::Result<()> {
    let mut ring = make_ring(1, true)?;
    // SAFETY: a no-op refers to no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.map_err(io::Error::other)?;
    // A policy may let rings be made, and refuse their use.
    ring.submit_and_wait(1)?;
    Ok(())
}

impl UringDriver {
    /// Makes a ring for `queue_depth` requests at a time, on the thread that will use it.
    ///
    /// What the system does not let it register is used unregistered, with a line in the log.
    ///
    /// # Errors
    ///
    /// The system's error where it refuses the ring; see [`probe`].
    pub fn new(files: Arc<PageFiles>, pool: &Arc<Pool>, queue_depth: u32) -> io::Result<Self> {
        Self::with_setup(files, pool, queue_depth, Setup::BEST)
    }

    pub(super) fn with_setup(
        files: Arc<PageFiles>,
        pool: &Arc<Pool>,
        queue_depth: u32,
        setup: Setup,
    ) -> io::Result<Self> {
        // Now, because later there is nobody to report that to.
        zeros()?;
        let event = Arc::new(Event::new()?);
        let queue_depth = queue_depth.max(1);
        let ring = make_ring(queue_depth.saturating_add(RESERVED_ENTRIES), setup.defer_work)?;
        let capacity = queue_depth.min(ring.params().sq_entries() - RESERVED_ENTRIES);
        let registration = Registration {
            files: setup.register_files && register_files(&ring, &files),
            buffers: register_buffers(&ring, pool, setup),
        };
        let mut driver = Self {
            ring: ManuallyDrop::new(ring),
            slab: ManuallyDrop::new(Slab::new(capacity)),
            registration,
            files,
            backlog: VecDeque::new(),
            refused: Vec::new(),
            event,
            armed: false,
            notified: false,
            pushed: 0,
            process: std::process::id(),
            #[cfg(test)]
            enters: 0,
            _thread: PhantomData,
        };
        // Tells at once where a policy lets rings be made, but not used.
        driver.watch_event();
        driver.enter(0, None)?;
        Ok(driver)
    }

    /// How often the kernel was entered.
    #[cfg(test)]
    pub(super) fn enter_count(&self) -> u64 {
        self.enters
    }

    /// The requests under way, as the kernel is told of them.
    #[cfg(test)]
    pub(super) fn entries(&self) -> Vec<squeue::Entry> {
        self.slab.slots.iter().flatten().map(|slot| slot.entry.clone()).collect()
    }

    /// Whether files are registered, and how many bytes of buffers.
    #[cfg(test)]
    pub(super) fn registers(&self) -> (bool, usize) {
        let buffers = self.registration.buffers.as_ref();
        (self.registration.files, buffers.map_or(0, |regions| regions.len))
    }

    /// Has the kernel report every write to the eventfd, from now on.
    fn watch_event(&mut self) {
        let fd = types::Fd(self.event.0.as_raw_fd());
        // Multishot: the kernel goes on watching after the first report, and nothing has to be
        // read. That the count in the eventfd only grows does no harm: it would take centuries to
        // fill it.
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).multi(true).build();
        self.armed = self.push(&entry.user_data(NOTIFICATION));
    }

    /// Puts an entry into the submission queue, unless that is full.
    fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what the entry points to stays valid until its completion was seen: it is held
        // by the slot that the entry carries the index of, by `slab.vectors`, or by the eventfd,
        // which the kernel itself keeps open.
        let is_pushed = unsafe { self.ring.submission().push(entry) }.is_ok();
        self.pushed += u64::from(is_pushed);
        is_pushed
    }

    /// Gives a request to the submission queue. There must be a free slot.
    fn start(&mut self, request: Request) {
        let Some(index) = self.slab.free.pop() else {
            self.backlog.push_front(request);
            return;
        };
        let (entry, held) = self.prepare(index, request.io);
        match entry {
            Ok(entry) => {
                let entry = entry.user_data(u64::from(index));
                let sequence = self.pushed;
                let slot =
                    Slot { id: request.id, held, entry: entry.clone(), sequence, restarts: 0 };
                self.slab.put(index, slot);
                if !self.push(&entry) {
                    // The queue has room for every slot.
                    self.finish(index, Err(libc::EBUSY));
                }
            }
            Err(errno) => {
                self.slab.free.push(index);
                self.refused.push(Completion {
                    id: request.id,
                    result: Err(errno),
                    buffer: held.into_buffer(),
                });
            }
        }
    }

    /// Translates a request, and tells what must be held on to until it is done.
    fn prepare(&mut self, index: u32, io: Io) -> (Result<squeue::Entry, i32>, Held) {
        match io {
            Io::Write { page, offset, parts, durable } => {
                let flags = if durable { libc::RWF_DSYNC } else { 0 };
                let entry = self.prepare_write(index, page, offset, &parts, flags);
                (entry, Held::Write { _parts: parts })
            }
            Io::Zero { page, offset, len } => (self.prepare_zeros(page, offset, len), Held::Zeros),
            Io::Sync { page } => (self.prepare_sync(page), Held::Sync),
            Io::Read { page, offset, mut buffer } => {
                let entry = self.prepare_read(page, offset, &mut buffer);
                (entry, Held::Read(buffer))
            }
        }
    }

    fn prepare_write(
        &mut self,
        index: u32,
        page: u32,
        offset: u64,
        parts: &Parts,
        flags: libc::c_int,
    ) -> Result<squeue::Entry, i32> {
        let (fd, fd_flags) = self.target(page, Access::Write)?;
        let offset = checked_offset(offset)?;
        let second = parts.second.as_ref().filter(|second| !second.is_empty());
        let entry = if let Some(second) = second {
            let vectors = self.slab.vectors.get_mut(index as usize).ok_or(libc::EINVAL)?;
            *vectors = [vector(&parts.first), vector(second)];
            opcode::Writev::new(fd, vectors.as_ptr(), 2).offset(offset).rw_flags(flags).build()
        } else {
            let (start, len) = (parts.first.as_ptr(), checked_len(parts.first.len())?);
            let regions = self.registration.buffers.as_ref();
            match regions.and_then(|regions| regions.find(&parts.first)) {
                Some(region) => opcode::WriteFixed::new(fd, start, len, region)
                    .offset(offset)
                    .rw_flags(flags)
                    .build(),
                None => opcode::Write::new(fd, start, len).offset(offset).rw_flags(flags).build(),
            }
        };
        Ok(entry.flags(fd_flags))
    }

    fn prepare_zeros(&self, page: u32, offset: u64, len: usize) -> Result<squeue::Entry, i32> {
        let (fd, fd_flags) = self.target(page, Access::Write)?;
        let zeros = zeros().map_err(|_| libc::ENOMEM)?.get(..len).ok_or(libc::EINVAL)?;
        // Not registered: that would take real memory for all these zeros.
        let entry = opcode::Write::new(fd, zeros.as_ptr(), checked_len(len)?);
        Ok(entry.offset(checked_offset(offset)?).build().flags(fd_flags))
    }

    fn prepare_sync(&self, page: u32) -> Result<squeue::Entry, i32> {
        let (fd, fd_flags) = self.target(page, Access::Read)?;
        let entry = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        Ok(entry.flags(fd_flags))
    }

    fn prepare_read(
        &self,
        page: u32,
        offset: u64,
        buffer: &mut ReadBuffer,
    ) -> Result<squeue::Entry, i32> {
        let (fd, fd_flags) = self.target(page, Access::Read)?;
        let len = checked_len(buffer.len())?;
        let entry = opcode::Read::new(fd, buffer.as_mut_ptr(), len);
        Ok(entry.offset(checked_offset(offset)?).build().flags(fd_flags))
    }

    /// The file of a page, as an entry names it.
    fn target(&self, page: u32, access: Access) -> Result<(types::Fd, squeue::Flags), i32> {
        let file = self.files.get(page).ok_or(libc::EBADF)?;
        if !self.registration.files {
            return Ok((types::Fd(access.of(file).as_raw_fd()), squeue::Flags::empty()));
        }
        // What was registered has 2^20 places at most, so this cannot overflow.
        let place = page as i32 * 2 + i32::from(access == Access::Write);
        Ok((types::Fd(place), squeue::Flags::FIXED_FILE))
    }

    /// Moves requests from the backlog into the submission queue, as far as there are slots.
    fn start_backlog(&mut self) {
        while !self.slab.free.is_empty() {
            let Some(request) = self.backlog.pop_front() else { return };
            self.start(request);
        }
    }

    /// Takes what is in the completion queue, without a system call.
    fn reap(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        // One at a time, because finishing may push an entry. The queue's head and tail are only
        // loaded and stored again: a few nanoseconds.
        while let Some(entry) = self.next_completion() {
            if entry.user_data() == NOTIFICATION {
                self.note_event(&entry)?;
            } else {
                completions.extend(self.complete(&entry));
            }
        }
        if !self.armed {
            self.watch_event();
        }
        Ok(())
    }

    fn note_event(&mut self, entry: &cqueue::Entry) -> io::Result<()> {
        if entry.result() < 0 {
            // Without notifications a wait might never end.
            return Err(io::Error::from_raw_os_error(entry.result().wrapping_neg()));
        }
        self.notified = true;
        // The kernel stops watching where it could not report something.
        self.armed = cqueue::more(entry.flags());
        Ok(())
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// Ends the request that `entry` is about, or starts it again.
    fn complete(&mut self, entry: &cqueue::Entry) -> Option<Completion> {
        let Ok(index) = u32::try_from(entry.user_data()) else {
            log::error!("a completion for no request: {}", entry.user_data());
            return None;
        };
        // The kernel's errors are negative; ours are positive.
        let result = usize::try_from(entry.result()).map_err(|_| entry.result().wrapping_neg());
        if matches!(result, Err(libc::EAGAIN | libc::EINTR)) && self.restart(index) {
            return None;
        }
        self.finish_slot(index, result)
    }

    /// Starts a request again that did nothing yet, if it may be.
    fn restart(&mut self, index: u32) -> bool {
        let sequence = self.pushed;
        let Some(slot) = self.slab.get_mut(index) else { return false };
        if !slot.may_restart() {
            return false;
        }
        slot.restarts += 1;
        slot.sequence = sequence;
        let entry = slot.entry.clone();
        self.push(&entry)
    }

    fn finish_slot(&mut self, index: u32, result: Result<usize, i32>) -> Option<Completion> {
        let Some(slot) = self.slab.take(index) else {
            log::error!("a completion for a request that is not under way: {index}");
            return None;
        };
        Some(Completion { id: slot.id, result, buffer: slot.held.into_buffer() })
    }

    fn finish(&mut self, index: u32, result: Result<usize, i32>) {
        let completion = self.finish_slot(index, result);
        self.refused.extend(completion);
    }

    /// Whether a system call would start something, or bring completions that wait in the kernel.
    fn has_work_for_kernel(&mut self) -> bool {
        let queue = self.ring.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// The one system call: starts what is in the submission queue, and waits until there are
    /// `wanted` completions in the completion queue, until `timeout`.
    ///
    /// Returns also without completions: after a signal, or where the kernel is short of
    /// something for a moment ([`Entered::Busy`]).
    fn enter(&mut self, wanted: u32, timeout: Option<Duration>) -> io::Result<Entered> {
        #[cfg(test)]
        {
            self.enters += 1;
        }
        let queued = self.ring.submission().len() as u32;
        self.enter_with(queued, wanted, timeout)
    }

    fn enter_with(
        &self,
        queued: u32,
        wanted: u32,
        timeout: Option<Duration>,
    ) -> io::Result<Entered> {
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if self.slab.is_idle() && self.ring.params().is_feature_no_iowait() {
            // Waiting for work is not waiting for a disk, and must not look like it: `top` would
            // show a processor that waits for I/O all the time. Since Linux 6.15.
            flags |= EnterFlags::NO_IOWAIT;
        }
        let timespec = types::Timespec::from(timeout.unwrap_or_default());
        let mut arguments = types::SubmitArgs::new();
        if timeout.is_some() {
            arguments = arguments.timespec(&timespec);
        }
        // SAFETY: `EXT_ARG` goes with exactly this type of argument, which lives, with the time
        // it points to, until the call is over. `queued` entries at most are in the queue; what
        // they point to is held, see `push`.
        let result =
            unsafe { self.ring.submitter().enter(queued, wanted, flags.bits(), Some(&arguments)) };
        match result {
            Ok(_) => Ok(Entered::Done),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) => Ok(Entered::Done),
                Some(libc::EAGAIN | libc::EBUSY) => Ok(Entered::Busy),
                _ => Err(error),
            },
        }
    }

    /// Drops requests that the kernel does not know of yet, and forgets them.
    fn drop_unstarted(&mut self) {
        self.backlog.clear();
        // The kernel takes entries in order: those at the end of the queue are still ours.
        let taken = self.pushed - self.ring.submission().len() as u64;
        for index in 0..self.slab.slots.len() as u32 {
            if self.slab.get_mut(index).is_some_and(|slot| slot.sequence >= taken) {
                drop(self.slab.take(index));
            }
        }
    }

    /// Waits until the kernel is done with all that it was given.
    fn drain(&mut self) -> io::Result<()> {
        let mut attempts = 0;
        loop {
            while let Some(entry) = self.next_completion() {
                if let Ok(index) = u32::try_from(entry.user_data()) {
                    drop(self.slab.take(index));
                }
            }
            if self.slab.is_idle() {
                return Ok(());
            }
            // Nothing is submitted here: what was not started stays so.
            if self.enter_with(0, 1, None)? == Entered::Busy {
                pause(&mut attempts)?;
            }
        }
    }
}

impl Driver for UringDriver {
    fn submit(&mut self, request: Request) {
        if self.backlog.is_empty() && !self.slab.free.is_empty() {
            self.start(request);
        } else {
            self.backlog.push_back(request);
        }
    }

    fn wait(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        let before = completions.len();
        let end = match wait {
            Wait::For(duration) => Instant::now().checked_add(duration),
            Wait::Poll | Wait::Forever => None,
        };
        let mut attempts = 0;
        loop {
            self.reap(completions)?;
            self.start_backlog();
            completions.append(&mut self.refused);
            let timeout = end.map(|end| end.saturating_duration_since(Instant::now()));
            let is_over = completions.len() > before || self.notified;
            let mut may_wait = !is_over && wait != Wait::Poll && timeout != Some(Duration::ZERO);
            if !may_wait && !self.has_work_for_kernel() {
                break;
            }
            let entered = self.enter(u32::from(may_wait), timeout.filter(|_| may_wait))?;
            self.reap(completions)?;
            may_wait &= completions.len() == before && !self.notified;
            if !may_wait {
                break;
            }
            if entered == Entered::Busy {
                pause(&mut attempts)?;
            }
        }
        // Whoever waits looks around when it returns, for whatever reason: the notification has
        // done its work in any case.
        self.notified = false;
        Ok(())
    }

    fn notifier(&self) -> Arc<dyn Notifier> {
        Arc::clone(&self.event) as Arc<dyn Notifier>
    }
}

impl Drop for UringDriver {
    /// Waits for the requests that were started, and drops those that were not.
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // The ring is the parent's, and so is what goes on in it. The copies of the buffers
            // here are only memory: leaked, like the ring, because both are shared state of which
            // this process knows nothing.
            std::mem::forget(std::mem::take(&mut self.backlog));
            std::mem::forget(std::mem::take(&mut self.refused));
            return;
        }
        self.drop_unstarted();
        match self.drain() {
            // SAFETY: neither is used after this, and the kernel uses nothing of the slab any
            // more. The ring goes first: the kernel ends its watch of the eventfd by itself.
            Ok(()) => unsafe {
                ManuallyDrop::drop(&mut self.ring);
                ManuallyDrop::drop(&mut self.slab);
            },
            Err(error) => {
                log::error!("cannot wait for requests under way, leaking their memory: {error}");
            }
        }
    }
}

impl Slab {
    fn new(capacity: u32) -> Self {
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self {
            slots: (0..capacity).map(|_| None).collect(),
            vectors: (0..capacity).map(|_| [empty; 2]).collect(),
            free: (0..capacity).rev().collect(),
        }
    }

    fn put(&mut self, index: u32, slot: Slot) {
        if let Some(place) = self.slots.get_mut(index as usize) {
            *place = Some(slot);
        }
    }

    fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    fn take(&mut self, index: u32) -> Option<Slot> {
        let slot = self.slots.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(slot)
    }

    fn is_idle(&self) -> bool {
        self.free.len() == self.slots.len()
    }
}

impl Slot {
    /// Reads and writes may be repeated: they do the same again. A sync may not: where the first
    /// one failed, the second would lie.
    fn may_restart(&self) -> bool {
        !matches!(self.held, Held::Sync) && self.restarts < RESTARTS_MAX
    }
}

impl Held {
    fn into_buffer(self) -> Option<ReadBuffer> {
        match self {
            Self::Read(buffer) => Some(buffer),
            Self::Sync | Self::Zeros | Self::Write { .. } => None,
        }
    }
}

impl Regions {
    /// Cuts the first `len` bytes of a pool's memory, rounded down to whole buffers, unless that
    /// leaves none or makes too many regions.
    fn new(pool: &Arc<Pool>, len: usize, region_size_max: usize) -> Option<Self> {
        let capacity = pool.buffer_capacity().max(1);
        let len = len.min(pool.mapping().size()) / capacity * capacity;
        let region_size = region_size_max / capacity * capacity;
        let start = pool.mapping().start().as_ptr().addr();
        let is_possible = len > 0 && region_size > 0 && len.div_ceil(region_size) <= REGIONS_MAX;
        is_possible.then(|| Self { pool: Arc::clone(pool), start, len, region_size })
    }

    /// What to register.
    fn vectors(&self) -> Vec<libc::iovec> {
        let base = self.pool.mapping().start().as_ptr();
        let offsets = (0..self.len).step_by(self.region_size);
        offsets
            .map(|offset| libc::iovec {
                iov_base: base.wrapping_add(offset).cast(),
                iov_len: self.region_size.min(self.len - offset),
            })
            .collect()
    }

    /// The region that `slice` lies in. By its address, so that memory of another pool is never
    /// taken for ours.
    fn find(&self, slice: &Slice) -> Option<u16> {
        let offset = slice.as_ptr().addr().checked_sub(self.start)?;
        let end = offset.checked_add(slice.len())?;
        let region = offset / self.region_size;
        let region_end = (region + 1).checked_mul(self.region_size)?.min(self.len);
        if end <= region_end { u16::try_from(region).ok() } else { None }
    }
}

/// What a file is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

impl Access {
    fn of(self, file: &PageFile) -> BorrowedFd<'_> {
        match self {
            Self::Read => file.for_reads(),
            Self::Write => file.for_writes(),
        }
    }
}

/// How a call that did not fail went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    Done,
    /// The kernel is short of memory, or wants completions to be taken first.
    Busy,
}

/// An eventfd that the kernel watches for the ring.
struct Event(File);

impl Event {
    fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and nobody else knows of it.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }
}

impl Notifier for Event {
    fn notify(&self) {
        // `write_all` goes on after a signal. Nothing else can fail: the count does not get full.
        if let Err(error) = (&self.0).write_all(&1u64.to_ne_bytes()) {
            log::error!("cannot wake the worker: {error}");
        }
    }
}

/// Makes a ring with the best of the wanted features that the kernel has.
fn make_ring(entries: u32, defer_work: bool) -> io::Result<IoUring> {
    let result = match build_ring(entries, defer_work) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && defer_work => {
            log::info!("io_uring without DEFER_TASKRUN: the kernel is older than 6.1");
            build_ring(entries, false)
        }
        result => result,
    };
    let ring = result?;
    check_features(&ring)?;
    Ok(ring)
}

fn build_ring(entries: u32, defer_work: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    // One request that is refused must not hold up those behind it (`submit_all`); work that
    // waits for a system call must show without one (`taskrun_flag`).
    builder.setup_clamp().setup_submit_all().setup_taskrun_flag();
    if defer_work {
        builder.setup_single_issuer().setup_defer_taskrun();
    } else {
        builder.setup_coop_taskrun();
    }
    builder.build(entries)
}

/// Refuses a kernel that lacks what this driver is built on.
fn check_features(ring: &IoUring) -> io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let codes = [
        opcode::Write::CODE,
        opcode::WriteFixed::CODE,
        opcode::Writev::CODE,
        opcode::Read::CODE,
        opcode::Fsync::CODE,
        opcode::PollAdd::CODE,
    ];
    let is_complete = codes.iter().all(|code| probe.is_supported(*code))
        && ring.params().is_feature_ext_arg()
        && ring.params().is_feature_nodrop()
        && ring.params().is_feature_submit_stable();
    if is_complete { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOSYS)) }
}

fn register_files(ring: &IoUring, files: &PageFiles) -> bool {
    let fds: Vec<_> = files
        .0
        .iter()
        .flat_map(|file| [file.for_reads().as_raw_fd(), file.for_writes().as_raw_fd()])
        .collect();
    match ring.submitter().register_files(&fds) {
        Ok(()) => true,
        Err(error) => {
            log::info!("io_uring with unregistered files: {error}");
            false
        }
    }
}

/// Registers the pool's buffers: all, or as many of the first as the limit for locked memory
/// lets. Those are the ones in use while traffic is light.
fn register_buffers(ring: &IoUring, pool: &Arc<Pool>, setup: Setup) -> Option<Regions> {
    if !setup.register_buffers {
        return None;
    }
    let wanted = pool.mapping().size();
    let mut len = wanted;
    let mut reason = None;
    while let Some(regions) = Regions::new(pool, len, setup.region_size_max) {
        // SAFETY: the vectors describe the pool's mapping. The kernel keeps the memory that it
        // consists of for as long as it is registered, and is only ever told to use it for
        // slices of the pool, which `regions` keeps.
        match unsafe { ring.submitter().register_buffers(&regions.vectors()) } {
            Ok(()) => {
                if let Some(reason) = reason {
                    log_unregistered(wanted - regions.len, wanted, &reason);
                }
                return Some(regions);
            }
            Err(error) => {
                let is_limit = error.raw_os_error() == Some(libc::ENOMEM);
                reason = Some(error);
                if !is_limit {
                    break;
                }
                len = if len == wanted { locked_memory_share().min(wanted / 2) } else { len / 2 };
            }
        }
    }
    if let Some(reason) = reason {
        log_unregistered(wanted, wanted, &reason);
    }
    None
}

fn log_unregistered(len: usize, wanted: usize, reason: &io::Error) {
    log::info!(
        "io_uring with {len} of {wanted} bytes of buffers unregistered: {reason}. It works all \
         the same; large writes take more CPU. To have all registered, raise the limit for locked \
         memory (ulimit -l)"
    );
}

/// What a ring may take of the locked memory that the user is allowed. The limit is for all of
/// the user's processes, and other rings need some to be made at all.
fn locked_memory_share() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is where the kernel may write.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    usize::try_from(limit.rlim_cur / 4 * 3).unwrap_or(usize::MAX)
}

fn vector(slice: &Slice) -> libc::iovec {
    libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() }
}

/// To the kernel, the largest offset means "wherever the file's position is".
fn checked_offset(offset: u64) -> Result<u64, i32> {
    signed(offset).map(|_| offset).map_err(|_| libc::EINVAL)
}

fn checked_len(len: usize) -> Result<u32, i32> {
    len.try_into().map_err(|_| libc::EINVAL)
}

/// Gives the kernel a moment, and gives up after a number of them.
fn pause(attempts: &mut u32) -> io::Result<()> {
    *attempts += 1;
    if *attempts > BUSY_ATTEMPTS_MAX {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    std::thread::sleep(BUSY_PAUSE);
    Ok(())
}
