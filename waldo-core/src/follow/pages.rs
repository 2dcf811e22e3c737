//! The page files, opened for reading only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};

use super::options::FollowOptions;
use crate::driver::files::{lock_path, page_path};
use crate::error::{Corruption, Error};
use crate::open::{Geometry, Sources, Survey};
use crate::options::{CorruptionPolicy, Options, Recovery};
use crate::recovery::{Layout, PageSource};

/// Bytes of a page that was never used which are searched for traces of a use all the same.
const BLANK_LIMIT: u64 = 1024 * 1024;

/// Bytes between two entries of the index.
const INDEX_SPARSE_BYTES: usize = 64 * 1024;

/// The page files of a store.
pub(super) struct Pages {
    home: PathBuf,
    /// Device and number of the directory.
    identity: (u64, u64),
    pub geometry: Geometry,
    sources: Sources,
    pub ring_size: u32,
    /// The first damage to a page's header.
    pub header_damage: Option<Corruption>,
}

impl Pages {
    /// Opens all page files that exist.
    ///
    /// # Errors
    ///
    /// As [`Follower::open`](crate::Follower::open).
    pub fn open(home: &Path, corruption: CorruptionPolicy) -> Result<Self, Error> {
        let home = std::path::absolute(home).map_err(failed("resolve", home))?;
        let identity = identity(&home).map_err(failed("open", &home))?;
        let survey = Survey::of(&home, &Options::default())?;
        let header_damage = header_damage(&home, &survey)?;
        if corruption == CorruptionPolicy::Refuse
            && let Some(damage) = header_damage
        {
            return Err(damage.into());
        }
        let Some(geometry) = survey.geometry else {
            let reason = "it has no page files, or they are just being made".to_owned();
            return Err(Error::NotAStore { path: home, reason });
        };
        let ring_size = survey.page_count();
        let sources = open_files(&home, ring_size)?;
        Ok(Self { home, identity, geometry, sources, ring_size, header_damage })
    }

    /// The directory, as an absolute path.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What is known of the store, for recovery.
    pub fn layout(&self, options: &FollowOptions) -> Layout {
        let options = Options {
            index_capacity: options.index_capacity,
            index_sparse_bytes: INDEX_SPARSE_BYTES,
            index_sparse_count: usize::MAX,
            recovery: Recovery::Fast,
            ..Options::default()
        };
        Layout {
            blank_limit: BLANK_LIMIT,
            threads: 1,
            ..self.geometry.layout(&options, self.ring_size)
        }
    }

    /// The process that has the store open for writing, as far as that can be told.
    pub fn writer_pid(&self) -> Option<u32> {
        let pid = fs::read_to_string(lock_path(&self.home)).ok()?.trim().parse().ok()?;
        Path::new("/proc").join(u32::to_string(&pid)).exists().then_some(pid)
    }

    /// Opens page files that were added. `false` where the store is another one now, or none: the
    /// directory, or a page that `is_used`, was removed or replaced. What is open can still be
    /// read then.
    pub fn reload(&mut self, is_used: impl Fn(u32) -> bool) -> Result<bool, Error> {
        if identity(&self.home).ok() != Some(self.identity) {
            return Ok(false);
        }
        for (page, file) in self.sources.files() {
            let now = identity(&page_path(&self.home, page)).ok();
            let kept = file.metadata().ok().map(|known| (known.dev(), known.ino())) == now;
            if !kept && is_used(page) {
                return Ok(false);
            }
        }
        let survey = match Survey::of(&self.home, &Options::default()) {
            // It is not there any more, or is just going.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(false);
            }
            survey => survey?,
        };
        let same = survey.geometry.is_none_or(|geometry| geometry == self.geometry);
        if !same {
            return Ok(false);
        }
        let ring_size = survey.page_count().max(1);
        self.sources = open_files(&self.home, ring_size)?;
        self.ring_size = ring_size;
        Ok(true)
    }
}

impl PageSource for Pages {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.sources.read_at(page, offset, bytes)
    }
}

/// The first damage to a page's header, or the first page of which nothing is left.
fn header_damage(home: &Path, survey: &Survey) -> Result<Option<Corruption>, Error> {
    let damage = survey.damage();
    let Some(lost) = survey.clone().lost().filter(|_| damage.is_none()) else { return Ok(damage) };
    // Pages are looked at one after the other, and may be made meanwhile in that order: one that
    // came before a good one is lost if it still is.
    let again = Survey::of(home, &Options::default())?;
    Ok(again.lost().filter(|still| still.page == lost.page))
}

fn open_files(home: &Path, count: u32) -> Result<Sources, Error> {
    let sources = Sources::open(home, count)?;
    for (_, file) in sources.files() {
        // What lies behind the newest log is about to be written: it must not be read ahead. That
        // the advice is not taken costs time only.
        let _ = fadvise(file, 0, None, Advice::Random);
    }
    Ok(sources)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
