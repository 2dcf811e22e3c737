//! How long a class runs, and the row that it prints.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

/// Seeds of one job are this far from those of the next, so that jobs never share any.
const JOB_STRIDE: u64 = 1 << 32;

/// A round that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a class runs, and with which seeds.
#[derive(Args, Clone, Copy, Debug)]
pub struct Limits {
    /// Ends after this many rounds.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    pub rounds: u64,
    /// Ends after this many seconds [default: 60, where no number of rounds is given]
    #[arg(long)]
    pub seconds: Option<u64>,
    /// The first seed; the others follow. A seed repeats what is chosen, not what the system makes
    /// of it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Runs this many at a time.
    #[arg(long, default_value_t = 1)]
    pub jobs: u64,
}

/// What several jobs share: when to stop, and what to count.
#[derive(Debug)]
pub struct Run {
    limits: Limits,
    deadline: Option<Instant>,
    started: AtomicU64,
    /// How to repeat what is under way.
    under_way: Mutex<Vec<String>>,
    /// Rounds that were checked.
    pub cases: AtomicU64,
    /// Crashes, failures and the like.
    pub faults: AtomicU64,
    /// What must not be.
    pub violations: AtomicU64,
}

impl Run {
    /// Starts.
    pub fn start(limits: Limits) -> Self {
        let seconds = limits.seconds.or((limits.rounds == u64::MAX).then_some(60));
        Self {
            limits,
            deadline: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            started: AtomicU64::new(0),
            under_way: Mutex::default(),
            cases: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            violations: AtomicU64::new(0),
        }
    }

    /// Whether another round is to be started.
    pub fn next(&self) -> bool {
        !self.is_over() && self.started.fetch_add(1, Ordering::Relaxed) < self.limits.rounds
    }

    /// Whether there is nothing more to do.
    pub fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.started.load(Ordering::Relaxed) >= self.limits.rounds
            || self.violations.load(Ordering::Relaxed) > 0
    }

    /// The first seed of a job.
    pub fn seed(&self, job: u64) -> u64 {
        self.limits.seed.wrapping_add(job.wrapping_mul(JOB_STRIDE))
    }

    /// How many jobs there are.
    pub fn jobs(&self) -> u64 {
        self.limits.jobs.max(1)
    }

    /// Counts one more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports what must not be, and how to see it again.
    pub fn violation(&self, under_way: &UnderWay<'_>, what: &str) {
        Self::count(&self.violations);
        eprintln!("VIOLATION: {what}\n  again: {}", under_way.again);
    }

    /// Ends the process where nothing happens any more, as long as what this returns lives.
    pub fn watch<'scope>(&'scope self, scope: &'scope thread::Scope<'scope, '_>) -> Watch {
        let (watch, ended) = mpsc::channel();
        scope.spawn(move || {
            let mut seen = None;
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                let now = Some((load(&self.started), load(&self.cases), load(&self.faults)));
                if now == seen {
                    self.hang();
                }
                seen = now;
            }
        });
        Watch { _ends: watch }
    }

    /// Begins what is repeated like this. Hanging, it is reported, until the result is dropped.
    pub fn begin(&self, again: String) -> UnderWay<'_> {
        self.lock().push(again.clone());
        UnderWay { run: self, again }
    }

    fn hang(&self) -> ! {
        eprintln!("VIOLATION: nothing has happened for {} seconds", PATIENCE.as_secs());
        for again in self.lock().iter() {
            eprintln!("  again: {again}");
        }
        std::process::exit(1);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The row of a class.
    pub fn row(&self, class: &'static str) -> Row {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Row {
            class,
            cases: load(&self.cases),
            faults: load(&self.faults),
            violations: load(&self.violations),
        }
    }
}

/// Something that takes a while.
#[derive(Debug)]
pub struct UnderWay<'a> {
    run: &'a Run,
    /// How to repeat it.
    pub again: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.run.lock().retain(|again| *again != self.again);
    }
}

/// While it lives, somebody watches that there is progress.
#[derive(Debug)]
pub struct Watch {
    _ends: Sender<()>,
}

/// What is left of a class in the final table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was injected.
    pub class: &'static str,
    /// How often it was looked whether all is well.
    pub cases: u64,
    /// How often something was injected.
    pub faults: u64,
    /// What must not be.
    pub violations: u64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, cases, faults, violations } = self;
        write!(f, "| {class} | {cases} | {faults} | {violations} |")
    }
}
