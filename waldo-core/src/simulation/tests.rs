use super::run::{Summary, run};

/// Seeds that run with every test. `make sim` runs more.
const SEEDS: u64 = 10_000;

#[test]
fn no_seed_loses_invents_or_tears_a_log() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let summaries: Vec<Summary> = std::thread::scope(|scope| {
        let worker = |first: u64| {
            let mut sum = Summary::default();
            for seed in (first..SEEDS).step_by(threads as usize) {
                match run(seed) {
                    Ok(summary) => sum += summary,
                    Err(violation) => panic!("seed {seed}: {violation}"),
                }
            }
            sum
        };
        let handles: Vec<_> =
            (0..threads).map(|first| scope.spawn(move || worker(first))).collect();
        handles.into_iter().map(|handle| handle.join().expect("a seed failed")).collect()
    });
    let mut sum = Summary::default();
    for summary in summaries {
        sum += summary;
    }
    println!("{sum:?}");
    // The simulation must reach what it is there for.
    assert!(sum.crashes > SEEDS && sum.torn > SEEDS / 20, "too few crashes: {sum:?}");
    assert!(sum.reads > SEEDS && sum.corruptions > SEEDS / 20, "too few reads: {sum:?}");
    assert!(sum.poisoned > 0 && sum.closes > SEEDS / 10, "too few closes: {sum:?}");
}
