//! Splitting bytes into the logs that they are appended as.

use std::io::{self, BufRead, Read};

/// Bytes of the longest log. A longer line becomes several logs; nobody who puts the logs together
/// again can tell.
pub const LOG_MAX: usize = 256 * 1024;

/// The lines of a reader, each with its newline. The last may lack it.
///
/// Lines are bytes, not text. What it returns, put together, is what was read.
pub struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next line, or the next part of a long one; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        (&mut self.reader).take(LOG_MAX as u64).read_until(b'\n', &mut self.line)?;
        Ok(Some(self.line.as_slice()).filter(|line| !line.is_empty()))
    }

    /// Passes lines; answers how many bytes they have.
    pub fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut bytes = 0;
        for _ in 0..count {
            bytes += self.next()?.unwrap_or_default().len() as u64;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(line.to_vec());
        }
        all
    }

    #[test]
    fn lines_keep_every_byte() {
        assert!(split(b"").is_empty());
        assert_eq!(
            split(b"\n\na\r\n\xff\0\nend"),
            [&b"\n"[..], b"\n", b"a\r\n", b"\xff\0\n", b"end"]
        );
    }

    #[test]
    fn a_long_line_becomes_several_logs() {
        for extra in [0, 1, LOG_MAX - 1, LOG_MAX] {
            let mut bytes = vec![b'x'; LOG_MAX + extra];
            bytes.extend_from_slice(b"\nshort\n");
            let lines = split(&bytes);
            assert!(lines.iter().all(|line| line.len() <= LOG_MAX));
            assert_eq!(lines.last().unwrap(), b"short\n");
            assert_eq!(lines.concat(), bytes);
        }
    }

    #[test]
    fn lines_can_be_skipped() {
        let mut lines = Lines::new(&b"1\n2\n3"[..]);
        assert_eq!(lines.skip(2).unwrap(), 4);
        assert_eq!(lines.next().unwrap(), Some(&b"3"[..]));
        assert_eq!(lines.skip(5).unwrap(), 0);
        assert_eq!(lines.next().unwrap(), None);
    }
}
