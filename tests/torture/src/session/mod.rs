//! The time from an open to a crash or close: producers, readers, and somebody who trims and
//! truncates, all at once, each reporting what it is about to do and how that ended.

mod manage;
mod produce;
mod read;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

use waldo_core::{Options, Waldo};

use crate::note::{Note, Witness};

pub use read::{Unreadable, read_through, scan};

/// Number of the producer that appends the first log of an empty store.
const FIRST_PRODUCER: u16 = u16::MAX;

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_micros(100);

/// What a session does.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Chooses everything that is chosen.
    pub seed: u64,
    /// The store, as its payloads name it.
    pub store: u32,
    /// The session, as its payloads name it.
    pub session: u32,
    /// How the store was opened.
    pub options: Options,
    /// The disk may fail, or be full.
    pub faulty: bool,
    /// A sync that fails loses what it was to make durable.
    pub forgetful: bool,
}

/// A session that runs.
struct Session<'a> {
    waldo: &'a Waldo,
    plan: Plan,
    witness: &'a dyn Witness,
    is_over: &'a (dyn Fn() -> bool + Sync),
    /// Shared by appends; a truncation or clear has it alone, so that everybody knows which logs
    /// come before it.
    turn: RwLock<()>,
    /// Somebody wants it alone.
    pausing: AtomicBool,
    /// Producers that are not done.
    producing: AtomicUsize,
    /// The store failed, or something is wrong.
    ended: AtomicBool,
}

/// Works on a store until `is_over`, or until the store fails.
pub fn run(waldo: &Waldo, plan: Plan, witness: &dyn Witness, is_over: &(dyn Fn() -> bool + Sync)) {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let producers = random.choice([1, 1, 2, 3, 4]).unwrap_or(1);
    let session = Session {
        waldo,
        plan,
        witness,
        is_over,
        turn: RwLock::new(()),
        pausing: AtomicBool::new(false),
        producing: AtomicUsize::new(producers),
        ended: AtomicBool::new(false),
    };
    if !session.append_first(&mut random) {
        return;
    }
    let session = &session;
    thread::scope(|scope| {
        for id in 0..producers as u16 {
            let mut producer = session.producer(id, random.fork(), producers == 1);
            scope.spawn(move || {
                producer.produce();
                session.producing.fetch_sub(1, Ordering::Release);
            });
        }
        for _ in 0..random.usize(0..3) {
            let random = random.fork();
            scope.spawn(move || session.read(random));
        }
        session.manage(&mut random);
    });
}

impl Session<'_> {
    /// Whether there is nothing more to do.
    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Acquire) || (self.is_over)()
    }

    /// A turn to append. Nobody truncates while it is held.
    fn turn(&self) -> RwLockReadGuard<'_, ()> {
        while self.pausing.load(Ordering::Acquire) && !self.is_over() {
            thread::sleep(PAUSE);
        }
        self.turn.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_producing(&self) -> bool {
        self.producing.load(Ordering::Acquire) > 0
    }

    /// Whether a failed sync may have lost the log after this one.
    fn is_lost(&self, after: u64) -> bool {
        self.plan.forgetful && self.waldo.durable_seq_no().is_none_or(|durable| after >= durable)
    }

    /// Reports something that must not be.
    fn violation(&self, what: String) {
        self.ended.store(true, Ordering::Release);
        self.witness.note(Note::Violation(what));
    }

    /// Takes note of a store that failed.
    fn poisoned(&self, poison: &waldo_core::Poison) {
        self.ended.store(true, Ordering::Release);
        if self.plan.faulty {
            self.witness.note(Note::Poisoned { errno: poison.errno });
        } else {
            self.violation(format!("the store failed: {poison}"));
        }
    }
}
