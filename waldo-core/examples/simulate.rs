//! Runs seeds of the simulation: `simulate [COUNT] [FIRST] [SECONDS]`, or one seed with
//! `simulate 1 SEED`.
//!
//! A violation prints its seed; the same seed shows it again. With SECONDS no seed is begun once they
//! are over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use waldo_core::simulation::run::{Summary, run};

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(count), Ok(first), Ok(seconds)) = (
        arguments.next().unwrap_or(Ok(100_000)),
        arguments.next().unwrap_or(Ok(0)),
        arguments.next().unwrap_or(Ok(u64::from(u32::MAX))),
    ) else {
        eprintln!("usage: simulate [COUNT] [FIRST] [SECONDS]");
        return std::process::ExitCode::from(2);
    };
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sum, failures, seeds) = std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(&next, first + count, end))).collect();
        let mut total = (Summary::default(), 0, 0);
        for worker in workers {
            let (sum, failures, seeds) = worker.join().unwrap_or_default();
            total.0 += sum;
            total.1 += failures;
            total.2 += seeds;
        }
        total
    });
    println!("{seeds} seeds in {:.1} s: {sum:?}", started.elapsed().as_secs_f64());
    println!("| simulated crashes | {} | {} | {failures} |", sum.crashes, sum.crashes + sum.flips);
    if failures > 0 {
        println!("{failures} seeds failed");
        return std::process::ExitCode::FAILURE;
    }
    std::process::ExitCode::SUCCESS
}

/// Answers what happened, and how many seeds failed and were run.
fn work(next: &AtomicU64, last: u64, end: Instant) -> (Summary, u64, u64) {
    let mut sum = Summary::default();
    let (mut failures, mut seeds) = (0, 0);
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= last || Instant::now() >= end {
            return (sum, failures, seeds);
        }
        seeds += 1;
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
