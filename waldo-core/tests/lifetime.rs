//! Closing, dropping, locking, completions.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use common::{assert_run, logs, numbers, open};
use waldo_core::{AppendError, Cursor, Error, Options, QueryError, Waldo};

on_both_backends!(
    a_closed_store_says_so,
    a_store_is_open_once,
    dropping_the_last_handle_closes,
    streams_and_sinks_keep_the_store_open,
    closing_waits_for_what_was_submitted,
    chunks_outlive_everything,
    everybody_may_close,
    completions_may_do_anything,
    each_operation_completes_once_while_the_store_closes,
    an_open_that_is_given_up_leaves_the_store_closed,
    futures_are_dropped_half_way,
);

fn a_closed_store_says_so(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let other = waldo.clone();
    let mut sink = other.sink();
    waldo.blocking_close().unwrap();
    assert_eq!(other.blocking_append(&logs(11, 11)), Err(AppendError::Closed));
    assert_eq!(other.blocking_append_assigned(&[b"x"]), Err(AppendError::Closed));
    assert!(matches!(other.blocking_sync(), Err(Error::Closed)));
    assert!(matches!(other.blocking_trim(5), Err(Error::Closed)));
    assert!(matches!(other.blocking_truncate(5), Err(Error::Closed)));
    assert!(matches!(other.blocking_clear(), Err(Error::Closed)));
    assert!(matches!(other.submit_sync(|_| panic!("it was refused")), Err(Error::Closed)));
    assert!(matches!(other.submit_close(|_| panic!("it was refused")), Err(Error::Closed)));
    let batch = other.try_batch(0, true).unwrap().finish();
    let refused = other.submit_append(batch, false, |_| panic!("it was refused"));
    assert_eq!(refused, Err(AppendError::Closed));
    sink.blocking_push(logs(11, 11).remove(0)).unwrap();
    assert_eq!(sink.blocking_flush(), Err(AppendError::Closed));
    assert_eq!(sink.into_unflushed().len(), 1);
    // Reading goes on, up to the end.
    let found = other.blocking_query(Cursor::Trim, true).unwrap();
    assert_run(&numbers(&found), 1, 10);
    assert_eq!(other.blocking_query(Cursor::Tip, true).unwrap_err(), QueryError::Closed);
    assert_eq!(other.blocking_query(Cursor::Tip, false).unwrap_err(), QueryError::Closed);
    assert_eq!(other.prev_seq_no(), Some(10));
    assert_eq!(other.blocking_metadata().unwrap().log_count, 10);
    // Closing again is fine.
    other.clone().blocking_close().unwrap();
    other.blocking_close().unwrap();
}

fn a_store_is_open_once(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let error = Waldo::blocking_open(dir.path(), options).unwrap_err();
    assert!(
        matches!(&error, Error::Locked { pid, .. } if *pid == Some(std::process::id())),
        "{error}"
    );
    waldo.blocking_close().unwrap();
    // At once, again and again: the lock is released before the close returns.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..20 {
        runtime.block_on(async {
            let waldo = Waldo::open(dir.path(), options).await.unwrap();
            let other = waldo.clone();
            waldo.close().await.unwrap();
            drop(other);
        });
    }
}

fn dropping_the_last_handle_closes(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let waldo = open(&dir, options);
        assert_eq!(waldo.prev_seq_no().unwrap_or(0), round * 10);
        let batch = logs(round * 10 + 1, round * 10 + 10);
        let mut builder = waldo.try_batch(1000, false).unwrap();
        for log in &batch {
            assert!(builder.push(log).unwrap());
        }
        waldo.submit_append(builder.finish(), false, |_| ()).unwrap();
        drop(waldo.clone());
        drop(waldo);
    }
}

fn streams_and_sinks_keep_the_store_open(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut stream = waldo.stream(Cursor::Trim);
    let mut sink = waldo.sink();
    drop(waldo);
    assert!(matches!(Waldo::blocking_open(dir.path(), options), Err(Error::Locked { .. })));
    sink.blocking_push(logs(1, 1).remove(0)).unwrap();
    sink.blocking_flush().unwrap();
    drop(sink);
    assert_eq!(numbers(&stream.blocking_next().unwrap()), [1]);
    drop(stream);
    drop(open(&dir, options));
}

fn closing_waits_for_what_was_submitted(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { file_o_dsync: false, ..options });
    let done = Arc::new(AtomicUsize::new(0));
    for seq_no in 1..=500 {
        let mut builder = waldo.try_batch(200, false).unwrap();
        assert!(builder.push(&logs(seq_no, seq_no)[0]).unwrap());
        let done = Arc::clone(&done);
        let completion = move |result: Result<_, AppendError>| {
            result.unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        };
        waldo.submit_append(builder.finish(), false, completion).unwrap();
    }
    waldo.blocking_close().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), 500);
    assert_eq!(open(&dir, options).prev_seq_no(), Some(500));
}

fn chunks_outlive_everything(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let hot = waldo.blocking_query(Cursor::Trim, false).unwrap();
    waldo.blocking_trim(10).unwrap();
    waldo.blocking_clear().unwrap();
    drop(waldo);
    drop(dir);
    assert_run(&numbers(&hot), 1, 10);
}

fn everybody_may_close(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let waldo = waldo.clone();
                start.wait();
                waldo.blocking_close().unwrap();
            });
        }
    });
    assert_eq!(waldo.blocking_append(&logs(11, 11)), Err(AppendError::Closed));
}

fn completions_may_do_anything(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let (sender, receiver) = mpsc::channel();
    // Panic, submit, query what is in memory, block (refused), and drop the last handle.
    let submitted = waldo.submit_sync(|_| panic!("on purpose, in a completion"));
    submitted.unwrap();
    let inner = waldo.clone();
    let batch = |waldo: &Waldo, seq_no| {
        let mut builder = waldo.try_batch(200, false).unwrap();
        assert!(builder.push(&logs(seq_no, seq_no)[0]).unwrap());
        builder.finish()
    };
    let first = batch(&waldo, 1);
    let completion = move |result: Result<_, AppendError>| {
        result.unwrap();
        let found = inner.stream(Cursor::Trim).try_next().unwrap().unwrap();
        assert_eq!(numbers(&found), [1]);
        let second = batch(&inner, 2);
        let last = inner.clone();
        let done = move |result: Result<_, AppendError>| {
            sender.send(result).unwrap();
            // The last handle, on the worker's thread.
            drop(last);
        };
        inner.submit_append(second, true, done).unwrap();
        let blocked =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.blocking_sync()));
        assert!(blocked.is_err());
    };
    waldo.submit_append(first, false, completion).unwrap();
    drop(waldo);
    assert_eq!(receiver.recv().unwrap().unwrap().last_seq_no, 2);
    // It closes without anybody's help; wait for the lock.
    let waldo = loop {
        match Waldo::blocking_open(dir.path(), options) {
            Ok(waldo) => break waldo,
            Err(Error::Locked { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(waldo.prev_seq_no(), Some(2));
}

fn each_operation_completes_once_while_the_store_closes(options: Options) {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options);
        let (submitted, completed) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let appended = Arc::new(AtomicUsize::new(0));
        let start = Barrier::new(5);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..300 {
                        let Ok(mut builder) = waldo.try_batch(100, true) else { continue };
                        assert!(builder.push_payload(b"x").unwrap());
                        let (completed, appended) = (Arc::clone(&completed), Arc::clone(&appended));
                        let completion = move |result: Result<_, AppendError>| {
                            completed.fetch_add(1, Ordering::Relaxed);
                            match result {
                                Ok(_) => _ = appended.fetch_add(1, Ordering::Relaxed),
                                Err(error) => assert_eq!(error, AppendError::Closed),
                            }
                        };
                        match waldo.submit_append(builder.finish(), false, completion) {
                            Ok(()) => _ = submitted.fetch_add(1, Ordering::Relaxed),
                            Err(AppendError::WouldBlock) => {}
                            Err(error) => assert_eq!(error, AppendError::Closed),
                        }
                    }
                });
            }
            start.wait();
            waldo.clone().blocking_close().unwrap();
        });
        // A late one may still be ended on a thread of its own.
        while completed.load(Ordering::Relaxed) < submitted.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        assert_eq!(completed.load(Ordering::Relaxed), submitted.load(Ordering::Relaxed));
        let tip = open(&dir, options).prev_seq_no().unwrap_or(0);
        assert_eq!(tip, appended.load(Ordering::Relaxed) as u64);
    }
}

fn an_open_that_is_given_up_leaves_the_store_closed(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        let mut open = Box::pin(Waldo::open(dir.path(), options));
        let _ = futures::FutureExt::now_or_never(open.as_mut());
        drop(open);
        loop {
            match Waldo::blocking_open(dir.path(), options) {
                Ok(_) => break,
                Err(Error::Locked { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn futures_are_dropped_half_way(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for _ in 0..100 {
        let large = vec![0; 30_000];
        let mut append = Box::pin(waldo.append_assigned(std::slice::from_ref(&large)));
        let _ = futures::FutureExt::now_or_never(append.as_mut());
        drop(append);
        let mut wait = Box::pin(waldo.query(Cursor::Tip, true));
        let _ = futures::FutureExt::now_or_never(wait.as_mut());
        drop(wait);
    }
    // Everything comes back: buffers, places in the queue, places among the waiters.
    waldo.blocking_sync().unwrap();
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!(metadata.waiting_streams, 0);
    assert_eq!(metadata.pending_appends, 0);
    let all: Vec<_> = (0..options.pool_size)
        .map(|_| waldo.try_batch(waldo.batch_limits().size, false).unwrap())
        .collect();
    drop(all);
}
