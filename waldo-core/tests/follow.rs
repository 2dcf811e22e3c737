//! Following a store from outside: what is read, and what happens when the writer does anything.

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{assert_run, logs, numbers, open, options, payload};
use waldo_core::{
    Backend, CorruptionPolicy, Cursor, Error, FollowOptions, Follower, IoMode, Log, Options,
    QueryError, Waldo, Watch,
};

on_both_backends!(
    every_write_is_noticed,
    polling_notices_every_write,
    an_idle_store_costs_nothing,
    nothing_is_locked_or_written,
    a_ring_that_wraps_at_full_speed,
    trimmed_truncated_and_cleared,
    closed_and_opened_again,
    a_ring_that_grows,
    durable_logs_only,
    numbers_of_a_store,
    the_newest_logs,
    chunks_outlive_everything,
    a_torn_tail_is_the_end_for_now,
    damage_at_open,
    damage_that_is_met_later,
    damage_where_summaries_are_trusted,
    a_writer_that_cuts_damage,
);

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(20);

fn follow(dir: &tempfile::TempDir) -> Follower {
    Follower::open(dir.path(), FollowOptions::default()).unwrap()
}

fn page(dir: &Path, page: u32) -> PathBuf {
    dir.join(format!("{page:010}.page"))
}

/// Everything that is there now, from the position on.
fn rest(follower: &mut Follower) -> Vec<u64> {
    let mut found = Vec::new();
    while let Some(chunk) = follower.try_next().unwrap() {
        found.extend(numbers(&chunk));
    }
    found
}

/// Waits for logs up to and with `last`.
fn wait_for(follower: &mut Follower, last: u64) -> Vec<u64> {
    let mut found = Vec::new();
    while follower.position() < last {
        found.extend(numbers(&follower.blocking_next_timeout(LONG).unwrap()));
    }
    found
}

/// Whether the follower's file descriptor is readable within a time.
fn readable(follower: &Follower, timeout_ms: i32) -> bool {
    let mut poll =
        libc::pollfd { fd: follower.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&raw mut poll, 1, timeout_ms) == 1 }
}

/// The page file that holds these bytes last, and where.
fn find(dir: &Path, options: Options, bytes: &[u8]) -> Option<(u32, u64)> {
    (0..options.ring_size.unwrap()).find_map(|at| {
        let file = std::fs::read(page(dir, at)).unwrap();
        let found = file.windows(bytes.len()).rposition(|window| window == bytes);
        found.map(|offset| (at, offset as u64))
    })
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, offset).unwrap();
}

/// Inverts a bit of the last log with this number.
fn damage(dir: &Path, options: Options, seq_no: u64) -> u32 {
    let (at, offset) = find(dir, options, &payload(seq_no)).unwrap();
    write_at(&page(dir, at), offset, b"P");
    at
}

/// Both ways to write, durable and not.
fn modes(options: Options) -> Vec<Options> {
    [(true, IoMode::Auto), (true, IoMode::Buffered), (false, IoMode::Buffered)]
        .into_iter()
        .map(|(file_o_dsync, io)| Options { file_o_dsync, io, ..options })
        .collect()
}

fn every_write_is_noticed(options: Options) {
    for options in modes(options) {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options);
        let mut follower = follow(&dir);
        assert!(follower.metadata().unwrap().watching);
        assert!(follower.try_next().unwrap().is_none());
        let mut tip = 0;
        for count in (1..60).chain([700, 1, 2_000]) {
            waldo.blocking_append(&logs(tip + 1, tip + count)).unwrap();
            assert_run(&wait_for(&mut follower, tip + count), tip + 1, tip + count);
            tip += count;
        }
    }
}

fn polling_notices_every_write(options: Options) {
    for options in modes(options) {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options);
        let how = FollowOptions {
            watch: Watch::Poll,
            poll_interval: Duration::from_millis(1),
            ..FollowOptions::default()
        };
        let mut follower = Follower::open(dir.path(), how).unwrap();
        assert!(!follower.metadata().unwrap().watching);
        let mut tip = 0;
        for count in (1..20).chain([700, 1, 2_000]) {
            waldo.blocking_append(&logs(tip + 1, tip + count)).unwrap();
            assert_run(&wait_for(&mut follower, tip + count), tip + 1, tip + count);
            tip += count;
        }
    }
}

fn an_idle_store_costs_nothing(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    while waldo.blocking_metadata().unwrap().pending_resets > 0 {
        std::thread::yield_now();
    }
    let mut follower = follow(&dir);
    assert_run(&rest(&mut follower), 1, 10);
    // What was written before it looked may be noticed late, and looked at once more.
    while readable(&follower, 200) {
        assert!(follower.try_next().unwrap().is_none());
    }
    assert!(!readable(&follower, 500), "it was woken for nothing");
    waldo.blocking_append(&logs(11, 11)).unwrap();
    assert!(readable(&follower, 20_000));
    assert_run(&rest(&mut follower), 11, 11);
}

fn nothing_is_locked_or_written(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 1_000)).unwrap();
    waldo.blocking_close().unwrap();
    let state = || -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let written = path.metadata().unwrap().modified().unwrap();
                (path.clone(), std::fs::read(path).unwrap(), written)
            })
            .collect();
        files.sort();
        files
    };
    let before = state();
    let mut follower = follow(&dir);
    assert_run(&rest(&mut follower), 1, 1_000);
    follower.check_end().unwrap();
    assert_eq!(follower.metadata().unwrap().writer_pid, None);
    assert!(state() == before, "something in the directory was changed");
    // No file is open for writing, and the lock can be had.
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let link = entry.unwrap().path();
        let Ok(target) = std::fs::read_link(&link) else { continue };
        if target.starts_with(dir.path()) {
            let fd: i32 = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            // SAFETY: asks for the flags of a descriptor.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
            assert_eq!(flags & libc::O_ACCMODE, libc::O_RDONLY, "{}", target.display());
        }
    }
    let waldo = open(&dir, options);
    assert_eq!(follower.metadata().unwrap().writer_pid, Some(std::process::id()));
    waldo.blocking_append(&logs(1_001, 1_001)).unwrap();
    assert_run(&wait_for(&mut follower, 1_001), 1_001, 1_001);
}

fn a_ring_that_wraps_at_full_speed(options: Options) {
    const LAST: u64 = 120_000;
    for options in modes(options) {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options);
        let tip = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seq_no = 0;
                while seq_no < LAST {
                    let count = (1 + seq_no % 700).min(LAST - seq_no);
                    waldo.blocking_append(&logs(seq_no + 1, seq_no + count)).unwrap();
                    seq_no += count;
                    tip.store(seq_no, Ordering::Relaxed);
                }
            });
            // From the start, and again and again from the newest, the oldest and in between.
            let mut follower = follow(&dir);
            let (mut seen, mut lapses, mut rounds) = (0, 0, 0_u64);
            let mut position = 0;
            // At the oldest log, whichever that is by the time that it is read.
            let mut at_oldest = true;
            while position < LAST {
                match follower.blocking_next_timeout(LONG) {
                    Ok(chunk) => {
                        let found = numbers(&chunk);
                        let first = if at_oldest { found[0] } else { position + 1 };
                        assert!(first > position, "{first} after {position}");
                        assert_run(&found, first, chunk.last_seq_no());
                        position = chunk.last_seq_no();
                        at_oldest = false;
                        seen += found.len();
                    }
                    Err(QueryError::Trimmed { oldest }) => {
                        assert!(oldest > position + 1, "{oldest} after {position}");
                        position = oldest - 1;
                        lapses += 1;
                    }
                    Err(error) => panic!("after {position}: {error}"),
                }
                rounds += 1;
                if rounds.is_multiple_of(50) {
                    let cursor = match rounds / 50 % 3 {
                        0 => Cursor::Trim,
                        1 => Cursor::Tip,
                        _ => Cursor::After(tip.load(Ordering::Relaxed)),
                    };
                    follower.seek(cursor).unwrap();
                    position = follower.position();
                    at_oldest = cursor == Cursor::Trim;
                }
            }
            assert!(seen > 1_000, "{seen} logs and {lapses} lapses");
        });
    }
}

fn trimmed_truncated_and_cleared(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    let mut follower = follow(&dir);
    let mut early = follow(&dir);
    let mut late = follow(&dir);
    assert_run(&rest(&mut follower), 1, 100);
    late.seek(Cursor::After(20)).unwrap();

    waldo.blocking_trim(30).unwrap();
    assert_eq!(follower.metadata().unwrap().after_seq_no, 30);
    // Who wants the oldest gets it; who was in the middle is told.
    early.metadata().unwrap();
    assert_run(&rest(&mut early), 31, 100);
    late.metadata().unwrap();
    assert_eq!(late.try_next().unwrap_err(), QueryError::Trimmed { oldest: 31 });
    assert_run(&rest(&mut late), 31, 100);

    waldo.blocking_truncate(60).unwrap();
    waldo.blocking_append(&[Log::new_borrowed(61, 60, b"another")]).unwrap();
    let told = follower.blocking_next_timeout(LONG);
    assert_eq!(told.unwrap_err(), QueryError::Truncated { tip: 60 });
    assert_eq!(follower.position(), 60);
    let chunk = follower.blocking_next_timeout(LONG).unwrap();
    let found: Vec<_> = chunk.iter().map(|log| (log.seq_no(), log.data().to_vec())).collect();
    assert_eq!(found, [(61, b"another".to_vec())]);

    waldo.blocking_clear().unwrap();
    let told = follower.blocking_next_timeout(LONG);
    assert_eq!(told.unwrap_err(), QueryError::Truncated { tip: 0 });
    assert_eq!(follower.metadata().unwrap().prev_seq_no, 0);
    waldo.blocking_append(&logs(1_000, 1_010)).unwrap();
    let told = follower.blocking_next_timeout(LONG);
    assert_eq!(told.unwrap_err(), QueryError::Trimmed { oldest: 1_000 });
    assert_run(&wait_for(&mut follower, 1_010), 1_000, 1_010);
}

fn closed_and_opened_again(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let mut waldo = open(&dir, options);
    let mut follower = follow(&dir);
    let mut incarnation = 0;
    let mut tip = 0;
    for round in 0..8 {
        let count = if round % 3 == 2 { 9_000 } else { 100 };
        for _ in 0..count / 100 {
            waldo.blocking_append(&logs(tip + 1, tip + 100)).unwrap();
            assert_run(&wait_for(&mut follower, tip + 100), tip + 1, tip + 100);
            tip += 100;
        }
        let now = follower.metadata().unwrap().incarnation;
        assert!(now > incarnation, "round {round}");
        incarnation = now;
        waldo.blocking_close().unwrap();
        // A close is the proof that everything is durable.
        assert_eq!(follower.metadata().unwrap().durable_seq_no, tip);
        assert!(follower.try_next().unwrap().is_none());
        waldo = open(&dir, options);
    }
}

fn a_ring_that_grows(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 100)).unwrap();
    let mut follower = follow(&dir);
    assert_run(&rest(&mut follower), 1, 100);
    waldo.blocking_close().unwrap();
    let options = Options { ring_size: options.ring_size.map(|count| count + 2), ..options };
    let waldo = open(&dir, options);
    let mut tip = 100;
    for _ in 0..200 {
        waldo.blocking_append(&logs(tip + 1, tip + 200)).unwrap();
        assert_run(&wait_for(&mut follower, tip + 200), tip + 1, tip + 200);
        tip += 200;
    }
    assert_eq!(follower.metadata().unwrap().ring_size, options.ring_size.unwrap());
}

fn durable_logs_only(options: Options) {
    let how = FollowOptions { durable_only: true, ..FollowOptions::default() };
    let options = Options { file_o_dsync: false, io: IoMode::Buffered, ..options };
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut durable = Follower::open(dir.path(), how).unwrap();
    let mut all = follow(&dir);
    waldo.blocking_append(&logs(1, 50)).unwrap();
    assert_run(&wait_for(&mut all, 50), 1, 50);
    assert!(durable.try_next().unwrap().is_none());
    assert_eq!(all.metadata().unwrap().durable_seq_no, 0);
    // Durable, but nothing says so yet.
    waldo.blocking_sync().unwrap();
    assert!(durable.try_next().unwrap().is_none());
    // The next write does; it is not durable itself.
    waldo.blocking_append(&logs(51, 60)).unwrap();
    assert_run(&wait_for(&mut durable, 50), 1, 50);
    assert!(durable.try_next().unwrap().is_none());
    assert_eq!(all.metadata().unwrap().durable_seq_no, 50);
    // Over the ends of pages.
    waldo.blocking_sync().unwrap();
    let mut tip = 60;
    for _ in 0..60 {
        waldo.blocking_append(&logs(tip + 1, tip + 200)).unwrap();
        waldo.blocking_sync().unwrap();
        let expected = durable.position() + 1;
        assert_run(&wait_for(&mut durable, tip), expected, tip);
        tip += 200;
        assert!(durable.try_next().unwrap().is_none());
    }
    waldo.blocking_close().unwrap();
    let expected = durable.position() + 1;
    assert_run(&wait_for(&mut durable, tip), expected, tip);
    let mut again = Follower::open(dir.path(), how).unwrap();
    assert_eq!(rest(&mut again).last(), Some(&tip));
}

fn numbers_of_a_store(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut follower = follow(&dir);
    let empty = follower.metadata().unwrap();
    assert_eq!((empty.prev_seq_no, empty.after_seq_no, empty.log_count), (0, 0, 0));
    assert_eq!((empty.page_count, empty.durable_seq_no), (0, 0));
    let mut tip = 0;
    for round in 0..40 {
        waldo.blocking_append(&logs(tip + 1, tip + 400)).unwrap();
        tip += 400;
        if round == 20 {
            waldo.blocking_trim(tip - 100).unwrap();
        }
        let (seen, known) = (follower.metadata().unwrap(), waldo.blocking_metadata().unwrap());
        assert_eq!(seen.prev_seq_no, known.prev_seq_no);
        assert_eq!(seen.after_seq_no, known.after_seq_no, "round {round}");
        assert_eq!(seen.log_count, known.log_count, "round {round}");
        assert_eq!(seen.page_count, known.page_count);
        assert!(seen.durable_seq_no <= known.durable_seq_no);
        assert!(seen.durable_seq_no + 400 >= tip, "{} of {tip}", seen.durable_seq_no);
    }
    let seen = follower.metadata().unwrap();
    assert_eq!(seen.ring_size, options.ring_size.unwrap());
    assert_eq!(seen.file_capacity, options.file_capacity.unwrap());
    assert_eq!(seen.disk_size, options.disk_size());
    assert_ne!(seen.store_id, [0; 16]);
    // Another one finds the same, without having seen it grow.
    let mut other = follow(&dir).metadata().unwrap();
    (other.index_count, other.index_size) = (seen.index_count, seen.index_size);
    assert_eq!(other, seen);
}

fn the_newest_logs(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut follower = follow(&dir);
    assert_eq!(follower.cursor_of_last(5).unwrap(), Cursor::After(0));
    let mut known = Vec::new();
    let mut prev = 0;
    for at in 0..3_000_u64 {
        // With gaps, and without.
        let seq_no = if at % 1_000 < 500 { prev + 1 + at % 3 } else { prev + 1 };
        known.push(Log::new_owned(seq_no, prev, payload(seq_no)));
        prev = seq_no;
    }
    for part in known.chunks(300) {
        waldo.blocking_append(part).unwrap();
    }
    for count in [0, 1, 2, 17, 499, 500, 501, 1_234, 2_999, 3_000, 3_001, 10_000] {
        let cursor = follower.cursor_of_last(count as u64).unwrap();
        follower.seek(cursor).unwrap();
        let found = rest(&mut follower);
        let wanted: Vec<u64> =
            known.iter().skip(known.len().saturating_sub(count)).map(Log::seq_no).collect();
        assert_eq!(found, wanted, "the last {count}");
    }
    let chunk = follower.query(Cursor::From(known[1_500].seq_no())).unwrap();
    assert_eq!(chunk.iter().next().unwrap(), known[1_500]);
    assert!(follower.query(Cursor::Tip).unwrap().is_empty());
    let trimmed = known[1_499].seq_no();
    waldo.blocking_trim(trimmed).unwrap();
    let cursor = follower.cursor_of_last(10_000).unwrap();
    assert_eq!(cursor, Cursor::After(trimmed));
}

fn chunks_outlive_everything(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut follower = follow(&dir);
    let mut tip = 0;
    let mut chunks = Vec::new();
    for _ in 0..100 {
        waldo.blocking_append(&logs(tip + 1, tip + 300)).unwrap();
        tip += 300;
        // All of them are kept: that stops nobody.
        while follower.position() < tip {
            chunks.push(follower.blocking_next_timeout(LONG).unwrap());
        }
    }
    drop((follower, waldo, dir));
    let found: Vec<u64> = chunks.iter().flat_map(numbers).collect();
    assert_run(&found, 1, tip);
}

fn a_torn_tail_is_the_end_for_now(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 90)).unwrap();
    waldo.blocking_append(&logs(91, 100)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    for at in 0..options.ring_size.unwrap() {
        std::fs::copy(page(dir.path(), at), page(copy.path(), at)).unwrap();
    }
    let (at, offset) = find(copy.path(), options, &payload(100)).unwrap();
    let whole = std::fs::read(page(copy.path(), at)).unwrap();
    write_at(&page(copy.path(), at), offset, &vec![0; payload(100).len()]);
    let mut follower = follow(&copy);
    assert_run(&rest(&mut follower), 1, 90);
    follower.check_end().unwrap();
    let more = follower.blocking_next_timeout(Duration::from_millis(300));
    assert_eq!(more.unwrap_err(), QueryError::Timeout);
    let report = waldo_core::verify(copy.path(), |_| std::ops::ControlFlow::Continue(()));
    let report = report.unwrap();
    assert!(report.cut.is_none() && report.dropped.is_some(), "{report:?}");
    // The rest of it arrives.
    let len = payload(100).len();
    write_at(&page(copy.path(), at), offset, &whole[offset as usize..offset as usize + len]);
    assert_run(&wait_for(&mut follower, 100), 91, 100);
    // And where somebody opened the store before that, the log goes on another way.
    write_at(&page(copy.path(), at), offset, &vec![0; len]);
    let mut follower = follow(&copy);
    assert_run(&rest(&mut follower), 1, 90);
    let waldo = open(&copy, options);
    waldo.blocking_append(&logs(91, 95)).unwrap();
    assert_run(&wait_for(&mut follower, 95), 91, 95);
}

/// A store with logs 1 to 400 in many frames, and no writer.
fn stored(options: Options) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..40 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    for at in 0..options.ring_size.unwrap() {
        std::fs::copy(page(dir.path(), at), page(copy.path(), at)).unwrap();
    }
    copy
}

fn damage_at_open(options: Options) {
    let dir = stored(options);
    let at = damage(dir.path(), options, 205);
    match Follower::open(dir.path(), FollowOptions::default()) {
        Err(Error::Corruption(found)) => {
            assert_eq!((found.page, found.after_seq_no), (at, 200), "{found}");
        }
        other => panic!("{other:?}"),
    }
    let how = FollowOptions { corruption: CorruptionPolicy::Truncate, ..FollowOptions::default() };
    let before = std::fs::read(page(dir.path(), at)).unwrap();
    let mut follower = Follower::open(dir.path(), how).unwrap();
    assert_run(&rest(&mut follower), 1, 200);
    assert!(follower.try_next().unwrap().is_none());
    assert_eq!(std::fs::read(page(dir.path(), at)).unwrap(), before);
    let report = waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(()));
    let cut = report.unwrap().cut.unwrap();
    assert_eq!((cut.page, cut.after_seq_no), (at, 200), "{cut}");
}

fn damage_that_is_met_later(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let (mut waits, mut asks) = (follow(&dir), follow(&dir));
    assert_run(&rest(&mut waits), 1, 10);
    assert_run(&rest(&mut asks), 1, 10);
    // Written, and damaged, before they look again.
    for at in 1..20 {
        waldo.blocking_append(&logs(at * 10 + 1, at * 10 + 10)).unwrap();
    }
    let mut ahead = follow(&dir);
    assert_run(&rest(&mut ahead), 1, 200);
    let at = damage(dir.path(), options, 105);
    assert_run(&wait_for(&mut waits, 100), 11, 100);
    for _ in 0..2 {
        match waits.blocking_next_timeout(LONG) {
            Err(QueryError::Corruption(found)) => {
                assert_eq!((found.page, found.after_seq_no), (at, 100), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_run(&rest(&mut asks), 11, 100);
    let found = asks.check_end();
    assert!(matches!(found, Err(QueryError::Corruption(_))), "{found:?}");
    // What is damaged behind a reader's back does not hurt him.
    ahead.check_end().unwrap();
    waldo.blocking_append(&logs(201, 210)).unwrap();
    assert_run(&wait_for(&mut ahead, 210), 201, 210);
    ahead.seek(Cursor::After(50)).unwrap();
    assert_run(&wait_for(&mut ahead, 100), 51, 100);
    let found = ahead.blocking_next_timeout(LONG);
    assert!(matches!(found, Err(QueryError::Corruption(_))), "{found:?}");
}

fn damage_where_summaries_are_trusted(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for at in 0..200 {
        waldo.blocking_append(&logs(at * 40 + 1, at * 40 + 40)).unwrap();
    }
    waldo.blocking_close().unwrap();
    let intact = waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(intact.cut.is_none() && intact.dropped.is_none() && intact.page_count > 1);
    let oldest = intact.after_seq_no + 1;
    damage(dir.path(), options, oldest + 500);
    // Seals vouch for everything, so that it is found when it is read.
    let mut follower = follow(&dir);
    let mut found = Vec::new();
    let error = loop {
        match follower.try_next() {
            Ok(chunk) => found.extend(numbers(&chunk.expect("the damage is passed over"))),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, QueryError::Corruption(_)), "{error}");
    assert_run(&found, oldest, follower.position());
    assert!(follower.position() < oldest + 500);
    assert_eq!(follower.try_next().unwrap_err(), error, "the position stays");
    follower.seek(Cursor::From(oldest + 1_000)).unwrap();
    assert_run(&rest(&mut follower), oldest + 1_000, 8_000);
    let damaged = waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(())).unwrap();
    let cut = damaged.cut.expect("the damage is not found");
    assert!((oldest + 459..oldest + 500).contains(&cut.after_seq_no), "{cut}");
}

fn a_writer_that_cuts_damage(options: Options) {
    let dir = stored(options);
    let mut follower = follow(&dir);
    assert_run(&rest(&mut follower), 1, 400);
    damage(dir.path(), options, 205);
    let cutting = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let waldo = open(&dir, cutting);
    waldo.blocking_append(&logs(201, 203)).unwrap();
    let told = follower.blocking_next_timeout(LONG);
    assert_eq!(told.unwrap_err(), QueryError::Truncated { tip: 200 });
    assert_run(&wait_for(&mut follower, 203), 201, 203);
}

#[test]
fn what_is_no_store_is_refused() {
    let how = FollowOptions::default();
    let dir = tempfile::tempdir().unwrap();
    let empty = Follower::open(dir.path(), how);
    assert!(matches!(empty, Err(Error::NotAStore { .. })), "{empty:?}");
    let missing = Follower::open(dir.path().join("missing"), how);
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    std::fs::write(dir.path().join("0000000000.page"), vec![b'x'; 8192]).unwrap();
    let foreign = Follower::open(dir.path(), how);
    assert!(matches!(foreign, Err(Error::NotAStore { .. })), "{foreign:?}");
    let file = Follower::open(dir.path().join("0000000000.page"), how);
    assert!(matches!(file, Err(Error::Io { .. } | Error::NotAStore { .. })), "{file:?}");

    let dir = tempfile::tempdir().unwrap();
    open(&dir, options(Backend::Auto)).blocking_close().unwrap();
    let path = page(dir.path(), 1);
    let mut block = std::fs::read(&path).unwrap()[..4096].to_vec();
    block[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let crc = crc32c::crc32c(&block[..4092]);
    block[4092..].copy_from_slice(&crc.to_le_bytes());
    write_at(&path, 0, &block);
    let newer = Follower::open(dir.path(), how);
    assert!(matches!(newer, Err(Error::Newer { version: 2, .. })), "{newer:?}");
    let option = Follower::open(dir.path(), FollowOptions { index_capacity: 1, ..how });
    assert!(matches!(option, Err(Error::Option { name: "index_capacity", .. })), "{option:?}");
    let interval = FollowOptions { poll_interval: Duration::ZERO, ..how };
    let option = Follower::open(dir.path(), interval);
    assert!(matches!(option, Err(Error::Option { name: "poll_interval", .. })), "{option:?}");
}

/// Fuzzing found a store that could not be opened, because nothing was left of a page that had been
/// made before another one, while a check of it said that all was well.
#[test]
fn a_page_of_which_nothing_is_left_is_damage() {
    let options = options(Backend::Threads);
    let wipe = |path: &Path| write_at(path, 0, &[0; 4096]);
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    for lose in [&wipe as &dyn Fn(&Path), &remove] {
        for lost in [0, 1] {
            let dir = tempfile::tempdir().unwrap();
            open(&dir, options).blocking_close().unwrap();
            lose(&page(dir.path(), lost));
            let refused = Waldo::blocking_open(dir.path(), options).unwrap_err();
            let Error::Corruption(corruption) = refused else { panic!("{refused}") };
            let report =
                waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(report.cut, Some(corruption.clone()));
            let refused = Follower::open(dir.path(), FollowOptions::default()).unwrap_err();
            assert!(matches!(refused, Error::Corruption(found) if found == corruption));
        }
    }
}

#[test]
fn a_store_that_goes_away() {
    for watch in [Watch::Auto, Watch::Poll] {
        let how = FollowOptions {
            watch,
            poll_interval: Duration::from_millis(1),
            ..FollowOptions::default()
        };
        let parent = tempfile::tempdir().unwrap();
        let home = parent.path().join("store");
        let waldo = Waldo::blocking_open(&home, options(Backend::Auto)).unwrap();
        waldo.blocking_append(&logs(1, 100)).unwrap();
        let mut removed = Follower::open(&home, how).unwrap();
        let mut waits = Follower::open(&home, how).unwrap();
        assert_run(&rest(&mut waits), 1, 100);
        waldo.blocking_close().unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        // What is open can still be read.
        let mut found = Vec::new();
        let error = loop {
            match removed.blocking_next_timeout(LONG) {
                Ok(chunk) => found.extend(numbers(&chunk)),
                Err(error) => break error,
            }
        };
        assert_run(&found, 1, 100);
        assert_eq!(error, QueryError::Gone);
        assert_eq!(waits.blocking_next_timeout(LONG).unwrap_err(), QueryError::Gone);
        // Another one in its place is another one.
        let waldo = Waldo::blocking_open(&home, options(Backend::Auto)).unwrap();
        waldo.blocking_append(&logs(1, 100)).unwrap();
        assert_eq!(removed.try_next().unwrap_err(), QueryError::Gone);
        let mut moved = Follower::open(&home, how).unwrap();
        assert_run(&rest(&mut moved), 1, 100);
        std::fs::rename(&home, parent.path().join("elsewhere")).unwrap();
        assert_eq!(moved.blocking_next_timeout(LONG).unwrap_err(), QueryError::Gone);
    }
}

#[test]
fn waits_end_when_they_should() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options(Backend::Auto));
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let mut follower = follow(&dir);
    let interrupter = follower.interrupter();
    // An interrupt before a call counts for it, and several are one.
    interrupter.interrupt();
    interrupter.interrupt();
    assert!(readable(&follower, 0));
    assert_eq!(follower.try_next().unwrap_err(), QueryError::Interrupted);
    assert_run(&rest(&mut follower), 1, 10);
    let short = Duration::from_millis(20);
    assert_eq!(follower.blocking_next_timeout(short).unwrap_err(), QueryError::Timeout);
    assert_eq!(follower.blocking_next_timeout(Duration::ZERO).unwrap_err(), QueryError::Timeout);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| follower.blocking_next_timeout(Duration::MAX));
        interrupter.interrupt();
        assert_eq!(waiting.join().unwrap().unwrap_err(), QueryError::Interrupted);
    });
    waldo.blocking_append(&logs(11, 11)).unwrap();
    assert_run(&wait_for(&mut follower, 11), 11, 11);
    drop(follower);
    interrupter.interrupt();
}

#[test]
fn a_forked_child_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options(Backend::Auto));
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let mut follower = follow(&dir);
    // SAFETY: the child only asks, and leaves with `_exit`.
    let status = unsafe {
        match libc::fork() {
            0 => {
                let refused = follower.try_next().is_err_and(|error| error == QueryError::Forked)
                    && follower.metadata().is_err_and(|error| error == QueryError::Forked)
                    && follower.seek(Cursor::Tip).is_err_and(|error| error == QueryError::Forked);
                drop(follower);
                libc::_exit(i32::from(!refused))
            }
            pid => {
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                status
            }
        }
    };
    assert_eq!(status, 0);
    assert_run(&rest(&mut follower), 1, 10);
    waldo.blocking_append(&logs(11, 20)).unwrap();
    assert_run(&wait_for(&mut follower, 20), 11, 20);
}

#[test]
fn verifying_while_a_writer_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options(Backend::Auto));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut tip = 0;
            while !over.load(Ordering::Relaxed) {
                waldo.blocking_append(&logs(tip + 1, tip + 300)).unwrap();
                tip += 300;
            }
        });
        for _ in 0..200 {
            let report = waldo_core::verify(dir.path(), |progress| {
                assert!(progress.bytes_done <= progress.bytes_total);
                std::ops::ControlFlow::Continue(())
            });
            let report = report.unwrap();
            assert!(report.cut.is_none(), "{report:?}");
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut calls = 0;
    let stopped = waldo_core::verify(dir.path(), |_| {
        calls += 1;
        if calls == 3 {
            std::ops::ControlFlow::Break(())
        } else {
            std::ops::ControlFlow::Continue(())
        }
    });
    assert!(matches!(stopped, Err(Error::Query(QueryError::Interrupted))), "{stopped:?}");
    assert_eq!(calls, 3);
}

/// Every log was trimmed, and one of the frames that held them was damaged: opening refused, and the
/// check had found nothing.
#[test]
fn a_check_sees_damage_among_trimmed_logs() {
    let dir = tempfile::tempdir().unwrap();
    let options = common::options(waldo_core::Backend::Threads);
    let waldo = open(&dir, options);
    for seq_no in 1..=3 {
        waldo.blocking_append(&logs(seq_no, seq_no)).unwrap();
    }
    waldo.blocking_trim(3).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    let mut file = std::fs::read(&page).unwrap();
    let at = file.windows(12).position(|bytes| bytes == b"payload of 2").unwrap();
    file[at] ^= 1;
    std::fs::write(&page, file).unwrap();
    let checked = waldo_core::verify(dir.path(), |_| std::ops::ControlFlow::Continue(())).unwrap();
    let opened = Waldo::blocking_open(dir.path(), options);
    assert!(matches!(opened, Err(waldo_core::Error::Corruption(_))), "{opened:?}");
    assert!(checked.cut.is_some(), "{checked:?}");
}
