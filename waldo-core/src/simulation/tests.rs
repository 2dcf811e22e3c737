use super::disk::Disk;
use super::flips::read_recovered;
use super::model::Entry;
use super::random::Random;
use super::run::{Summary, run, run_from};
use super::setup::Setup;
use crate::batch::{BatchBuilder, Body, Numbering};
use crate::engine::{Engine, Finished, Operation};
use crate::format::PAGE_HEADER_SIZE;
use crate::log::Log;
use crate::memory::Pool;
use crate::options::Recovery;
use crate::published::Published;

/// Seeds that run with every test. `make sim` runs more; WALDO_SEEDS says how many where these take
/// too long.
fn seeds() -> u64 {
    const SEEDS: u64 = 10_000;

    let wanted = std::env::var("WALDO_SEEDS").ok().and_then(|wanted| wanted.parse().ok());
    wanted.unwrap_or(SEEDS)
}

#[test]
fn no_seed_loses_invents_or_tears_a_log() {
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let seeds = seeds();
    let summaries: Vec<Summary> = std::thread::scope(|scope| {
        let worker = |first: u64| {
            let mut sum = Summary::default();
            for seed in (first..seeds).step_by(threads as usize) {
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
    assert!(sum.crashes > seeds && sum.torn > seeds / 20, "too few crashes: {sum:?}");
    assert!(sum.reads > seeds && sum.corruptions > seeds / 20, "too few reads: {sum:?}");
    assert!(sum.poisoned > 0 && sum.closes > seeds / 10, "too few closes: {sum:?}");
}

/// What seeds found that no 10,000 others did.
///
/// - A follower stood in the newest page that it knew when that page was given up and overwritten. It
///   took the new bytes for damage, because it had found the same bytes bad a moment before.
/// - A follower looked at a page file before its first frame was there, and at the next one when it
///   had been written: it began with the second page, and never showed the first.
/// - The seal of a close was cut short, and the close said that it had succeeded: followers that
///   serve only what is proved to be durable never came to the last logs.
/// - Logs were truncated, and the whole ring was overwritten before a follower looked again. It went
///   on behind the last log that it had, which was void, and said nothing.
/// - The first frame of the oldest page was damaged, and nothing but the seal of that page said that
///   it had ever been durable: an open dropped its logs in silence; the same where the page behind it
///   was torn, and began the log no more.
/// - A follower that serves only what is durable stood before frames that were being overwritten,
///   and took them for the end of the log, although later ones said that there was more.
#[test]
fn what_single_seeds_found_stays_away() {
    for seed in [
        70_019_519,
        70_019_527,
        1_000_073_787,
        1_000_026_277,
        3_000_017_035,
        3_000_065_338,
        4_000_031_370,
    ] {
        run(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    }
}

/// Schedules that fuzzing kept: see `tests/fuzz`.
#[test]
fn schedules_of_the_fuzzer_pass() {
    let seeds =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/simulation");
    let mut count = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        let path = entry.unwrap().path();
        let decisions = Random::decided_by(&std::fs::read(&path).unwrap());
        run_from(decisions).unwrap_or_else(|violation| panic!("{}: {violation}", path.display()));
        count += 1;
    }
    assert!(count > 0, "no schedules");
}

/// A store of two pages, written and closed: its disk, and the logs in it.
fn reference_store(setup: &Setup) -> (Disk, Vec<Entry>) {
    let mut disk = setup.blank_disk();
    let found = setup.recover(&disk, Recovery::Full, 1).unwrap();
    let pool = Pool::new(12, 4, setup.config.buf_capacity, false).unwrap();
    let published = Published::new(setup.config.store_id, pool, 1, &found.recovered);
    let mut engine = Engine::new(setup.config.clone(), published, found.recovered);
    let mut work = |engine: &mut Engine| {
        let mut random = Random::new(7);
        loop {
            engine.pump(0);
            let (mut requests, mut finished) = (Vec::new(), Vec::new());
            engine.take_requests(&mut requests);
            requests.into_iter().for_each(|request| disk.submit(request));
            engine.take_finished(&mut finished);
            finished.into_iter().for_each(Finished::run);
            let Some(completion) = disk.complete_one(&mut random) else { break };
            engine.complete(&completion);
        }
    };
    let mut logs = Vec::new();
    for seq_no in 1..=60 {
        let data = vec![seq_no as u8; 11 * (seq_no as usize % 9)];
        let numbering = Numbering::Conditional(setup.config.store_id.tag(1, 1));
        let limits = setup.config.batch_limits();
        let mut batch = BatchBuilder::new(Body::Copied(Vec::new()), numbering, limits);
        assert!(batch.push(&Log::new_borrowed(seq_no, seq_no - 1, &data)).unwrap());
        let done = Box::new(|result: Result<_, _>| assert!(result.is_ok()));
        engine.submit(Operation::Append { batch: batch.finish(), durable: true, done });
        work(&mut engine);
        logs.push(Entry { seq_no, prev_seq_no: seq_no - 1, data });
    }
    engine.submit(Operation::Close { done: Box::new(|result| assert!(result.is_ok())) });
    work(&mut engine);
    assert!(engine.is_closed());
    (disk, logs)
}

#[test]
fn every_flipped_bit_of_a_closed_store_is_detected_and_never_served() {
    let setup = Setup::small();
    let (disk, logs) = reference_store(&setup);
    let intact = setup.recover(&disk, Recovery::Full, 1).unwrap();
    let pages = &intact.recovered.pages;
    assert!(intact.damage.is_none() && pages.len() == 2);
    assert_eq!(read_recovered(&setup, &disk, &intact).unwrap(), logs);
    let (mut detected, mut harmless) = (0, 0);
    for page in pages {
        for offset in PAGE_HEADER_SIZE..setup.config.page_size as usize {
            for bit in 0..8 {
                let mut damaged = disk.copy();
                damaged.flip(page.page as usize, offset, bit);
                let found = setup.recover(&damaged, Recovery::Full, 1).unwrap();
                if found.damage.is_some() {
                    detected += 1;
                    continue;
                }
                assert!(offset as u64 >= page.end, "bit {bit} at {offset} goes unnoticed");
                let rest = read_recovered(&setup, &damaged, &found).unwrap();
                assert_eq!(rest, logs, "bit {bit} at {offset} changes what is read");
                harmless += 1;
            }
        }
    }
    assert!(detected > 8 * 4000 && harmless > 0, "{detected} {harmless}");
}
