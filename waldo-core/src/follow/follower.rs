//! The follower: a tracker, the files that it reads, and the time that it waits.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::changes::Changes;
use super::mirror::{Terms, Unreadable};
use super::options::FollowOptions;
use super::pages::Pages;
use super::tracker::{Fault, Found, Place, Tracker};
use super::watch::{Interrupter, Watcher};
use crate::chunk::Chunk;
use crate::driver::files::page_path;
use crate::error::{Error, QueryError};
use crate::fork::Process;
use crate::handle::Cursor;
use crate::memory::Pool;
use crate::options::BLOCK_SIZE;
use crate::reader::Appetite;

/// How long a write may take to show before somebody looks whether it is damaged.
const DOUBT_FIRST: Duration = Duration::from_millis(50);

/// The longest time between two such looks while nothing comes of them.
const DOUBT_MAX: Duration = Duration::from_secs(5);

/// Reads a store from outside: without the writer's lock, without changing anything, and also
/// while another process, or this one, appends to it.
///
/// It is one reader with a position of its own, as a [`Stream`](crate::Stream) is, and is used by
/// one thread at a time. It starts at the oldest log. What it returns is what the writer's own
/// readers see: a contiguous sequence of logs, each checked against its checksum. A log is
/// returned once its write is complete; see [`FollowOptions::durable_only`] for those who want
/// only what is durable.
///
/// A follower has no thread and no part of it is in the writer: it takes a few hundred kilobytes,
/// 16 bytes for each entry of the indexes ([`FollowOptions::index_capacity`]), and each chunk that
/// the caller holds takes up to 256 KiB, or its largest log. An idle store costs it nothing where
/// inotify works.
///
/// # Errors
///
/// All ways to get the next logs answer the same:
///
/// - [`QueryError::Trimmed`] where logs behind the position were overwritten or trimmed before
///   they were read. The next call goes on with the oldest log there is;
/// - [`QueryError::Truncated`] where logs that were read were truncated, or cut by a writer that
///   was told to cut damage. The next call goes on behind that;
/// - [`QueryError::Corruption`] where logs are damaged that had been durable. The position stays;
/// - [`QueryError::Io`] where a page cannot be read;
/// - [`QueryError::Gone`] where all logs were read that there are, and the directory was removed,
///   moved, or holds another store now;
/// - [`QueryError::Interrupted`] after [`Interrupter::interrupt`];
/// - [`QueryError::Forked`] in a forked child.
///
/// A write that is not complete, or was torn by a crash, is the end of the log for now and no
/// error. That the writer ends, in whatever way, is none either: another one may open the store.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// use waldo_core::{FollowOptions, Follower, Options, Waldo};
///
/// let waldo = Waldo::blocking_open(dir.path(), Options::default())?;
/// let mut follower = Follower::open(dir.path(), FollowOptions::default())?;
/// waldo.blocking_append_assigned(&["one", "two"])?;
///
/// let chunk = follower.blocking_next()?;
/// assert_eq!(chunk.iter().map(|log| log.data().to_vec()).collect::<Vec<_>>(), [b"one", b"two"]);
/// assert!(follower.try_next()?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct Follower {
    pub(super) live: Live,
    options: FollowOptions,
    place: Place,
    process: Process,
}

/// A store that is being followed.
pub(super) struct Live {
    pub pages: Pages,
    pub tracker: Tracker,
    pub watcher: Watcher,
    changes: Changes,
    doubt: Doubt,
    /// The directory is gone, or holds another store.
    gone: bool,
}

/// Whether something was written that does not show.
#[derive(Debug, Default)]
struct Doubt {
    /// When to look at all pages; `None` while there is no doubt.
    due: Option<Instant>,
    /// How long the next one has to wait for that.
    delay: Duration,
    /// Something was written since the last look.
    stirred: bool,
}

impl Follower {
    /// Opens the store at `path`.
    ///
    /// Reads the pages that are not sealed, and the seals of the others: a few milliseconds for
    /// pages of default size.
    ///
    /// # Errors
    ///
    /// - [`Error::NotAStore`] where the directory holds no page files, or something else;
    /// - [`Error::Newer`] where a newer version wrote it;
    /// - [`Error::Corruption`] where logs that had been durable are damaged, unless
    ///   [`FollowOptions::corruption`] says to make do with those before;
    /// - [`Error::Option`] where an option has a value that cannot work;
    /// - [`Error::Io`] where the system refuses a call, also where there is no directory.
    pub fn open(path: impl AsRef<Path>, options: FollowOptions) -> Result<Self, Error> {
        options.validate()?;
        let path = path.as_ref();
        let failed = |action, source| Error::Io { action, path: path.to_owned(), source };
        let home = std::path::absolute(path).map_err(|error| failed("resolve", error))?;
        // Watched first: what is written while the pages are read is noticed.
        let watcher = Watcher::new(&home, &options).map_err(|error| failed("watch", error))?;
        let pages = Pages::open(&home, options.corruption)?;
        let terms = Terms {
            layout: pages.layout(&options),
            durable_only: options.durable_only,
            corruption: options.corruption,
            pool: Pool::new(0, 0, BLOCK_SIZE, false)
                .map_err(|error| failed("allocate memory for", error))?,
        };
        let tracker = Tracker::open(&pages, terms).map_err(|fault| fault.of(&pages))?;
        let place = tracker.place(Cursor::Trim, Appetite::Scan);
        let live = Live {
            pages,
            tracker,
            watcher,
            changes: Changes::default(),
            doubt: Doubt { delay: DOUBT_FIRST, ..Doubt::default() },
            gone: false,
        };
        Ok(Self { live, options, place, process: Process::current() })
    }

    /// The directory that holds the store, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.live.pages.home()
    }

    /// The options that the store is followed with.
    #[must_use]
    pub fn options(&self) -> &FollowOptions {
        &self.options
    }

    /// `seq_no` of the last log that was returned; before the first, the place where reading
    /// starts. `Cursor::After` of it goes on where this follower is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.place.seq_no()
    }

    /// Moves to a cursor. [`Cursor::Tip`] is resolved now.
    ///
    /// # Errors
    ///
    /// Only with [`Cursor::Tip`]; see [`Follower`].
    pub fn seek(&mut self, cursor: Cursor) -> Result<(), QueryError> {
        self.place = self.place(cursor, Appetite::Scan)?;
        Ok(())
    }

    /// Finds the logs from `cursor` on that are there now: at least one where there is one, else
    /// an empty chunk. The position stays.
    ///
    /// # Errors
    ///
    /// See [`Follower`].
    pub fn query(&mut self, cursor: Cursor) -> Result<Chunk, QueryError> {
        let mut place = self.place(cursor, Appetite::Lookup)?;
        Ok(self.live.next(&mut place)?.unwrap_or_default())
    }

    /// The next logs that are there now; `None` where there are none yet.
    ///
    /// To wait without blocking a thread: call this until it answers `None`, wait until the file
    /// descriptor of [`AsFd`] is readable, and begin anew.
    ///
    /// # Errors
    ///
    /// See [`Follower`].
    pub fn try_next(&mut self) -> Result<Option<Chunk>, QueryError> {
        self.live(true)?;
        self.live.next(&mut self.place)
    }

    /// Waits for the next logs.
    ///
    /// # Errors
    ///
    /// See [`Follower`].
    pub fn blocking_next(&mut self) -> Result<Chunk, QueryError> {
        self.wait(None)
    }

    /// Waits for the next logs, no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`QueryError::Timeout`] where no log comes in time, and see [`Follower`].
    pub fn blocking_next_timeout(&mut self, timeout: Duration) -> Result<Chunk, QueryError> {
        // A time that cannot be expressed never comes.
        self.wait(Instant::now().checked_add(timeout))
    }

    /// Looks whether the log really ends with the newest log that is known, or damage hides more.
    ///
    /// That [`try_next`](Self::try_next) finds nothing newer says that there is nothing yet; one
    /// who waits is told of damage shortly after. This is for those who are going to stop. Reads
    /// what is not sealed anew.
    ///
    /// # Errors
    ///
    /// See [`Follower`].
    pub fn check_end(&mut self) -> Result<(), QueryError> {
        self.live(false)?.look().map(drop)
    }

    /// What ends waits of this follower from other threads.
    #[must_use]
    pub fn interrupter(&self) -> Interrupter {
        self.live.watcher.interrupter()
    }

    /// The store, for a call that makes sense in this process only; a call that reads on ends
    /// where somebody interrupted it.
    pub(super) fn live(&mut self, reads_on: bool) -> Result<&mut Live, QueryError> {
        if !self.process.is_current() {
            return Err(QueryError::Forked);
        }
        if reads_on && self.live.watcher.take_interrupt() {
            return Err(QueryError::Interrupted);
        }
        Ok(&mut self.live)
    }

    fn place(&mut self, cursor: Cursor, appetite: Appetite) -> Result<Place, QueryError> {
        let live = self.live(false)?;
        if cursor == Cursor::Tip {
            live.catch_up()?;
        }
        Ok(live.tracker.place(cursor, appetite))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Chunk, QueryError> {
        loop {
            if let Some(chunk) = self.try_next()? {
                return Ok(chunk);
            }
            if !self.live.watcher.wait(deadline).map_err(system)? {
                return Err(QueryError::Timeout);
            }
        }
    }
}

/// Readable when [`try_next`](Follower::try_next) may have more to say: for `poll`, `epoll` and
/// event loops.
impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.live.watcher.as_fd()
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("path", &self.path())
            .field("position", &self.position())
            .field("gone", &self.live.gone)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// The next logs for a place; `None` where there are none yet.
    fn next(&mut self, place: &mut Place) -> Result<Option<Chunk>, QueryError> {
        loop {
            self.drain()?;
            match self.tracker.next(&self.pages, place, &mut self.changes) {
                Ok(Found::Chunk(chunk)) => {
                    self.doubt = Doubt { delay: DOUBT_FIRST, ..Doubt::default() };
                    return Ok(Some(chunk));
                }
                Ok(Found::End { doubt }) => {
                    if self.gone {
                        return Err(QueryError::Gone);
                    }
                    if !self.resolve(doubt)? {
                        return Ok(None);
                    }
                }
                Err(QueryError::Corruption(_) | QueryError::Io { .. }) if self.gone => {
                    return Err(QueryError::Gone);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in everything that was written.
    pub fn catch_up(&mut self) -> Result<(), QueryError> {
        self.drain()?;
        while self.tracker.advance(&self.pages, &mut self.changes)?.is_none() {}
        Ok(())
    }

    /// Looks at all pages anew. Answers whether there is more than was known.
    fn look(&mut self) -> Result<bool, QueryError> {
        self.drain()?;
        self.doubt.stirred = false;
        self.doubt.due = None;
        match self.tracker.look(&self.pages) {
            Err(_) if self.gone => Err(QueryError::Gone),
            result => Ok(result?),
        }
    }

    /// Takes note of what was written, made and removed.
    fn drain(&mut self) -> Result<(), QueryError> {
        self.watcher.drain(&mut self.changes).map_err(system)?;
        self.doubt.stirred |= self.changes.any();
        if self.changes.take_names() && !self.gone {
            let published = self.tracker.published();
            let is_used = |page| published.catalog.holds_file(page);
            match self.pages.reload(is_used) {
                Ok(true) => self.tracker.resize(self.pages.ring_size),
                Ok(false) => self.gone = true,
                Err(error) => log::warn!("{error}; following what was open before"),
            }
        }
        Ok(())
    }

    /// Looks at all pages where something was written that does not show, after some time. Answers
    /// whether that brought anything.
    fn resolve(&mut self, doubt: bool) -> Result<bool, QueryError> {
        let now = Instant::now();
        if doubt && (self.doubt.stirred || self.tracker.is_unsure()) {
            self.doubt.due.get_or_insert(now + self.doubt.delay);
        }
        let Some(due) = self.doubt.due else { return Ok(false) };
        let left = due.saturating_duration_since(now);
        if !left.is_zero() {
            self.watcher.wake_in(left).map_err(system)?;
            return Ok(false);
        }
        self.doubt.delay = (self.doubt.delay * 2).min(DOUBT_MAX);
        self.look()
    }
}

/// What the system refuses that has nothing to do with a page.
fn system(error: io::Error) -> QueryError {
    QueryError::Io { page: 0, errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

impl Fault {
    /// As an error of opening.
    pub(super) fn of(self, pages: &Pages) -> Error {
        let home = pages.home();
        match self {
            Self::Corruption(corruption) => corruption.into(),
            Self::Unreadable(Unreadable { page, error: source }) => {
                Error::Io { action: "read", path: page_path(home, page), source }
            }
            Self::Restless => Error::Io {
                action: "keep up with the writer of",
                path: home.to_owned(),
                source: io::Error::from_raw_os_error(libc::EAGAIN),
            },
        }
    }
}
