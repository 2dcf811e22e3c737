//! The same I/O pattern without an engine: what hardware and kernel allow.
//!
//! | mode | subject |
//! |---|---|
//! | `bulk` | large writes through several laps of files whose blocks are written |
//! | `commit` | one small durable write after the other |
//! | `pread` | random reads of one index spacing, walked and checked |
//! | `seqread` | all files from start to end |

mod bulk;
mod commit;
mod frame;
mod pread;
mod ring;
mod seqread;
mod source;

use clap::{Args, ValueEnum};

use crate::files::{Io, PageFiles};
use crate::options::{Common, WorkDir};
use crate::outcome::Metric;
use crate::report;
use crate::rounds::Case;
use crate::size;
use frame::Layout;

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

/// System interface that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// io_uring: one issuer, deferred task work, registered files and buffers.
    Uring,
    /// `pwritev2` or `pread`: one at a time.
    Call,
}

/// How the contents of a write come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Build {
    /// Not at all: the same buffers again and again.
    None,
    /// Logs are copied into the buffer, with headers.
    Copy,
    /// Logs are checksummed (CRC32C) and copied.
    Crc,
}

/// What a reader checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Check {
    /// Nothing.
    None,
    /// The checksum of the log that is looked for; the headers before it are walked.
    Wanted,
    /// The checksums of all logs that were read.
    All,
}

/// State of the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cache {
    /// Nothing of the files is in the page cache of this machine. A host may still hold it.
    Cold,
    /// All of the files is in the page cache.
    Warm,
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
    #[arg(long, value_parser = size::parse, default_value = "1GiB")]
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
    /// bulk: laps through all files.
    #[arg(long, default_value_t = 3)]
    pub laps: u64,
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
    /// bulk: a second thread builds while the first one writes, as in an engine.
    #[arg(long)]
    pub copy_thread: bool,

    /// commit, pread: length of a run, seconds.
    #[arg(long, default_value_t = 3.0)]
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
    /// seqread: state of the page cache.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "cold,warm")]
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

    /// Frames of one index spacing, which the readers walk.
    fn spaced(&self) -> anyhow::Result<Layout> {
        Layout::filling(self.spacing as usize, self.log_bytes())
    }
}

/// Runs the scenario and prints the report.
///
/// # Errors
///
/// Where the files cannot be made or a configuration fails.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<()> {
    anyhow::ensure!(options.files > 0, "--files must be at least 1");
    let dir = WorkDir::new(&common.dir, "ceiling")?;
    let files = match options.mode {
        Mode::Bulk | Mode::Commit => {
            PageFiles::create(dir.path(), options.files, options.file_size)?
        }
        Mode::Pread | Mode::Seqread => {
            anyhow::ensure!(
                options.file_size.is_multiple_of(options.spacing),
                "--file-size must be a multiple of --spacing"
            );
            let layout = options.spaced()?;
            frame::create_spaced(dir.path(), options, layout, common.seed)?
        }
    };
    let (name, cases, columns): (_, Vec<Box<dyn Case + '_>>, _) = match options.mode {
        Mode::Bulk => ("ceiling bulk", bulk::cases(options, common, &files)?, Metric::BULK_WRITE),
        Mode::Commit => {
            ("ceiling commit", commit::cases(options, common, &files)?, Metric::SMALL_OPS)
        }
        Mode::Pread => ("ceiling pread", pread::cases(options, common, &files)?, Metric::SMALL_OPS),
        Mode::Seqread => {
            ("ceiling seqread", seqread::cases(options, common, &files)?, Metric::BULK_READ)
        }
    };
    report::run_and_print(name, common, cases, columns)
}
