//! One small write after the other by one thread: the raw rate of durable writes.

use std::fs::File;
use std::time::{Duration, Instant};

use super::frame::{self, BLOCK, Layout};
use super::ring::{Place, Ring};
use super::{Build, Method, Options};
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles, pwritev2};
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::rounds::Case;

struct Commit<'a> {
    files: &'a PageFiles,
    common: &'a Common,
    log_bytes: usize,
    write_bytes: usize,
    seconds: f64,
    io: Io,
    durable: bool,
    method: Method,
}

/// All combinations of the options.
pub(super) fn cases<'a>(
    options: &Options,
    common: &'a Common,
    files: &'a PageFiles,
) -> anyhow::Result<Vec<Box<dyn Case + 'a>>> {
    let layout = Layout::holding(1, options.log_bytes());
    let write_bytes = options.write_size.map_or(layout.frame_bytes, |bytes| bytes as usize);
    anyhow::ensure!(
        (write_bytes + BLOCK) as u64 <= files.file_bytes(),
        "a write of {write_bytes} bytes does not fit in a file"
    );
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for &io in &options.io {
        anyhow::ensure!(
            io == Io::Buffered || write_bytes.is_multiple_of(BLOCK),
            "a direct write of {write_bytes} bytes is not a multiple of {BLOCK}"
        );
        for durable in options.durable() {
            for &method in &options.method {
                cases.push(Box::new(Commit {
                    files,
                    common,
                    log_bytes: options.log_bytes(),
                    write_bytes,
                    seconds: options.seconds,
                    io,
                    durable,
                    method,
                }));
            }
        }
    }
    Ok(cases)
}

impl Case for Commit<'_> {
    fn name(&self) -> String {
        let method = match self.method {
            Method::Uring => "uring",
            Method::Call => "pwritev2",
        };
        let durable = if self.durable { " durable" } else { "" };
        format!("{}{durable}, {method}, {} B", self.io.label(), self.write_bytes)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        self.files.settle(self.io)?;
        let files = self.files.open(self.io)?;
        let payload = Payload::new(self.common.seed, self.log_bytes, 1, 1 << 20);
        let layout = Layout::holding(1, self.log_bytes);
        let buffer = Buffer::new(layout.frame_bytes.max(self.write_bytes))?;
        let mut latency = Latency::new()?;
        let mut writer = match self.method {
            Method::Call => Writer::Call(&files, Some(buffer)),
            Method::Uring => {
                let ring = Ring::new(&files, std::slice::from_ref(&buffer))?;
                Writer::Ring(Box::new(ring), Some(buffer))
            }
        };
        let meter = Meter::start()?;
        let length = Duration::from_secs_f64(self.seconds);
        let mut commits = 0;
        while meter.started().elapsed() < length {
            let started = Instant::now();
            let place = self.place(commits, files.len());
            writer.write(place, self.durable, |buffer| {
                frame::build(buffer, layout, Build::Crc, &payload, commits);
            })?;
            latency.record(started.elapsed());
            commits += 1;
        }
        Ok(Sample {
            payload_bytes: commits * self.log_bytes as u64,
            ops: commits,
            usage: meter.stop()?,
            latency: latency.percentiles(),
            extra: Vec::new(),
        })
    }
}

impl Commit<'_> {
    fn place(&self, number: u64, files: usize) -> Place {
        let len = self.write_bytes;
        let per_file = (self.files.file_bytes() - BLOCK as u64) / len as u64;
        Place {
            file: (number / per_file % files as u64) as usize,
            offset: BLOCK as u64 + number % per_file * len as u64,
            len,
        }
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
