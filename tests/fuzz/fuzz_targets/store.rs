//! A directory of page files through the public API: checked, followed, opened, read, appended to
//! and opened again. The bytes are real ones, mutated, mostly with their checksums made good.
#![no_main]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waldo_core::driver::files::page_path;
use waldo_core::format::{PAGE_HEADER_SIZE, PageHeader};
use waldo_core::{
    CorruptionPolicy, Cursor, Error, FollowOptions, Follower, Options, QueryError, Recovery, Waldo,
    Watch, verify,
};
use waldo_fuzz::reading::Chain;
use waldo_fuzz::store::{Input, home, options};

fuzz_target!(|data: &[u8]| {
    let input = Input::split(data);
    let home = home();
    for (page, contents) in input.pages.iter().enumerate() {
        let path = page_path(home.path(), page as u32);
        fs::write(path, file(&input, contents)).expect("room for a page");
    }
    let before = contents(home.path());
    // Recovery does not look whether the log is there behind which the log is truncated, so that
    // reading notices. Writers look that up.
    let truncated = before.iter().any(|(_, page)| has_truncation(page));
    let checked = verify(home.path(), |_| ControlFlow::Continue(()));
    follow(home.path(), input.flags & 1 != 0);
    assert_eq!(contents(home.path()), before, "who only reads changes nothing");

    let recovery = if input.flags & 2 != 0 { Recovery::Fast } else { Recovery::Full };
    let truncate = input.flags & 4 != 0;
    let corruption = if truncate { CorruptionPolicy::Truncate } else { CorruptionPolicy::Refuse };
    let options = Options { recovery, corruption, ..options() };
    match Waldo::blocking_open(home.path(), options) {
        Ok(waldo) => go_on(home.path(), waldo, options, truncated),
        Err(error) => {
            assert!(!matches!(error, Error::Locked { .. }), "{error}");
            if !truncate && !matches!(error, Error::Io { .. }) {
                assert_eq!(contents(home.path()), before, "a refusal changes nothing: {error}");
                if let (Error::Corruption(damage), Ok(report)) = (&error, checked) {
                    // A check passes over pages of which all logs are trimmed, for a writer may
                    // have overwritten them meanwhile.
                    let passed = damage.offset > 0 && damage.after_seq_no <= report.after_seq_no;
                    assert!(report.cut.is_some() || passed, "a check does not see: {error}");
                }
            }
        }
    }
});

fn is_corruption(error: &QueryError) -> bool {
    matches!(error, QueryError::Corruption(_))
}

fn has_truncation(file: &[u8]) -> bool {
    let header = file.get(..PAGE_HEADER_SIZE).and_then(|block| PageHeader::decode(block).ok());
    header.is_some_and(|header| waldo_fuzz::has_truncation(file, header.store_id))
}

/// A page file with these bytes, with good checksums where that is asked for.
fn file(input: &Input<'_>, contents: &[u8]) -> Vec<u8> {
    let mut file = waldo_fuzz::store::page(contents);
    if input.flags & 8 == 0 {
        let block = waldo_fuzz::header_block(&file);
        file[..PAGE_HEADER_SIZE].copy_from_slice(&block);
        if let Ok(header) = PageHeader::decode(&block) {
            let seal = usize::try_from(header.seal_offset()).unwrap_or(usize::MAX);
            waldo_fuzz::fix_frames(&mut file, header.store_id, seal);
        }
    }
    file
}

/// The names and bytes of all page files.
fn contents(home: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(home)
        .expect("the directory is there")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "lock"))
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

fn follow(home: &Path, durable_only: bool) {
    let options = FollowOptions { durable_only, watch: Watch::Poll, ..FollowOptions::default() };
    let Ok(mut follower) = Follower::open(home, options) else { return };
    let mut chain = Chain::default();
    if follower.seek(Cursor::Trim).is_err() {
        return;
    }
    while let Ok(Some(chunk)) = follower.try_next() {
        chain.take(&chunk);
    }
}

/// Reads a store from its start.
fn read(waldo: &Waldo) -> (Chain, Option<QueryError>) {
    let mut stream = waldo.stream(Cursor::Trim);
    let mut chain = Chain::default();
    loop {
        match stream.try_next() {
            Ok(Some(chunk)) => chain.take(&chunk),
            Ok(None) => {
                // What is still on its way from the disk is waited for.
                let tip = waldo.blocking_metadata().map_or(0, |metadata| metadata.prev_seq_no);
                if chain.last.unwrap_or_else(|| stream.position()) >= tip {
                    return (chain, None);
                }
                match stream.blocking_next_timeout(Duration::from_secs(5)) {
                    Ok(chunk) => chain.take(&chunk),
                    Err(error) => return (chain, Some(error)),
                }
            }
            Err(error) => return (chain, Some(error)),
        }
    }
}

fn go_on(home: &Path, waldo: Waldo, options: Options, truncated: bool) {
    let may_fail = truncated || options.recovery == Recovery::Fast;
    let expected = waldo.recovery_report().log_count;
    let (chain, error) = read(&waldo);
    match error {
        None if options.recovery == Recovery::Full => {
            assert_eq!(chain.count, expected, "{:?}", waldo.recovery_report());
        }
        None => {}
        // Seals whose checksums were made good are trusted.
        Some(error) => assert!(may_fail && is_corruption(&error), "{error}"),
    }
    let tip = waldo.recovery_report().prev_seq_no;
    let appended = waldo.blocking_append_assigned(&["one more"]);
    waldo.blocking_close().expect("a store that is sound can be closed");
    if options.recovery == Recovery::Fast {
        return;
    }
    let waldo = Waldo::blocking_open(home, self::options()).expect("it is sound now");
    let (again, error) = read(&waldo);
    assert!(error.is_none_or(|error| truncated && is_corruption(&error)));
    match appended {
        Ok(_) => assert!(
            waldo.recovery_report().prev_seq_no > tip && again.last.is_none_or(|last| last > tip),
            "what was acknowledged is there"
        ),
        // There is no number behind the last.
        Err(error) => assert!(tip >= u64::MAX - 1, "after {tip}: {error}"),
    }
    waldo.blocking_close().expect("a store that is sound can be closed");
}
