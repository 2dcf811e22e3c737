//! Damage: every bit of a store flipped, every range of bytes zeroed, pages swapped, copied over each
//! other, cut short, made longer, removed, replaced by what they were before or by another
//! store's. Each is found and called what it is, and nothing wrong is served.

mod check;
mod harm;
mod lock;
mod oracle;
mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Context;
use clap::Args;

use self::check::{Bench, Outcome, lay};
use self::harm::{Harm, Kind};
use self::reference::Reference;
use crate::run::{Limits, Row, Run};

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Where the stores are made: a directory in memory, since nothing here is about the disk
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Only this case: the numbers of a store, of a kind of damage, and of a place
    #[arg(long, num_args = 3, value_names = ["STORE", "KIND", "PLACE"])]
    only: Vec<u64>,
}

/// One case in as many is opened in every way, and not only as by default.
const THOROUGH: u64 = 4;

/// How often each kind of damage to each store ended in each way.
type Tally = BTreeMap<(&'static str, &'static str, Outcome), u64>;

/// Runs the class.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Row> {
    let dir = tempfile::Builder::new().prefix("waldo-damage-").tempdir_in(&options.dir)?;
    let stores = reference::all(&dir.path().join("reference"))?;
    let run = Run::start(options.limits);
    let tally = Mutex::new(Tally::new());
    if let [store, kind, place] = options.only[..] {
        let case = Case { store: store as usize, kind: kind as usize, place };
        case.run(&run, &stores, &bench(&stores, case.store, dir.path())?, &tally)?;
        print(&stores, &tally.into_inner().unwrap_or_else(PoisonError::into_inner));
        return Ok(run.row("damage"));
    }
    lock::check(&run, &dir.path().join("lock"))?;
    thread::scope(|scope| {
        let _watch = run.watch(scope);
        let jobs: Vec<_> = (0..run.jobs())
            .map(|job| {
                let (run, stores, tally, dir) = (&run, &stores, &tally, dir.path());
                scope.spawn(move || work(run, job, stores, &dir.join(job.to_string()), tally))
            })
            .collect();
        jobs.into_iter()
            .try_for_each(|job| job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    print(&stores, &tally.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(run.row("damage"))
}

/// All kinds of damage to all stores, in turn; of each kind the cases that are this job's.
///
/// They are visited far apart from each other, so that a run which ends early has seen some of
/// everything.
fn work(
    run: &Run,
    job: u64,
    stores: &[Reference],
    dir: &Path,
    tally: &Mutex<Tally>,
) -> anyhow::Result<()> {
    let benches: Vec<Bench<'_>> =
        (0..stores.len()).map(|store| bench(stores, store, dir)).collect::<Result<_, _>>()?;
    let mut number = job;
    loop {
        let mut left = false;
        for (store, bench) in benches.iter().enumerate() {
            for (at, kind) in Kind::ALL.into_iter().enumerate() {
                let count = kind.count(&stores[store], stores.len());
                if number >= count {
                    continue;
                }
                left = true;
                if !run.next() {
                    return Ok(());
                }
                let case = Case { store, kind: at, place: scatter(number, count) };
                case.run(run, stores, bench, tally)?;
            }
        }
        if !left {
            return Ok(());
        }
        number += run.jobs();
    }
}

fn bench<'a>(stores: &'a [Reference], store: usize, dir: &Path) -> anyhow::Result<Bench<'a>> {
    let reference = stores.get(store).context("there is no store of that number")?;
    Bench::new(&dir.join(format!("{store}")), reference)
}

/// The `number`th of `count` numbers in an order that jumps about.
fn scatter(number: u64, count: u64) -> u64 {
    const STRIDE: u64 = 2_654_435_761;

    // A prime that is larger than any count, so that no number comes twice.
    (u128::from(number) * u128::from(STRIDE) % u128::from(count.max(1))) as u64
}

/// One damage to one store.
#[derive(Clone, Copy, Debug)]
struct Case {
    store: usize,
    kind: usize,
    place: u64,
}

impl Case {
    fn run(
        self,
        run: &Run,
        stores: &[Reference],
        bench: &Bench<'_>,
        tally: &Mutex<Tally>,
    ) -> anyhow::Result<()> {
        let Self { store, kind, place } = self;
        let (reference, name) = (&stores[store], Kind::ALL[kind].name());
        let harm = Kind::ALL[kind].nth(reference, stores.len(), place);
        let harm = harm.context("there is no place of that number")?;
        let Some(files) = harm.done_to(reference, stores) else { return Ok(()) };
        let under_way = run.begin(format!("waldo-torture damage --only {store} {kind} {place}"));
        Run::count(&run.faults);
        let thorough = place.is_multiple_of(THOROUGH) || Kind::ALL[kind] == Kind::Exchange;
        let checked = bench.check(&files, thorough).and_then(|outcome| {
            noticed(harm, reference, &files, outcome)?;
            Ok(outcome)
        });
        match checked {
            Ok(outcome) => {
                Run::count(&run.cases);
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                *tally.entry((reference.name, name, outcome)).or_default() += 1;
            }
            Err(violation) => {
                let kept = tempfile::Builder::new().prefix("waldo-damaged-").tempdir()?.keep();
                lay(&kept, &files)?;
                let place = format!("{}: {harm:?}, as in {}", reference.name, kept.display());
                run.violation(&under_way, &format!("{place}: {violation:#}"));
            }
        }
        Ok(())
    }
}

/// Something is said wherever bytes that the log needs are not what they were, unless nothing could
/// show it. Other than the verdict itself this believes in no checksum.
fn noticed(
    harm: Harm,
    reference: &Reference,
    files: &[Option<Vec<u8>>],
    outcome: Outcome,
) -> anyhow::Result<()> {
    let changed =
        (reference.vital.iter().zip(&reference.files).zip(files)).any(|((range, before), now)| {
            let now = now.as_deref().unwrap_or_default();
            now.get(range.clone()) != before.get(range.clone())
        });
    match outcome {
        Outcome::Torn | Outcome::Corrupt | Outcome::NotAStore => {}
        Outcome::Harmless => anyhow::ensure!(!changed, "bytes of the log changed unnoticed"),
        Outcome::Traceless => {
            anyhow::ensure!(harm.may_go_unnoticed(reference), "logs are gone without a trace");
        }
    }
    Ok(())
}

fn print(stores: &[Reference], tally: &Tally) {
    for store in stores {
        for kind in Kind::ALL {
            let all = kind.count(store, stores.len());
            let of = |(name, kind_name, _): &(&str, &str, Outcome)| {
                *name == store.name && *kind_name == kind.name()
            };
            let outcomes: Vec<String> = (tally.iter().filter(|(key, _)| of(key)))
                .map(|((_, _, outcome), count)| format!("{count} {outcome:?}"))
                .collect();
            println!("{}: {} of {all}: {}", store.name, kind.name(), outcomes.join(", "));
        }
    }
}
