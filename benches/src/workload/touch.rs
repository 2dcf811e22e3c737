//! What a reader does with the logs that it gets.

/// What a reader does with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Touch {
    /// Reads its header and one byte.
    Header,
    /// Reads every byte.
    EveryByte,
    /// Computes a hash of everything, which is compared with what was appended.
    Hash,
}

/// A reader at work.
#[derive(Clone, Debug)]
pub struct Touching {
    touch: Touch,
    logs: u64,
    bytes: u64,
    /// Keeps the compiler from leaving the reads out; with [`Touch::Hash`] the hash.
    sum: u64,
}

impl Touching {
    /// A reader that has seen nothing yet.
    #[must_use]
    pub fn new(touch: Touch) -> Self {
        Self { touch, logs: 0, bytes: 0, sum: 0 }
    }

    /// Takes the payloads of the next logs.
    #[inline]
    pub fn take<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) {
        self.take_all(payloads, |payload| *payload);
    }

    /// Takes the next logs, whatever they are.
    #[inline]
    pub fn take_all<T>(&mut self, logs: impl Iterator<Item = T>, data: impl Fn(&T) -> &[u8]) {
        match self.touch {
            Touch::Header => {
                self.each(logs, data, |_, log| u64::from(log.first().copied().unwrap_or(0)));
            }
            Touch::EveryByte => self.each(logs, data, |_, log| sum(log)),
            Touch::Hash => self.each(logs, data, hash),
        }
    }

    #[inline]
    fn each<T>(
        &mut self,
        logs: impl Iterator<Item = T>,
        data: impl Fn(&T) -> &[u8],
        value: impl Fn(u64, &[u8]) -> u64,
    ) {
        // In variables of its own, which stay in registers.
        let (mut count, mut bytes, mut total) = (0, 0, self.sum);
        for log in logs {
            let log = data(&log);
            count += 1;
            bytes += log.len() as u64;
            total = total.wrapping_add(value(total, log));
        }
        self.logs += count;
        self.bytes += bytes;
        self.sum = std::hint::black_box(total);
    }

    /// Logs so far.
    #[must_use]
    pub fn logs(&self) -> u64 {
        self.logs
    }

    /// Bytes of payload so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// With [`Touch::Hash`], the hash of all logs so far, in their order.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.sum
    }
}

fn sum(log: &[u8]) -> u64 {
    let (words, rest) = log.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let total = words.fold(0u64, u64::wrapping_add);
    rest.iter().fold(total, |total, byte| total.wrapping_add(u64::from(*byte)))
}

/// What a log adds to the hash of those before it.
fn hash(before: u64, log: &[u8]) -> u64 {
    let content = u64::from(crc32c::crc32c(log)) | (log.len() as u64) << 32;
    (before ^ content).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(logs: &[&[u8]]) -> u64 {
        let mut touching = Touching::new(Touch::Hash);
        touching.take(logs.iter().copied());
        touching.hash()
    }

    #[test]
    fn the_hash_knows_content_order_and_borders() {
        let logs: [&[u8]; 3] = [b"one", b"two", b"three"];
        assert_eq!(hashed(&logs), hashed(&logs));
        assert_ne!(hashed(&logs), hashed(&[b"two", b"one", b"three"]));
        assert_ne!(hashed(&logs), hashed(&[b"one", b"two", b"threE"]));
        assert_ne!(hashed(&logs), hashed(&[b"onet", b"wo", b"three"]));
        let mut parts = Touching::new(Touch::Hash);
        parts.take(logs[..1].iter().copied());
        parts.take(logs[1..].iter().copied());
        assert_eq!(parts.hash(), hashed(&logs));
        assert_eq!((parts.logs(), parts.bytes()), (3, 11));
    }

    #[test]
    fn every_byte_counts_in_the_sum() {
        assert_eq!(sum(&[1; 17]), 0x0202_0202_0202_0202 + 1);
    }
}
