//! Power losses, simulated: the store works on a disk of our own, which loses power at any call,
//! and what is left is compared with what the store promised.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use clap::Args;
use fastrand::Rng;
use waldo_core::{Retention, Waldo};

use crate::disk::{Caching, Missing, RemoteDisk};
use crate::geometry::Geometry;
use crate::model::{Model, Survives};
use crate::note::{Memory, Note};
use crate::run::{Limits, Row, Run};
use crate::session::{self, Plan};

/// Most power losses in the life of one store.
const LOSSES_MAX: u64 = 30;

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Where disks are mounted [default: $TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How the kernel uses the disk [default: each way in turn]
    #[arg(long, value_enum)]
    caching: Option<Caching>,
}

/// What was seen on the way, for people.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: AtomicU64,
    at_stake: AtomicU64,
    in_opens: AtomicU64,
    closed: AtomicU64,
    torn: AtomicU64,
    overwritten: AtomicU64,
}

/// Runs the class; says why where this machine cannot.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Result<Row, Missing>> {
    let run = Run::start(options.limits);
    let tally = Tally::default();
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let result = thread::scope(|scope| {
        let _watch = run.watch(scope);
        let job = |job| {
            let (run, tally, dir) = (&run, &tally, &dir);
            scope.spawn(move || work(run, tally, dir, options.caching, run.seed(job)))
        };
        let jobs: Vec<_> = (0..run.jobs()).map(job).collect();
        let mut missing = Ok(());
        for job in jobs {
            missing = job.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        anyhow::Ok(missing)
    })?;
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} logs acknowledged, {} given up by the ring; {} unsynced sectors and names at stake; {} \
         cuts while opening, {} after a close; {} torn tails",
        load(&tally.acknowledged),
        load(&tally.overwritten),
        load(&tally.at_stake),
        load(&tally.in_opens),
        load(&tally.closed),
        load(&tally.torn)
    );
    Ok(result.map(|()| run.row("power loss, simulated")))
}

fn work(
    run: &Run,
    tally: &Tally,
    dir: &Path,
    caching: Option<Caching>,
    seed: u64,
) -> anyhow::Result<Result<(), Missing>> {
    let mut seed = seed;
    while !run.is_over() {
        let chosen = chosen_by(seed);
        let mut disk = match RemoteDisk::mount(dir, caching.unwrap_or(chosen))? {
            Ok(disk) => disk,
            Err(missing) => return Ok(Err(missing)),
        };
        live(run, tally, &mut disk, caching.unwrap_or(chosen), seed)?;
        seed = seed.wrapping_add(1);
    }
    Ok(Ok(()))
}

/// Most disks are used without a page cache: with one, the kernel follows up each durable write
/// with a sync of the whole file, which hides what should have been synced for its own sake.
fn chosen_by(seed: u64) -> Caching {
    [Caching::Through, Caching::None, Caching::Back, Caching::None][seed as usize % 4]
}

/// The life of one store: power is lost, and what is left goes on, again and again.
fn live(
    run: &Run,
    tally: &Tally,
    disk: &mut RemoteDisk,
    caching: Caching,
    seed: u64,
) -> anyhow::Result<()> {
    let under_way = run.begin(format!(
        "waldo-torture power --seed {seed} --rounds {LOSSES_MAX} --caching {}",
        format!("{caching:?}").to_lowercase()
    ));
    let geometry = Geometry::of_life(seed, &disk.top())?;
    let mut random = Rng::with_seed(seed);
    let overwrites = geometry.base.retention == Retention::Overwrite;
    let model = Model::new(
        Survives::Durable,
        overwrites,
        geometry.base.ring_size.unwrap_or(waldo_core::Options::NEW_RING_SIZE),
    );
    let mut life = Life {
        run,
        tally,
        disk,
        geometry,
        model,
        store: seed as u32,
        session: 0,
        is_new: true,
        told: Vec::new(),
    };
    for _ in 0..random.u64(1..=LOSSES_MAX) {
        if !run.next() {
            break;
        }
        if let Err(what) = life.round(&mut random)? {
            let saved = tempfile::Builder::new().prefix("waldo-power-").tempdir()?.keep();
            life.disk.save(&saved)?;
            run.violation(
                &under_way,
                &format!("{what}\n  disk: {} ({geometry:?})", saved.display()),
            );
            break;
        }
    }
    Ok(())
}

struct Life<'a> {
    run: &'a Run,
    tally: &'a Tally,
    disk: &'a mut RemoteDisk,
    geometry: Geometry,
    model: Model,
    store: u32,
    session: u32,
    is_new: bool,
    /// What the session reported.
    told: Vec<Note>,
}

impl Life<'_> {
    /// Opens what is left, checks it, works on it, and loses power meanwhile.
    fn round(&mut self, random: &mut Rng) -> anyhow::Result<Result<(), String>> {
        // From the first call of an open to long after it.
        let calls = match random.u8(..3) {
            0 => random.u64(..30),
            1 => random.u64(..120),
            _ => random.u64(..700),
        };
        self.disk.arm(calls)?;
        let result = self.work(random);
        let restarted = self.disk.restart(random.u64(..))?;
        Run::count(&self.run.faults);
        Run::count(&self.run.cases);
        self.tally.at_stake.fetch_add(restarted.at_stake, Ordering::Relaxed);
        Ok(match result {
            // Without power anything may fail.
            Ok(Ended::Opening(_)) if restarted.at_call => {
                self.tally.in_opens.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Ok(Ended::Closing(_)) if restarted.at_call => Ok(()),
            Ok(Ended::Opening(what) | Ended::Closing(what)) => {
                Err(format!("while nothing was wrong: {what}"))
            }
            Ok(Ended::Well) => {
                self.tally.closed.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(what) => {
                let power = if restarted.at_call { "without power" } else { "with power" };
                let told = self.told.iter().rev().take(20).rev();
                let told: String = told.map(|note| format!("\n    {note:?}")).collect();
                Err(format!("{what}\n  {power}, after{told}"))
            }
        })
    }

    /// Answers how far it came; what the disk cannot be to blame for is an error.
    fn work(&mut self, random: &mut Rng) -> Result<Ended, String> {
        let home = self.disk.top().join("home");
        let options =
            if self.is_new { self.geometry.create(random) } else { self.geometry.open(random) };
        let waldo = match Waldo::blocking_open(&home, options) {
            Ok(waldo) => waldo,
            Err(waldo_core::Error::Corruption(damage)) => {
                return Err(format!("a power loss is taken for damage: {damage}"));
            }
            Err(error) => {
                return Ok(Ended::Opening(format!("the store cannot be opened: {error}")));
            }
        };
        if waldo.recovery_report().dropped.is_some() {
            self.tally.torn.fetch_add(1, Ordering::Relaxed);
        }
        let found = match session::scan(&waldo, self.store) {
            Ok(found) => found,
            // The pages are not in memory, and there is no power.
            Err(what) if what.contains("cannot be read: cannot read") => {
                return Ok(Ended::Opening(what));
            }
            Err(what) => return Err(what),
        };
        self.model.check(&found)?;
        self.is_new = false;
        self.tally.overwritten.fetch_add(self.model.given_up(&found) as u64, Ordering::Relaxed);
        self.model.rebase(&found);

        let memory = Memory::default();
        self.session += 1;
        let plan = Plan {
            seed: random.u64(..),
            store: self.store,
            session: self.session,
            options,
            faulty: true,
            forgetful: false,
        };
        let end = std::time::Instant::now() + std::time::Duration::from_millis(random.u64(1..80));
        session::run(&waldo, plan, &memory, &|| std::time::Instant::now() >= end);
        let closed = waldo.blocking_close();
        let notes = memory.take();
        self.told.clone_from(&notes);
        for note in &notes {
            if let Note::Appended { numbers, .. } = note {
                self.tally.acknowledged.fetch_add(u64::from(numbers.count), Ordering::Relaxed);
            }
            self.model.note(note)?;
        }
        match closed {
            Ok(()) => {
                self.model.note(&Note::Closed)?;
                Ok(Ended::Well)
            }
            Err(error) => Ok(Ended::Closing(format!("the store cannot be closed: {error}"))),
        }
    }
}

/// How far a store came.
enum Ended {
    /// It could not be opened and read.
    Opening(String),
    /// It could not be closed.
    Closing(String),
    Well,
}
