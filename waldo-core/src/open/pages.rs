//! Page files as recovery reads them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::io_error;
use crate::driver::files::page_path;
use crate::error::Error;
use crate::recovery::PageSource;

/// The page files that exist. One that is missing reads as empty.
pub(crate) struct Sources {
    /// Number of the first.
    first: u32,
    files: Vec<Option<File>>,
}

impl Sources {
    /// Opens the files of the first `count` pages.
    pub fn open(home: &Path, count: u32) -> Result<Self, Error> {
        let files = (0..count).map(|page| open_existing(home, page)).collect::<Result<_, _>>()?;
        Ok(Self { first: 0, files })
    }

    /// Opens the file of one page; all others read as empty.
    pub fn only(home: &Path, page: u32) -> Result<Self, Error> {
        Ok(Self { first: page, files: vec![open_existing(home, page)?] })
    }

    /// The files that exist, with the numbers of their pages.
    pub fn files(&self) -> impl Iterator<Item = (u32, &File)> {
        (self.first..).zip(&self.files).filter_map(|(page, file)| Some((page, file.as_ref()?)))
    }
}

impl PageSource for Sources {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let at = page.checked_sub(self.first);
        match at.and_then(|at| self.files.get(at as usize)) {
            Some(Some(file)) => read_full(file, offset, bytes),
            _ => Ok(0),
        }
    }
}

/// Opens the file of a page; `None` where there is none.
pub(super) fn open_existing(home: &Path, page: u32) -> Result<Option<File>, Error> {
    let path = page_path(home, page);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", &path, error)),
    }
}

/// Reads until `bytes` is full or the file ends.
pub(super) fn read_full(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
