//! Homes of stores in memory: page files that have no name in any directory.
//!
//! They are files all the same, which live as long as a descriptor of them does. So everything
//! that opens, reads and checks page files works on them, by the path `/proc/self/fd/…`. A home has
//! a path, too, below a file, where no directory can be.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// Where homes in memory seem to be.
const ROOT: &str = "/dev/null/waldo/";

/// A home in memory, locked.
#[derive(Debug)]
pub(super) struct MemoryHome {
    path: PathBuf,
    contents: Arc<Contents>,
    keep: bool,
    /// The process that acquired it; in a forked child it is another than the running one.
    owner: u32,
}

#[derive(Debug, Default)]
struct Contents {
    is_locked: AtomicBool,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    pages: BTreeMap<u32, File>,
    quarantined: Vec<File>,
}

/// The homes of a process. A forked child starts with none: memory of the files is shared with
/// the parent, and locks may be held by threads that the child does not have.
struct Registry {
    process: u32,
    homes: Mutex<HashMap<PathBuf, Arc<Contents>>>,
}

impl Registry {
    fn get() -> &'static Self {
        static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(std::ptr::null_mut());

        let process = std::process::id();
        loop {
            let found = CURRENT.load(Ordering::Acquire);
            // SAFETY: NULL, or a registry that was leaked below.
            if let Some(registry) = unsafe { found.as_ref() }
                && registry.process == process
            {
                return registry;
            }
            let new = Box::into_raw(Box::new(Self { process, homes: Mutex::default() }));
            if CURRENT.compare_exchange(found, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: it was made just now, and nobody else knows it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path at which the file is found as long as it is open.
fn path_of(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn new_file() -> io::Result<File> {
    // SAFETY: the name is a string that ends with a zero.
    let fd = unsafe { libc::memfd_create(c"waldo".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and nobody else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// What is in the home at this path, if that is one in memory.
fn find(home: &Path) -> Option<Arc<Contents>> {
    if !home.starts_with(ROOT) {
        return None;
    }
    lock(&Registry::get().homes).get(home).cloned()
}

/// The file of page `id` of a home in memory, whether it exists or not; `None` for other homes.
pub(super) fn page_path(home: &Path, id: u32) -> Option<PathBuf> {
    /// No descriptor is ever that large.
    const NOWHERE: &str = "/proc/self/fd/4294967295";

    let contents = find(home)?;
    Some(lock(&contents.files).pages.get(&id).map_or_else(|| NOWHERE.into(), path_of))
}

/// Numbers of all page files of a home in memory, in ascending order; `None` for other homes.
pub(super) fn page_ids(home: &Path) -> Option<Vec<u32>> {
    let contents = find(home)?;
    Some(lock(&contents.files).pages.keys().copied().collect())
}

impl MemoryHome {
    /// Locks the home of this name, and makes it where there is none.
    pub fn acquire(name: &Path, keep: bool) -> Result<Self, Error> {
        let mut path = OsString::from(ROOT);
        path.push(name);
        let path = PathBuf::from(path);
        let owner = std::process::id();
        let contents = Arc::clone(lock(&Registry::get().homes).entry(path.clone()).or_default());
        if contents.is_locked.swap(true, Ordering::Acquire) {
            return Err(Error::Locked { path: name.to_owned(), pid: Some(owner) });
        }
        Ok(Self { path, contents, keep, owner })
    }

    /// A path at which there is no directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that there is a file of page `id`; a new one is empty.
    pub fn make_page(&self, id: u32) -> io::Result<()> {
        if let Entry::Vacant(place) = lock(&self.contents.files).pages.entry(id) {
            place.insert(new_file()?);
        }
        Ok(())
    }

    /// Removes the file of page `id`.
    pub fn remove_page(&self, id: u32) -> io::Result<()> {
        let removed = lock(&self.contents.files).pages.remove(&id);
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes an empty file for the copy of a page.
    pub fn make_quarantined(&self) -> io::Result<PathBuf> {
        let file = new_file()?;
        let path = path_of(&file);
        lock(&self.contents.files).quarantined.push(file);
        Ok(path)
    }
}

impl Drop for MemoryHome {
    fn drop(&mut self) {
        if std::process::id() != self.owner {
            return;
        }
        if !self.keep {
            *lock(&self.contents.files) = Files::default();
        }
        self.contents.is_locked.store(false, Ordering::Release);
    }
}
