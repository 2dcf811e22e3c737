//! What a power loss takes of what was not synced.

use fastrand::Rng;

use super::file::WriteId;

/// How a power loss treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It takes everything.
    All,
    /// It takes nothing.
    Nothing,
    /// Each sector, size and name for itself: what it was, what it became, or anything between.
    Sectors,
    /// Whole writes, whatever their order was.
    Writes(u64),
    /// Everything from one write on.
    Since(WriteId),
}

impl Loss {
    /// Chooses one. `writes` were made so far.
    pub fn random(random: &mut Rng, writes: WriteId) -> Self {
        match random.u8(..8) {
            0 => Self::All,
            1 => Self::Nothing,
            2 | 3 => Self::Writes(random.u64(..)),
            4 => Self::Since(writes - random.u64(..=writes.min(20))),
            _ => Self::Sectors,
        }
    }

    /// Whether a write is kept where whole writes are.
    pub fn keeps(seed: u64, write: WriteId) -> bool {
        Rng::with_seed(seed ^ write.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bool()
    }
}
