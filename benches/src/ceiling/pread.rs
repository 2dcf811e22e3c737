//! Random reads of one index spacing, on the calling thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use super::frame::{self, Layout};
use super::{Cache, Check};
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles, Scratch};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::payload::Random;
use crate::rounds::{Case, Label, Role};

/// How the reads are made.
#[derive(Clone, Copy, Debug)]
pub struct PreadShape {
    /// What one index spacing holds.
    pub layout: Layout,
    /// Threads that read.
    pub threads: usize,
    /// What is checked.
    pub check: Check,
    /// State of the page cache before each run.
    pub cache: Cache,
    /// Length of a run.
    pub seconds: f64,
}

impl PreadShape {
    /// Page files for this case, full of frames, in a directory inside `parent`.
    #[must_use]
    pub fn files(
        layout: Layout,
        parent: &std::path::Path,
        count: usize,
        file_bytes: u64,
        seed: u64,
    ) -> Rc<Scratch> {
        Scratch::with(parent, file_bytes, move |dir| {
            frame::create_spaced(dir, count, file_bytes, layout, seed)
        })
    }
}

/// The case.
pub struct Pread {
    work: String,
    shape: PreadShape,
    files: Rc<Scratch>,
    seed: u64,
}

impl Pread {
    /// A case on files of [`PreadShape::files`].
    #[must_use]
    pub fn new(work: &str, shape: PreadShape, files: &Rc<Scratch>, seed: u64) -> Self {
        Self { work: work.to_owned(), shape, files: Rc::clone(files), seed }
    }
}

impl Case for Pread {
    fn label(&self) -> Label {
        let check = match self.shape.check {
            Check::None => "not checked",
            Check::Wanted => "one log checked",
            Check::All => "all logs checked",
        };
        let bytes = self.shape.layout.frame_bytes;
        Label::new(Role::Ceiling, &self.work, format!("ceiling: pread {bytes} B, {check}"))
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.files.get().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let pages = self.files.get()?;
        self.shape.cache.apply(pages)?;
        let files = pages.open(Io::Buffered)?;
        for file in &files {
            crate::files::expect_random_reads(file);
        }
        let meter = Meter::start()?;
        let (latency, lookups) = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.shape.threads)
                .map(|index| {
                    let look_up = LookUp { pages, shape: self.shape, seed: self.seed };
                    let files = &files;
                    scope.spawn(move || look_up.run(files, index as u64, Instant::now()))
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
            payload_bytes: lookups * self.shape.layout.log_bytes as u64,
            ops: lookups,
            usage: meter.stop()?,
            latency: latency.percentiles(),
            ..Sample::default()
        };
        Ok(sample.with_number("bytes/lookup", self.shape.layout.frame_bytes as f64))
    }
}

/// What one thread does.
struct LookUp<'a> {
    pages: &'a PageFiles,
    shape: PreadShape,
    seed: u64,
}

impl LookUp<'_> {
    fn run(&self, files: &[File], index: u64, started: Instant) -> anyhow::Result<(Latency, u64)> {
        let layout = self.shape.layout;
        let mut random = Random::new(self.seed ^ (index << 32));
        let mut buffer = Buffer::new(layout.frame_bytes)?;
        let mut latency = Latency::new()?;
        let frames = self.pages.file_bytes() / layout.frame_bytes as u64;
        let length = Duration::from_secs_f64(self.shape.seconds);
        let (mut lookups, mut sum) = (0, 0u64);
        loop {
            let file = random.below(files.len() as u64) as usize;
            let offset = random.below(frames) * layout.frame_bytes as u64;
            let wanted = random.below(layout.logs as u64) as usize;
            let before = Instant::now();
            if before.duration_since(started) >= length {
                break;
            }
            files[file].read_exact_at(&mut buffer, offset)?;
            if self.shape.check == Check::None {
                sum = sum.wrapping_add(u64::from(buffer[0]));
            } else {
                let log = frame::walk(&buffer, wanted, self.shape.check == Check::All)
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
