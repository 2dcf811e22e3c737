//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

/// Appends a file line by line, durably, while many streams tail the log from its first line. Is
/// killed half way, recovers, goes on, and checks what every stream saw.
#[derive(Clone, Debug, Parser)]
#[command(name = "demo", version)]
pub struct Options {
    /// The file to append, `-` for standard input [default: the sources of this repository]
    pub input: Option<PathBuf>,

    /// Streams that tail the log
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub streams: u64,

    /// Appends that may wait for their acknowledgement at a time
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub window: u64,

    /// KiB that the writer may be ahead of the slowest stream; 0 is no limit
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(..=1 << 40))]
    pub lead: u64,

    /// How the store asks the system for I/O
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub backend: Backend,

    /// Directory for the store [default: $TMPDIR, or where this program is]
    #[arg(long)]
    pub dir: Option<PathBuf>,

    /// Keep the store
    #[arg(long)]
    pub keep: bool,

    /// Change one bit of what one stream sees, to show that it is noticed
    #[arg(long, hide = true)]
    pub tamper: bool,

    /// What a child process is to do; see `message::Task`
    #[arg(long, hide = true, exclusive = true)]
    pub child: Option<String>,
}

/// How the store asks the system for I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Backend {
    /// io_uring, or threads where that is refused
    Auto,
    /// io_uring
    IoUring,
    /// A few threads
    Threads,
}

impl From<Backend> for waldo_core::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::IoUring => Self::IoUring,
            Backend::Threads => Self::Threads,
        }
    }
}
