//! A failing disk: any call answers with an error, or does less than it was asked to, once or for
//! ever. The store says so with the system's error number, keeps what it had acknowledged, and
//! works again once the fault is gone and it was reopened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use fastrand::Rng;
use waldo_core::{QueryError, Waldo};

use crate::disk::{Caching, Call, Failure, Fault, Missing, RemoteDisk};
use crate::note::Note;
use crate::run::{Limits, Row, Run};
use crate::store::{Store, errno_of_open};

/// Most faults in the life of one store.
const FAULTS_MAX: u64 = 20;

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

/// How often what failed, and what came of it, for people.
type Tally = Mutex<BTreeMap<String, u64>>;

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
    println!("{:#?}", tally.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(result.map(|()| run.row("failing calls: EIO, ENOSPC, short, failed syncs")))
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
        let chosen = [Caching::Through, Caching::None, Caching::Back][seed as usize % 3];
        let caching = caching.unwrap_or(chosen);
        let mut disk = match RemoteDisk::mount(dir, caching)? {
            Ok(disk) => disk,
            Err(missing) => return Ok(Err(missing)),
        };
        live(run, tally, &mut disk, caching, seed)?;
        seed = seed.wrapping_add(1);
    }
    Ok(Ok(()))
}

/// The life of one store: something fails, again and again.
fn live(
    run: &Run,
    tally: &Tally,
    disk: &mut RemoteDisk,
    caching: Caching,
    seed: u64,
) -> anyhow::Result<()> {
    let name = format!("{caching:?}").to_lowercase();
    let under_way = run
        .begin(format!("waldo-torture fail --seed {seed} --rounds {FAULTS_MAX} --caching {name}"));
    let mut random = Rng::with_seed(seed);
    let store = Store::of_life(seed, &disk.top())?;
    let mut life = Life { tally, disk, caching, store };
    for _ in 0..random.u64(1..=FAULTS_MAX) {
        if !run.next() {
            break;
        }
        let fault = life.random_fault(&mut random);
        let result = life.round(fault, &mut random)?;
        Run::count(&run.cases);
        match result {
            Ok(injected) => {
                run.faults.fetch_add(injected, Ordering::Relaxed);
            }
            Err(what) => {
                let saved = tempfile::Builder::new().prefix("waldo-fail-").tempdir()?.keep();
                life.disk.save(&saved)?;
                let disk = saved.display();
                let geometry = &life.store.geometry;
                run.violation(
                    &under_way,
                    &format!("{what}\n  {fault:?}, disk: {disk} ({geometry:?})"),
                );
                break;
            }
        }
    }
    Ok(())
}

struct Life<'a> {
    tally: &'a Tally,
    disk: &'a mut RemoteDisk,
    caching: Caching,
    store: Store,
}

impl Life<'_> {
    fn random_fault(&self, random: &mut Rng) -> Fault {
        let call = random
            .choice([Call::Write, Call::Write, Call::Write, Call::Sync, Call::Sync])
            .filter(|_| random.bool())
            .or_else(|| random.choice(Call::ALL))
            .unwrap_or(Call::Write);
        let errno = random.choice([libc::EIO, libc::EIO, libc::ENOSPC, libc::EDQUOT]);
        // To the page cache a short read is the end of the file, and a short write none at all.
        let may_be_short = match call {
            Call::Read => self.caching == Caching::None,
            Call::Write => self.caching != Caching::Back,
            _ => false,
        };
        let failure = if may_be_short && random.u8(..4) == 0 {
            Failure::Short
        } else {
            Failure::Errno(errno.unwrap_or(libc::EIO))
        };
        let most = random.choice([2, 20, 200]).unwrap_or(2);
        let times = random.choice([1, 1, 3, u32::MAX]).unwrap_or(1);
        Fault { call, skip: random.u32(..most), times, failure }
    }

    /// Opens the store while calls fail, works on it, and looks at what is left once they do not
    /// fail any more. Answers how many failed.
    fn round(&mut self, fault: Fault, random: &mut Rng) -> anyhow::Result<Result<u64, String>> {
        self.disk.fail(vec![fault])?;
        let injected = match self.live(fault, random)? {
            Ok(injected) => injected,
            Err(what) => return Ok(Err(what)),
        };
        let mut looked = self.store.look(random, "the fault was gone");
        // What it found, the store said is durable. Is it?
        if looked.is_ok() && random.bool() {
            self.disk.restart(random.u64(..))?;
            self.store.home = self.disk.top().join("home");
            looked = self.store.look(random, "the power was gone, too,");
        }
        Ok(looked.map(|()| injected))
    }

    /// From an open to a close, while calls fail. Answers how many failed.
    fn live(&mut self, fault: Fault, random: &mut Rng) -> anyhow::Result<Result<u64, String>> {
        let options = self.store.options(random);
        let waldo = match Waldo::blocking_open(&self.store.home, options) {
            Ok(waldo) => waldo,
            Err(error) => {
                let injected = self.disk.fail(Vec::new())?;
                self.count(fault, "open refused");
                let checked = errno_of_open(&error)
                    .and_then(|errno| check_cause(self.caching, fault, injected, errno))
                    .map_err(|what| format!("the open failed {what}: {error:?}"));
                return Ok(checked.map(|()| injected));
            }
        };
        let end = Instant::now() + Duration::from_millis(random.u64(1..60));
        let notes = self.store.work(&waldo, options, true, random, &|| Instant::now() >= end);
        let injected = self.disk.fail(Vec::new())?;
        let checked = self.check(&waldo, &notes, fault, injected);
        // One that failed says so once more.
        let _ = self.store.close(waldo);
        Ok(checked.map(|()| injected))
    }

    /// Checks what a session reported, and what can be read after it.
    fn check(
        &mut self,
        waldo: &Waldo,
        notes: &[Note],
        fault: Fault,
        injected: u64,
    ) -> Result<(), String> {
        let caching = self.caching;
        let failed =
            self.store.take(notes, &|errno| check_cause(caching, fault, injected, errno))?;
        let outcome = match (injected, failed) {
            (0, _) => "did not happen",
            (_, false) => "survived",
            (_, true) => "poisoned",
        };
        self.count(fault, outcome);
        // What could not be synced, the system forgot. Nothing that was durable is among it.
        self.store.read_on(waldo, failed, &|after, error| {
            let is_lost = waldo.durable_seq_no().is_none_or(|durable| after >= durable);
            failed && is_lost && matches!(error, QueryError::Corruption(_))
        })
    }

    fn count(&self, fault: Fault, outcome: &str) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.entry(format!("{:?}: {outcome}", fault.call)).or_default() += 1;
    }
}

/// Whether an error number can come from a fault.
fn check_cause(
    caching: Caching,
    fault: Fault,
    injected: u64,
    errno: Option<i32>,
) -> Result<(), String> {
    let fits = match fault.failure {
        Failure::Errno(wanted) => {
            // Behind the page cache, the kernel knows two errors. A write of which it had taken the
            // first part comes short instead, also where it had to read the rest of a block.
            errno == Some(wanted)
                || caching == Caching::Back && errno == Some(libc::EIO)
                || matches!(fault.call, Call::Write | Call::Read) && errno.is_none()
        }
        // The kernel makes an error of what comes short behind its back.
        Failure::Short => errno.is_none_or(|errno| errno == libc::EIO),
    };
    match injected {
        0 => Err(format!("with {errno:?}, and nothing else did")),
        _ if !fits => Err(format!("with {errno:?}, after {:?}", fault.failure)),
        _ => Ok(()),
    }
}
