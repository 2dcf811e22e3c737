//! What the process takes of the machine's memory.

use anyhow::ensure;
use waldo_core::Options;

/// What a stream, its waker and its place among those who wait may take.
const STREAM_SIZE: u64 = 1 << 10;

/// What the allocator, the threads and the payloads under way may take.
const OTHERS: u64 = 12 << 20;

/// What a store may take, on top of what there was before.
#[derive(Debug)]
pub struct Limit {
    before: u64,
    allowed: u64,
}

impl Limit {
    /// That of a store with these options and so many streams, to be opened now.
    pub fn now(options: &Options, streams: usize) -> Self {
        // SAFETY: gives free memory back to the system, and touches no other.
        unsafe { libc::malloc_trim(0) };
        let allowed = options.memory_max() + streams as u64 * STREAM_SIZE + OTHERS;
        Self { before: resident(), allowed }
    }

    /// Bytes that it may take.
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Bytes that it takes.
    ///
    /// # Errors
    ///
    /// Where that is more than it may.
    pub fn check(&self) -> anyhow::Result<u64> {
        let used = resident().saturating_sub(self.before);
        ensure!(used <= self.allowed, "{used} bytes of memory are used, {} allowed", self.allowed);
        Ok(used)
    }
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|pages| pages.split(' ').nth(1)?.parse::<u64>().ok());
    // SAFETY: reads a constant of the system.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.unwrap_or(u64::MAX).saturating_mul(size.unsigned_abs())
}
