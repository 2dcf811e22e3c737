//! What open refuses, and what it does with directories in every state.

mod common;

use std::path::Path;

use common::{assert_run, logs, numbers, open, options, payload};
use waldo_core::{
    Backend, CorruptionPolicy, Cursor, Error, IoMode, Options, QueryError, Recovery, Waldo,
};

on_both_backends!(
    the_ring_grows_and_shrinks,
    a_ring_with_kept_logs_does_not_shrink,
    missing_and_incomplete_files_are_made_anew,
    damaged_headers,
    page_files_that_are_gone,
    a_file_that_was_cut_short,
    half_of_the_pages_are_those_of_another_store,
    damaged_logs_are_refused_or_cut,
    buffered_and_direct,
    stores_that_were_not_closed,
    what_was_dropped_stays_gone,
);

fn page(dir: &Path, page: u32) -> std::path::PathBuf {
    dir.join(format!("{page:010}.page"))
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).unwrap();
}

fn read_at(path: &Path, offset: u64, bytes: &mut [u8]) {
    let file = std::fs::File::open(path).unwrap();
    std::os::unix::fs::FileExt::read_exact_at(&file, bytes, offset).unwrap();
}

fn read_all(waldo: &Waldo) -> Vec<u64> {
    let tip = waldo.prev_seq_no().unwrap_or(0);
    let mut stream = waldo.stream(Cursor::Trim);
    let mut found = Vec::new();
    while stream.position() < tip {
        found.extend(numbers(&stream.blocking_next().unwrap()));
    }
    found
}

#[track_caller]
fn assert_option(result: Result<Waldo, Error>, wanted: &str) {
    match result {
        Err(Error::Option { name, value, reason }) => {
            assert_eq!(name, wanted);
            assert!(!value.is_empty() && !reason.is_empty());
        }
        other => panic!("{other:?}"),
    }
}

/// A page was full to the last block, and behind its last frame stood the seal of an earlier use,
/// with a bit of it flipped. That was taken for a frame that had been torn.
#[test]
fn a_bad_seal_is_no_torn_frame() {
    const SEAL: u64 = 20 * 1024;

    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ring_size: Some(2),
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        index_capacity: 16,
        io: IoMode::Direct,
        ..options(Backend::Threads)
    };
    let waldo = match Waldo::blocking_open(dir.path(), options) {
        Err(Error::Option { name: "io", .. }) => return eprintln!("skipped: no direct I/O here"),
        opened => opened.unwrap(),
    };
    for tip in 0..16 {
        waldo.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
        for damaged in 0..2 {
            let copy = tempfile::tempdir().unwrap();
            for at in 0..2 {
                std::fs::copy(page(dir.path(), at), page(copy.path(), at)).unwrap();
            }
            let path = page(copy.path(), damaged);
            let mut byte = [0];
            read_at(&path, SEAL + 32, &mut byte);
            write_at(&path, SEAL + 32, &[byte[0] ^ 1]);
            let (_, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
            assert_eq!((report.dropped, report.prev_seq_no), (None, tip + 1));
        }
    }
}

#[test]
fn options_that_cannot_work_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let base = options(Backend::Auto);
    let cases = [
        ("ring_size", Options { ring_size: Some(1), ..base }),
        ("queue_depth", Options { queue_depth: 0, ..base }),
        ("pool_size", Options { pool_size: 0, ..base }),
        ("buf_capacity", Options { buf_capacity: 10_000, ..base }),
        ("page_capacity", Options { page_capacity: 0, ..base }),
        ("index_capacity", Options { index_capacity: 0, ..base }),
        ("index_sparse_bytes", Options { index_sparse_bytes: 0, ..base }),
        ("index_sparse_count", Options { index_sparse_count: 0, ..base }),
        ("file_capacity", Options { file_capacity: Some(100_000), ..base }),
        ("file_capacity", Options { file_capacity: Some(4096), ..base }),
    ];
    for (name, options) in cases {
        assert_option(Waldo::blocking_open(dir.path(), options), name);
    }
    // Nothing was made.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn pages_keep_their_size() {
    let dir = tempfile::tempdir().unwrap();
    let base = options(Backend::Auto);
    drop(open(&dir, base));
    let other = Options { file_capacity: base.file_capacity.map(|bytes| bytes * 2), ..base };
    assert_option(Waldo::blocking_open(dir.path(), other), "file_capacity");
    drop(open(&dir, base));
}

#[test]
fn smallest_of_everything() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ring_size: Some(2),
        queue_depth: 1,
        pool_size: 1,
        buf_capacity: 16 * 1024,
        page_capacity: 100,
        index_capacity: 2,
        file_capacity: Some(64 * 1024),
        tail_capacity: 0,
        read_capacity: 0,
        ..Options::default()
    };
    for backend in [Backend::IoUring, Backend::Threads] {
        let waldo = open(&dir, Options { backend, ..options });
        let tip = waldo.prev_seq_no().unwrap_or(0);
        for at in 0..50 {
            let first = tip + at * 20 + 1;
            waldo.blocking_append(&logs(first, first + 19)).unwrap();
        }
        let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
        assert_run(&read_all(&waldo), oldest, tip + 1000);
        waldo.blocking_close().unwrap();
    }
}

/// An index that is larger than a buffer is written as far as one holds it.
#[test]
fn seals_fit_small_buffers() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ring_size: Some(2),
        buf_capacity: 16 * 1024,
        index_capacity: 4096,
        index_sparse_bytes: 64,
        file_capacity: Some(512 * 1024),
        tail_capacity: 0,
        ..Options::default()
    };
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 20_000)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, Options { recovery: Recovery::Fast, ..options });
    let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
    assert_run(&read_all(&waldo), oldest, 20_000);
}

#[test]
fn directories_that_are_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let base = options(Backend::Auto);
    let foreign = |path: &Path| {
        let result = Waldo::blocking_open(path, base);
        assert!(matches!(result, Err(Error::NotAStore { .. })), "{result:?}");
    };
    std::fs::write(dir.path().join("letters.txt"), "dear").unwrap();
    foreign(dir.path());
    foreign(&dir.path().join("letters.txt"));
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(page(&other, 0), vec![b'x'; 10_000]).unwrap();
    foreign(&other);
    assert_eq!(std::fs::read(page(&other, 0)).unwrap(), vec![b'x'; 10_000]);
    // Directories that do not exist are made.
    drop(Waldo::blocking_open(dir.path().join("a/b/c"), base).unwrap());
}

#[test]
fn a_newer_format_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let base = options(Backend::Auto);
    drop(open(&dir, base));
    let mut block = vec![0; 4096];
    read_at(&page(dir.path(), 1), 0, &mut block);
    block[8] = 99;
    let crc = crc32c::crc32c(&block[..4092]).to_le_bytes();
    block[4092..].copy_from_slice(&crc);
    write_at(&page(dir.path(), 1), 0, &block);
    let result = Waldo::blocking_open(dir.path(), base);
    assert!(matches!(result, Err(Error::Newer { version: 99, .. })), "{result:?}");
}

fn the_ring_grows_and_shrinks(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 3_000)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, Options { ring_size: Some(6), ..options });
    assert_run(&read_all(&waldo), 1, 3_000);
    waldo.blocking_append(&logs(3_001, 40_000)).unwrap();
    assert!(waldo.blocking_metadata().unwrap().page_count > 3);
    let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
    assert_run(&read_all(&waldo), oldest, 40_000);
    waldo.blocking_close().unwrap();
    assert!(page(dir.path(), 5).exists());

    // Trimmed, and turned until the page that is written is one that stays.
    let waldo = open(&dir, Options { ring_size: Some(6), ..options });
    waldo.blocking_trim(40_000).unwrap();
    waldo.blocking_close().unwrap();
    let mut tip = 40_000;
    let waldo = loop {
        match Waldo::blocking_open(dir.path(), Options { ring_size: Some(2), ..options }) {
            Ok(waldo) => break waldo,
            Err(Error::Option { name: "ring_size", .. }) => {
                let waldo = open(&dir, Options { ring_size: Some(6), ..options });
                waldo.blocking_append(&logs(tip + 1, tip + 1_000)).unwrap();
                tip += 1_000;
                waldo.blocking_trim(tip - 10).unwrap();
                waldo.blocking_close().unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    };
    assert!(!page(dir.path(), 2).exists() && !page(dir.path(), 5).exists());
    let found = read_all(&waldo);
    assert_eq!(found.last().copied().unwrap_or(tip), tip);
    waldo.blocking_append(&logs(tip + 1, tip + 10_000)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, Options { ring_size: Some(2), ..options });
    assert_eq!(waldo.prev_seq_no(), Some(tip + 10_000));
    let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
    assert_run(&read_all(&waldo), oldest, tip + 10_000);
}

fn a_ring_with_kept_logs_does_not_shrink(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 18_000)).unwrap();
    let before = read_all(&waldo);
    assert_eq!(waldo.blocking_metadata().unwrap().page_count, 3);
    waldo.blocking_close().unwrap();
    let result = Waldo::blocking_open(dir.path(), Options { ring_size: Some(2), ..options });
    assert_option(result, "ring_size");
    let waldo = open(&dir, options);
    assert_eq!(read_all(&waldo).len(), before.len());
}

fn missing_and_incomplete_files_are_made_anew(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_close().unwrap();
    // Pages that hold nothing may get lost without harm: files of a store that was being made.
    std::fs::remove_file(page(dir.path(), 1)).unwrap();
    std::fs::write(page(dir.path(), 2), b"").unwrap();
    let waldo = open(&dir, options);
    assert_run(&read_all(&waldo), 1, 10);
    waldo.blocking_append(&logs(11, 9_000)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), Some(9_000));
    waldo.blocking_close().unwrap();
    // A store whose making was interrupted at once.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(page(dir.path(), 0), vec![0; 100_000]).unwrap();
    let waldo = open(&dir, options);
    assert!(waldo.recovery_report().created);
    assert_eq!(waldo.prev_seq_no(), None);
}

fn damaged_headers(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 9_000)).unwrap();
    let before = read_all(&waldo);
    waldo.blocking_close().unwrap();
    write_at(&page(dir.path(), 1), 30, b"?");
    let refused = Waldo::blocking_open(dir.path(), options);
    assert!(
        matches!(&refused, Err(Error::Corruption(found)) if found.page == 1 && found.offset == 0),
        "{refused:?}"
    );
    let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
    assert_eq!(report.quarantined.len(), 1);
    assert!(report.quarantined[0].exists());
    assert!(report.cut.is_some());
    // Only the header was lost, and that can be made from the others.
    assert_eq!(read_all(&waldo), before);
    waldo.blocking_close().unwrap();
    // A file of another store is put aside, and with it what this one had there.
    let other = tempfile::tempdir().unwrap();
    drop(open(&other, options));
    std::fs::copy(page(other.path(), 1), page(dir.path(), 1)).unwrap();
    let refused = Waldo::blocking_open(dir.path(), options);
    assert!(matches!(&refused, Err(Error::Corruption(found)) if found.page == 1), "{refused:?}");
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
    assert!(!report.quarantined.is_empty());
    let left = read_all(&waldo);
    assert!(left.len() < before.len());
    let tip = waldo.prev_seq_no().unwrap_or(0);
    waldo.blocking_append(&logs(tip + 1, tip + 10)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(waldo.prev_seq_no(), Some(tip + 10));
}

/// A page file without frames is one that was never completed, unless the one behind it was: a file
/// that somebody had emptied or removed was made anew, and its logs were gone without a word.
fn page_files_that_are_gone(options: Options) {
    let empty = |path: &Path| std::fs::write(path, b"").unwrap();
    let blank = |path: &Path| std::fs::write(path, vec![0; 512 * 1024]).unwrap();
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    for (lose, copies) in [(&empty as &dyn Fn(&Path), 1), (&blank, 1), (&remove, 0)] {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options);
        waldo.blocking_append(&logs(1, 10)).unwrap();
        waldo.blocking_close().unwrap();
        lose(&page(dir.path(), 0));
        let refused = Waldo::blocking_open(dir.path(), options);
        assert!(
            matches!(&refused, Err(Error::Corruption(found)) if found.page == 0),
            "{refused:?}"
        );
        let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options };
        let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
        assert!(report.cut.is_some());
        assert_eq!(report.quarantined.len(), copies);
        waldo.blocking_append(&logs(1, 5)).unwrap();
        waldo.blocking_close().unwrap();
        assert_run(&read_all(&open(&dir, options)), 1, 5);
    }
}

/// The file of the newest page was cut where a frame ends. Nothing behind that place was left to say
/// that there had been more, and the store opened without the logs that were gone.
fn a_file_that_was_cut_short(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let image = std::fs::read(page(dir.path(), 0)).unwrap();
    waldo.blocking_append(&logs(11, 20)).unwrap();
    waldo.blocking_close().unwrap();
    let end = image.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let file = std::fs::OpenOptions::new().write(true).open(page(dir.path(), 0)).unwrap();
    file.set_len(end.next_multiple_of(4096) as u64).unwrap();
    let size = file.metadata().unwrap().len();
    let refused = Waldo::blocking_open(dir.path(), options);
    assert!(
        matches!(&refused, Err(Error::Corruption(found)) if (found.page, found.offset) == (0, size)),
        "{refused:?}"
    );
    let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
    assert_eq!(std::fs::metadata(&report.quarantined[0]).unwrap().len(), size);
    assert_run(&read_all(&waldo), 1, 10);
    waldo.blocking_append(&logs(11, 12)).unwrap();
    waldo.blocking_close().unwrap();
    assert_run(&read_all(&open(&dir, options)), 1, 12);
}

/// Of two page files one was that of another store. The store was taken for that of the first page,
/// and where damage was to be cut, it handed out the logs of the other one.
fn half_of_the_pages_are_those_of_another_store(options: Options) {
    let options = Options { ring_size: Some(2), ..options };
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(&dir, options).blocking_append(&logs(1, 100)).unwrap();
    open(&other, options).blocking_append(&logs(1, 200)).unwrap();
    std::fs::copy(page(other.path(), 0), page(dir.path(), 0)).unwrap();
    let files = || [0, 1].map(|at| std::fs::read(page(dir.path(), at)).unwrap());
    let before = files();
    for corruption in [CorruptionPolicy::Refuse, CorruptionPolicy::Truncate] {
        let refused = Waldo::blocking_open(dir.path(), Options { corruption, ..options });
        assert!(matches!(refused, Err(Error::Corruption(_))), "{refused:?}");
        assert!(files() == before, "something was changed");
    }
}

fn damaged_logs_are_refused_or_cut(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..20 {
        waldo.blocking_append(&logs(at * 50 + 1, at * 50 + 50)).unwrap();
    }
    waldo.blocking_close().unwrap();
    let path = page(dir.path(), 0);
    let mut byte = [0];
    read_at(&path, 20_500, &mut byte);
    write_at(&path, 20_500, &[byte[0] ^ 4]);
    let bytes = std::fs::read(&path).unwrap();
    let refused = Waldo::blocking_open(dir.path(), options);
    let Err(Error::Corruption(damage)) = &refused else { panic!("{refused:?}") };
    assert_eq!(damage.page, 0);
    assert!(std::fs::read(&path).unwrap() == bytes, "something was changed");

    finds_damage_when_it_reads(dir.path(), options);
    let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), truncate).unwrap();
    assert_eq!(report.cut.as_ref(), Some(damage));
    assert_eq!(report.quarantined.len(), 1);
    assert!(std::fs::read(&report.quarantined[0]).unwrap() == bytes, "the copy differs");
    let tip = waldo.prev_seq_no().unwrap();
    assert_eq!(tip, damage.after_seq_no);
    assert_run(&read_all(&waldo), 1, tip);
    // Nothing of it comes back, also after a crash without a further append.
    waldo.blocking_close().unwrap();
    let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), options).unwrap();
    assert_eq!((report.cut, report.prev_seq_no), (None, tip));
    waldo.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
    waldo.blocking_close().unwrap();
    assert_run(&read_all(&open(&dir, options)), 1, tip + 1);
}

/// Fast recovery trusts the seal of a store that was closed; reading finds the damage.
fn finds_damage_when_it_reads(dir: &Path, options: Options) {
    let copy = tempfile::tempdir().unwrap();
    for at in 0..options.ring_size.unwrap() {
        std::fs::copy(page(dir, at), page(copy.path(), at)).unwrap();
    }
    let fast = Options { recovery: Recovery::Fast, ..options };
    let waldo = open(&copy, fast);
    assert_eq!(waldo.prev_seq_no(), Some(1_000));
    let mut stream = waldo.stream(Cursor::Trim);
    let end = loop {
        match stream.blocking_next() {
            Ok(chunk) => drop(numbers(&chunk)),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, QueryError::Corruption(_)), "{end}");
    // It stays so, and logs behind it can be had.
    assert_eq!(stream.blocking_next().unwrap_err(), end);
    stream.seek(900);
    assert_run(&numbers(&stream.blocking_next().unwrap()), 901, 1_000);
}

fn buffered_and_direct(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let buffered = Options { io: IoMode::Buffered, ..options };
    let waldo = open(&dir, buffered);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    waldo.blocking_close().unwrap();
    assert_option(
        Waldo::blocking_open(dir.path(), Options { io: IoMode::Direct, ..options }),
        "io",
    );
    let waldo = open(&dir, Options { io: IoMode::Auto, ..options });
    assert_run(&read_all(&waldo), 1, 100);
    waldo.blocking_close().unwrap();

    let dir = tempfile::tempdir().unwrap();
    match Waldo::blocking_open(dir.path(), Options { io: IoMode::Direct, ..options }) {
        Ok(waldo) => {
            waldo.blocking_append(&logs(1, 100)).unwrap();
            waldo.blocking_close().unwrap();
            let waldo = open(&dir, buffered);
            assert_run(&read_all(&waldo), 1, 100);
        }
        // A file system without direct I/O says so.
        result => assert_option(result, "io"),
    }
}

/// What a killed process leaves is opened; what was acknowledged is there.
fn stores_that_were_not_closed(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut tip = 0;
    for round in 0..8 {
        waldo.blocking_append(&logs(tip + 1, tip + 1_500)).unwrap();
        tip += 1_500;
        // The files as they are, while the store is open.
        let copy = tempfile::tempdir().unwrap();
        for at in 0..options.ring_size.unwrap() {
            std::fs::copy(page(dir.path(), at), page(copy.path(), at)).unwrap();
        }
        let recovery = if round % 2 == 0 { Recovery::Full } else { Recovery::Fast };
        let options = Options { recovery, ..options };
        for _ in 0..2 {
            let (copied, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
            assert_eq!((report.prev_seq_no, &report.cut), (tip, &None));
            let oldest = copied.blocking_metadata().unwrap().after_seq_no + 1;
            assert_run(&read_all(&copied), oldest, tip);
            copied.blocking_close().unwrap();
        }
        let copied = open(&copy, options);
        copied.blocking_append(&logs(tip + 1, tip + 1)).unwrap();
    }
}

/// The page files as a kill of the process would leave them now.
fn killed(dir: &tempfile::TempDir, options: Options) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for at in 0..options.ring_size.unwrap() {
        std::fs::copy(page(dir.path(), at), page(copy.path(), at)).unwrap();
    }
    copy
}

/// A torn frame was dropped, but left where it was. A later write, torn in its turn, supplied just the
/// bytes that had been missing: logs that nobody had been told of were back, and those that had taken
/// their place were gone.
fn what_was_dropped_stays_gone(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..40 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
    }
    let missing = payload(400);
    for recovery in [Recovery::Full, Recovery::Fast] {
        let options = Options { recovery, ..options };
        let torn = killed(&dir, options);
        let path = page(torn.path(), 0);
        let bytes = std::fs::read(&path).unwrap();
        let offset = bytes.windows(missing.len()).rposition(|window| window == missing).unwrap();
        write_at(&path, offset as u64, &vec![0; missing.len()]);
        // Nothing is appended: the open itself has to see to it.
        let (waldo, report) = Waldo::blocking_open_with_report(torn.path(), options).unwrap();
        assert!(report.dropped.is_some(), "{report:?}");
        let again = killed(&torn, options);
        drop(waldo);
        write_at(&page(again.path(), 0), offset as u64, &missing);
        assert_run(&read_all(&open(&again, options)), 1, 390);
    }
}
