//! One run: options, operations, failures and crashes, all from a seed.

use crate::simulation::flips::flip_bits;
use crate::simulation::model::State;
use crate::simulation::random::Random;
use crate::simulation::session::{Left, Session};
use crate::simulation::setup::Setup;
use crate::simulation::witness::Witness;

/// What happened in a run, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Times that the store was opened.
    pub opens: u64,
    /// Crashes, of the process and of the power.
    pub crashes: u64,
    /// Clean closes.
    pub closes: u64,
    /// Logs whose append was acknowledged.
    pub logs: u64,
    /// Torn tails that were dropped.
    pub torn: u64,
    /// Stores that were broken by an I/O failure.
    pub poisoned: u64,
    /// Logs that readers saw.
    pub reads: u64,
    /// Logs that a follower saw.
    pub witnessed: u64,
    /// Times that a follower was told that logs are gone, or void.
    pub lapses: u64,
    /// Bits that were flipped.
    pub flips: u64,
    /// Flips that were found to be corruption.
    pub corruptions: u64,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.opens += other.opens;
        self.crashes += other.crashes;
        self.closes += other.closes;
        self.logs += other.logs;
        self.torn += other.torn;
        self.poisoned += other.poisoned;
        self.reads += other.reads;
        self.witnessed += other.witnessed;
        self.lapses += other.lapses;
        self.flips += other.flips;
        self.corruptions += other.corruptions;
    }
}

/// Runs a seed.
///
/// # Errors
///
/// What was violated.
///
/// # Panics
///
/// Where the engine itself panics, or asks the disk for something that it must not.
pub fn run(seed: u64) -> Result<Summary, String> {
    run_from(Random::new(seed))
}

/// Runs what a generator decides.
///
/// # Errors
///
/// What was violated.
///
/// # Panics
///
/// As [`run`].
pub fn run_from(mut random: Random) -> Result<Summary, String> {
    let setup = Setup::new(&mut random);
    let mut left = Left {
        disk: setup.blank_disk(),
        state: State::default(),
        trimmed: 0,
        witness: Some(Witness::new(&setup, &mut random)?),
    };
    let mut summary = Summary::default();
    for _ in 0..random.between(2, 4) {
        let session = Session::open(&setup, left, &mut random, &mut summary)?;
        left = session.run(&mut random, &mut summary)?;
        if let Some(witness) = &mut left.witness {
            summary.witnessed += std::mem::take(&mut witness.seen);
            summary.lapses += std::mem::take(&mut witness.lapses);
        }
    }
    let Left { disk, state, trimmed, .. } = left;
    flip_bits(&setup, &disk, &state, trimmed, &mut random, &mut summary)?;
    Ok(summary)
}
