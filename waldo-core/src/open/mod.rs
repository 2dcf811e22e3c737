//! Opening a store: from a path and options to everything that the worker and the handles need.
//!
//! All of this blocks, and runs on the thread that becomes the worker. The order matters:
//!
//! 1. the options are checked, and the directory is locked;
//! 2. `settle`: what the page cache holds of the page files is made durable;
//! 3. `headers`: what the page files' headers say, before anything is changed;
//! 4. `pages`: recovery reads the frames, still without changing anything, and decides whether
//!    the store is intact; and `settle` makes sure that what it read is on the disk;
//! 5. `resize`: whether the ring can get the size that is asked for;
//! 6. only then files are copied away, removed and made.

mod headers;
mod pages;
mod resize;
mod settle;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::driver::files::{Home, PageFile, PageFiles, direct_supported, direct_supported_by};
use crate::engine::Config;
use crate::error::{Corruption, Error};
use crate::format::{PAGE_HEADER_SIZE, PageHeader, StoreId};
use crate::index::Spacing;
use crate::memory::{Pool, ReadPool};
use crate::options::{BLOCK_SIZE, Backend, CorruptionPolicy, IoMode, Options};
use crate::published::Published;
use crate::recovery::{Assembled, Layout, Recovered, RecoveryReport, assemble, scan_all};

pub(crate) use self::headers::Survey;
pub(crate) use self::pages::Sources;

/// Most threads that read pages while a store is opened.
const SCAN_THREADS_MAX: usize = 8;

/// Writes under way at a time, whatever the options say: more than that gains nothing, and every
/// one of them is in doubt after a crash.
pub(crate) const WRITES_MAX: u32 = 16;

/// A store that is open, but that nobody writes to yet.
pub(crate) struct Opened {
    /// The right to the directory. Dropping it releases the lock.
    pub home: Home,
    /// The page files.
    pub files: Arc<PageFiles>,
    /// For the engine.
    pub config: Config,
    /// Where the log goes on.
    pub recovered: Recovered,
    /// What readers see.
    pub published: Arc<Published>,
    /// Memory for cold reads.
    pub read_pool: Arc<ReadPool>,
    /// What recovery found.
    pub report: RecoveryReport,
    /// The options, with the sizes that the store has.
    pub options: Options,
}

/// What is the same in all page headers of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Geometry {
    pub store_id: StoreId,
    pub page_size: u64,
    pub alignment: u32,
    seal_capacity: u32,
}

impl Geometry {
    /// That of a new store.
    fn new(options: &Options, direct: bool) -> Result<Self, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        let alignment = if direct { BLOCK_SIZE } else { 8 };
        Ok(Self {
            store_id: StoreId(id),
            page_size: options.file_capacity_or_new(),
            alignment: alignment as u32,
            // `validate` keeps it below the size of a page, and that below 16 GiB.
            seal_capacity: options.seal_capacity(alignment) as u32,
        })
    }

    fn of(header: &PageHeader) -> Self {
        Self {
            store_id: header.store_id,
            page_size: header.page_size,
            alignment: header.frame_alignment,
            seal_capacity: header.seal_capacity,
        }
    }

    fn header(&self, page_id: u32) -> PageHeader {
        PageHeader {
            store_id: self.store_id,
            page_id,
            page_size: self.page_size,
            frame_alignment: self.alignment,
            seal_capacity: self.seal_capacity,
        }
    }

    fn seal_offset(&self) -> u64 {
        self.page_size - u64::from(self.seal_capacity)
    }

    pub fn layout(&self, options: &Options, ring_size: u32) -> Layout {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Layout {
            store_id: self.store_id,
            ring_size,
            page_size: self.page_size,
            alignment: u64::from(self.alignment),
            seal_offset: self.seal_offset(),
            index_capacity: options.index_capacity,
            spacing: spacing(options),
            recovery: options.recovery,
            blank_limit: u64::MAX,
            threads: threads.min(SCAN_THREADS_MAX),
        }
    }

    fn config(&self, options: &Options, ring_size: u32) -> Config {
        Config {
            store_id: self.store_id,
            ring_size,
            page_size: self.page_size,
            alignment: u64::from(self.alignment),
            seal_capacity: u64::from(self.seal_capacity),
            buf_capacity: options.buf_capacity,
            page_capacity: options.page_capacity,
            index_capacity: options.index_capacity,
            spacing: spacing(options),
            durable: options.file_o_dsync,
            retention: options.retention,
            writes_max: options.queue_depth.min(WRITES_MAX) as usize,
            flush_interval_ns: options
                .flush_interval
                .map(|interval| u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX)),
        }
    }
}

/// Opens the store at `path`, or makes one.
///
/// # Errors
///
/// Every variant of [`Error`] but those of a store that is open already. After an error the
/// directory is unlocked; after any but [`Error::Io`] nothing in it was changed, unless the
/// corruption policy asked for that.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened, Error> {
    let started = Instant::now();
    options.validate()?;
    let home = match options.backend {
        Backend::Memory => Home::in_memory(path, options.memory.keep)?,
        _ => Home::acquire(path)?,
    };
    settle::sync(&home)?;
    let mut survey = Survey::of(home.path(), options)?;
    let direct = wants_direct(&home, options, &survey)?;
    let is_new = survey.geometry.is_none();
    let made = survey.geometry.map(|geometry| (survey.page_count(), geometry.page_size));
    let options = &options.fitted(made);
    let geometry = match survey.geometry {
        Some(geometry) => geometry,
        None => {
            options.validate()?;
            Geometry::new(options, direct).map_err(|error| {
                io_error("get a random id for", path, io::Error::other(error.to_string()))
            })?
        }
    };
    check_capacity(&home, options, &geometry)?;
    let ring_size = options.ring_size_or_new();

    let mut quarantined = Vec::new();
    let header_damage = survey.settle_damage(&home, options, &mut quarantined)?;
    let scanned = ring_size.max(survey.page_count());
    let mut found = recover(&home, options, &geometry, scanned)?;
    if settle::forget_unwritten(&home, &found.unvouched)? {
        found = recover(&home, options, &geometry, scanned)?;
    }
    let (mut recovered, mut report, cut) = decide(&home, options, found, &mut quarantined)?;
    let surplus = resize::check(ring_size, &mut recovered, &survey.page_ids())?;

    resize::remove(&home, &surplus)?;
    make_pages(&home, ring_size, &geometry, &survey, is_new)?;
    let files = open_files(&home, ring_size, direct)?;
    recovered.unprepared = unprepared(&recovered, &files);

    report.created = is_new;
    report.cut = cut.or(header_damage);
    report.quarantined = quarantined;
    let published = publish(&home, options, &geometry, &recovered)?;
    report.duration = started.elapsed();
    Ok(Opened {
        home,
        files: Arc::new(files),
        config: geometry.config(options, ring_size),
        options: *options,
        published,
        recovered,
        read_pool: ReadPool::new(options.read_capacity),
        report,
    })
}

fn spacing(options: &Options) -> Spacing {
    Spacing { bytes: options.index_sparse_bytes as u64, count: options.index_sparse_count as u64 }
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

/// Whether appends are to go past the page cache.
fn wants_direct(home: &Home, options: &Options, survey: &Survey) -> Result<bool, Error> {
    if home.is_in_memory() {
        return Ok(false);
    }
    let alignment = survey.geometry.map(|geometry| geometry.alignment as usize);
    let aligned = alignment.is_none_or(|alignment| alignment >= BLOCK_SIZE);
    let refuse = |reason: String| Err(Error::Option { name: "io", value: "direct".into(), reason });
    match options.io {
        IoMode::Buffered => Ok(false),
        IoMode::Auto => Ok(options.file_o_dsync && aligned && has_direct(home, survey)?),
        IoMode::Direct if !aligned => refuse(
            "the store was made for buffered I/O, with frames that are not aligned to blocks; \
             open it with io = auto or io = buffered"
                .into(),
        ),
        IoMode::Direct if !has_direct(home, survey)? => refuse(format!(
            "the file system of {} has no direct I/O in blocks of {BLOCK_SIZE} bytes; \
             use io = auto or io = buffered",
            home.path().display()
        )),
        IoMode::Direct => Ok(true),
    }
}

/// Whether there is direct I/O. Where there is a store already, the disk may be full.
fn has_direct(home: &Home, survey: &Survey) -> Result<bool, Error> {
    let known = survey.page_ids().into_iter().find(|page| survey.is_complete(*page));
    let (path, found) = match known.map(|page| home.page_path(page)) {
        Some(path) => (path.clone(), direct_supported_by(&path)),
        None => (home.path().to_owned(), direct_supported(home.path())),
    };
    found.map_err(|error| io_error("try direct I/O on", &path, error))
}

/// Pages cannot change their size, and must have one that this version can work with.
fn check_capacity(home: &Home, options: &Options, geometry: &Geometry) -> Result<(), Error> {
    let block = BLOCK_SIZE as u64;
    let least = PAGE_HEADER_SIZE as u64 + 4 * block;
    if !geometry.page_size.is_multiple_of(block) || geometry.seal_offset() < least {
        let reason = format!("no store has pages of {} bytes", geometry.page_size);
        return Err(Error::NotAStore { path: home.path().to_owned(), reason });
    }
    let asked = options.file_capacity_or_new();
    if geometry.page_size == asked {
        return Ok(());
    }
    Err(Error::Option {
        name: "file_capacity",
        value: asked.to_string(),
        reason: format!(
            "the store was made with {}, and that cannot change; to change it, append its logs \
             to a new store",
            geometry.page_size
        ),
    })
}

/// Reads all page files, and finds where the log ends.
fn recover(
    home: &Home,
    options: &Options,
    geometry: &Geometry,
    ring_size: u32,
) -> Result<Assembled, Error> {
    let layout = geometry.layout(options, ring_size);
    let sources = Sources::open(home.path(), ring_size)?;
    let failed = |(page, source): (u32, io::Error)| io_error("read", &home.page_path(page), source);
    let scans = scan_all(&sources, &layout).map_err(failed)?;
    assemble(&sources, &layout, &scans, nonce(home)?).map_err(failed)
}

fn nonce(home: &Home) -> Result<u32, Error> {
    getrandom::u32().map_err(|error| {
        io_error("get a random number for", home.path(), io::Error::other(error.to_string()))
    })
}

/// What was recovered, where that may be gone on with. Copies away what a cut will drop.
fn decide(
    home: &Home,
    options: &Options,
    found: Assembled,
    quarantined: &mut Vec<std::path::PathBuf>,
) -> Result<(Recovered, RecoveryReport, Option<Corruption>), Error> {
    let Some(damage) = found.damage else { return Ok((found.recovered, found.report, None)) };
    if options.corruption == CorruptionPolicy::Refuse {
        return Err(damage.corruption.into());
    }
    let mut pages = damage.pages;
    let damaged = damage.corruption.page;
    if !pages.iter().any(|(page, _)| *page == damaged) {
        let uses = &found.recovered.pages;
        let number = uses.iter().find(|page| page.page == damaged).map_or(0, |page| page.number);
        pages.push((damaged, number));
    }
    for (page, number) in pages {
        if home.page_path(page).exists() {
            quarantined.push(home.quarantine(page, number)?);
        }
    }
    log::warn!(
        "{}; the log is cut there, {} page files were copied to the quarantine",
        damage.corruption,
        quarantined.len()
    );
    Ok((found.recovered, found.report, Some(damage.corruption)))
}

/// Makes the page files that are missing, and completes those that were never completed.
fn make_pages(
    home: &Home,
    ring_size: u32,
    geometry: &Geometry,
    survey: &Survey,
    is_new: bool,
) -> Result<(), Error> {
    let missing: Vec<u32> = (0..ring_size).filter(|page| !survey.is_complete(*page)).collect();
    let mut result = if is_new { name_pages(home, &missing) } else { Ok(()) };
    for page in &missing {
        // Synced, so that one which is missing before one that is there was there, too.
        result = result
            .and_then(|()| home.create_page(&geometry.header(*page)))
            .and_then(|()| home.sync());
    }
    if is_new && result.is_err() {
        // A store that was never whole must not bind the next attempt to its sizes.
        resize::give_up(home, &missing);
    }
    result
}

/// Gives every page its file before the first has its header: as many pages as a store has files, it
/// was made with, however early it was killed.
fn name_pages(home: &Home, pages: &[u32]) -> Result<(), Error> {
    pages.iter().try_for_each(|page| home.name_page(*page))?;
    home.sync()
}

fn open_files(home: &Home, ring_size: u32, direct: bool) -> Result<PageFiles, Error> {
    let open = |page| match home.page_path(page) {
        path if home.is_in_memory() => PageFile::open_in_memory(&path),
        path => PageFile::open(&path, direct),
    };
    (0..ring_size).map(open).collect::<Result<Vec<_>, _>>().map(PageFiles)
}

/// Page files whose blocks are to be written ahead of need, in the order in which they will be
/// used.
fn unprepared(recovered: &Recovered, files: &PageFiles) -> Vec<u32> {
    let active = recovered.active.iter().map(|active| active.page);
    active
        .chain(recovered.free.iter().copied())
        .filter(|page| files.get(*page).is_some_and(|file| !file.is_fully_written()))
        .collect()
}

fn publish(
    home: &Home,
    options: &Options,
    geometry: &Geometry,
    recovered: &Recovered,
) -> Result<Arc<Published>, Error> {
    let pool = Pool::new(
        options.buffer_count(),
        usize::from(options.pool_size),
        options.buf_capacity,
        options.huge_buf,
    )
    .map_err(|error| io_error("allocate the buffers of", home.path(), error))?;
    Ok(Published::new(geometry.store_id, pool, options.tail_buffers(), recovered))
}
