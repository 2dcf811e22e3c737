//! Waiting for something to be written: inotify on the directory, a timer, and a way for other
//! threads to end a wait; all of them behind one file descriptor.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::fs::inotify::{self, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::changes::Changes;
use super::options::{FollowOptions, Watch};
use crate::driver::files::page_id;

/// Bytes of events that are read at a time.
const EVENTS_SIZE: usize = 4096;

/// File systems that another machine, or a program behind FUSE, may write to unnoticed: FUSE, NFS,
/// SMB, CIFS, Ceph, AFS, 9P.
const REMOTE: [u64; 8] =
    [0x6573_5546, 0x6969, 0x517b, 0xfe53_4d42, 0xff53_4d42, 0x00c3_6400, 0x6b41_4653, 0x0102_1997];

/// Ends waits of a [`Follower`](crate::Follower), from any thread, as often as needed. Cloning it
/// is cheap. It may outlive the follower, and does nothing then.
#[derive(Clone, Debug)]
pub struct Interrupter(Arc<Interrupt>);

#[derive(Debug)]
struct Interrupt {
    asked: AtomicBool,
    event: OwnedFd,
}

impl Interrupter {
    /// Has the call that waits answer [`QueryError::Interrupted`](crate::QueryError::Interrupted),
    /// or else the next call that would read on. Several interrupts before that are one.
    pub fn interrupt(&self) {
        self.0.asked.store(true, Ordering::Release);
        // It can only fail where it was done so often that the count is full: then it is ready.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }
}

/// What a follower waits with.
#[derive(Debug)]
pub(super) struct Watcher {
    ready: OwnedFd,
    timer: OwnedFd,
    inotify: Option<OwnedFd>,
    interrupt: Interrupter,
    /// The directory, and its state when it was last looked at, where it is polled.
    polled: Option<(PathBuf, DirectoryState)>,
}

/// What changes where files are made, removed or renamed in a directory, or it is another one.
type DirectoryState = Option<(u64, u64, i64, i64)>;

impl Watcher {
    /// Watches a directory.
    ///
    /// # Errors
    ///
    /// The system's, where it refuses even a timer.
    pub fn new(home: &Path, options: &FollowOptions) -> io::Result<Self> {
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let inotify = match options.watch {
            Watch::Poll => None,
            Watch::Auto if is_remote(home) => None,
            Watch::Auto => match watch(home) {
                Ok(inotify) => Some(inotify),
                Err(error) => {
                    log::warn!(
                        "{} cannot be watched ({error}): it is polled each {:?}. Raise the \
                         sysctls fs.inotify.max_user_instances and fs.inotify.max_user_watches",
                        home.display(),
                        options.poll_interval
                    );
                    None
                }
            },
        };
        for fd in inotify.iter().chain([&timer, &event]) {
            epoll::add(&ready, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        }
        let interrupt = Interrupter(Arc::new(Interrupt { asked: AtomicBool::new(false), event }));
        let polled = inotify.is_none().then(|| (home.to_owned(), state(home)));
        let watcher = Self { ready, timer, inotify, interrupt, polled };
        if !watcher.is_watching() {
            watcher.set_timer(options.poll_interval, options.poll_interval)?;
        }
        Ok(watcher)
    }

    /// Whether writes are noticed by themselves, without polling.
    pub fn is_watching(&self) -> bool {
        self.inotify.is_some()
    }

    pub fn interrupter(&self) -> Interrupter {
        self.interrupt.clone()
    }

    /// Whether somebody interrupted; that is done with then.
    pub fn take_interrupt(&self) -> bool {
        let Interrupter(interrupt) = &self.interrupt;
        let asked = interrupt.asked.load(Ordering::Relaxed)
            && interrupt.asked.swap(false, Ordering::Acquire);
        if asked {
            let mut count = [0; 8];
            // Nothing to read: the flag was set, the event comes in a moment.
            let _ = rustix::io::read(&interrupt.event, &mut count);
        }
        asked
    }

    /// Becomes ready in a while, at the latest; where pages are polled, it does so anyway.
    pub fn wake_in(&self, time: Duration) -> io::Result<()> {
        if self.is_watching() { self.set_timer(time, Duration::ZERO) } else { Ok(()) }
    }

    /// Takes note of everything that happened. Does not wait.
    pub fn drain(&mut self, changes: &mut Changes) -> io::Result<()> {
        let mut count = [0; 8];
        match rustix::io::read(&self.timer, &mut count) {
            Ok(_) => {
                if let Some((home, known)) = &mut self.polled {
                    changes.note_all();
                    let now = state(home);
                    if std::mem::replace(known, now) != now {
                        changes.note_names();
                    }
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let Some(inotify) = &self.inotify else { return Ok(()) };
        let mut bytes = [MaybeUninit::uninit(); EVENTS_SIZE];
        let mut events = inotify::Reader::new(inotify, &mut bytes);
        loop {
            match events.next() {
                Ok(event) => note(&event, changes),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until something happens, or until a time. `false` where that has come.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.map(timespec);
            let mut fds = [PollFd::new(&self.ready, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn set_timer(&self, first: Duration, each: Duration) -> io::Result<()> {
        let times = Itimerspec { it_value: timespec(first), it_interval: timespec(each) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

/// A time that is too long to be expressed is as good as for ever.
fn timespec(time: Duration) -> Timespec {
    let tv_sec = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: time.subsec_nanos().into() }
}

fn watch(home: &Path) -> io::Result<OwnedFd> {
    let inotify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    // A write that its process did not see the end of is noticed when its files are closed.
    let events = WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&inotify, home, events)?;
    Ok(inotify)
}

fn note(event: &inotify::Event<'_>, changes: &mut Changes) {
    let events = event.events();
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        changes.note_missed();
        changes.note_names();
    }
    let of_home = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED;
    if events.intersects(of_home | ReadFlags::UNMOUNT) {
        changes.note_names();
    }
    let name = event.file_name().and_then(|name| name.to_str().ok());
    let Some(page) = name.and_then(page_id) else { return };
    if events.intersects(ReadFlags::MODIFY | ReadFlags::CLOSE_WRITE) {
        changes.note_page(page);
    }
    let of_names = ReadFlags::CREATE | ReadFlags::DELETE;
    if events.intersects(of_names | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO) {
        changes.note_names();
    }
}

fn state(home: &Path) -> DirectoryState {
    let found = std::fs::metadata(home).ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec()))
}

fn is_remote(home: &Path) -> bool {
    let kind = rustix::fs::statfs(home).map(|fs| fs.f_type as u64 & 0xffff_ffff);
    kind.is_ok_and(|kind| REMOTE.contains(&kind))
}
