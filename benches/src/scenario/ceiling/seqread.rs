//! All files from start to end, once, by one thread.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::frame::{self, Layout};
use super::ring::{Place, Ring};
use super::{Cache, Check, Method, Options};
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles};
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::Sample;
use crate::rounds::Case;

struct Seqread<'a> {
    files: &'a PageFiles,
    common: &'a Common,
    layout: Layout,
    read_bytes: usize,
    cache: Cache,
    io: Io,
    method: Method,
    in_flight: usize,
    check: Check,
}

/// All combinations of the options that make sense: direct reads see no page cache, so they are
/// always cold, and a call has one read in flight.
pub(super) fn cases<'a>(
    options: &Options,
    common: &'a Common,
    files: &'a PageFiles,
) -> anyhow::Result<Vec<Box<dyn Case + 'a>>> {
    let layout = options.spaced()?;
    anyhow::ensure!(
        options.read_size > 0
            && options.read_size.is_multiple_of(options.spacing)
            && options.file_size.is_multiple_of(options.read_size),
        "--read-size must be a multiple of --spacing, and --file-size one of --read-size"
    );
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for &cache in &options.cache {
        for &io in &options.io {
            for &method in &options.method {
                for &in_flight in &options.in_flight {
                    for check in options.check() {
                        let pointless = (io == Io::Direct && cache == Cache::Warm)
                            || (method == Method::Call && in_flight > 1)
                            || in_flight == 0;
                        if pointless {
                            continue;
                        }
                        cases.push(Box::new(Seqread {
                            files,
                            common,
                            layout,
                            read_bytes: options.read_size as usize,
                            cache,
                            io,
                            method,
                            in_flight,
                            check,
                        }));
                    }
                }
            }
        }
    }
    Ok(cases)
}

impl Case for Seqread<'_> {
    fn name(&self) -> String {
        let cache = if self.cache == Cache::Cold { "cold" } else { "warm" };
        let method = match self.method {
            Method::Uring => format!("uring {} in flight", self.in_flight),
            Method::Call => "pread".to_owned(),
        };
        let check = if self.check == Check::None { "not checked" } else { "checked" };
        format!("{cache}, {}, {method}, {check}", self.io.label())
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        self.common.warm(self.files.total_bytes())?;
        self.files.settle(Io::Buffered)?;
        let cached = match self.cache {
            // The page cache grows again into memory that it has just given up.
            Cache::Cold => self.files.cool()?,
            Cache::Warm => self.files.cached()?,
        };
        let files = self.files.open(self.io)?;
        for file in &files {
            // SAFETY: no memory is passed. Only advice: nothing is lost where it is refused.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_SEQUENTIAL) };
        }
        let mut latency = Latency::new()?;
        let count = self.in_flight;
        let buffers: std::io::Result<Vec<Buffer>> =
            (0..count).map(|_| Buffer::new(self.read_bytes)).collect();
        let buffers = buffers?;
        let ring = match self.method {
            Method::Uring => Some(Ring::new(&files, &buffers)?),
            Method::Call => None,
        };
        let meter = Meter::start()?;
        match ring {
            Some(ring) => self.through_ring(ring, buffers, files.len(), &mut latency)?,
            None => self.by_call(&files, buffers, &mut latency)?,
        }
        let usage = meter.stop()?;
        let sample = Sample {
            payload_bytes: self.files.total_bytes(),
            ops: self.reads(files.len()),
            usage,
            latency: latency.percentiles(),
            extra: Vec::new(),
        };
        Ok(sample.with_number("cached before %", cached * 100.0))
    }
}

impl Seqread<'_> {
    fn reads(&self, files: usize) -> u64 {
        self.files.file_bytes() / self.read_bytes as u64 * files as u64
    }

    fn place(&self, number: u64) -> Place {
        let len = self.read_bytes;
        let per_file = self.files.file_bytes() / len as u64;
        Place { file: (number / per_file) as usize, offset: number % per_file * len as u64, len }
    }

    fn check(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.check == Check::None {
            return Ok(());
        }
        for frame in bytes.chunks_exact(self.layout.frame_bytes) {
            let last = frame::walk(frame, self.layout.logs - 1, self.check == Check::All);
            std::hint::black_box(last.ok_or_else(|| anyhow::anyhow!("a frame is damaged"))?);
        }
        Ok(())
    }

    fn by_call(
        &self,
        files: &[File],
        mut buffers: Vec<Buffer>,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        let buffer = buffers.first_mut().ok_or_else(|| anyhow::anyhow!("no buffer"))?;
        for number in 0..self.reads(files.len()) {
            let place = self.place(number);
            let started = Instant::now();
            files[place.file].read_exact_at(buffer, place.offset)?;
            latency.record(started.elapsed());
            self.check(buffer)?;
        }
        Ok(())
    }

    fn through_ring(
        &self,
        mut ring: Ring<'_>,
        buffers: Vec<Buffer>,
        files: usize,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        let mut number = 0;
        for (slot, buffer) in buffers.into_iter().enumerate() {
            if number < self.reads(files) {
                ring.read(slot, buffer, self.place(number))?;
                number += 1;
            }
        }
        let mut landed = Vec::new();
        while ring.in_flight() > 0 {
            ring.wait(&mut landed)?;
            for landed in landed.drain(..) {
                latency.record(landed.started.elapsed());
                self.check(&landed.buffer)?;
                if number < self.reads(files) {
                    ring.read(landed.slot, landed.buffer, self.place(number))?;
                    ring.submit()?;
                    number += 1;
                }
            }
        }
        Ok(())
    }
}
