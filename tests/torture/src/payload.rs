//! Payloads that say who appended them, so that nothing has to be kept to check them.
//!
//! ```text
//! store 4 | session 4 | operation 4 | producer 2 | index 2 | seq_no 8 | length 4 | stream of bytes
//! ```
//!
//! The bytes behind the header follow from the header, so one that is wrong anywhere is noticed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes of the shortest payload.
pub const LEN_MIN: usize = 28;

/// One append, among all that were ever made to a store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Op {
    /// The time from an open to a crash or close.
    pub session: u32,
    /// The thread that appends.
    pub producer: u16,
    /// Counts the appends of the producer.
    pub number: u32,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, producer, number } = self;
        write!(f, "append {session}/{producer}/{number}")
    }
}

/// One log of an append.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ident {
    /// The append.
    pub op: Op,
    /// Which of its logs.
    pub index: u16,
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{}]", self.op, self.index)
    }
}

/// A payload of `len` bytes, of which there are [`LEN_MIN`] at least. `seq_no` is the number that
/// the log gets, 0 where the store chooses it.
pub fn build(store: u32, ident: Ident, seq_no: u64, len: usize) -> Vec<u8> {
    let len = len.max(LEN_MIN);
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(store.to_le_bytes());
    bytes.extend(ident.op.session.to_le_bytes());
    bytes.extend(ident.op.number.to_le_bytes());
    bytes.extend(ident.op.producer.to_le_bytes());
    bytes.extend(ident.index.to_le_bytes());
    bytes.extend(seq_no.to_le_bytes());
    bytes.extend((len as u32).to_le_bytes());
    let header = bytes.clone();
    bytes.resize(len, 0);
    stream(&header).fill(&mut bytes[LEN_MIN..]);
    bytes
}

/// Who appended a payload.
///
/// # Errors
///
/// What is wrong with it.
pub fn check(store: u32, seq_no: u64, bytes: &[u8]) -> Result<Ident, String> {
    let short =
        || format!("log {seq_no} has {} bytes, too few for any that was appended", bytes.len());
    let header = bytes.get(..LEN_MIN).ok_or_else(short)?;
    let word = |at: usize| {
        header[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    };
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let op = Op { session: word(4), producer: half(12), number: word(8) };
    let ident = Ident { op, index: half(14) };
    let wanted_seq_no = u64::from(word(16)) | u64::from(word(20)) << 32;
    if word(0) != store {
        return Err(format!("log {seq_no} is from store {}, this is {store}", word(0)));
    }
    if wanted_seq_no != 0 && wanted_seq_no != seq_no {
        return Err(format!("log {seq_no} was appended as {wanted_seq_no}: {ident:?}"));
    }
    if word(24) as usize != bytes.len() {
        return Err(format!("log {seq_no} has {} bytes of {}: {ident:?}", bytes.len(), word(24)));
    }
    let mut wanted = vec![0; bytes.len() - LEN_MIN];
    stream(header).fill(&mut wanted);
    match wanted.iter().zip(&bytes[LEN_MIN..]).position(|(wanted, found)| wanted != found) {
        Some(at) => Err(format!("log {seq_no} is wrong at byte {}: {ident:?}", at + LEN_MIN)),
        None => Ok(ident),
    }
}

fn stream(header: &[u8]) -> fastrand::Rng {
    // FNV-1a: any hash would do that tells headers apart.
    let hash = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    fastrand::Rng::with_seed(header.iter().fold(0xcbf2_9ce4_8422_2325, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_byte_is_noticed() {
        let ident = Ident { op: Op { session: 3, producer: 1, number: 70_000 }, index: 9 };
        let good = build(5, ident, 77, 60);
        assert_eq!(check(5, 77, &good), Ok(ident));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            // A payload of the same shape that somebody else appended would have other bytes.
            assert!(check(5, 77, &bad).is_err(), "byte {at}");
        }
        assert!(check(5, 78, &good).is_err() && check(6, 77, &good).is_err());
        assert!(check(5, 77, &good[..59]).is_err());
    }
}
