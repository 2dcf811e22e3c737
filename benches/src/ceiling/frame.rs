//! Logs in frames, shaped like an engine's: a 64-byte frame header, then logs with 24-byte
//! headers and padding to 8, then padding of the frame.

use std::path::Path;

use super::Build;
use crate::files::{BLOCK, PageFiles};
use crate::payload::Payload;

const FRAME_HEADER: usize = 64;
const LOG_HEADER: usize = 24;

/// How many logs of which size a frame holds, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Logs of a frame.
    pub logs: usize,
    /// Bytes of a log.
    pub log_bytes: usize,
    /// Bytes of a frame.
    pub frame_bytes: usize,
}

impl Layout {
    /// A frame of `logs` logs, padded to a block.
    #[must_use]
    pub fn holding(logs: usize, log_bytes: usize) -> Self {
        let frame_bytes = (FRAME_HEADER + logs * stride(log_bytes)).next_multiple_of(BLOCK);
        Self { logs, log_bytes, frame_bytes }
    }

    /// A frame of `frame_bytes` with as many logs as it can hold.
    ///
    /// # Errors
    ///
    /// Where it cannot hold one.
    pub fn filling(frame_bytes: usize, log_bytes: usize) -> anyhow::Result<Self> {
        let logs = frame_bytes.saturating_sub(FRAME_HEADER) / stride(log_bytes);
        anyhow::ensure!(logs > 0, "a log of {log_bytes} bytes does not fit in {frame_bytes} bytes");
        Ok(Self { logs, log_bytes, frame_bytes })
    }

    /// Bytes of payload in a frame.
    #[must_use]
    pub fn payload_bytes(self) -> usize {
        self.logs * self.log_bytes
    }
}

fn stride(log_bytes: usize) -> usize {
    (LOG_HEADER + log_bytes).next_multiple_of(8)
}

/// Writes a frame with `logs`, numbered from `first` on, to the start of `out`.
pub(super) fn build(out: &mut [u8], build: Build, logs: &[&[u8]], first: u64) {
    if build == Build::None {
        return;
    }
    let (frame, mut rest) = out.split_at_mut(FRAME_HEADER);
    for (seq_no, log) in (first..).zip(logs) {
        let (place, after) = rest.split_at_mut(stride(log.len()));
        let (header, body) = place.split_at_mut(LOG_HEADER);
        header[..8].copy_from_slice(&seq_no.to_le_bytes());
        header[8..16].copy_from_slice(&seq_no.wrapping_sub(1).to_le_bytes());
        header[16..20].copy_from_slice(&(log.len() as u32).to_le_bytes());
        if build == Build::Crc {
            let crc = crc32c::crc32c_append(crc_fast::crc32_iscsi(log), &header[..20]);
            header[20..].copy_from_slice(&crc.to_le_bytes());
        }
        body[..log.len()].copy_from_slice(log);
        rest = after;
    }
    frame[..8].copy_from_slice(&(logs.len() as u64).to_le_bytes());
    frame[8..16].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&frame[..60]);
    frame[60..].copy_from_slice(&crc.to_le_bytes());
}

/// Walks a frame to its `wanted`-th log and answers that log's payload, or `None` where the frame
/// is damaged. Checks the wanted log's checksum, or with `all` that of every log of the frame.
pub(super) fn walk(frame: &[u8], wanted: usize, all: bool) -> Option<&[u8]> {
    let (header, mut rest) = frame.split_at_checked(FRAME_HEADER)?;
    if crc32c::crc32c(&header[..60]) != u32_at(header, 60)? {
        return None;
    }
    let logs = usize::try_from(u64_at(header, 0)?).ok()?;
    let mut found = None;
    for index in 0..logs {
        let (header, body) = rest.split_at_checked(LOG_HEADER)?;
        let len = u32_at(header, 16)? as usize;
        let body_and_after = body.split_at_checked(stride(len) - LOG_HEADER)?;
        let log = body.get(..len)?;
        rest = body_and_after.1;
        if all || index == wanted {
            let crc = crc32c::crc32c_append(crc_fast::crc32_iscsi(log), &header[..20]);
            if crc != u32_at(header, 20)? {
                return None;
            }
        }
        if index == wanted {
            found = Some(log);
            if !all {
                break;
            }
        }
    }
    found
}

/// Makes files full of frames of one index spacing each.
pub(super) fn create_spaced(
    dir: &Path,
    count: usize,
    file_bytes: u64,
    layout: Layout,
    seed: u64,
) -> anyhow::Result<PageFiles> {
    let payload = Payload::new(seed, layout.log_bytes, layout.logs, 16 << 20);
    let spacing = layout.frame_bytes;
    // Written in large blocks: a frame after the other.
    let block = spacing * ((1 << 20) / spacing).max(1);
    let mut logs = Vec::new();
    PageFiles::create_with(dir, count, file_bytes, block, |at, bytes| {
        let first_frame = at / spacing as u64;
        for (index, frame) in (first_frame..).zip(bytes.chunks_exact_mut(spacing)) {
            let first = index * layout.logs as u64;
            payload.batch(first, layout.logs, &mut logs);
            build(frame, Build::Crc, &logs, first);
        }
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_2048_logs_of_1_kib_is_525_blocks() {
        let layout = Layout::holding(2048, 1024);
        assert_eq!(layout.frame_bytes, 525 * BLOCK);
        assert_eq!(layout.payload_bytes(), 2 << 20);
    }

    #[test]
    fn what_was_built_is_found_and_damage_is_noticed() {
        let layout = Layout::filling(16384, 1001).unwrap();
        let payload = Payload::new(1, 1001, 100, 0);
        let mut frame = vec![0; layout.frame_bytes];
        let mut logs = Vec::new();
        payload.batch(30, layout.logs, &mut logs);
        build(&mut frame, Build::Crc, &logs, 30);
        for wanted in 0..layout.logs {
            assert_eq!(walk(&frame, wanted, false), Some(payload.log(30 + wanted as u64)));
        }
        assert_eq!(walk(&frame, layout.logs, true), None);
        frame[FRAME_HEADER + LOG_HEADER + 5] ^= 1;
        assert_eq!(walk(&frame, 0, false), None);
        assert!(walk(&frame, 1, false).is_some());
        assert_eq!(walk(&frame, 1, true), None);
    }
}
