//! Page files of a small store, as the fuzzer hands them over: without the zeros.

use std::path::Path;

use tempfile::TempDir;
use waldo_core::format::PAGE_HEADER_SIZE;
use waldo_core::format::bytes::put;
use waldo_core::format::seal::SealBody;
use waldo_core::{Backend, IoMode, Options};

use crate::HEADER_FIELDS_SIZE;

const INDEX_CAPACITY: usize = 8;

/// The least that a store takes.
#[must_use]
pub fn options() -> Options {
    Options {
        ring_size: Some(2),
        queue_depth: 4,
        pool_size: 1,
        buf_capacity: 16 * 1024,
        page_capacity: 4,
        file_capacity: Some(24 * 1024),
        index_capacity: INDEX_CAPACITY,
        index_sparse_bytes: 256,
        index_sparse_count: 4,
        tail_capacity: 16 * 1024,
        read_capacity: 256 * 1024,
        backend: Backend::Threads,
        io: IoMode::Buffered,
        ..Options::default()
    }
}

/// An empty directory, in memory where that is possible.
#[must_use]
pub fn home() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory")
}

/// A byte of flags, two of the length of the first page, and the pages.
pub struct Input<'a> {
    pub flags: u8,
    pub pages: Vec<&'a [u8]>,
}

impl<'a> Input<'a> {
    /// Takes what there is.
    #[must_use]
    pub fn split(data: &'a [u8]) -> Self {
        let [flags, low, high, rest @ ..] = data else {
            return Self { flags: 0, pages: vec![data] };
        };
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (first, second) = rest.split_at(length.min(rest.len()));
        Self { flags: *flags, pages: vec![first, second] }
    }

    /// The bytes that are split into this.
    #[must_use]
    pub fn join(&self) -> Vec<u8> {
        let length = self.pages.first().map_or(0, |page| page.len()) as u16;
        [&[self.flags][..], &length.to_le_bytes(), &self.pages.concat()].concat()
    }
}

/// Bytes at the end of a page that hold its seal.
pub const SEAL_SIZE: usize = SealBody::frame_size(INDEX_CAPACITY).next_multiple_of(8);

/// The file of a page: the fields of its header, its seal, and its frames.
#[must_use]
pub fn page(contents: &[u8]) -> Vec<u8> {
    let mut file = vec![0; options().file_capacity.unwrap_or_default() as usize];
    let (fields, rest) = contents.split_at(HEADER_FIELDS_SIZE.min(contents.len()));
    let (seal, frames) = rest.split_at(SEAL_SIZE.min(rest.len()));
    let end = file.len() - SEAL_SIZE;
    put(&mut file, 0, fields);
    put(&mut file, end, seal);
    put(&mut file, PAGE_HEADER_SIZE, &frames[..frames.len().min(end - PAGE_HEADER_SIZE)]);
    file
}

/// What [`page`] makes the file from.
#[must_use]
pub fn contents(file: &[u8]) -> Vec<u8> {
    let (header, rest) = file.split_at(PAGE_HEADER_SIZE);
    let (frames, seal) = rest.split_at(rest.len() - SEAL_SIZE);
    let used = frames.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    [&header[..HEADER_FIELDS_SIZE], seal, &frames[..used]].concat()
}
