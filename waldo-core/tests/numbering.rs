//! Many append at once: with numbers of their own, and with numbers of the store's.

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{logs, open, payload};
use waldo_core::{AppendError, Cursor, Log, Options, QueryError, Waldo};

on_both_backends!(
    assigned_numbers_leave_no_gap,
    of_chained_appends_all_are_accepted,
    of_rivals_one_wins,
    assigned_batches_over_many_frames,
);

const THREADS: u64 = 8;
const ROUNDS: u64 = 50;

/// Numbers and payloads of all logs, in order.
fn read_all(waldo: &Waldo, tip: u64) -> Vec<(u64, Vec<u8>)> {
    let mut stream = waldo.stream(Cursor::Trim);
    let mut found = Vec::new();
    while stream.position() < tip {
        let chunk = stream.blocking_next().unwrap();
        for log in &chunk {
            log.validate_data().unwrap();
            assert_eq!(log.prev_seq_no(), found.last().map_or(0, |(seq_no, _)| *seq_no));
            found.push((log.seq_no(), log.data().to_vec()));
        }
    }
    found
}

fn assigned_numbers_leave_no_gap(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let waldo = &waldo;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let text = format!("{thread} {round}");
                    let appended = waldo.blocking_append_assigned(&[&text, &text]).unwrap();
                    assert_eq!(appended.count, 2);
                    assert_eq!(appended.last_seq_no, appended.first_seq_no + 1);
                    let found =
                        waldo.blocking_query(Cursor::From(appended.first_seq_no), false).unwrap();
                    assert_eq!(found.iter().next().unwrap().data(), text.as_bytes());
                }
            });
        }
    });
    let tip = THREADS * ROUNDS * 2;
    assert_eq!(waldo.prev_seq_no(), Some(tip));
    let found = read_all(&waldo, tip);
    assert!(found.iter().map(|(seq_no, _)| *seq_no).eq(1..=tip));
    let texts: BTreeSet<_> = found.iter().map(|(_, data)| data.clone()).collect();
    assert_eq!(texts.len() as u64, THREADS * ROUNDS);
}

fn of_chained_appends_all_are_accepted(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let seq_no = next.fetch_add(1, Ordering::Relaxed);
                    // Who comes too early is told so, and tries again.
                    while let Err(error) = waldo.blocking_append(&logs(seq_no, seq_no)) {
                        assert!(
                            matches!(error, AppendError::Sequence { wanted, actual, .. }
                                if wanted < actual && actual == seq_no - 1),
                            "{error}"
                        );
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let tip = THREADS * ROUNDS;
    for (at, (seq_no, data)) in read_all(&waldo, tip).into_iter().enumerate() {
        assert_eq!(seq_no, at as u64 + 1);
        assert_eq!(data, payload(seq_no));
    }
}

/// Appends that are submitted in order are carried out in order, without waiting in between.
#[test]
fn appends_of_one_caller_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, common::options(waldo_core::Backend::Auto));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let batches: Vec<_> = (1..=200).map(|seq_no| logs(seq_no, seq_no)).collect();
        let appends = batches.iter().map(|batch| waldo.append(batch));
        for result in futures::future::join_all(appends).await {
            result.unwrap();
        }
    });
    assert_eq!(waldo.prev_seq_no(), Some(200));
}

fn of_rivals_one_wins(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for round in 0..20 {
        let prev = waldo.prev_seq_no().unwrap_or(0);
        let wins: usize = std::thread::scope(|scope| {
            let rivals: Vec<_> = (1..=4)
                .map(|rival| {
                    let waldo = &waldo;
                    scope.spawn(move || {
                        let log = Log::new_owned(prev + rival, prev, vec![rival as u8]);
                        match waldo.blocking_append(&[log]) {
                            Ok(()) => 1,
                            Err(AppendError::Sequence { seq_no, wanted, actual }) => {
                                assert_eq!((seq_no, actual), (prev + rival, prev));
                                assert!(wanted > prev);
                                0
                            }
                            Err(error) => panic!("{error}"),
                        }
                    })
                })
                .collect();
            rivals.into_iter().map(|rival| rival.join().unwrap()).sum()
        });
        // The first log of a store may come after any.
        assert!(wins == 1 || round == 0, "{wins} of them were accepted");
    }
}

fn assigned_batches_over_many_frames(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let payloads: Vec<Vec<u8>> = (0..3_000u32).map(|at| at.to_le_bytes().to_vec()).collect();
    let appended = waldo.blocking_append_assigned(&payloads).unwrap();
    assert_eq!((appended.first_seq_no, appended.last_seq_no, appended.count), (1, 3_000, 3_000));
    for (seq_no, data) in read_all(&waldo, 3_000) {
        assert_eq!(data, (seq_no as u32 - 1).to_le_bytes());
    }
}

/// A reader that follows sees every log once, whoever appends.
#[test]
fn a_stream_follows_many_producers() {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, common::options(waldo_core::Backend::Auto));
    let tip = THREADS * ROUNDS;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    waldo.blocking_append_assigned(&[b"x"]).unwrap();
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut stream = waldo.stream(Cursor::Trim);
                let mut last = 0;
                while last < tip {
                    match stream.blocking_next() {
                        Ok(chunk) => {
                            for log in &chunk {
                                assert_eq!(log.seq_no(), last + 1);
                                last += 1;
                            }
                        }
                        Err(QueryError::Trimmed { oldest }) => panic!("trimmed to {oldest}"),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}
