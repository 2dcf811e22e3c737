//! Opening a store without naming its sizes: as it was made, whatever the defaults are.

mod common;

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::path::Path;

use common::{logs, open, options};
use waldo_core::{Backend, Error, Options, Waldo};

on_both_backends!(
    a_ring_stays_as_it_is,
    an_empty_ring_stays_as_it_is,
    pages_smaller_than_a_buffer,
    killed_while_it_was_made
);

/// Without any size: not even that of the buffers, whose default is larger than these pages are.
fn unsized_options(sized: Options) -> Options {
    Options { backend: sized.backend, tail_capacity: sized.tail_capacity, ..Options::default() }
}

/// Names and sizes of the page files.
fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
        .filter(|(name, _)| name.ends_with(".page"))
        .collect();
    files.sort();
    files
}

fn sizes(waldo: &Waldo) -> (Option<u32>, Option<u64>) {
    (waldo.options().ring_size, waldo.options().file_capacity)
}

/// The default was four pages of 64 MiB: of a ring of six pages, two were removed, and other sizes
/// of pages were refused.
fn a_ring_stays_as_it_is(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let made = Options { ring_size: Some(6), ..options };
    let waldo = open(&dir, made);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_close().unwrap();
    let before = files(dir.path());
    assert_eq!(before.len(), 6);

    let waldo = open(&dir, unsized_options(options));
    assert_eq!(sizes(&waldo), (Some(6), Some(512 * 1024)));
    // Once around, so that every page is used.
    for first in (11..80_000).step_by(1_000) {
        waldo.blocking_append(&logs(first, first + 999)).unwrap();
    }
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!((metadata.page_count, metadata.disk_size), (6, 6 * 512 * 1024));
    waldo.blocking_close().unwrap();
    assert_eq!(files(dir.path()), before);

    // One of the two says nothing of the other.
    let waldo = open(&dir, Options { ring_size: Some(7), ..unsized_options(options) });
    assert_eq!(sizes(&waldo), (Some(7), Some(512 * 1024)));
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, Options { ring_size: None, ..options });
    assert_eq!(sizes(&waldo), (Some(7), Some(512 * 1024)));
    waldo.blocking_close().unwrap();
    assert_eq!(files(dir.path()).len(), 7);
}

fn an_empty_ring_stays_as_it_is(options: Options) {
    for ring_size in [2, 5] {
        let dir = tempfile::tempdir().unwrap();
        open(&dir, Options { ring_size: Some(ring_size), ..options }).blocking_close().unwrap();
        let before = files(dir.path());
        let waldo = open(&dir, unsized_options(options));
        assert_eq!(sizes(&waldo).0, Some(ring_size));
        waldo.blocking_close().unwrap();
        assert_eq!(files(dir.path()), before);
    }
}

fn pages_smaller_than_a_buffer(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let made = Options {
        ring_size: Some(2),
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        index_capacity: 16,
        ..options
    };
    let waldo = open(&dir, made);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, unsized_options(options));
    assert_eq!(sizes(&waldo), (Some(2), Some(24 * 1024)));
    assert_eq!(waldo.options().buf_capacity, 24 * 1024);
    for tip in 10..2_000 {
        waldo.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
    }
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, unsized_options(options));
    assert_eq!(waldo.prev_seq_no(), Some(2_000));
    // Whoever names a size that the buffers do not fit is told so.
    drop(waldo);
    let named = Options { file_capacity: Some(24 * 1024), ..unsized_options(options) };
    let refused = Waldo::blocking_open(dir.path(), named);
    assert!(matches!(refused, Err(Error::Option { name: "file_capacity", .. })), "{refused:?}");
}

/// What is left of a store that was killed while it was made: every page has a file, and the first
/// ones have their headers.
fn killed_while_it_was_made(options: Options) {
    for complete in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let made = Options { ring_size: Some(5), ..options };
        open(&dir, made).blocking_close().unwrap();
        for (name, _) in files(dir.path()).into_iter().skip(complete) {
            File::create(dir.path().join(name)).unwrap();
        }
        let again = Options { file_capacity: options.file_capacity, ..unsized_options(options) };
        let again = Options { buf_capacity: options.buf_capacity, ..again };
        let waldo = open(&dir, again);
        // Where no header tells of a store there is none yet: this one is new.
        let wanted = if complete == 0 { Options::NEW_RING_SIZE } else { 5 };
        assert_eq!(sizes(&waldo).0, Some(wanted), "{complete} pages were complete");
        waldo.blocking_append(&logs(1, 9_000)).unwrap();
        waldo.blocking_close().unwrap();
        assert_eq!(files(dir.path()).len(), wanted as usize);
    }
}

/// Only so can a ring that was never completed be told from a smaller one.
#[test]
fn every_page_has_its_file_before_the_first_has_its_header() {
    const HEAD: usize = size_of::<libc::inotify_event>();

    let dir = tempfile::tempdir().unwrap();
    let name = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
    // SAFETY: plain system calls; the name is valid during its call, and the descriptor is owned
    // by `events` alone.
    let mut events = unsafe {
        let fd = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
        assert!(fd >= 0);
        assert!(libc::inotify_add_watch(fd, name.as_ptr(), libc::IN_CREATE | libc::IN_MODIFY) >= 0);
        File::from_raw_fd(fd)
    };
    drop(open(&dir, Options { ring_size: Some(5), ..options(Backend::Threads) }));
    let mut bytes = [0; 16 * 1024];
    let len = events.read(&mut bytes).unwrap();
    let (mut at, mut created) = (0, 0);
    while at < len {
        let word = |offset: usize| {
            u32::from_ne_bytes(bytes[at + offset..at + offset + 4].try_into().unwrap())
        };
        let (mask, name_len) = (word(4), word(12) as usize);
        let name = &bytes[at + HEAD..at + HEAD + name_len];
        if name.windows(5).any(|part| part == b".page") {
            if mask & libc::IN_CREATE == 0 {
                break;
            }
            created += 1;
        }
        at += HEAD + name_len;
    }
    assert!(at < len, "no page was written");
    assert_eq!(created, 5);
}

#[test]
fn a_new_store_gets_the_sizes_that_are_documented() {
    let options = Options { backend: Backend::Memory, ..Options::default() };
    let waldo = Waldo::blocking_open("of documented size", options).unwrap();
    assert_eq!(sizes(&waldo), (Some(4), Some(64 * 1024 * 1024)));
    assert_eq!(options.disk_size(), 256 * 1024 * 1024);
    // Buffers too large for these are found out about where the store would be made.
    let options = Options { buf_capacity: 128 * 1024 * 1024, ..options };
    let refused = Waldo::blocking_open("too small", options);
    assert!(matches!(refused, Err(Error::Option { name: "file_capacity", .. })), "{refused:?}");
}
