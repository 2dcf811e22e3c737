//! One small write after the other by one thread: the raw rate of durable writes.

use std::fs::File;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::frame::{self, Layout};
use super::ring::{Place, Ring};
use super::{Build, Method};
use crate::buffer::Buffer;
use crate::files::{BLOCK, Io, Scratch, pwritev2, sync_file_system};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::rounds::{Case, Label, Role};

/// How the writes are made.
#[derive(Clone, Copy, Debug)]
pub struct CommitShape {
    /// Bytes of the one log that a write holds.
    pub log_bytes: usize,
    /// Bytes of one write.
    pub write_bytes: usize,
    /// Length of a run.
    pub seconds: f64,
    /// Through the page cache or past it.
    pub io: Io,
    /// Each write is durable.
    pub durable: bool,
    /// System interface.
    pub method: Method,
}

/// The case.
pub struct Commit {
    work: String,
    shape: CommitShape,
    files: Rc<Scratch>,
    seed: u64,
    /// Writes of the runs before.
    done: u64,
}

impl Commit {
    /// A case.
    ///
    /// # Errors
    ///
    /// Where a write cannot be made as the shape says.
    pub fn new(
        work: &str,
        shape: CommitShape,
        files: &Rc<Scratch>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let len = shape.write_bytes;
        anyhow::ensure!(
            (len + BLOCK) as u64 <= files.file_bytes(),
            "a write of {len} bytes does not fit in a file"
        );
        anyhow::ensure!(
            shape.io == Io::Buffered || len.is_multiple_of(BLOCK),
            "a direct write of {len} bytes is not a multiple of {BLOCK}"
        );
        Ok(Self { work: work.to_owned(), shape, files: Rc::clone(files), seed, done: 0 })
    }

    fn place(&self, number: u64, files: usize) -> Place {
        let len = self.shape.write_bytes;
        let per_file = (self.files.file_bytes() - BLOCK as u64) / len as u64;
        Place {
            file: (number / per_file % files as u64) as usize,
            offset: BLOCK as u64 + number % per_file * len as u64,
            len,
        }
    }

    fn write_for_a_while(&self, files: &[File], writer: &mut Writer<'_>) -> anyhow::Result<Sample> {
        let shape = &self.shape;
        let payload = Payload::new(self.seed, shape.log_bytes, 1, 1 << 20);
        let mut latency = Latency::new()?;
        let length = Duration::from_secs_f64(shape.seconds);
        let mut logs = Vec::new();
        let mut commits = 0;
        let meter = Meter::start()?;
        while meter.started().elapsed() < length {
            let number = self.done + commits;
            let started = Instant::now();
            payload.batch(number, 1, &mut logs);
            writer.write(self.place(number, files.len()), shape.durable, |buffer| {
                frame::build(buffer, Build::Crc, &logs, number);
            })?;
            latency.record(started.elapsed());
            commits += 1;
        }
        Ok(Sample {
            payload_bytes: commits * shape.log_bytes as u64,
            ops: commits,
            usage: meter.stop()?,
            latency: latency.percentiles(),
            ..Sample::default()
        })
    }
}

impl Case for Commit {
    fn label(&self) -> Label {
        let shape = &self.shape;
        let method = match shape.method {
            Method::Uring => "uring",
            Method::Call => "pwritev2",
        };
        let durable = if shape.durable { "" } else { ", not durable" };
        let (io, bytes) = (shape.io.label(), shape.write_bytes);
        let who = format!("ceiling: {io}, {method}, {bytes} B{durable}");
        Label::new(Role::Ceiling, &self.work, who)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.files.get().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let pages = self.files.get()?;
        pages.settle(self.shape.io)?;
        let files = pages.open(self.shape.io)?;
        let layout = Layout::holding(1, self.shape.log_bytes);
        let buffer = Buffer::new(layout.frame_bytes.max(self.shape.write_bytes))?;
        let mut writer = match self.shape.method {
            Method::Call => Writer::Call(&files, Some(buffer)),
            Method::Uring => {
                let ring = Ring::new(&files, std::slice::from_ref(&buffer), true)?;
                Writer::Ring(Box::new(ring), Some(buffer))
            }
        };
        let sample = self.write_for_a_while(&files, &mut writer)?;
        self.done += sample.ops;
        drop(writer);
        sync_file_system(self.files.dir())?;
        Ok(sample)
    }
}

/// Writes one buffer at a time. The buffer is away only while a write is in flight.
enum Writer<'a> {
    Call(&'a [File], Option<Buffer>),
    Ring(Box<Ring<'a>>, Option<Buffer>),
}

impl Writer<'_> {
    fn write(
        &mut self,
        place: Place,
        durable: bool,
        fill: impl FnOnce(&mut Buffer),
    ) -> anyhow::Result<()> {
        let (Self::Call(_, home) | Self::Ring(_, home)) = self;
        let mut buffer = home.take().ok_or_else(|| anyhow::anyhow!("the buffer was lost"))?;
        fill(&mut buffer);
        match self {
            Self::Call(files, home) => {
                let flags = if durable { libc::RWF_DSYNC } else { 0 };
                pwritev2(&files[place.file], &buffer[..place.len], place.offset, flags)?;
                *home = Some(buffer);
            }
            Self::Ring(ring, home) => {
                ring.write(0, buffer, place, durable)?;
                let mut landed = Vec::with_capacity(1);
                while landed.is_empty() {
                    ring.wait(&mut landed)?;
                }
                *home = landed.pop().map(|landed| landed.buffer);
            }
        }
        Ok(())
    }
}
