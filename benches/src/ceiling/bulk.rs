//! Large writes through files whose blocks are written, lap after lap.

use std::fs::File;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use super::frame::Layout;
use super::ring::{Place, Ring};
use super::source::{Builder, Source};
use super::{Build, Method};
use crate::buffer::{Backing, Buffer};
use crate::files::{BLOCK, Io, Scratch, pwritev2, sync_file_system};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::payload::Payload;
use crate::rounds::{Case, Label, Role};
use crate::size;

/// Bytes of distinct payload that the batches are cut from.
const POOL_BYTES: usize = 16 << 20;

/// How the writes are made.
#[derive(Clone, Copy, Debug)]
pub struct BulkShape {
    /// What one write holds.
    pub layout: Layout,
    /// Bytes of one write.
    pub write_bytes: usize,
    /// Bytes of payload that one write counts for.
    pub payload_bytes: usize,
    /// Through the page cache or past it.
    pub io: Io,
    /// Each write is durable.
    pub durable: bool,
    /// System interface.
    pub method: Method,
    /// Writes under way at a time.
    pub in_flight: usize,
    /// How the contents come about.
    pub build: Build,
    /// A second thread builds while the first one writes, as in an engine.
    pub build_thread: bool,
    /// Buffers and files are registered with the ring.
    pub registered: bool,
    /// What backs the buffers.
    pub backing: Backing,
}

impl BulkShape {
    /// Writes as an engine makes them at its best: batches copied and checksummed by a thread of
    /// their own.
    #[must_use]
    pub fn like_an_engine(layout: Layout, io: Io, durable: bool) -> Self {
        Self {
            layout,
            write_bytes: layout.frame_bytes,
            payload_bytes: layout.payload_bytes(),
            io,
            durable,
            method: Method::Uring,
            in_flight: 2,
            build: Build::Crc,
            build_thread: false,
            registered: true,
            backing: Backing::Huge,
        }
    }

    fn label(&self) -> String {
        let mut words = vec![self.io.label().to_owned()];
        words.push(match self.method {
            Method::Uring => format!("uring {} in flight", self.in_flight),
            Method::Call => "pwritev2".to_owned(),
        });
        match self.build {
            Build::None => words.push("nothing built".to_owned()),
            Build::Copy => words.push("no CRC".to_owned()),
            Build::Crc => {}
        }
        if self.build_thread {
            words.push("2 threads".to_owned());
        }
        if self.method == Method::Uring && !self.registered {
            words.push("unregistered".to_owned());
        }
        if self.backing == Backing::Huge {
            words.push("huge pages".to_owned());
        }
        format!("ceiling: {}", words.join(", "))
    }
}

/// The case.
pub struct Bulk {
    work: String,
    shape: BulkShape,
    files: Rc<Scratch>,
    /// Most writes of one run.
    writes: u64,
    /// The longest run.
    length: Duration,
    seed: u64,
    /// Writes of the runs before.
    done: u64,
}

impl Bulk {
    /// A case whose runs write `bytes` of payload each, or as much as they can in so many seconds.
    ///
    /// # Errors
    ///
    /// Where a write does not fit the files.
    pub fn new(
        work: &str,
        shape: BulkShape,
        files: &Rc<Scratch>,
        (bytes, seconds): (u64, f64),
        seed: u64,
    ) -> anyhow::Result<Self> {
        let len = shape.write_bytes;
        anyhow::ensure!(
            len > 0 && len.is_multiple_of(BLOCK),
            "a write of {len} bytes is not a multiple of {BLOCK}"
        );
        anyhow::ensure!(
            (len + BLOCK) as u64 <= files.file_bytes(),
            "a write of {len} bytes does not fit in a file of {}",
            size::show(files.file_bytes())
        );
        let writes = bytes.div_ceil(shape.payload_bytes.max(1) as u64);
        let (work, files) = (work.to_owned(), Rc::clone(files));
        let length = Duration::from_secs_f64(seconds);
        Ok(Self { work, shape, files, writes, length, seed, done: 0 })
    }

    /// Where the `number`-th write goes: through one file after the other, past a header block.
    fn place(&self, number: u64, files: usize) -> Place {
        let len = self.shape.write_bytes;
        let per_file = (self.files.file_bytes() - BLOCK as u64) / len as u64;
        Place {
            file: (number / per_file % files as u64) as usize,
            offset: BLOCK as u64 + number % per_file * len as u64,
            len,
        }
    }

    /// One more than in flight, so that the next is built meanwhile; with a second thread
    /// another one, so that neither thread waits for the other.
    fn buffers(&self) -> anyhow::Result<Vec<Buffer>> {
        let spare = if self.shape.build_thread { 2 } else { 1 };
        let mut buffers = Vec::new();
        for index in 0..self.shape.in_flight + spare {
            let mut buffer = Buffer::backed(self.shape.write_bytes, self.shape.backing)?;
            crate::payload::Random::new(index as u64).fill(&mut buffer);
            buffers.push(buffer);
        }
        Ok(buffers)
    }

    fn write_all(
        &self,
        files: &[File],
        payload: &Payload,
        buffers: Vec<Buffer>,
    ) -> anyhow::Result<Sample> {
        let shape = &self.shape;
        let ring = match shape.method {
            Method::Uring => Some(Ring::new(files, &buffers, shape.registered)?),
            Method::Call => None,
        };
        let registered = ring.as_ref().map(Ring::remark);
        let builder = Builder::new(shape.layout, shape.build, payload);
        let mut latency = Latency::new()?;
        let meter = Meter::start()?;
        let written = thread::scope(|scope| {
            let mut source = if shape.build_thread {
                Source::thread(scope, builder, buffers, self.writes)?
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
            payload_bytes: written * shape.payload_bytes as u64,
            ops: written,
            usage,
            latency: latency.percentiles(),
            ..Sample::default()
        };
        Ok(match registered {
            Some(registered) if shape.registered => sample.with_text("registered", registered),
            _ => sample,
        })
    }

    fn by_call(
        &self,
        files: &[File],
        source: &mut Source<'_, '_>,
        latency: &mut Latency,
    ) -> anyhow::Result<u64> {
        let flags = if self.shape.durable { libc::RWF_DSYNC } else { 0 };
        let end = Instant::now() + self.length;
        for written in 0..self.writes {
            let slot = source.next()?;
            let place = self.place(self.done + written, files.len());
            let started = Instant::now();
            if started >= end {
                return Ok(written);
            }
            pwritev2(&files[place.file], &slot.1[..place.len], place.offset, flags)?;
            latency.record(started.elapsed());
            source.give_back(slot);
        }
        Ok(self.writes)
    }

    fn through_ring(
        &self,
        mut ring: Ring<'_>,
        files: usize,
        source: &mut Source<'_, '_>,
        latency: &mut Latency,
    ) -> anyhow::Result<u64> {
        let doorbell = source.doorbell();
        let mut landed = Vec::new();
        let (mut written, mut left) = (0, self.writes);
        let end = Instant::now() + self.length;
        while left > 0 || ring.in_flight() > 0 {
            let mut asleep = None;
            if left > 0 && ring.in_flight() < self.shape.in_flight {
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
                    let place = self.place(self.done + written, files);
                    ring.write(slot, buffer, place, self.shape.durable)?;
                    ring.submit()?;
                    written += 1;
                    left = if Instant::now() < end { left - 1 } else { 0 };
                    continue;
                }
            } else if left > 0 {
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
        Ok(written)
    }
}

impl Case for Bulk {
    fn label(&self) -> Label {
        Label::new(Role::Ceiling, &self.work, self.shape.label())
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.files.get().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let shape = &self.shape;
        let pages = self.files.get()?;
        pages.settle(shape.io)?;
        let files = pages.open(shape.io)?;
        let payload =
            Payload::new(self.seed, shape.layout.log_bytes, shape.layout.logs, POOL_BYTES);
        let sample = self.write_all(&files, &payload, self.buffers()?)?;
        self.done += sample.ops;
        // What is left to be written back must not disturb the next run.
        sync_file_system(self.files.dir())?;
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(shape: BulkShape, limits: (u64, f64)) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let files = Scratch::zeros(dir.path(), 2, 1 << 20);
        let mut case = Bulk::new("work", shape, &files, limits, 1).unwrap();
        // Twice: the second run goes on where the first ended.
        case.run().unwrap();
        case.run().unwrap().payload_bytes
    }

    #[test]
    fn all_ways_write_what_they_are_asked_to() {
        let layout = Layout::holding(16, 1024);
        let usual = BulkShape::like_an_engine(layout, Io::Buffered, false);
        let call = BulkShape { method: Method::Call, in_flight: 1, ..usual };
        for shape in [usual, call] {
            for build_thread in [false, true] {
                let shape = BulkShape { build_thread, ..shape };
                assert_eq!(written(shape, (4 << 20, 60.0)), 4 << 20, "{shape:?}");
                let some = written(shape, (u64::MAX, 0.02));
                assert!(some > 0 && some < 1 << 40, "{shape:?}: {some}");
            }
        }
    }
}
