//! Telling a sequence of logs from any other.

use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// Bytes of logs that are put together.
const GATHER_SIZE: usize = 4096;

/// What a sequence of logs comes to. Two that differ in a byte, or in where one log ends and the
/// next begins, differ here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Number of logs.
    pub logs: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Hash of the payloads' lengths.
    pub lengths: u64,
    /// XXH3-128 of the payloads, one behind the other: what `xxh128sum` says of the input.
    pub hash: u128,
}

/// Computes a [`Digest`], log by log.
#[derive(Clone)]
pub struct Hasher {
    logs: u64,
    bytes: u64,
    lengths: u64,
    hash: XxHash3_128,
}

impl Hasher {
    pub fn new() -> Self {
        Self { logs: 0, bytes: 0, lengths: 0, hash: XxHash3_128::new() }
    }

    /// Takes the next logs.
    #[inline]
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { hasher: self, gathered: [0; GATHER_SIZE], len: 0 }
    }

    /// Logs so far.
    #[inline]
    pub fn logs(&self) -> u64 {
        self.logs
    }

    /// Bytes so far.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn finish(&self) -> Digest {
        let Self { logs, bytes, lengths, .. } = *self;
        Digest { logs, bytes, lengths, hash: self.hash.finish_128() }
    }
}

/// Logs on their way into a hasher. Short ones are put together first: hashing many bytes at once
/// takes less time than hashing few of them many times.
pub struct Batch<'a> {
    hasher: &'a mut Hasher,
    gathered: [u8; GATHER_SIZE],
    len: usize,
}

impl Batch<'_> {
    /// Takes the next log.
    #[inline]
    pub fn push(&mut self, payload: &[u8]) {
        // A polynomial in an odd number: it depends on every length, and on their order.
        const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

        let Hasher { logs, bytes, lengths, .. } = &mut *self.hasher;
        *logs += 1;
        *bytes += payload.len() as u64;
        *lengths = lengths.wrapping_mul(BASE).wrapping_add(payload.len() as u64);
        if payload.len() > GATHER_SIZE - self.len {
            self.flush();
        }
        match self.gathered.get_mut(self.len..self.len + payload.len()) {
            Some(place) => {
                place.copy_from_slice(payload);
                self.len += payload.len();
            }
            None => self.hasher.hash.write(payload),
        }
    }

    /// Logs so far, with those from before.
    #[inline]
    pub fn logs(&self) -> u64 {
        self.hasher.logs
    }

    fn flush(&mut self) {
        self.hasher.hash.write(&self.gathered[..self.len]);
        self.len = 0;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} logs, {} bytes, XXH3-128 {:032x}", self.logs, self.bytes, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(logs: &[&[u8]]) -> Digest {
        let mut hasher = Hasher::new();
        logs.iter().for_each(|log| hasher.batch().push(log));
        let mut at_once = Hasher::new();
        let mut batch = at_once.batch();
        logs.iter().for_each(|log| batch.push(log));
        drop(batch);
        assert_eq!(at_once.finish(), hasher.finish());
        hasher.finish()
    }

    #[test]
    fn bytes_order_and_boundaries_count() {
        let all = digest(&[b"one\n", b"two\n", b"three"]);
        assert_eq!(all, digest(&[b"one\n", b"two\n", b"three"]));
        assert_ne!(all, digest(&[b"one\n", b"twO\n", b"three"]));
        assert_ne!(all, digest(&[b"two\n", b"one\n", b"three"]));
        assert_ne!(all, digest(&[b"one\n", b"two\nt", b"hree"]));
        assert_eq!(all.hash, digest(&[b"one\n", b"two\nt", b"hree"]).hash);
        assert_ne!(all, digest(&[b"one\n", b"two\n"]));
    }

    #[test]
    fn it_is_the_well_known_hash() {
        assert_eq!(digest(&[]).hash, 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
        let long = vec![b'x'; 3 * GATHER_SIZE];
        assert_eq!(digest(&[b"a", &long, b"b"]).bytes, 2 + long.len() as u64);
        assert_eq!(digest(&[b"a", b"b", b"c"]).hash, 0x06b0_5ab6_733a_6185_78af_5f94_892f_3950);
    }
}
