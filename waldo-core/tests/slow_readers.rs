//! Readers that hold on to what they read slow nobody down who writes, and take no more memory
//! than the options say.

mod common;

use std::time::Duration;

use common::{logs, numbers, open, payload};
use waldo_core::{Chunk, Cursor, Log, Options, QueryError, Waldo};

on_both_backends!(
    chunks_that_are_held_do_not_stop_writers,
    cold_chunks_that_are_held_do_not_stop_writers,
    chunks_that_are_made_ones_own_do_not_stop_their_holder,
    cold_chunks_that_are_held_do_not_stop_trims,
);

fn chunks_that_are_held_do_not_stop_writers(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    // A stream that keeps every chunk from the hot tail.
    let mut stream = waldo.stream(Cursor::Tip);
    let mut held = Vec::new();
    let mut tip = 0;
    for _ in 0..200 {
        waldo.blocking_append(&logs(tip + 1, tip + 300)).unwrap();
        tip += 300;
        let more = match stream.try_next() {
            Ok(chunk) => chunk,
            Err(QueryError::Trimmed { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        held.extend(more);
    }
    let metadata = waldo.blocking_metadata().unwrap();
    let detached_max = 2 * options.tail_capacity / options.buf_capacity;
    assert!(metadata.buffers_detached <= detached_max, "{metadata:?}");
    assert!(metadata.read_memory_used <= options.read_capacity, "{metadata:?}");
    // What is held is what it was.
    assert!(held.len() > 2);
    for chunk in &held {
        assert!(!numbers(chunk).is_empty());
    }
    // Once it is given back, all memory is there again.
    drop(held);
    drop(stream);
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!((metadata.buffers_detached, metadata.read_memory_used), (0, 0));
}

/// The oldest chunk, as often as there is memory for it.
fn hold_all(waldo: &Waldo) -> Vec<Chunk> {
    let mut held = Vec::new();
    loop {
        let mut stream = waldo.stream(Cursor::Trim);
        match stream.blocking_next_timeout(Duration::from_millis(100)) {
            Ok(chunk) => held.push(chunk),
            Err(error) => {
                assert_eq!(error, QueryError::Timeout);
                return held;
            }
        }
    }
}

/// Where numbers have gaps, a trim or truncation counts logs first, for which it reads them. With
/// the memory for readers in the hands of one who never gave it back, it waited for ever; and so
/// did appends to a ring that is held until somebody trims.
fn cold_chunks_that_are_held_do_not_stop_trims(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let even = |at: u64| Log::new_owned(2 * at, 2 * at - 2, payload(2 * at));
    for at in 0..30 {
        let logs: Vec<_> = (at * 300 + 1..=at * 300 + 300).map(even).collect();
        waldo.blocking_append(&logs).unwrap();
    }
    let held = hold_all(&waldo);
    let (sender, receiver) = std::sync::mpsc::channel();
    let done = || {
        let sender = sender.clone();
        move |result: Result<(), waldo_core::Error>| sender.send(result).unwrap()
    };
    // The limit only keeps the bug itself from stopping the tests.
    let answered = || receiver.recv_timeout(Duration::from_secs(20)).expect("it hangs").unwrap();
    waldo.submit_trim(1_000, done()).unwrap();
    answered();
    waldo.submit_truncate(5_000, done()).unwrap();
    answered();
    assert_eq!(waldo.blocking_metadata().unwrap().log_count, 2_000);
    drop(held);
}

fn cold_chunks_that_are_held_do_not_stop_writers(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 9_000)).unwrap();
    let mut held = hold_all(&waldo);
    assert!(waldo.blocking_metadata().unwrap().read_memory_used <= options.read_capacity);
    let mut tip = 9_000;
    for _ in 0..30 {
        waldo.blocking_append(&logs(tip + 1, tip + 300)).unwrap();
        tip += 300;
    }
    // Who waited goes on as soon as one gives its memory back.
    held.truncate(1);
    let found = waldo.blocking_query(Cursor::Trim, true).unwrap();
    assert!(!numbers(&found).is_empty());
}

fn chunks_that_are_made_ones_own_do_not_stop_their_holder(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    // Less than is read, so that a reader that keeps everything would use it up.
    let options = Options { read_capacity: 256 * 1024, ..options };
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 9_000)).unwrap();
    let mut stream = waldo.stream(Cursor::Trim);
    let mut held = Vec::new();
    while stream.position() < 9_000 {
        let chunk = stream.blocking_next_timeout(std::time::Duration::from_secs(10)).unwrap();
        let found = numbers(&chunk);
        let chunk = if chunk.is_scarce() { chunk.into_owned() } else { chunk };
        assert_eq!(numbers(&chunk), found);
        for log in &chunk {
            let range = chunk.bytes().as_ptr_range();
            assert!(range.contains(&log.data().as_ptr()));
        }
        held.push(chunk);
    }
    assert!(held.iter().map(waldo_core::Chunk::size).sum::<usize>() > options.read_capacity);
    let found: Vec<u64> = held.iter().flat_map(numbers).collect();
    common::assert_run(&found, found[0], 9_000);
    // What is one's own outlives everything.
    let last = held.pop().unwrap().into_owned();
    drop((stream, waldo));
    assert_eq!(numbers(&last).last(), Some(&9_000));
}
