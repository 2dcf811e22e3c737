//! Real file systems on small loop devices, that are full, become read-only, or are shut down under
//! a store: ext4 and XFS. The store says what is wrong with the system's error number, readers go
//! on, and once there is room, or the file system is mounted again, everything that was durable is
//! there.

mod volume;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use fastrand::Rng;
use waldo_core::{Options as WaldoOptions, QueryError, Waldo};

use crate::disk::Missing;
use crate::note::Note;
use crate::run::{Limits, Row, Run};
use crate::store::{Store, errno_of_open};
use volume::{Kind, Shutdown, Volume};

/// Most faults in the life of one store.
const FAULTS_MAX: u64 = 12;

/// More than any store takes.
const PLENTY: u64 = 8 << 20;

/// How long pages that there was no room for may take once there is.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Where the file systems' images are [default: $TMPDIR]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The file system [default: all of them in turn]
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

/// What befalls a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is full before the store is opened, but for so many bytes.
    FullBefore(u64),
    /// It is full, but for so many bytes, while the store is to get so many pages more.
    FullToGrow(u64, u32),
    /// It gets full while the store is open.
    FullMeanwhile,
    /// It is read-only before the store is opened.
    ReadOnlyBefore,
    /// Somebody wants it to be read-only while the store is open.
    ReadOnlyMeanwhile,
    /// It finds itself broken, and becomes read-only.
    Aborted,
    /// It is shut down.
    ShutDown(Shutdown),
}

impl Fault {
    fn random(kind: Kind, random: &mut Rng) -> Self {
        let most = random.choice([8 << 10, 64 << 10, 512 << 10]).unwrap_or(1);
        let room = random.u64(..most);
        let shutdowns = [Shutdown::Flushed, Shutdown::Journalled, Shutdown::Sudden];
        match random.u8(..10) {
            0 | 1 => Self::FullBefore(room),
            2 => Self::FullToGrow(room, random.u32(1..4)),
            3 | 4 => Self::FullMeanwhile,
            5 => Self::ReadOnlyBefore,
            6 => Self::ReadOnlyMeanwhile,
            7 | 8 if kind != Kind::Xfs => Self::Aborted,
            _ => Self::ShutDown(random.choice(shutdowns).unwrap_or(Shutdown::Sudden)),
        }
    }

    /// Error numbers that come of it.
    fn errnos(self) -> &'static [i32] {
        match self {
            Self::FullBefore(_) | Self::FullToGrow(..) | Self::FullMeanwhile => &[libc::ENOSPC],
            Self::ReadOnlyBefore | Self::ReadOnlyMeanwhile => &[libc::EROFS],
            Self::Aborted => &[libc::EROFS, libc::EIO],
            // ext4 says that its journal was aborted, or ended.
            Self::ShutDown(_) => &[libc::EIO, libc::EROFS, libc::ESHUTDOWN],
        }
    }

    /// Whether only a new mount ends it.
    fn takes_mount(self) -> bool {
        matches!(self, Self::Aborted | Self::ShutDown(_))
    }

    fn check_errno(self, errno: Option<i32>) -> Result<(), String> {
        match errno {
            Some(errno) if self.errnos().contains(&errno) => Ok(()),
            // The last write for which there was some room comes short.
            None if self.errnos() == [libc::ENOSPC] => Ok(()),
            _ => Err(format!("with {errno:?}, not one of {:?}", self.errnos())),
        }
    }
}

/// Runs the class; says why where this machine cannot.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Result<Row, Missing>> {
    let run = Run::start(options.limits);
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut tally = BTreeMap::new();
    let kinds = options.kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let mut volumes = Vec::new();
    let mut missing = Vec::new();
    for kind in kinds {
        match Volume::new(kind, &dir)? {
            Ok(volume) => volumes.push((kind, volume)),
            Err(Missing(reason)) => missing.push(reason),
        }
    }
    if volumes.is_empty() {
        return Ok(Err(Missing(missing.join("; "))));
    }
    missing.iter().for_each(|reason| println!("skipped: {reason}"));
    std::thread::scope(|scope| {
        let _watch = run.watch(scope);
        let mut seed = run.seed(0);
        while !run.is_over() {
            for (kind, volume) in &mut volumes {
                live(&run, &mut tally, volume, *kind, seed)?;
            }
            seed = seed.wrapping_add(1);
        }
        anyhow::Ok(())
    })?;
    println!("{tally:#?}");
    Ok(Ok(run.row("full, read-only and shut down: ext4, XFS")))
}

/// How often what befell the store, and what came of it, for people.
type Tally = BTreeMap<String, u64>;

/// The life of one store: something befalls its file system, again and again.
fn live(
    run: &Run,
    tally: &mut Tally,
    volume: &mut Volume,
    kind: Kind,
    seed: u64,
) -> anyhow::Result<()> {
    let name = format!("{kind:?}").to_lowercase();
    let again = format!("waldo-torture full --seed {seed} --rounds {FAULTS_MAX} --kind {name}");
    let under_way = run.begin(again);
    let mut random = Rng::with_seed(seed);
    volume.leave(PLENTY)?;
    let store = Store::of_life(seed, &volume.top().join(seed.to_string()))?;
    let mut life = Life { volume, store };
    for _ in 0..random.u64(1..=FAULTS_MAX) {
        if !run.next() {
            break;
        }
        let fault = match Fault::random(kind, &mut random) {
            // Where it is made is where it needs the most room.
            fault if life.store.exists || random.bool() => fault,
            _ => Fault::FullBefore(random.u64(..512 << 10)),
        };
        let result = life.round(fault, &mut random).with_context(|| format!("{fault:?}"))?;
        Run::count(&run.cases);
        Run::count(&run.faults);
        match result {
            Ok(outcome) => {
                let fault = format!("{fault:?}");
                let fault = fault.split('(').next().unwrap_or(&fault);
                *tally.entry(format!("{}: {fault}: {outcome}", kind.name())).or_default() += 1;
            }
            Err(what) => {
                let geometry = &life.store.geometry;
                run.violation(&under_way, &format!("{what}\n  {fault:?} ({geometry:?})"));
                break;
            }
        }
    }
    if let Some(dir) = life.store.home.parent() {
        std::fs::remove_dir_all(dir)?;
    }
    Ok(())
}

struct Life<'a> {
    volume: &'a mut Volume,
    store: Store,
}

impl Life<'_> {
    /// Has a fault befall the store, and looks at what is left once it is gone. Answers what came
    /// of it.
    fn round(
        &mut self,
        fault: Fault,
        random: &mut Rng,
    ) -> anyhow::Result<Result<&'static str, String>> {
        let mut options = self.store.options(random);
        match fault {
            Fault::FullBefore(room) => self.volume.leave(room)?,
            Fault::FullToGrow(room, pages) => {
                options.ring_size = options.ring_size.map(|size| size + pages);
                self.volume.leave(room)?;
            }
            Fault::ReadOnlyBefore => self.volume.remount_idle("ro")?,
            _ => {}
        }
        let outcome = match Waldo::blocking_open(&self.store.home, options) {
            Ok(_) if fault == Fault::ReadOnlyBefore => {
                return Ok(Err("a store was opened on a read-only file system".to_owned()));
            }
            Ok(waldo) => {
                self.store.geometry.base.ring_size = options.ring_size;
                self.live(waldo, options, fault, random)?
            }
            Err(error) => errno_of_open(&error)
                .and_then(|errno| fault.check_errno(errno))
                .map_err(|what| format!("the open failed {what}: {error:?}"))
                .map(|()| "open refused"),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(what) => return Ok(Err(what)),
        };
        self.end(fault)?;
        Ok(self.store.look(random, "the fault was gone").map(|()| outcome))
    }

    /// Ends a fault.
    fn end(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::ReadOnlyBefore | Fault::ReadOnlyMeanwhile => {
                self.volume.remount_idle("rw")?;
            }
            _ if fault.takes_mount() => self.volume.mount_again()?,
            _ => {}
        }
        self.volume.leave(PLENTY)
    }

    /// From an open to a close, while a fault befalls the file system.
    fn live(
        &mut self,
        waldo: Waldo,
        options: WaldoOptions,
        fault: Fault,
        random: &mut Rng,
    ) -> anyhow::Result<Result<&'static str, String>> {
        let end = Instant::now() + Duration::from_millis(random.u64(1..60));
        let before = Duration::from_millis(random.u64(..20));
        let (volume, store) = (&*self.volume, &mut self.store);
        let (notes, done) = std::thread::scope(|scope| {
            let befalls = scope.spawn(move || {
                std::thread::sleep(before);
                befall(volume, fault)
            });
            let is_over = || Instant::now() >= end && befalls.is_finished();
            let notes = store.work(&waldo, options, fault.takes_mount(), random, &is_over);
            (notes, befalls.join())
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let checked = self.check(&waldo, &notes, fault);
        let failed = fault.takes_mount() || checked == Ok(true);
        let outcome = match checked {
            Ok(true) => Ok("failed"),
            Ok(false) if fault.takes_mount() => Ok("not noticed"),
            Ok(false) => {
                let ran_out = notes.contains(&Note::NoSpace);
                let how = if ran_out { "ran out of room, went on" } else { "went on" };
                self.go_on(&waldo, options, random)?.map(|()| how)
            }
            Err(what) => Err(what),
        };
        Ok(match (outcome, self.store.close(waldo)) {
            (Ok(_), Err(error)) if !failed => Err(format!("it cannot be closed: {error}")),
            // One that failed says so once more.
            (outcome, _) => outcome,
        })
    }

    /// Checks what a session reported, and what can be read after it. Answers whether the store
    /// failed.
    fn check(&mut self, waldo: &Waldo, notes: &[Note], fault: Fault) -> Result<bool, String> {
        let failed = self.store.take(notes, &|errno| fault.check_errno(errno))?;
        self.store.read_on(waldo, failed, &|_, error| match error {
            // Where nothing can be read any more, what is in memory can.
            QueryError::Io { errno, .. } => {
                matches!(fault, Fault::ShutDown(_)) && fault.errnos().contains(errno)
            }
            _ => false,
        })?;
        Ok(failed)
    }

    /// With room again, and without being opened again, a store that has not failed takes logs.
    fn go_on(
        &mut self,
        waldo: &Waldo,
        options: WaldoOptions,
        random: &mut Rng,
    ) -> anyhow::Result<Result<(), String>> {
        self.volume.leave(PLENTY)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let end = Instant::now() + Duration::from_millis(20);
            let notes = self.store.work(waldo, options, false, random, &|| Instant::now() >= end);
            let fine = |errno| Err(format!("with {errno:?}, when there was room again"));
            if let Err(what) = self.store.take(&notes, &fine) {
                return Ok(Err(what));
            }
            if notes.iter().any(|note| matches!(note, Note::Appended { .. })) {
                return Ok(Ok(()));
            }
        }
        Ok(Err("there is room again, and it takes no logs".to_owned()))
    }
}

/// Has a fault befall a file system that is in use.
fn befall(volume: &Volume, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::FullMeanwhile => volume.leave(0),
        Fault::ReadOnlyMeanwhile => match volume.remount("ro") {
            // The system does not take it away from somebody who writes.
            Err(what) if what.contains("busy") => Ok(()),
            Err(what) => anyhow::bail!(what),
            Ok(()) => anyhow::bail!("a file system that is written to became read-only"),
        },
        Fault::Aborted => volume.remount("abort").map_err(anyhow::Error::msg),
        Fault::ShutDown(how) => volume.shut_down(how),
        Fault::FullBefore(_) | Fault::FullToGrow(..) | Fault::ReadOnlyBefore => Ok(()),
    }
}
