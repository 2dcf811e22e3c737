//! An idle store costs nothing, however many streams wait.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use common::{logs, open, options};
use waldo_core::{Backend, Cursor};

/// Processor time that this process took so far.
fn cpu() -> Duration {
    // SAFETY: `rusage` consists of integers, for which zeros are valid, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, &raw mut usage), 0);
        usage
    };
    [usage.ru_utime, usage.ru_stime]
        .iter()
        .map(|time| Duration::from_micros((time.tv_sec * 1_000_000 + time.tv_usec) as u64))
        .sum()
}

/// Counts how often a stream asks to be polled again.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn ten_thousand_parked_streams() {
    for backend in [Backend::IoUring, Backend::Threads] {
        let dir = tempfile::tempdir().unwrap();
        let waldo = open(&dir, options(backend));
        waldo.blocking_append(&logs(1, 10)).unwrap();
        // Pages are prepared behind the back of appends; that ends.
        let started = Instant::now();
        while waldo.blocking_metadata().unwrap().pending_resets > 0 {
            assert!(started.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut streams: Vec<_> = (0..10_000).map(|_| waldo.stream(Cursor::Tip)).collect();
        for stream in &mut streams {
            assert!(stream.poll_next(&mut context).is_pending());
        }
        // Nothing is synchronised by this: it is the time that is measured.
        let before = cpu();
        std::thread::sleep(Duration::from_secs(1));
        let taken = cpu() - before;
        assert!(taken < Duration::from_millis(50), "{taken:?} for nothing");
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "a stream was woken for nothing");
        waldo.blocking_append(&logs(11, 11)).unwrap();
        // The append may be acknowledged first.
        let started = Instant::now();
        while wakes.0.load(Ordering::Relaxed) < 10_000 {
            assert!(started.elapsed() < Duration::from_secs(60), "a stream is not woken");
            std::thread::yield_now();
        }
        waldo.blocking_close().unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 10_000, "a stream was woken twice");
    }
}
