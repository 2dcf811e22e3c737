//! Clocks and counters around one measured stretch.

mod device;
mod latency;
mod usage;

pub use device::watch_device_of;
pub use latency::{Latency, Percentiles};
pub use usage::{Meter, Usage};
