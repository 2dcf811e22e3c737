//! Runs seeds of the simulation: `simulate [COUNT] [FIRST]`, or one seed with `simulate 1 SEED`.
//!
//! A violation prints its seed; the same seed shows it again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use waldo_core::simulation::run::{Summary, run};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(count), Ok(first)) =
        (arguments.next().unwrap_or(Ok(100_000)), arguments.next().unwrap_or(Ok(0)))
    else {
        eprintln!("usage: simulate [COUNT] [FIRST]");
        return std::process::ExitCode::from(2);
    };
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sum, failures) = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&next, first + count))).collect();
        let mut total = (Summary::default(), 0);
        for worker in workers {
            let (sum, failures) = worker.join().unwrap_or_default();
            total.0 += sum;
            total.1 += failures;
        }
        total
    });
    println!("{count} seeds in {:.1} s: {sum:?}", started.elapsed().as_secs_f64());
    if failures > 0 {
        println!("{failures} seeds failed");
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

fn work(next: &AtomicU64, end: u64) -> (Summary, u64) {
    let mut sum = Summary::default();
    let mut failures = 0;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (sum, failures);
        }
        match std::panic::catch_unwind(|| run(seed)) {
            Ok(Ok(summary)) => sum += summary,
            Ok(Err(violation)) => {
                failures += 1;
                println!("seed {seed}: {violation}");
            }
            Err(_) => {
                failures += 1;
                println!("seed {seed}: panicked");
            }
        }
    }
}
