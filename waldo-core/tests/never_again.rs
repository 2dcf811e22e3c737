//! Bugs that other engines of this kind had, told by what their users saw. Each must stay away.
//!
//! Several of these bugs have a test where the subject is at home: cursors behind a turn of the
//! ring (`ring.rs`), buffers that readers hold (`slow_readers.rs`), the lock (`lifetime.rs`),
//! concurrent appends (`numbering.rs`).

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use common::{assert_run, logs, numbers, open, payload};
use waldo_core::{
    AppendError, CorruptionPolicy, Cursor, Error, Log, Options, QueryError, Recovery, Retention,
    Waldo,
};

on_both_backends!(
    a_torn_tail_costs_only_itself,
    an_atomic_batch_is_recovered_whole_or_not_at_all,
    a_zero_block_is_not_the_end,
    a_close_vouches_only_for_what_came_before,
    refused_batches_leave_no_hole,
    a_batch_over_the_limits_wipes_nothing,
    a_log_behind_the_first_read_is_found,
    the_oldest_cursor_never_says_trimmed,
    pages_that_do_not_follow_each_other_are_refused,
    a_flipped_bit_chooses_no_other_newest_page,
    a_shorter_log_brings_no_stale_bytes,
    a_full_ring_parks_everybody,
    a_position_is_a_number_that_no_deletion_shifts,
);

fn page(dir: &Path, page: u32) -> PathBuf {
    dir.join(format!("{page:010}.page"))
}

/// The page files as a kill of the process would leave them now.
fn crashed(dir: &Path, options: Options) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for at in 0..options.ring_size.unwrap() {
        std::fs::copy(page(dir, at), page(copy.path(), at)).unwrap();
    }
    copy
}

/// The page file that holds these bytes last, and where.
fn find(dir: &Path, options: Options, bytes: &[u8]) -> Option<(u32, usize)> {
    (0..options.ring_size.unwrap()).find_map(|at| {
        let file = std::fs::read(page(dir, at)).unwrap();
        let found = file.windows(bytes.len()).rposition(|window| window == bytes);
        found.map(|offset| (at, offset))
    })
}

fn write_at(path: &Path, offset: usize, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset as u64).unwrap();
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

/// Appends in batches of 400 until the ring has turned `turns` times; returns the tip.
fn turn(waldo: &Waldo, from: u64, turns: u64) -> u64 {
    let mut tip = from;
    for _ in 0..60 * turns {
        waldo.blocking_append(&logs(tip + 1, tip + 400)).unwrap();
        tip += 400;
    }
    tip
}

/// A write was torn by a crash, and recovery cut the file at its very start; the counts went on
/// naming the records that were gone.
fn a_torn_tail_costs_only_itself(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..40 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
    }
    for recovery in [Recovery::Full, Recovery::Fast] {
        let options = Options { recovery, ..options };
        let copy = crashed(dir.path(), options);
        let last = payload(400);
        let (at, offset) = find(copy.path(), options, &last).unwrap();
        write_at(&page(copy.path(), at), offset, &vec![0; last.len()]);

        let (waldo, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
        assert_eq!((report.prev_seq_no, report.log_count), (390, 390));
        assert!(report.dropped.is_some() && report.cut.is_none(), "{report:?}");
        assert_eq!(waldo.blocking_metadata().unwrap().log_count, 390);
        assert_run(&read_all(&waldo), 1, 390);
        waldo.blocking_append(&logs(391, 400)).unwrap();
        waldo.blocking_close().unwrap();
        assert_run(&read_all(&open(&copy, options)), 1, 400);
    }
}

/// A batch was called atomic, but nothing on disk said where it ended: after a crash in the
/// middle of its write, its first records were there and the others were not.
fn an_atomic_batch_is_recovered_whole_or_not_at_all(options: Options) {
    const SECTOR: usize = 512;
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 50)).unwrap();
    waldo.blocking_append_atomic(&logs(51, 130)).unwrap();
    let (at, first) = find(dir.path(), options, &payload(51)).unwrap();
    let (_, last) = find(dir.path(), options, &payload(130)).unwrap();
    let whole = std::fs::read(page(dir.path(), at)).unwrap();
    // Any sector of the batch may be the one that the crash kept from the disk.
    for sector in first / SECTOR..=last / SECTOR {
        let copy = crashed(dir.path(), options);
        let mut torn = whole.clone();
        torn[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
        std::fs::write(page(copy.path(), at), torn).unwrap();
        let (waldo, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
        assert_eq!((report.prev_seq_no, report.log_count), (50, 50), "sector {sector}");
        assert_run(&read_all(&waldo), 1, 50);
    }
    let copy = crashed(dir.path(), options);
    assert_run(&read_all(&open(&copy, options)), 1, 130);
}

/// Recovery took the first block of zeros for the end of the log. A batch that had been rolled
/// back left such a block, and acknowledged records behind it were lost without a word.
fn a_zero_block_is_not_the_end(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..40 {
        waldo.blocking_append(&logs(at * 100 + 1, at * 100 + 100)).unwrap();
    }
    let copy = crashed(dir.path(), options);
    let (at, offset) = find(copy.path(), options, &payload(2_000)).unwrap();
    write_at(&page(copy.path(), at), offset / 4096 * 4096, &[0; 4096]);
    let refused = Waldo::blocking_open(copy.path(), options);
    assert!(matches!(&refused, Err(Error::Corruption(found)) if found.page == at), "{refused:?}");
    // Whoever wants to go on all the same is told what it costs.
    let truncate = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let (waldo, report) = Waldo::blocking_open_with_report(copy.path(), truncate).unwrap();
    let cut = report.cut.unwrap();
    assert!((1_800..2_000).contains(&cut.after_seq_no), "{cut:?}");
    assert_run(&read_all(&waldo), 1, cut.after_seq_no);
}

/// The same bug, where a summary of the page is trusted: it says nothing about records that were
/// written after it, and damage among those was taken for the end.
fn a_close_vouches_only_for_what_came_before(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    for at in 1..40 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
    }
    for recovery in [Recovery::Full, Recovery::Fast] {
        let options = Options { recovery, ..options };
        let copy = crashed(dir.path(), options);
        let (at, offset) = find(copy.path(), options, &payload(200)).unwrap();
        write_at(&page(copy.path(), at), offset / 4096 * 4096, &[0; 4096]);
        let refused = Waldo::blocking_open(copy.path(), options);
        assert!(
            matches!(&refused, Err(Error::Corruption(found)) if found.page == at),
            "{recovery:?}: {refused:?}"
        );
    }
}

/// The same bug, from the writer's side: space was set aside for a batch before it was checked,
/// so that each refused one left a hole among the records of the others.
fn refused_batches_leave_no_hole(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    // Large enough for all of them.
    let options = Options { ring_size: Some(12), ..options };
    let waldo = open(&dir, options);
    // Before the first log, any number would do.
    waldo.blocking_append_assigned(&[b"good", b"good"]).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    for at in 0..800 {
        // Submitted faster than they are written, so that many share a write: good ones, and
        // between them those that follow no log there is.
        let (is_good, sender) = (at % 2 == 0, sender.clone());
        let mut batch = waldo.try_batch(100, is_good).unwrap();
        if is_good {
            assert!(batch.push_payload(b"good").unwrap());
        } else {
            assert!(batch.push(&Log::new_borrowed(1_000_001, 1_000_000, b"wrong")).unwrap());
        }
        let done = move |result: Result<_, AppendError>| {
            assert_eq!(result.is_ok(), is_good, "{result:?}");
            sender.send(()).unwrap();
        };
        waldo.submit_append(batch.finish(), false, done).unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().count(), 800);
    let copy = crashed(dir.path(), options);
    let (waldo, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
    assert_eq!((report.prev_seq_no, report.log_count), (402, 402));
    let mut stream = waldo.stream(Cursor::Trim);
    let mut count = 0;
    while count < 402 {
        for log in stream.blocking_next().unwrap().iter() {
            assert_eq!(log.data(), b"good");
            count += 1;
        }
    }
}

/// A batch that fitted no page had the writer look for room in the next one, and the next one,
/// for ever; each was wiped on the way.
fn a_batch_over_the_limits_wipes_nothing(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { page_capacity: 100, ..options });
    waldo.blocking_append(&logs(1, 50)).unwrap();
    let too_many = waldo.blocking_append_atomic(&logs(51, 151));
    assert!(matches!(too_many, Err(AppendError::BatchTooLarge { .. })), "{too_many:?}");
    let large = vec![0; options.buf_capacity];
    let too_large = waldo.blocking_append(&[Log::new_borrowed(51, 50, &large)]);
    assert!(matches!(too_large, Err(AppendError::ExceedsLimit { .. })), "{too_large:?}");
    assert_run(&read_all(&waldo), 1, 50);
    waldo.blocking_close().unwrap();
    // More than the whole ring holds, where nothing may be overwritten.
    let options = Options { page_capacity: 100, retention: Retention::Refuse, ..options };
    let waldo = open(&dir, options);
    let over = waldo.blocking_append(&logs(51, 5_000));
    assert_eq!(over, Err(AppendError::Full { oldest: 1 }));
    let tip = waldo.prev_seq_no().unwrap();
    assert_run(&read_all(&waldo), 1, tip);
    waldo.blocking_close().unwrap();
    assert_run(&read_all(&open(&dir, options)), 1, tip);
}

/// The index led to a place before the record, the first read from there ended before it, and
/// the query answered "nothing" for ever.
fn a_log_behind_the_first_read_is_found(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        // As sparse as can be: several of the largest reads lie between two entries.
        index_capacity: 2,
        index_sparse_bytes: 16 * 1024 * 1024,
        index_sparse_count: 1_000_000,
        buf_capacity: 1024 * 1024,
        file_capacity: Some(16 * 1024 * 1024),
        tail_capacity: 0,
        read_capacity: 8 * 1024 * 1024,
        ..options
    };
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 30_000)).unwrap();
    // And logs that are longer than the longest read that is chosen freely.
    let large = vec![7; waldo.log_size_limit() - 24];
    for seq_no in 30_001..=30_010 {
        waldo.blocking_append(&[Log::new_borrowed(seq_no, seq_no - 1, &large)]).unwrap();
    }
    waldo.blocking_close().unwrap();
    for recovery in [Recovery::Full, Recovery::Fast] {
        let waldo = open(&dir, Options { recovery, ..options });
        for seq_no in (1..30_000).step_by(2_999).chain(29_990..=30_010) {
            for wait in [false, true] {
                let found = waldo.blocking_query(Cursor::From(seq_no), wait).unwrap();
                let first = found.iter().next().map(|log| log.seq_no());
                assert_eq!(first, Some(seq_no), "{recovery:?}");
            }
        }
        waldo.blocking_close().unwrap();
    }
}

/// The cursor for the oldest record named the place where the ring began. Once that had been
/// overwritten, also just before the first read, all that it led to was the error "trimmed".
fn the_oldest_cursor_never_says_trimmed(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut early = waldo.stream(Cursor::Trim);
    let tip = turn(&waldo, 0, 1);
    let mut late = waldo.stream(Cursor::Trim);
    turn(&waldo, tip, 1);
    let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
    assert!(oldest > tip);
    for stream in [&mut early, &mut late, &mut waldo.stream(Cursor::Trim)] {
        assert_eq!(numbers(&stream.blocking_next().unwrap())[0], oldest);
    }
    assert_eq!(numbers(&waldo.blocking_query(Cursor::Trim, false).unwrap())[0], oldest);
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    assert_eq!(numbers(&waldo.blocking_query(Cursor::Trim, true).unwrap())[0], oldest);
}

/// Recovery checked that each page follows the one before it, with the condition the wrong way
/// round: pages that did not were kept, and the log had a page of an earlier turn in its middle.
fn pages_that_do_not_follow_each_other_are_refused(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let tip = turn(&waldo, 0, 1);
    let earlier = crashed(dir.path(), options);
    let tip = turn(&waldo, tip, 1);
    waldo.blocking_close().unwrap();
    let (newest, _) = find(dir.path(), options, &payload(tip)).unwrap();
    for recovery in [Recovery::Full, Recovery::Fast] {
        let options = Options { recovery, ..options };
        for at in (0..options.ring_size.unwrap()).filter(|at| *at != newest) {
            let copy = crashed(dir.path(), options);
            std::fs::copy(page(earlier.path(), at), page(copy.path(), at)).unwrap();
            let refused = Waldo::blocking_open(copy.path(), options);
            assert!(matches!(refused, Err(Error::Corruption(_))), "page {at}: {refused:?}");
        }
    }
    assert_eq!(open(&dir, options).prev_seq_no(), Some(tip));
}

/// The number by which recovery chose the newest page was not covered by the checksum: one bit
/// of it flipped, and the log went on in an old page.
fn a_flipped_bit_chooses_no_other_newest_page(options: Options) {
    /// Where the numbers in the header of a page's first frame lie.
    const NUMBERS: std::ops::Range<usize> = 4096 + 8..4096 + 64;
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let tip = turn(&waldo, 0, 1);
    let oldest = waldo.blocking_metadata().unwrap().after_seq_no + 1;
    waldo.blocking_close().unwrap();
    let mut bit = 0;
    for at in 0..options.ring_size.unwrap() {
        let whole = std::fs::read(page(dir.path(), at)).unwrap();
        for offset in NUMBERS.step_by(3) {
            let copy = crashed(dir.path(), options);
            bit = (bit + 3) % 8;
            write_at(&page(copy.path(), at), offset, &[whole[offset] ^ 1 << bit]);
            match Waldo::blocking_open(copy.path(), options) {
                Err(Error::Corruption(_)) => {}
                Ok(waldo) => assert_run(&read_all(&waldo), oldest, tip),
                other => panic!("bit {bit} at {offset} of page {at}: {other:?}"),
            }
        }
    }
}

/// An entry was rolled back, a shorter one was written in its place, and what was left of the
/// first went to disk behind it: recovery stopped there, and acknowledged entries were lost.
fn a_shorter_log_brings_no_stale_bytes(options: Options) {
    let long = |first: u64, last: u64| -> Vec<Log<'static>> {
        let log = |seq_no| Log::new_owned(seq_no, seq_no - 1, vec![0xff; 3_001]);
        (first..=last).map(log).collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut tip = 0;
    for round in 0..30 {
        // Rolled back before it was submitted, also from the very buffer that comes next,
        let mut builder = waldo.try_batch(waldo.batch_limits().size, false).unwrap();
        for log in long(tip + 1, tip + 10) {
            assert!(builder.push(&log).unwrap());
        }
        drop(builder);
        // and after it was written.
        waldo.blocking_append(&long(tip + 1, tip + 1 + round % 7)).unwrap();
        if tip > 0 {
            waldo.blocking_truncate(tip).unwrap();
        } else {
            waldo.blocking_clear().unwrap();
        }
        // By way of a buffer, and by way of copying.
        waldo.blocking_append(&logs(tip + 1, tip + 300)).unwrap();
        waldo.blocking_append(&logs(tip + 301, tip + 303)).unwrap();
        tip += 303;
        let copy = crashed(dir.path(), options);
        let (copied, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
        assert_eq!((report.prev_seq_no, &report.dropped), (tip, &None));
        assert_run(&read_all(&copied), report.after_seq_no + 1, tip);
    }
}

/// Counts how often somebody is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// While a page was made ready for its next use, readers asked again and again whether it was
/// done, each with a processor of its own.
fn a_full_ring_parks_everybody(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { retention: Retention::Refuse, ..options });
    let mut tip = 0;
    while waldo.blocking_append_atomic(&logs(tip + 1, tip + 400)).is_ok() {
        tip += 400;
    }
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, Options { retention: Retention::Hold, ..options });
    // The next page cannot be had, and an append waits for it.
    let writer = waldo.clone();
    let appender = std::thread::spawn(move || writer.blocking_append(&logs(tip + 1, tip + 400)));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut context = Context::from_waker(&waker);
    let mut stream = waldo.stream(Cursor::Tip);
    let mut next = Box::pin(stream.next());
    for _ in 0..100 {
        // A poll that returns did not spin; nobody asked for another one.
        assert!(next.as_mut().poll(&mut context).is_pending());
    }
    // Who wants what is there gets it.
    let found = waldo.blocking_query(Cursor::Trim, true).unwrap();
    assert_eq!(numbers(&found)[0], 1);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "it asked to be polled again");
    waldo.blocking_trim(tip).unwrap();
    appender.join().unwrap().unwrap();
    // Readers are woken around the time when the append is acknowledged.
    let found = loop {
        match next.as_mut().poll(&mut context) {
            Poll::Ready(found) => break numbers(&found.unwrap()),
            Poll::Pending => std::thread::yield_now(),
        }
    };
    assert_eq!(found[0], tip + 1);
}

/// A reader's place was kept as a place in a chain of files. Deleting old ones shifted what it
/// meant, and records that nobody had read were skipped.
fn a_position_is_a_number_that_no_deletion_shifts(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let tip = turn(&waldo, 0, 1);
    // A reader in the newest page.
    let oldest = |waldo: &Waldo| waldo.blocking_metadata().unwrap().after_seq_no + 1;
    let mut stream = waldo.stream(Cursor::After(tip - 800));
    numbers(&stream.blocking_next().unwrap());
    let position = stream.position();
    // The page before it goes.
    let (before, mut end) = (oldest(&waldo), tip);
    while oldest(&waldo) == before {
        waldo.blocking_append(&logs(end + 1, end + 400)).unwrap();
        end += 400;
        let found = waldo.blocking_query(Cursor::After(position), false).unwrap();
        assert_eq!(numbers(&found)[0], position + 1);
    }
    waldo.blocking_trim(position - 1).unwrap();
    assert_eq!(oldest(&waldo), position);
    assert_eq!(numbers(&stream.blocking_next().unwrap())[0], position + 1);
    drop(stream);
    // Kept over a restart, it means the same.
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    let found = waldo.stream(Cursor::After(position)).blocking_next().unwrap();
    assert_eq!(numbers(&found)[0], position + 1);
    // And where the logs themselves went, that is said.
    let end = turn(&waldo, end, 1);
    let oldest = oldest(&waldo);
    assert!(oldest > position + 1 && oldest < end);
    let skipped = waldo.blocking_query(Cursor::After(position), false);
    assert_eq!(skipped.unwrap_err(), QueryError::Trimmed { oldest });
}
