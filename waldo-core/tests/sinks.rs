//! Buffered writing.

mod common;

use common::{assert_run, logs, numbers, open, payload};
use waldo_core::{AppendError, Cursor, Log, Options, Retention, Waldo};

on_both_backends!(
    what_is_flushed_is_there,
    a_full_buffer_is_appended,
    wrong_logs_are_refused_at_once,
    another_writer_is_noticed,
    nothing_is_lost_where_the_ring_is_full,
    sinks_hold_no_buffers,
    a_sink_on_an_executor,
);

fn push(sink: &mut waldo_core::Sink, first: u64, last: u64) {
    for log in logs(first, last) {
        sink.blocking_push(log).unwrap();
    }
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

fn what_is_flushed_is_there(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut sink = waldo.sink();
    sink.blocking_flush().unwrap();
    push(&mut sink, 1, 10);
    assert_eq!(sink.prev_seq_no(), 10);
    assert_eq!(waldo.prev_seq_no(), None);
    sink.blocking_flush().unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(10));
    push(&mut sink, 11, 12);
    sink.blocking_flush().unwrap();
    assert_run(&read_all(&waldo), 1, 12);
    let sink = waldo.sink();
    assert_eq!(sink.prev_seq_no(), 12);
}

fn a_full_buffer_is_appended(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for capacity in [0, 2_000, 20_000, usize::MAX] {
        let tip = waldo.prev_seq_no().unwrap_or(0);
        // Small ones take a block each.
        let count = if capacity == 0 { 20 } else { 1_500 };
        let mut sink = waldo.sink_with_capacity(capacity);
        push(&mut sink, tip + 1, tip + count);
        // At most two buffers of logs are not acknowledged.
        assert!(capacity > 20_000 || waldo.prev_seq_no().is_some_and(|seq_no| seq_no > tip));
        sink.blocking_flush().unwrap();
        assert_eq!(waldo.prev_seq_no(), Some(tip + count));
    }
    assert_run(&read_all(&waldo), 1, 4_520);
}

fn wrong_logs_are_refused_at_once(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut sink = waldo.sink();
    push(&mut sink, 1, 3);
    let error = sink.blocking_push(Log::new_borrowed(5, 4, b"x")).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 5, wanted: 3, actual: 4 });
    let error = sink.blocking_push(Log::new_borrowed(3, 3, b"x")).unwrap_err();
    assert_eq!(error, AppendError::Order { seq_no: 3, prev_seq_no: 3 });
    let large = vec![0; waldo.log_size_limit()];
    let error = sink.blocking_push(Log::new_borrowed(4, 3, &large)).unwrap_err();
    assert!(matches!(error, AppendError::ExceedsLimit { seq_no: 4, .. }), "{error}");
    // The sink goes on.
    push(&mut sink, 4, 5);
    sink.blocking_flush().unwrap();
    assert_eq!(read_all(&waldo), [1, 2, 3, 4, 5]);
}

fn another_writer_is_noticed(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 5)).unwrap();
    let mut sink = waldo.sink();
    push(&mut sink, 6, 8);
    waldo.blocking_append(&logs(6, 6)).unwrap();
    let error = sink.blocking_flush().unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 6, wanted: 6, actual: 5 });
    // It stays so, and what was pushed can be had back.
    assert_eq!(sink.blocking_flush().unwrap_err(), error);
    sink.blocking_push(Log::new_owned(9, 8, payload(9))).unwrap();
    assert_eq!(sink.blocking_flush().unwrap_err(), error);
    let unflushed = sink.into_unflushed();
    assert_eq!(unflushed, logs(6, 9));
    waldo.blocking_append(&unflushed[1..]).unwrap();
    assert_run(&read_all(&waldo), 1, 9);
}

fn nothing_is_lost_where_the_ring_is_full(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { retention: Retention::Refuse, ..options });
    let mut sink = waldo.sink_with_capacity(10_000);
    let mut expected = 1;
    let mut reader = waldo.stream(Cursor::After(0));
    let mut next = 1;
    // Each time the ring is full, the reader reads, trims, and the log is pushed again.
    while next <= 30_000 {
        match sink.blocking_push(Log::new_owned(next, next - 1, payload(next))) {
            Ok(()) => next += 1,
            Err(AppendError::Full { .. }) => {
                while reader.position() < waldo.prev_seq_no().unwrap_or(0) {
                    for seq_no in numbers(&reader.blocking_next().unwrap()) {
                        assert_eq!(seq_no, expected);
                        expected += 1;
                    }
                }
                waldo.blocking_trim(expected - 1).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(expected > 1, "the ring was never full");
    while let Err(error) = sink.blocking_flush() {
        assert!(matches!(error, AppendError::Full { .. }));
        waldo.blocking_trim(u64::MAX).unwrap();
    }
    assert_eq!(waldo.prev_seq_no(), Some(30_000));
}

/// More sinks than buffers, all with logs in them, are in nobody's way.
fn sinks_hold_no_buffers(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { pool_size: 1, ..options });
    let mut sinks: Vec<_> = (0..20).map(|_| waldo.sink()).collect();
    for sink in &mut sinks {
        push(sink, 1, 200);
    }
    waldo.blocking_append(&logs(1, 3_000)).unwrap();
    for sink in sinks {
        assert_eq!(sink.into_unflushed().len(), 200);
    }
}

fn a_sink_on_an_executor(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let writer = tokio::spawn({
            let mut sink = waldo.sink();
            async move {
                for log in logs(1, 5_000) {
                    sink.push(log).await.unwrap();
                }
                sink.flush().await.unwrap();
            }
        });
        let mut stream = waldo.stream(Cursor::Trim);
        let mut last = 0;
        while last < 5_000 {
            for seq_no in numbers(&stream.next().await.unwrap()) {
                assert_eq!(seq_no, last + 1);
                last = seq_no;
            }
        }
        writer.await.unwrap();
    });
}
