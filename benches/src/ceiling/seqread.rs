//! Files from start to end, by one thread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Instant;

use super::frame::{self, Layout};
use super::ring::{Place, Ring};
use super::{Cache, Check, Method};
use crate::buffer::Buffer;
use crate::files::{Io, Scratch, expect_sequential_reads};
use crate::measure::{Latency, Meter};
use crate::outcome::Sample;
use crate::rounds::{Case, Label, Role};

/// How the reads are made.
#[derive(Clone, Copy, Debug)]
pub struct SeqreadShape {
    /// The frames that the files are full of.
    pub layout: Layout,
    /// Bytes of one read: a multiple of a frame, and the files one of it.
    pub read_bytes: usize,
    /// State of the page cache before each run.
    pub cache: Cache,
    /// Through the page cache or past it.
    pub io: Io,
    /// System interface.
    pub method: Method,
    /// Reads under way at a time.
    pub in_flight: usize,
    /// What is checked.
    pub check: Check,
}

/// The case.
pub struct Seqread {
    work: String,
    shape: SeqreadShape,
    files: Rc<Scratch>,
}

impl Seqread {
    /// A case on files that are full of frames.
    ///
    /// # Errors
    ///
    /// Where the sizes do not fit each other.
    pub fn new(work: &str, shape: SeqreadShape, files: &Rc<Scratch>) -> anyhow::Result<Self> {
        let (read, frame) = (shape.read_bytes, shape.layout.frame_bytes);
        anyhow::ensure!(
            read > 0
                && read.is_multiple_of(frame)
                && files.file_bytes().is_multiple_of(read as u64),
            "a read of {read} bytes is not a multiple of {frame}, or a file not of it"
        );
        Ok(Self { work: work.to_owned(), shape, files: Rc::clone(files) })
    }
}

impl Case for Seqread {
    fn label(&self) -> Label {
        let shape = &self.shape;
        let method = match shape.method {
            Method::Uring => format!("uring {} in flight", shape.in_flight),
            Method::Call => "pread".to_owned(),
        };
        let check = if shape.check == Check::None { "not checked" } else { "checked" };
        let who = format!("ceiling: {}, {method}, {check}", shape.io.label());
        Label::new(Role::Ceiling, &self.work, who)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.files.get().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let shape = &self.shape;
        let pages = self.files.get()?;
        let cached = shape.cache.apply(pages)?;
        let files = pages.open(shape.io)?;
        files.iter().for_each(expect_sequential_reads);
        let mut latency = Latency::new()?;
        let buffers: std::io::Result<Vec<Buffer>> =
            (0..shape.in_flight).map(|_| Buffer::new(shape.read_bytes)).collect();
        let buffers = buffers?;
        let ring = match shape.method {
            Method::Uring => Some(Ring::new(&files, &buffers, true)?),
            Method::Call => None,
        };
        let meter = Meter::start()?;
        match ring {
            Some(ring) => self.through_ring(ring, buffers, files.len(), &mut latency)?,
            None => self.by_call(&files, buffers, &mut latency)?,
        }
        let usage = meter.stop()?;
        let sample = Sample {
            payload_bytes: pages.total_bytes(),
            ops: self.reads(files.len()),
            usage,
            latency: latency.percentiles(),
            ..Sample::default()
        };
        Ok(sample.with_number("cached before %", cached * 100.0))
    }
}

impl Seqread {
    fn reads(&self, files: usize) -> u64 {
        self.files.file_bytes() / self.shape.read_bytes as u64 * files as u64
    }

    fn place(&self, number: u64) -> Place {
        let len = self.shape.read_bytes;
        let per_file = self.files.file_bytes() / len as u64;
        Place { file: (number / per_file) as usize, offset: number % per_file * len as u64, len }
    }

    fn check(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if self.shape.check == Check::None {
            return Ok(());
        }
        for frame in bytes.chunks_exact(self.shape.layout.frame_bytes) {
            let last =
                frame::walk(frame, self.shape.layout.logs - 1, self.shape.check == Check::All);
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
