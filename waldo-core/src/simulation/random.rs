//! A small generator of random numbers that gives the same numbers for a seed for ever.

use std::collections::VecDeque;

/// SplitMix64; or decisions that somebody made, and SplitMix64 behind their end.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
    decisions: VecDeque<u8>,
}

impl Random {
    /// The generator for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x5851_f42d_4c95_7f2d, decisions: VecDeque::new() }
    }

    /// A generator whose choices are taken from bytes as long as there are some: a fuzzer's.
    #[must_use]
    pub fn decided_by(bytes: &[u8]) -> Self {
        Self { decisions: bytes.iter().copied().collect(), ..Self::new(0) }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.decision(limit) % limit }
    }

    /// A number that a choice between `limit` things is made with: no more bytes of a decision
    /// than that takes, so that each of them matters.
    fn decision(&mut self, limit: u64) -> u64 {
        let Some(first) = self.decisions.pop_front() else { return self.number() };
        let more = if limit > 256 { self.decisions.pop_front().unwrap_or(0) } else { 0 };
        u64::from(first) | u64::from(more) << 8
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True once in `times` on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of some choices.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}
