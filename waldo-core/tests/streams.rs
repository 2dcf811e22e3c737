//! Streams: async, blocking, cancelled, parked by the thousand.

mod common;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{assert_run, logs, numbers, open};
use futures::{FutureExt, StreamExt};
use waldo_core::{Cursor, Options, QueryError};

on_both_backends!(
    an_async_stream_follows,
    a_blocking_iterator_ends_with_the_store,
    a_cancelled_wait_loses_nothing,
    trying_never_waits,
    seeking_goes_anywhere,
    timeouts,
    a_thousand_parked_streams,
    streams_read_on_after_the_close,
    cold_logs_are_streamed,
);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn an_async_stream_follows(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    runtime().block_on(async {
        let reader = tokio::spawn({
            let mut stream = waldo.stream(Cursor::Tip);
            async move {
                let mut found = Vec::new();
                while found.len() < 200 {
                    found.extend(numbers(&stream.next().await.unwrap()));
                    assert_eq!(stream.position(), *found.last().unwrap());
                    assert_eq!(stream.prev_seq_no(), stream.position());
                }
                found
            }
        });
        for seq_no in 1..=200 {
            waldo.append(&logs(seq_no, seq_no)).await.unwrap();
        }
        assert_run(&reader.await.unwrap(), 1, 200);
        // As a stream of the futures crate: it ends behind the close.
        let all = waldo.stream(Cursor::Trim);
        waldo.close().await.unwrap();
        let items: Vec<_> = all.collect().await;
        let (last, chunks) = items.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap_err(), &QueryError::Closed);
        let found: Vec<u64> =
            chunks.iter().flat_map(|chunk| numbers(chunk.as_ref().unwrap())).collect();
        assert_run(&found, 1, 200);
    });
}

fn a_blocking_iterator_ends_with_the_store(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut stream = waldo.stream(Cursor::After(0));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut found = Vec::new();
            let mut errors = Vec::new();
            for item in stream.blocking_iter() {
                match item {
                    Ok(chunk) => found.extend(numbers(&chunk)),
                    Err(error) => errors.push(error),
                }
            }
            assert_eq!(errors, [QueryError::Closed]);
            found
        });
        for seq_no in 1..=100 {
            waldo.blocking_append(&logs(seq_no, seq_no)).unwrap();
        }
        waldo.clone().blocking_close().unwrap();
        assert_run(&reader.join().unwrap(), 1, 100);
    });
}

fn a_cancelled_wait_loses_nothing(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    runtime().block_on(async {
        let appender = tokio::spawn({
            let waldo = waldo.clone();
            async move {
                for seq_no in 1..=300 {
                    waldo.append(&logs(seq_no, seq_no)).await.unwrap();
                }
            }
        });
        let mut stream = waldo.stream(Cursor::After(0));
        let mut last = 0;
        let mut cancelled = 0;
        while last < 300 {
            tokio::select! {
                biased;
                chunk = stream.next() => for seq_no in numbers(&chunk.unwrap()) {
                    assert_eq!(seq_no, last + 1);
                    last = seq_no;
                },
                () = tokio::task::yield_now() => cancelled += 1,
            }
        }
        assert!(cancelled > 0);
        appender.await.unwrap();
    });
}

fn trying_never_waits(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut stream = waldo.stream(Cursor::After(0));
    assert!(stream.try_next().unwrap().is_none());
    waldo.blocking_append(&logs(1, 3)).unwrap();
    assert_eq!(numbers(&stream.try_next().unwrap().unwrap()), [1, 2, 3]);
    assert!(stream.try_next().unwrap().is_none());
    waldo.blocking_close().unwrap();
    assert_eq!(stream.try_next().unwrap_err(), QueryError::Closed);
}

fn seeking_goes_anywhere(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 1000)).unwrap();
    let mut stream = waldo.stream(Cursor::Tip);
    assert_eq!(stream.position(), 1000);
    for seq_no in [0, 999, 500, 1, 998] {
        stream.seek(seq_no);
        assert_eq!(numbers(&stream.blocking_next().unwrap())[0], seq_no + 1);
    }
}

fn timeouts(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let mut stream = waldo.stream(Cursor::Tip);
    let timeout = Duration::from_millis(5);
    assert_eq!(stream.blocking_next_timeout(timeout).unwrap_err(), QueryError::Timeout);
    assert_eq!(stream.blocking_next_timeout(Duration::ZERO).unwrap_err(), QueryError::Timeout);
    waldo.blocking_append(&logs(1, 1)).unwrap();
    assert_eq!(numbers(&stream.blocking_next_timeout(Duration::MAX).unwrap()), [1]);
    assert_eq!(stream.blocking_next_timeout(timeout).unwrap_err(), QueryError::Timeout);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn a_thousand_parked_streams(options: Options) {
    const COUNT: usize = 1000;

    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 1)).unwrap();
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut streams: Vec<_> = (0..COUNT).map(|_| waldo.stream(Cursor::After(1))).collect();
    for stream in &mut streams {
        assert!(stream.poll_next(&mut context).is_pending());
    }
    assert_eq!(waldo.blocking_metadata().unwrap().waiting_streams, COUNT);
    assert_eq!(waldo.blocking_metadata().unwrap().read_memory_used, 0);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    // Polling again parks none of them twice.
    for stream in &mut streams {
        assert!(stream.poll_next(&mut context).is_pending());
    }
    assert_eq!(waldo.blocking_metadata().unwrap().waiting_streams, COUNT);

    waldo.blocking_append(&logs(2, 2)).unwrap();
    // The append may be acknowledged before all are woken.
    let started = std::time::Instant::now();
    while count.0.load(Ordering::Relaxed) < COUNT {
        assert!(started.elapsed() < Duration::from_secs(60), "a stream is not woken");
        std::thread::yield_now();
    }
    assert_eq!(waldo.blocking_metadata().unwrap().waiting_streams, 0);
    for stream in &mut streams {
        let Poll::Ready(chunk) = stream.poll_next(&mut context) else { panic!("still waiting") };
        assert_eq!(numbers(&chunk.unwrap()), [2]);
        assert!(stream.poll_next(&mut context).is_pending());
    }
    streams.truncate(COUNT / 2);
    assert_eq!(waldo.blocking_metadata().unwrap().waiting_streams, COUNT / 2);
    waldo.blocking_close().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), COUNT + COUNT / 2);
    for stream in &mut streams {
        let Poll::Ready(end) = stream.poll_next(&mut context) else { panic!("still waiting") };
        assert_eq!(end.unwrap_err(), QueryError::Closed);
    }
}

fn streams_read_on_after_the_close(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    // More than the hot tail holds.
    waldo.blocking_append(&logs(1, 6_000)).unwrap();
    let mut stream = waldo.stream(Cursor::Trim);
    let other = waldo.clone();
    waldo.blocking_close().unwrap();
    let mut last = 0;
    let end = loop {
        match stream.blocking_next() {
            Ok(chunk) => {
                for seq_no in numbers(&chunk) {
                    assert_eq!(seq_no, last + 1);
                    last = seq_no;
                }
            }
            Err(error) => break error,
        }
    };
    assert_eq!((last, end), (6_000, QueryError::Closed));
    let found = other.blocking_query(Cursor::From(17), true).unwrap();
    assert_eq!(numbers(&found)[0], 17);
    let end = other.blocking_query(Cursor::Tip, true).unwrap_err();
    assert_eq!(end, QueryError::Closed);
}

fn cold_logs_are_streamed(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 6_000)).unwrap();
    waldo.blocking_close().unwrap();
    let waldo = open(&dir, options);
    drop_page_cache(dir.path());
    // Reads that the page cache cannot answer go through the worker; they can be cancelled, too.
    let mut stream = waldo.stream(Cursor::Trim);
    let mut last = 0;
    while last < 6_000 {
        drop_page_cache(dir.path());
        let started = stream.next().now_or_never();
        let chunk = started.unwrap_or_else(|| stream.blocking_next()).unwrap();
        for seq_no in numbers(&chunk) {
            assert_eq!(seq_no, last + 1);
            last = seq_no;
        }
    }
    // A boxed future of a query can be polled by hand, and dropped half way.
    drop_page_cache(dir.path());
    let mut query: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(waldo.query(Cursor::From(3_000), true));
    let _ = query.as_mut().now_or_never();
    drop(query);
    let query = pin!(waldo.query(Cursor::From(3_000), true));
    assert_eq!(numbers(&futures::executor::block_on(query).unwrap())[0], 3_000);
}

/// Has the kernel forget what it has of the pages.
fn drop_page_cache(dir: &std::path::Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "page") {
            let file = std::fs::File::open(path).unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            // SAFETY: advice on a descriptor that is open; no memory is involved.
            unsafe { libc::posix_fadvise(fd, 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }
}
