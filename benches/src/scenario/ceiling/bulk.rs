//! Large writes through several laps of files whose blocks are written.

use std::fs::File;
use std::thread;
use std::time::Instant;

use super::frame::{BLOCK, Layout};
use super::ring::{Place, Ring};
use super::source::{Builder, Source};
use super::{Build, Method, Options};
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles, pwritev2};
use crate::measure::{Latency, Meter};
use crate::options::Common;
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::rounds::Case;
use crate::size;

/// Bytes of distinct payload that the batches are cut from.
const POOL_BYTES: usize = 16 << 20;

struct Bulk<'a> {
    files: &'a PageFiles,
    common: &'a Common,
    layout: Layout,
    write_bytes: usize,
    /// Payload that one write counts for.
    payload_bytes: usize,
    laps: u64,
    io: Io,
    durable: bool,
    method: Method,
    in_flight: usize,
    build: Build,
    copy_thread: bool,
}

/// All combinations of the options that can be run.
pub(super) fn cases<'a>(
    options: &Options,
    common: &'a Common,
    files: &'a PageFiles,
) -> anyhow::Result<Vec<Box<dyn Case + 'a>>> {
    let layout = Layout::holding(options.batch, options.log_bytes());
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for &io in &options.io {
        for durable in options.durable() {
            for &method in &options.method {
                for &in_flight in &options.in_flight {
                    for &build in &options.build {
                        if in_flight == 0 || (method == Method::Call && in_flight > 1) {
                            continue;
                        }
                        let free_size = options.write_size.filter(|_| build == Build::None);
                        let write_bytes =
                            free_size.map_or(layout.frame_bytes, |bytes| bytes as usize);
                        let payload_bytes =
                            if free_size.is_some() { write_bytes } else { layout.payload_bytes() };
                        check_size(write_bytes, files)?;
                        cases.push(Box::new(Bulk {
                            files,
                            common,
                            layout,
                            write_bytes,
                            payload_bytes,
                            laps: options.laps,
                            io,
                            durable,
                            method,
                            in_flight,
                            build,
                            copy_thread: options.copy_thread && build != Build::None,
                        }));
                    }
                }
            }
        }
    }
    Ok(cases)
}

fn check_size(write_bytes: usize, files: &PageFiles) -> anyhow::Result<()> {
    anyhow::ensure!(
        write_bytes > 0 && write_bytes.is_multiple_of(BLOCK),
        "a write of {write_bytes} bytes is not a multiple of {BLOCK}"
    );
    anyhow::ensure!(
        (write_bytes + BLOCK) as u64 <= files.file_bytes(),
        "a write of {write_bytes} bytes does not fit in a file of {}",
        size::show(files.file_bytes())
    );
    Ok(())
}

impl Case for Bulk<'_> {
    fn name(&self) -> String {
        let method = match self.method {
            Method::Uring => format!("uring {} in flight", self.in_flight),
            Method::Call => "pwritev2".to_owned(),
        };
        let build = match (self.build, self.copy_thread) {
            (Build::None, _) => "nothing built",
            (Build::Copy, false) => "copied",
            (Build::Copy, true) => "copied by a thread",
            (Build::Crc, false) => "copied + CRC",
            (Build::Crc, true) => "copied + CRC by a thread",
        };
        let durable = if self.durable { " durable" } else { "" };
        format!("{}{durable}, {method}, {build}", self.io.label())
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        self.files.settle(self.io)?;
        let files = self.files.open(self.io)?;
        let payload =
            Payload::new(self.common.seed, self.layout.log_bytes, self.layout.logs, POOL_BYTES);
        // One more than in flight, so that the next is built meanwhile; with a second thread
        // another one, so that neither thread waits for the other.
        let spare = if self.copy_thread { 2 } else { 1 };
        let mut buffers = Vec::new();
        for index in 0..self.in_flight + spare {
            let mut buffer = Buffer::new(self.write_bytes)?;
            crate::payload::Random::new(index as u64).fill(&mut buffer);
            buffers.push(buffer);
        }
        self.write_all(&files, &payload, buffers)
    }
}

impl Bulk<'_> {
    fn writes(&self) -> u64 {
        let per_file = (self.files.file_bytes() - BLOCK as u64) / self.write_bytes as u64;
        per_file * self.files.total_bytes() / self.files.file_bytes() * self.laps
    }

    /// Where the `number`-th write goes: through one file after the other, past a header block.
    fn place(&self, number: u64, files: usize) -> Place {
        let len = self.write_bytes;
        let per_file = (self.files.file_bytes() - BLOCK as u64) / len as u64;
        Place {
            file: (number / per_file % files as u64) as usize,
            offset: BLOCK as u64 + number % per_file * len as u64,
            len,
        }
    }

    fn write_all(
        &self,
        files: &[File],
        payload: &Payload,
        buffers: Vec<Buffer>,
    ) -> anyhow::Result<Sample> {
        let ring = match self.method {
            Method::Uring => Some(Ring::new(files, &buffers)?),
            Method::Call => None,
        };
        let registered = ring.as_ref().map(Ring::remark);
        let builder = Builder { layout: self.layout, build: self.build, payload, next: 1 };
        let mut latency = Latency::new()?;
        let meter = Meter::start()?;
        thread::scope(|scope| {
            let mut source = if self.copy_thread {
                Source::thread(scope, builder, buffers, self.writes())?
            } else {
                Source::inline(builder, buffers)
            };
            let done = match ring {
                Some(ring) => self.through_ring(ring, files.len(), &mut source, &mut latency),
                None => self.by_call(files, &mut source, &mut latency),
            };
            source.finish()?;
            done
        })?;
        let usage = meter.stop()?;
        let sample = Sample {
            payload_bytes: self.writes() * self.payload_bytes as u64,
            ops: self.writes(),
            usage,
            latency: latency.percentiles(),
            extra: Vec::new(),
        };
        Ok(match registered {
            Some(registered) => sample.with_text("registered", registered),
            None => sample,
        })
    }

    fn by_call(
        &self,
        files: &[File],
        source: &mut Source<'_, '_>,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        let flags = if self.durable { libc::RWF_DSYNC } else { 0 };
        for number in 0..self.writes() {
            let slot = source.next()?;
            let place = self.place(number, files.len());
            let started = Instant::now();
            pwritev2(&files[place.file], &slot.1[..place.len], place.offset, flags)?;
            latency.record(started.elapsed());
            source.give_back(slot);
        }
        Ok(())
    }

    fn through_ring(
        &self,
        mut ring: Ring<'_>,
        files: usize,
        source: &mut Source<'_, '_>,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        let doorbell = source.doorbell();
        let mut landed = Vec::new();
        let mut number = 0;
        while number < self.writes() || ring.in_flight() > 0 {
            let mut asleep = None;
            if number < self.writes() && ring.in_flight() < self.in_flight {
                let mut next = source.try_next()?;
                if next.is_none()
                    && let Some(doorbell) = &doorbell
                {
                    ring.watch(doorbell.fd())?;
                    doorbell.fall_asleep();
                    asleep = Some(doorbell);
                    next = source.try_next()?;
                }
                if let Some((slot, buffer)) = next {
                    if let Some(doorbell) = asleep {
                        doorbell.wake_up();
                    }
                    ring.write(slot, buffer, self.place(number, files), self.durable)?;
                    ring.submit()?;
                    number += 1;
                    continue;
                }
            } else if number < self.writes() {
                source.prepare();
            }
            ring.wait(&mut landed)?;
            if let Some(doorbell) = asleep {
                doorbell.wake_up();
            }
            for landed in landed.drain(..) {
                latency.record(landed.started.elapsed());
                source.give_back((landed.slot, landed.buffer));
            }
        }
        Ok(())
    }
}
