//! Bugs that `waldo-torture` found, each told by what it saw.

mod common;

use common::open;
use waldo_core::{Log, Options, Waldo};

on_both_backends!(a_report_counts_what_the_open_itself_gave_up);

/// A store was killed when its newest page was full to the last byte. The open that followed wrote
/// its first frame, for which the oldest page had to go; and then reported logs that were no longer
/// there.
fn a_report_counts_what_the_open_itself_gave_up(options: Options) {
    let options = Options {
        ring_size: 2,
        index_capacity: 2,
        buf_capacity: 16 * 1024,
        file_capacity: 24 * 1024,
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
