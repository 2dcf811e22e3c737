//! What a stretch of work cost this process.
//!
//! CPU time is that of the whole process: also of the kernel's io_uring worker threads, which
//! belong to it, but not of write-back threads and interrupts, which do not.

use std::io;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::device;

/// Cost of a stretch of work.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Seconds on the wall clock.
    pub seconds: f64,
    /// CPU seconds in user mode.
    pub user: f64,
    /// CPU seconds in the kernel.
    pub system: f64,
    /// Bytes that the block device wrote meanwhile, whoever had them written: on a machine with
    /// other work it is an upper bound. Buffered writes that are not durable may reach the device
    /// only after the run.
    pub device_written: Option<u64>,
    /// `write_bytes` of `/proc/self/io`. For direct I/O that is what this process sent to the
    /// device. For buffered I/O it counts pages as they become dirty, which is neither what was
    /// written nor what reached the device.
    pub process_written: u64,
    /// Bytes fetched from the device (`read_bytes` of `/proc/self/io`).
    pub device_read: u64,
    /// Bytes that `read` and its kin returned, from wherever (`rchar` of `/proc/self/io`).
    pub fetched: u64,
    /// Context switches, voluntary and not.
    pub switches: u64,
}

/// A running measurement.
#[derive(Debug)]
pub struct Meter {
    started: Instant,
    at_start: Counters,
}

#[derive(Clone, Copy, Debug)]
struct Counters {
    user: Duration,
    system: Duration,
    switches: u64,
    device_written: Option<u64>,
    process_written: u64,
    device_read: u64,
    fetched: u64,
}

impl Meter {
    /// Starts to measure.
    ///
    /// # Errors
    ///
    /// Where the counters of the process cannot be read.
    pub fn start() -> io::Result<Self> {
        let at_start = Counters::read()?;
        Ok(Self { started: Instant::now(), at_start })
    }

    /// When the measurement started.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Ends the measurement.
    ///
    /// # Errors
    ///
    /// Where the counters of the process cannot be read.
    pub fn stop(self) -> io::Result<Usage> {
        let seconds = self.started.elapsed().as_secs_f64();
        let (now, then) = (Counters::read()?, self.at_start);
        Ok(Usage {
            seconds,
            user: now.user.saturating_sub(then.user).as_secs_f64(),
            system: now.system.saturating_sub(then.system).as_secs_f64(),
            device_written: now
                .device_written
                .zip(then.device_written)
                .map(|(now, then)| now.saturating_sub(then)),
            process_written: now.process_written.saturating_sub(then.process_written),
            device_read: now.device_read.saturating_sub(then.device_read),
            fetched: now.fetched.saturating_sub(then.fetched),
            switches: now.switches.saturating_sub(then.switches),
        })
    }
}

impl Counters {
    fn read() -> io::Result<Self> {
        // SAFETY: `rusage` is plain data, for which all zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is valid for writes for the whole call.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
        Ok(Self {
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
            switches: (usage.ru_nvcsw + usage.ru_nivcsw) as u64,
            device_written: device::written(),
            process_written: counter(&io, "write_bytes: "),
            device_read: counter(&io, "read_bytes: "),
            fetched: counter(&io, "rchar: "),
        })
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
}

fn counter(io: &str, name: &str) -> u64 {
    io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_name() {
        let io = "rchar: 1\ncancelled_write_bytes: 9\nread_bytes: 2\nwrite_bytes: 3\n";
        assert_eq!(counter(io, "write_bytes: "), 3);
        assert_eq!(counter(io, "read_bytes: "), 2);
        assert_eq!(counter("", "read_bytes: "), 0);
    }

    #[test]
    fn work_costs_time() {
        let meter = Meter::start().unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(meter.stop().unwrap().seconds >= 0.002);
    }
}
