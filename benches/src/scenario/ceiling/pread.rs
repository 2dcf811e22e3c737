//! Random reads of one index spacing from a warm page cache, on the calling thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Layout};
use super::{Check, Options};
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles};
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::Sample;
use crate::payload::Random;
use crate::rounds::Case;

struct Pread<'a> {
    files: &'a PageFiles,
    common: &'a Common,
    layout: Layout,
    threads: usize,
    check: Check,
    seconds: f64,
}

/// All combinations of the options.
pub(super) fn cases<'a>(
    options: &Options,
    common: &'a Common,
    files: &'a PageFiles,
) -> anyhow::Result<Vec<Box<dyn Case + 'a>>> {
    let layout = options.spaced()?;
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for &threads in &options.threads {
        for check in options.check() {
            let seconds = options.seconds;
            cases.push(Box::new(Pread { files, common, layout, threads, check, seconds }));
        }
    }
    Ok(cases)
}

impl Case for Pread<'_> {
    fn name(&self) -> String {
        let check = match self.check {
            Check::None => "not checked",
            Check::Wanted => "one log checked",
            Check::All => "all logs checked",
        };
        format!("{} threads, {} B, {check}", self.threads, self.layout.frame_bytes)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        self.files.settle(Io::Buffered)?;
        let files = self.files.open(Io::Buffered)?;
        let meter = Meter::start()?;
        let (latency, lookups) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|index| {
                    let (this, files) = (&*self, &files);
                    scope.spawn(move || this.look_up(files, index as u64, Instant::now()))
                })
                .collect();
            let (mut all, mut count) = (Latency::new()?, 0);
            for thread in threads {
                let (latency, lookups) =
                    thread.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
                all.merge(&latency)?;
                count += lookups;
            }
            anyhow::Ok((all, count))
        })?;
        let sample = Sample {
            payload_bytes: lookups * self.layout.log_bytes as u64,
            ops: lookups,
            usage: meter.stop()?,
            latency: latency.percentiles(),
            extra: Vec::new(),
        };
        Ok(sample.with_number("bytes/lookup", self.layout.frame_bytes as f64))
    }
}

impl Pread<'_> {
    fn look_up(
        &self,
        files: &[File],
        index: u64,
        started: Instant,
    ) -> anyhow::Result<(Latency, u64)> {
        let mut random = Random::new(self.common.seed ^ (index << 32));
        let mut buffer = Buffer::new(self.layout.frame_bytes)?;
        let mut latency = Latency::new()?;
        let frames = self.files.file_bytes() / self.layout.frame_bytes as u64;
        let length = Duration::from_secs_f64(self.seconds);
        let (mut lookups, mut sum) = (0, 0u64);
        loop {
            let file = random.below(files.len() as u64) as usize;
            let offset = random.below(frames) * self.layout.frame_bytes as u64;
            let wanted = random.below(self.layout.logs as u64) as usize;
            let before = Instant::now();
            if before.duration_since(started) >= length {
                break;
            }
            files[file].read_exact_at(&mut buffer, offset)?;
            if self.check == Check::None {
                sum = sum.wrapping_add(u64::from(buffer[0]));
            } else {
                let log = frame::walk(&buffer, wanted, self.check == Check::All)
                    .ok_or_else(|| anyhow::anyhow!("a frame at {offset} is damaged"))?;
                sum = sum.wrapping_add(u64::from(log[0]));
            }
            latency.record(before.elapsed());
            lookups += 1;
        }
        std::hint::black_box(sum);
        Ok((latency, lookups))
    }
}
