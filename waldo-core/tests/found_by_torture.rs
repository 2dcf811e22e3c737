//! Bugs that `waldo-torture` found, each told by what it saw.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::open;
use waldo_core::{AppendError, Error, Log, Options, Retention, Waldo};

on_both_backends!(
    a_report_counts_what_the_open_itself_gave_up,
    a_full_ring_that_is_held_refuses_to_be_cut,
    a_truncation_behind_appends_that_wait_keeps_no_trim_waiting,
);

/// A store was killed when its newest page was full to the last byte. The open that followed wrote
/// its first frame, for which the oldest page had to go; and then reported logs that were no longer
/// there.
fn a_report_counts_what_the_open_itself_gave_up(options: Options) {
    let options = Options {
        ring_size: Some(2),
        index_capacity: 2,
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        file_o_dsync: false,
        ..options
    };
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let append = |seq_no| {
        // The shortest frame there is: as long as the one that an open writes.
        waldo.blocking_append(&[Log::new_borrowed(seq_no, seq_no - 1, b"")]).unwrap();
    };
    let mut tip = 0;
    while waldo.blocking_metadata().is_none_or(|metadata| metadata.after_seq_no == 0) {
        tip += 1;
        append(tip);
    }
    // More than a page takes, so that one of them fills it.
    let mut gave_up = 0;
    for tip in tip + 1..tip + 250 {
        append(tip);
        let copy = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let (waldo_copy, report) = Waldo::blocking_open_with_report(copy.path(), options).unwrap();
        let metadata = waldo_copy.blocking_metadata().unwrap();
        let (logs, after) = (metadata.log_count, metadata.after_seq_no);
        assert_eq!((report.log_count, report.after_seq_no), (logs, after), "tip {tip}");
        assert_eq!((report.page_count, report.prev_seq_no), (metadata.page_count, tip));
        gave_up += u32::from(after > waldo.blocking_metadata().unwrap().after_seq_no);
    }
    assert!(gave_up > 0, "no open had to give anything up");
}

/// Small pages, so that the ring is full soon.
fn held(options: Options) -> Options {
    Options {
        index_capacity: 2,
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        file_o_dsync: false,
        retention: Retention::Hold,
        ..options
    }
}

fn append(waldo: &Waldo, seq_no: u64) -> Result<(), AppendError> {
    waldo.blocking_append(&[Log::new_borrowed(seq_no, seq_no - 1, b"")])
}

/// Opens a store whose ring is full to the last byte, and held.
fn open_full(dir: &tempfile::TempDir, options: Options) -> (Waldo, u64) {
    let waldo = open(dir, Options { retention: Retention::Refuse, ..held(options) });
    let full = (1..).find_map(|seq_no| append(&waldo, seq_no).err()).unwrap();
    assert_eq!(full, AppendError::Full { oldest: 1 });
    let tip = waldo.prev_seq_no().unwrap();
    waldo.blocking_close().unwrap();
    (open(dir, held(options)), tip)
}

/// Answers of operations, which come in any case: the limit only keeps a bug from stopping the
/// tests.
struct Answers {
    sender: mpsc::Sender<Result<(), Error>>,
    receiver: mpsc::Receiver<Result<(), Error>>,
}

impl Answers {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver }
    }

    fn take(&self) -> impl FnOnce(Result<(), Error>) + Send + use<> {
        let sender = self.sender.clone();
        move |result| sender.send(result).unwrap()
    }

    fn next(&self) -> Result<(), Error> {
        self.receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs")
    }
}

fn is_full(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::Append(AppendError::Full { oldest: 1 })))
}

/// The ring was full and held, so that the note which a truncation leaves in the log had to wait for
/// a trim; and the trim had to wait for the truncation. Both hung for ever.
fn a_full_ring_that_is_held_refuses_to_be_cut(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let (waldo, tip) = open_full(&dir, options);
    let answers = Answers::new();
    waldo.submit_truncate(tip - 1, answers.take()).unwrap();
    assert!(is_full(&answers.next()));
    waldo.submit_clear(answers.take()).unwrap();
    assert!(is_full(&answers.next()));
    assert_eq!(waldo.prev_seq_no(), Some(tip));
    // As the error says: trim some.
    waldo.submit_trim(tip - 1, answers.take()).unwrap();
    answers.next().unwrap();
    waldo.submit_truncate(tip - 1, answers.take()).unwrap();
    answers.next().unwrap();
    append(&waldo, tip).unwrap();
    assert_eq!(waldo.blocking_metadata().unwrap().log_count, 1);
}

/// The same, where the truncation waited behind appends that waited for room, or for a place in
/// the queue.
fn a_truncation_behind_appends_that_wait_keeps_no_trim_waiting(options: Options) {
    for queue_is_full in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (waldo, tip) = open_full(&dir, options);
        let (appended, acknowledged) = mpsc::channel();
        let submit = || {
            let mut batch = waldo.try_batch(24, true)?;
            assert!(batch.push_payload(b"")?);
            let appended = appended.clone();
            let done = move |result| appended.send(result).unwrap();
            waldo.submit_append(batch.finish(), false, done)
        };
        submit().unwrap();
        let mut submitted = 1;
        while queue_is_full && submit().is_ok() {
            submitted += 1;
        }
        while queue_is_full && waldo.submit_sync(|_| ()).is_ok() {}
        let answers = Answers::new();
        waldo.submit_truncate(tip - 1, answers.take()).unwrap();
        if !queue_is_full {
            assert!(is_full(&answers.next()));
        }
        let trimmed = Answers::new();
        let (trimmer, done) = (waldo.clone(), trimmed.take());
        std::thread::spawn(move || done(trimmer.blocking_trim(tip - 1)));
        trimmed.next().unwrap();
        for _ in 0..submitted {
            acknowledged.recv_timeout(Duration::from_secs(20)).expect("it hangs").unwrap();
        }
        if queue_is_full {
            // It goes back behind all of them.
            answers.next().unwrap();
            assert_eq!(waldo.prev_seq_no(), Some(tip - 1));
        }
    }
}
