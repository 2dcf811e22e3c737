use std::sync::Arc;

use super::disk::Disk;
use super::flips::read_recovered;
use super::model::Entry;
use super::random::Random;
use super::run::{Summary, run, run_from};
use super::setup::Setup;
use crate::batch::{BatchBuilder, Body, Numbering};
use crate::driver::{Io, Request};
use crate::engine::{Engine, Finished, Operation};
use crate::error::Error;
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

/// A store that is driven step by step.
struct Store<'a> {
    setup: &'a Setup,
    published: Arc<Published>,
    engine: Engine,
    disk: Disk,
    random: Random,
    /// Syncs that do not come to the disk, where they are held back.
    held: Option<Vec<Request>>,
    /// Where pages were written to.
    writes: Vec<(u32, u64)>,
}

impl<'a> Store<'a> {
    fn new(setup: &'a Setup) -> Self {
        let disk = setup.blank_disk();
        let found = setup.recover(&disk, Recovery::Full, 1).unwrap();
        let pool = Pool::new(12, 4, setup.config.buf_capacity, false).unwrap();
        let published = Published::new(setup.config.store_id, pool, 1, &found.recovered);
        let engine = Engine::new(setup.config.clone(), Arc::clone(&published), found.recovered);
        let (random, writes) = (Random::new(7), Vec::new());
        Self { setup, published, engine, disk, random, held: None, writes }
    }

    /// Has everything done that can be done.
    fn work(&mut self) {
        loop {
            self.engine.pump(0);
            let (mut requests, mut finished) = (Vec::new(), Vec::new());
            self.engine.take_requests(&mut requests);
            for request in requests {
                if let Io::Write { page, offset, .. } = &request.io {
                    self.writes.push((*page, *offset));
                }
                match &mut self.held {
                    Some(held) if matches!(request.io, Io::Sync { .. }) => held.push(request),
                    _ => self.disk.submit(request),
                }
            }
            self.engine.take_finished(&mut finished);
            finished.into_iter().for_each(Finished::run);
            let Some(completion) = self.disk.complete_one(&mut self.random) else { break };
            self.engine.complete(&completion);
        }
    }

    fn append(&mut self, seq_no: u64, data: &[u8], durable: bool) {
        let numbering = Numbering::Conditional(self.setup.config.store_id.tag(1, 1));
        let limits = self.setup.config.batch_limits();
        let mut batch = BatchBuilder::new(Body::Copied(Vec::new()), numbering, limits);
        assert!(batch.push(&Log::new_borrowed(seq_no, seq_no - 1, data)).unwrap());
        let done = Box::new(|result: Result<_, _>| assert!(result.is_ok()));
        self.engine.submit(Operation::Append { batch: batch.finish(), durable, done });
        self.work();
    }
}

/// A store of two pages, written and closed: its disk, and the logs in it.
fn reference_store(setup: &Setup) -> (Disk, Vec<Entry>) {
    let mut store = Store::new(setup);
    let mut logs = Vec::new();
    for seq_no in 1..=60 {
        let data = vec![seq_no as u8; 11 * (seq_no as usize % 9)];
        store.append(seq_no, &data, true);
        logs.push(Entry { seq_no, prev_seq_no: seq_no - 1, data });
    }
    store.engine.submit(Operation::Close { done: Box::new(|result| assert!(result.is_ok())) });
    store.work();
    assert!(store.engine.is_closed());
    (store.disk, logs)
}

/// All logs of the page that came next were void, or covered by an earlier trim. Were it overwritten
/// before the truncation is durable, a power loss would bring the logs back, and their page not.
#[test]
fn a_page_of_void_logs_is_kept_until_that_is_durable() {
    let mut setup = Setup::small();
    setup.config.durable = false;
    let mut store = Store::new(&setup);
    let mut tip = 0;
    let pages = |store: &Store<'_>| store.published.catalog.totals().page_count;
    while pages(&store) < 2 {
        tip += 1;
        store.append(tip, &[7; 300], false);
    }
    let done = || Box::new(|result: Result<(), Error>| assert!(result.is_ok()));
    store.engine.submit(Operation::Trim { up_to_seq_no: 3, census: None, done: done() });
    store.engine.submit(Operation::Sync { done: done() });
    store.work();

    store.held = Some(Vec::new());
    store.writes.clear();
    let epoch = store.published.progress.epoch();
    let cut = Operation::Truncate { after_seq_no: 3, census: None, epoch, done: done() };
    store.engine.submit(cut);
    for seq_no in 4..40 {
        store.append(seq_no, &[8; 300], false);
    }
    let first_frame = (0, PAGE_HEADER_SIZE as u64);
    assert!(store.writes.len() > 3 && !store.writes.contains(&first_frame), "{:?}", store.writes);

    for sync in store.held.take().expect("syncs are held back") {
        store.disk.submit(sync);
    }
    store.work();
    assert!(store.writes.contains(&first_frame), "{:?}", store.writes);
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
