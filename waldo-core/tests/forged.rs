//! Bytes whose checksums are good and that no writer writes: a program with a bug of its own, or
//! somebody's hand. Fuzzing found these.

mod common;

use std::path::{Path, PathBuf};

use common::{assert_run, logs, open, options, payload};
use tempfile::TempDir;
use waldo_core::format::bytes::put;
use waldo_core::format::frame::{checked_body, seal_body};
use waldo_core::format::meta::OpenBody;
use waldo_core::format::record::{RecordHeader, Stamp, encode, retag_all};
use waldo_core::format::seal::{IndexEntry, SealBody};
use waldo_core::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, PAGE_HEADER_SIZE, PageHeader};
use waldo_core::{
    Backend, CorruptionPolicy, Cursor, Error, IoMode, Log, Options, QueryError, Recovery, Waldo,
};

fn buffered() -> Options {
    Options { io: IoMode::Buffered, recovery: Recovery::Fast, ..options(Backend::Threads) }
}

/// A store that was closed, with three logs in its first page.
fn closed() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 3)).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    (dir, page)
}

/// Changes the seal of a page, and its checksums with it.
fn forge_seal(page: &Path, change: impl FnOnce(&mut SealBody)) {
    forge_seal_frame(page, |_, seal| change(seal));
}

/// Changes the seal of a page with its header, and its checksums with it.
fn forge_seal_frame(page: &Path, change: impl FnOnce(&mut FrameHeader, &mut SealBody)) {
    let mut file = std::fs::read(page).unwrap();
    let page_header = PageHeader::decode(&file).unwrap();
    let seed = page_header.store_id.seed();
    let frame = &mut file[page_header.seal_offset() as usize..];
    let mut header = FrameHeader::decode(seed, frame).unwrap();
    let body = checked_body(seed, &header, &frame[FRAME_HEADER_SIZE..]).unwrap();
    let mut seal = SealBody::decode(body).unwrap();
    change(&mut header, &mut seal);
    let mut body = seal.encode();
    seal_body(seed, header.page_number, header.incarnation, &mut body);
    header.count = body.len() as u32;
    header.length = (FRAME_HEADER_SIZE + body.len()).next_multiple_of(8) as u64;
    frame.fill(0);
    assert!(header.encode(seed, frame));
    assert!(put(frame, FRAME_HEADER_SIZE, &body));
    std::fs::write(page, file).unwrap();
}

/// Gives all frames of a page, up to its seal, another page number, and the checksums that go with it.
fn renumber(page: &Path, number: u64) {
    let mut file = std::fs::read(page).unwrap();
    let page_header = PageHeader::decode(&file).unwrap();
    let store = page_header.store_id;
    let frames = &mut file[..page_header.seal_offset() as usize];
    let mut offset = PAGE_HEADER_SIZE;
    while let Some(header) = FrameHeader::decode(store.seed(), &frames[offset..]) {
        let length = header.length as usize;
        let frame = &mut frames[offset..offset + length];
        let body = &mut frame[FRAME_HEADER_SIZE..];
        let (old, new) = (header.page_number, number);
        if header.kind == FrameKind::Data {
            let (old, new) =
                (store.tag(old, header.incarnation), store.tag(new, header.incarnation));
            retag_all(old, new, header.count as usize, body);
        } else {
            let mut renumbered = checked_body(store.seed(), &header, body).unwrap().to_vec();
            seal_body(store.seed(), new, header.incarnation, &mut renumbered);
            assert!(put(body, 0, &renumbered));
        }
        assert!(FrameHeader { page_number: new, ..header }.encode(store.seed(), frame));
        offset += length;
    }
    std::fs::write(page, file).unwrap();
}

/// Where the last frame with logs of a page starts.
fn last_data_frame(page: &Path) -> usize {
    let file = std::fs::read(page).unwrap();
    let seed = PageHeader::decode(&file).unwrap().store_id.seed();
    let (mut offset, mut last) = (PAGE_HEADER_SIZE, None);
    while let Some(header) = FrameHeader::decode(seed, &file[offset..]) {
        last = if header.kind == FrameKind::Data { Some(offset) } else { last };
        offset += header.length as usize;
    }
    last.unwrap()
}

/// What a store serves, opened with trust in seals.
fn read(dir: &TempDir) -> Result<Vec<u64>, QueryError> {
    let (found, error) = read_until_error(dir);
    error.map_or(Ok(found), Err)
}

/// What a store serves, opened with trust in seals, up to its end or to the error.
fn read_until_error(dir: &TempDir) -> (Vec<u64>, Option<QueryError>) {
    let waldo = Waldo::blocking_open(dir.path(), buffered()).unwrap();
    read_store(&waldo)
}

/// What a store serves, up to its end or to the error.
fn read_store(waldo: &Waldo) -> (Vec<u64>, Option<QueryError>) {
    let tip = waldo.blocking_metadata().unwrap().prev_seq_no;
    let mut stream = waldo.stream(Cursor::Trim);
    let mut found = Vec::new();
    while stream.position() < tip {
        match stream.blocking_next() {
            Ok(chunk) => {
                assert!(!chunk.is_empty(), "a chunk without logs behind {found:?}");
                found.extend(chunk.iter().map(|log| log.seq_no()));
            }
            Err(error) => return (found, Some(error)),
        }
    }
    (found, None)
}

/// Behind everything.
const FAR: u32 = u32::MAX;

/// A seal's index led behind the end of the page's frames, and the length of the next read was
/// computed below zero: a panic, or a read of everything there is.
#[test]
fn a_seal_that_makes_no_sense_is_not_trusted() {
    let forgeries: [fn(&mut SealBody); 8] = [
        |seal| seal.index[0].offset = FAR,
        |seal| seal.index[0].offset = 0,
        |seal| seal.index[0].frame_end = FAR,
        |seal| seal.index[0].frame_end = seal.index[0].offset,
        |seal| seal.index.push(seal.index[0]),
        |seal| seal.first_prev_seq_no = seal.last_seq_no + 1,
        |seal| seal.log_count = FAR.into(),
        |seal| (seal.log_count, seal.last_seq_no) = (u64::MAX, u64::MAX),
    ];
    for forge in forgeries {
        let (dir, page) = closed();
        forge_seal(&page, forge);
        let waldo = Waldo::blocking_open(dir.path(), buffered()).unwrap();
        assert_eq!(waldo.recovery_report().sealed_page_count, 0);
        assert_eq!(waldo.recovery_report().log_count, 3);
        waldo.blocking_close().unwrap();
        assert_eq!(read(&dir), Ok(vec![1, 2, 3]));
    }
    let (dir, page) = closed();
    forge_seal(&page, |seal| seal.log_count = 0);
    let waldo = Waldo::blocking_open(dir.path(), buffered()).unwrap();
    assert_eq!(waldo.recovery_report().log_count, 3, "logs that it has and does not count");
    let (dir, page) = closed();
    forge_seal(&page, |_| {});
    let waldo = Waldo::blocking_open(dir.path(), buffered()).unwrap();
    assert_eq!(waldo.recovery_report().sealed_page_count, 1, "a seal that is right is trusted");
}

/// A seal counted fewer logs than its page had, and fewer than were trimmed there: what was left was
/// computed below zero.
#[test]
fn a_seal_that_counts_too_few_logs_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 3)).unwrap();
    waldo.blocking_trim(2).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    forge_seal(&page, |seal| seal.log_count = 1);
    let waldo = Waldo::blocking_open(dir.path(), buffered()).unwrap();
    assert_eq!(waldo.recovery_report().sealed_page_count, 1);
    assert_eq!(waldo.recovery_report().log_count, 0);
}

/// A log had the number of the one before it, in a page that was trusted by its seal: it was
/// served, so that a reader had the same number twice.
#[test]
fn a_log_whose_number_does_not_grow_is_not_served() {
    let (dir, page) = closed();
    let mut file = std::fs::read(&page).unwrap();
    let store = PageHeader::decode(&file).unwrap().store_id;
    let mut offset = PAGE_HEADER_SIZE;
    let open = FrameHeader::decode(store.seed(), &file[offset..]).unwrap();
    offset += open.length as usize + FRAME_HEADER_SIZE;
    let stamp = Stamp::Complete(store.tag(open.page_number, open.incarnation));
    for (seq_no, prev_seq_no) in [(1, 0), (1, 1), (3, 1)] {
        let size = RecordHeader::decode(&file[offset..]).unwrap().size();
        let len = RecordHeader::decode(&file[offset..]).unwrap().len as usize;
        let payload = vec![b'x'; len];
        let written = encode(seq_no, prev_seq_no, &payload, stamp, &mut file[offset..]);
        assert_eq!(written, Some(size));
        offset += size;
    }
    std::fs::write(&page, file).unwrap();
    let served = read(&dir);
    let Err(QueryError::Corruption(corruption)) = served else { panic!("{served:?}") };
    assert_eq!(corruption.detail, "a log's number does not grow");
}

/// A seal kept to itself that its page had been cleared, and the log had started again with smaller
/// numbers: logs from before and from behind the clear became one chunk, which by its last number
/// was empty.
#[test]
fn a_clear_that_a_seal_keeps_to_itself_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 12)).unwrap();
    waldo.blocking_trim(9).unwrap();
    waldo.blocking_clear().unwrap();
    waldo.blocking_append(&logs(1, 2)).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    forge_seal_frame(&page, |header, seal| {
        header.flags = 0;
        (seal.first_prev_seq_no, seal.last_seq_no, seal.log_count) = (0, 13, 12);
        (seal.trimmed_seq_no, seal.index) = (9, Vec::new());
    });
    let (found, error) = read_until_error(&dir);
    assert_eq!(found, [10, 11, 12], "logs that follow each other");
    let Some(QueryError::Corruption(corruption)) = error else { panic!("{error:?}") };
    assert_eq!(corruption.after_seq_no, 12);
}

/// An index led behind a clear that the seal kept to itself. What was read from there had no frame
/// before it to follow, and was served behind logs that it does not name.
#[test]
fn a_chunk_follows_the_one_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 12)).unwrap();
    waldo.blocking_clear().unwrap();
    let log = |seq_no, prev_seq_no| Log::new_owned(seq_no, prev_seq_no, payload(seq_no));
    waldo.blocking_append(&[log(7, 0), log(20, 7)]).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    let behind_clear = last_data_frame(&page);
    forge_seal_frame(&page, |header, seal| {
        header.flags = 0;
        (seal.first_prev_seq_no, seal.last_seq_no, seal.log_count) = (0, 20, 14);
        let offset = (behind_clear / 8) as u32;
        seal.index = vec![IndexEntry { prev_seq_no: 12, offset, frame_end: 0 }];
    });
    let (found, error) = read_until_error(&dir);
    assert_run(&found, 1, 12);
    let Some(QueryError::Corruption(corruption)) = error else { panic!("{error:?}") };
    assert_eq!(corruption.detail, "a log does not follow the one before it");
}

/// A seal gave its page fewer logs than it has: those behind its last one were served, though the
/// store itself said that there are none.
#[test]
fn a_log_behind_the_last_one_of_its_page_is_not_served() {
    let (dir, page) = closed();
    forge_seal(&page, |seal| (seal.last_seq_no, seal.log_count) = (2, 2));
    let (found, error) = read_until_error(&dir);
    assert_eq!(found, [], "the frame that the last log is in is bad");
    let Some(QueryError::Corruption(corruption)) = error else { panic!("{error:?}") };
    assert_eq!(corruption.detail, "there are more logs than the page is to have");
}

/// The first page of a store said that there were logs before it. Recovery took the log for whole,
/// and all reading failed.
#[test]
fn a_first_page_with_logs_before_it_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(41, 43)).unwrap();
    waldo.blocking_close().unwrap();
    let page = dir.path().join(format!("{:010}.page", 0));
    forge_seal(&page, |seal| seal.trimmed_seq_no = 0);
    let mut file = std::fs::read(&page).unwrap();
    let seed = PageHeader::decode(&file).unwrap().store_id.seed();
    let frame = &mut file[PAGE_HEADER_SIZE..];
    let header = FrameHeader::decode(seed, frame).unwrap();
    let body = checked_body(seed, &header, &frame[FRAME_HEADER_SIZE..]).unwrap();
    let open = OpenBody { trimmed_seq_no: 0, ..OpenBody::decode(body).unwrap() };
    let mut body = open.encode();
    seal_body(seed, header.page_number, header.incarnation, &mut body);
    assert!(put(frame, FRAME_HEADER_SIZE, &body));
    let header = FrameHeader { first_prev_seq_no: 40, last_seq_no: 40, ..header };
    assert!(header.encode(seed, frame));
    std::fs::write(&page, file).unwrap();
    for recovery in [Recovery::Full, Recovery::Fast] {
        let opened = Waldo::blocking_open(dir.path(), Options { recovery, ..buffered() });
        let Err(Error::Corruption(corruption)) = opened else { panic!("{opened:?}") };
        assert_eq!(corruption.offset, PAGE_HEADER_SIZE as u64);
    }
}

/// A seal had its page begin with smaller numbers than the page before ends with. Logs of that one
/// were served, although they come after the newest log of the store.
#[test]
fn a_seal_that_contradicts_the_start_of_its_page_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 9000)).unwrap();
    waldo.blocking_close().unwrap();
    let second = dir.path().join(format!("{:010}.page", 1));
    forge_seal(&second, |seal| {
        (seal.first_prev_seq_no, seal.last_seq_no, seal.log_count) = (0, 1, 1);
        seal.index.clear();
    });
    let (found, error) = read_until_error(&dir);
    assert_eq!(error, None);
    assert_run(&found, 1, 9000);
}

/// A page had the number of the one before it, which it named as its predecessor. Cutting the damage
/// away left both in the log, and a reader went from one to the other and back for ever.
#[test]
fn a_page_does_not_follow_one_of_its_own_number() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, buffered());
    waldo.blocking_append(&logs(1, 9000)).unwrap();
    waldo.blocking_close().unwrap();
    renumber(&dir.path().join(format!("{:010}.page", 1)), 1);
    let options = Options { recovery: Recovery::Full, ..buffered() };
    let refused = Waldo::blocking_open(dir.path(), options);
    assert!(matches!(refused, Err(Error::Corruption(_))), "{refused:?}");
    let options = Options { corruption: CorruptionPolicy::Truncate, ..options };
    let waldo = Waldo::blocking_open(dir.path(), options).unwrap();
    let report = waldo.recovery_report().clone();
    assert!(report.cut.is_some() && !report.quarantined.is_empty(), "{report:?}");
    assert_eq!(report.page_count, 1);
    let (found, error) = read_store(&waldo);
    assert_eq!(error, None);
    assert_run(&found, 1, report.log_count);
    waldo.blocking_append_assigned(&["one more"]).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, buffered());
    assert_eq!(waldo.recovery_report().prev_seq_no, report.prev_seq_no + 1, "what was cut is cut");
}
