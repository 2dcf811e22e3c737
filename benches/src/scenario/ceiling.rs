//! The I/O patterns of an engine without the engine, by themselves.
//!
//! The other scenarios run the ceilings that they are compared with interleaved; this one is for
//! finding out which way of asking the kernel is the best.

use std::rc::Rc;

use clap::{Args, ValueEnum};

use super::append;
use crate::buffer::Backing;
use crate::ceiling::{
    Build, Bulk, BulkShape, Cache, Check, Commit, CommitShape, Layout, Method, Pread, PreadShape,
    Seqread, SeqreadShape,
};
use crate::files::{Io, Scratch};
use crate::options::{Common, vary};
use crate::outcome::Metric;
use crate::report::Plan;
use crate::rounds::{Case, Set};
use crate::size;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Large writes.
    Bulk,
    /// Small durable writes, one at a time.
    Commit,
    /// Random reads of one index spacing.
    Pread,
    /// Sequential reads.
    Seqread,
}

/// Options of the scenario. Lists make one configuration per combination that makes sense.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What to measure.
    #[arg(long, value_enum, default_value = "bulk")]
    pub mode: Mode,
    /// Number of files.
    #[arg(long, default_value_t = 4)]
    pub files: usize,
    /// Size of each file.
    #[arg(long, value_parser = size::parse, default_value = "512MiB")]
    pub file_size: u64,
    /// Through the page cache or past it.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "direct,buffered")]
    pub io: Vec<Io>,
    /// System interfaces.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "uring,call")]
    pub method: Vec<Method>,
    /// Bytes of one log [default: 1KiB; commit: 256]
    #[arg(long, value_parser = size::parse)]
    pub log_size: Option<u64>,

    /// bulk, commit: each write is durable (`RWF_DSYNC`) [default: true,false; commit: true]
    #[arg(long, value_delimiter = ',')]
    pub durable: Vec<bool>,
    /// bulk, seqread: requests in flight; more than one only with io_uring.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4")]
    pub in_flight: Vec<usize>,
    /// bulk: payload that is written in one run.
    #[arg(long, value_parser = size::parse, default_value = "2GiB")]
    pub bytes: u64,
    /// bulk: logs of one write.
    #[arg(long, default_value_t = 2048)]
    pub batch: usize,
    /// bulk with `--build none`: bytes of one write [default: as long as the batch's frame];
    /// commit: bytes of one write [default: 4KiB]
    #[arg(long, value_parser = size::parse)]
    pub write_size: Option<u64>,
    /// bulk: how the contents come about.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none,crc")]
    pub build: Vec<Build>,
    /// bulk: a second thread builds while the first one writes.
    #[arg(long, value_delimiter = ',', default_value = "false")]
    pub build_thread: Vec<bool>,
    /// bulk: files and buffers are registered with the ring.
    #[arg(long, value_delimiter = ',', default_value = "true")]
    pub registered: Vec<bool>,
    /// bulk: what backs the buffers.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "plain")]
    pub backing: Vec<Backing>,

    /// commit, pread: length of a run, seconds; bulk: a tenth of the longest run.
    #[arg(long, default_value_t = 1.5)]
    pub seconds: f64,

    /// pread: bytes of one read; seqread: the unit in which logs are framed.
    #[arg(long, value_parser = size::parse, default_value = "16KiB")]
    pub spacing: u64,
    /// pread: threads that read.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pub threads: Vec<usize>,
    /// pread, seqread: what is checked [default: wanted,all; seqread: none,all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub check: Vec<Check>,
    /// seqread: bytes of one read, a multiple of the spacing.
    #[arg(long, value_parser = size::parse, default_value = "1MiB")]
    pub read_size: u64,
    /// pread, seqread: state of the page cache [default: warm; seqread: cold,warm]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub cache: Vec<Cache>,
}

impl Options {
    fn log_bytes(&self) -> usize {
        let default = if self.mode == Mode::Commit { 256 } else { 1024 };
        self.log_size.unwrap_or(default) as usize
    }

    fn durable(&self) -> Vec<bool> {
        match (self.durable.is_empty(), self.mode) {
            (false, _) => self.durable.clone(),
            (true, Mode::Commit) => vec![true],
            (true, _) => vec![true, false],
        }
    }

    fn check(&self) -> Vec<Check> {
        match (self.check.is_empty(), self.mode) {
            (false, _) => self.check.clone(),
            (true, Mode::Seqread) => vec![Check::None, Check::All],
            (true, _) => vec![Check::Wanted, Check::All],
        }
    }

    fn cache(&self) -> Vec<Cache> {
        match (self.cache.is_empty(), self.mode) {
            (false, _) => self.cache.clone(),
            (true, Mode::Seqread) => vec![Cache::Cold, Cache::Warm],
            (true, _) => vec![Cache::Warm],
        }
    }

    fn zeros(&self, common: &Common) -> Rc<Scratch> {
        Scratch::zeros(&common.dir, self.files, self.file_size)
    }

    fn framed(&self, common: &Common) -> anyhow::Result<(Layout, Rc<Scratch>)> {
        anyhow::ensure!(
            self.spacing > 0 && self.file_size.is_multiple_of(self.spacing),
            "--file-size must be a multiple of --spacing"
        );
        let layout = Layout::filling(self.spacing as usize, self.log_bytes())?;
        let files = PreadShape::files(layout, &common.dir, self.files, self.file_size, common.seed);
        Ok((layout, files))
    }
}

/// What the scenario runs.
///
/// # Errors
///
/// Where options do not fit each other.
pub fn plan(options: &Options, common: &Common) -> anyhow::Result<Plan> {
    anyhow::ensure!(options.files > 0, "--files must be at least 1");
    let (scenario, set, columns) = match options.mode {
        Mode::Bulk => ("ceiling bulk", bulk(options, common)?, Metric::BULK_WRITE),
        Mode::Commit => ("ceiling commit", commit(options, common)?, Metric::SMALL_OPS),
        Mode::Pread => ("ceiling pread", pread(options, common)?, Metric::SMALL_OPS),
        Mode::Seqread => ("ceiling seqread", seqread(options, common)?, Metric::BULK_READ),
    };
    Ok(Plan { scenario, sets: vec![set], columns })
}

fn bulk(options: &Options, common: &Common) -> anyhow::Result<Set> {
    let layout = Layout::holding(options.batch, options.log_bytes());
    let limits = (options.bytes, 10.0 * options.seconds);
    let mut set: Set = Vec::new();
    for &io in &options.io {
        let files = options.zeros(common);
        for durable in options.durable() {
            for shape in bulk_shapes(options, layout, io, durable) {
                let work = append::durability(durable);
                let case = Bulk::new(work, shape, &files, limits, common.seed)?;
                set.push(Box::new(case));
            }
        }
    }
    Ok(set)
}

fn bulk_shapes(options: &Options, layout: Layout, io: Io, durable: bool) -> Vec<BulkShape> {
    let usual = BulkShape::like_an_engine(layout, io, durable);
    let shapes = vary(&[usual], &options.method, |shape, method| shape.method = method);
    let shapes = vary(&shapes, &options.in_flight, |shape, count| shape.in_flight = count);
    let shapes = vary(&shapes, &options.build, |shape, build| shape.build = build);
    let shapes = vary(&shapes, &options.build_thread, |shape, on| shape.build_thread = on);
    let shapes = vary(&shapes, &options.registered, |shape, on| shape.registered = on);
    let mut shapes = vary(&shapes, &options.backing, |shape, backing| shape.backing = backing);
    shapes.retain(|shape| {
        let by_call = shape.method == Method::Call && (shape.in_flight > 1 || !shape.registered);
        let idle_thread = shape.build == Build::None && shape.build_thread;
        shape.in_flight > 0 && !by_call && !idle_thread
    });
    for shape in shapes.iter_mut().filter(|shape| shape.build == Build::None) {
        if let Some(bytes) = options.write_size {
            (shape.write_bytes, shape.payload_bytes) = (bytes as usize, bytes as usize);
        }
    }
    shapes
}

fn commit(options: &Options, common: &Common) -> anyhow::Result<Set> {
    let log_bytes = options.log_bytes();
    let usual = Layout::holding(1, log_bytes).frame_bytes;
    let write_bytes = options.write_size.map_or(usual, |bytes| bytes as usize);
    let mut set: Set = Vec::new();
    for &io in &options.io {
        let files = options.zeros(common);
        for durable in options.durable() {
            for &method in &options.method {
                let seconds = options.seconds;
                let shape = CommitShape { log_bytes, write_bytes, seconds, io, durable, method };
                let work = append::durability(durable);
                set.push(Box::new(Commit::new(work, shape, &files, common.seed)?));
            }
        }
    }
    Ok(set)
}

fn pread(options: &Options, common: &Common) -> anyhow::Result<Set> {
    let (layout, files) = options.framed(common)?;
    let seconds = options.seconds;
    let usual = PreadShape { layout, threads: 1, check: Check::All, cache: Cache::Warm, seconds };
    let shapes = vary(&[usual], &options.cache(), |shape, cache| shape.cache = cache);
    let shapes = vary(&shapes, &options.threads, |shape, threads| shape.threads = threads);
    let shapes = vary(&shapes, &options.check(), |shape, check| shape.check = check);
    let case = |shape: PreadShape| {
        let work = format!("{}, {} at a time", shape.cache.label(), shape.threads);
        Box::new(Pread::new(&work, shape, &files, common.seed)) as Box<dyn Case>
    };
    Ok(shapes.into_iter().map(case).collect())
}

/// Direct reads see no page cache, so they are always cold, and a call has one read in flight.
fn seqread(options: &Options, common: &Common) -> anyhow::Result<Set> {
    let (layout, files) = options.framed(common)?;
    let usual = SeqreadShape {
        layout,
        read_bytes: options.read_size as usize,
        cache: Cache::Warm,
        io: Io::Buffered,
        method: Method::Call,
        in_flight: 1,
        check: Check::All,
    };
    let shapes = vary(&[usual], &options.cache(), |shape, cache| shape.cache = cache);
    let shapes = vary(&shapes, &options.io, |shape, io| shape.io = io);
    let shapes = vary(&shapes, &options.method, |shape, method| shape.method = method);
    let shapes = vary(&shapes, &options.in_flight, |shape, count| shape.in_flight = count);
    let mut shapes = vary(&shapes, &options.check(), |shape, check| shape.check = check);
    shapes.retain(|shape| {
        let pointless = (shape.io == Io::Direct && shape.cache == Cache::Warm)
            || (shape.method == Method::Call && shape.in_flight > 1);
        shape.in_flight > 0 && !pointless
    });
    let case = |shape: SeqreadShape| {
        let case = Seqread::new(shape.cache.label(), shape, &files)?;
        Ok(Box::new(case) as Box<dyn Case>)
    };
    shapes.into_iter().map(case).collect()
}
