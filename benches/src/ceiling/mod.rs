//! The I/O patterns of an engine without the engine: what hardware and kernel allow.
//!
//! | case | subject |
//! |---|---|
//! | [`Bulk`] | large writes through files whose blocks are written, lap after lap |
//! | [`Commit`] | one small durable write after the other |
//! | [`Pread`] | random reads of one index spacing, walked and checked |
//! | [`Seqread`] | files from start to end |
//! | [`Scan`] | the files of a store from start to end, also by `fio` |

mod bulk;
mod commit;
mod frame;
mod pread;
mod ring;
pub mod scan;
mod seqread;
mod source;

pub use bulk::{Bulk, BulkShape};
pub use commit::{Commit, CommitShape};
pub use frame::Layout;
pub use pread::{Pread, PreadShape};
pub use scan::{Scan, Scanner};
pub use seqread::{Seqread, SeqreadShape};

use clap::ValueEnum;

use crate::files::{Io, PageFiles};

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

impl Cache {
    /// Name in reports.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
        }
    }

    /// Brings files into this state, and answers the share of them that is in the page cache.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn apply(self, files: &PageFiles) -> anyhow::Result<f64> {
        match self {
            Self::Cold => files.cool(),
            Self::Warm => {
                files.settle(Io::Buffered)?;
                files.cached()
            }
        }
    }
}
