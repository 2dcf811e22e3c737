//! Pseudo-random payloads: seeded, cheap to make, not compressible.

/// The xoshiro256++ generator, seeded through splitmix64.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator that yields the same numbers for the same `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut mix = seed;
        let state = std::array::from_fn(|_| {
            mix = mix.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (mix ^ (mix >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number below `limit` (0 where `limit` is 0), close enough to uniform for a bench.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A pool of random bytes that batches of logs are cut from.
///
/// Making random bytes for each log would be measured with the log; a pool is made before.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    log_bytes: usize,
    logs: usize,
}

impl Payload {
    /// A pool of at least `pool_bytes` that holds whole logs of `log_bytes`, at least `min_logs`.
    #[must_use]
    pub fn new(seed: u64, log_bytes: usize, min_logs: usize, pool_bytes: usize) -> Self {
        let logs = pool_bytes.div_ceil(log_bytes.max(1)).max(min_logs).max(1);
        let mut bytes = vec![0; logs * log_bytes];
        Random::new(seed).fill(&mut bytes);
        Self { bytes, log_bytes, logs }
    }

    /// Bytes of each log.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    /// The `index`-th log; indices wrap around the pool.
    #[inline]
    #[must_use]
    pub fn log(&self, index: u64) -> &[u8] {
        let at = (index % self.logs as u64) as usize * self.log_bytes;
        &self.bytes[at..at + self.log_bytes]
    }

    /// Puts `count` logs starting at the `first`-th into `out`, which is cleared before.
    ///
    /// Costs next to nothing, so that it does not count where it is measured.
    pub fn batch<'a>(&'a self, first: u64, count: usize, out: &mut Vec<&'a [u8]>) {
        out.clear();
        if self.log_bytes == 0 {
            return out.resize(count, &[]);
        }
        let mut at = (first % self.logs as u64) as usize;
        while out.len() < count {
            let end = self.logs.min(at + count - out.len());
            let run = &self.bytes[at * self.log_bytes..end * self.log_bytes];
            out.extend(run.chunks_exact(self.log_bytes));
            at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_logs() {
        let a = Payload::new(7, 100, 3, 1000);
        let b = Payload::new(7, 100, 3, 1000);
        assert_eq!(a.log(2), b.log(2));
        assert_eq!(a.log(0), a.log(10));
        assert_ne!(a.log(0), a.log(1));
        let mut batch = Vec::new();
        a.batch(8, 25, &mut batch);
        assert_eq!(batch.len(), 25);
        assert!((8..).zip(&batch).all(|(index, log)| *log == a.log(index)));
        let empty = Payload::new(7, 0, 3, 1000);
        empty.batch(1, 2, &mut batch);
        assert_eq!(batch, [b""; 2]);
    }

    #[test]
    fn random_numbers_stay_below_the_limit() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
    }
}
