//! How the store is laid out, so that the whole input fits its ring.

use waldo_core::{Options, Retention};

use crate::message::Task;

const MIB: u64 = 1024 * 1024;

/// Bytes of a log's header and padding, at most.
const LOG_OVERHEAD: u64 = 24 + 7;

/// Bytes of a frame's header and padding, at most.
const FRAME_OVERHEAD: u64 = 64 + 4095;

/// A frame takes what queues up while the one before it is written. So few of the logs that may
/// be under way share one at the worst, on average: one in this many.
const SHARE_DIVISOR: u64 = 16;

/// The options of the store for an input.
pub fn options(task: &Task) -> Options {
    let logs_per_frame = (task.window / SHARE_DIVISOR).max(1);
    let need =
        task.bytes + task.logs * LOG_OVERHEAD + (task.logs / logs_per_frame + 1) * FRAME_OVERHEAD;
    // About sixteen pages. Where the size is not a power of 2 nothing is wrong, but it is odd.
    let page = (need / 16).next_power_of_two().clamp(4 * MIB, 64 * MIB);
    // A page keeps room for a seal, and frames do not cross from one to the next.
    let pages = need / (page - 2 * MIB) + 2;
    Options {
        ring_size: Some(u32::try_from(pages).unwrap_or(u32::MAX)),
        file_capacity: Some(page),
        tail_capacity: 16 * MIB as usize,
        read_capacity: 16 * MIB as usize,
        file_o_dsync: true,
        // Should it not fit after all, then nothing is overwritten silently.
        retention: Retention::Refuse,
        backend: task.backend.into(),
        ..Options::default()
    }
}
