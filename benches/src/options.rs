//! Options that all scenarios of all bench commands share.

use std::path::{Path, PathBuf};

use clap::Args;

/// Options of the run, not of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Directory for the files of the bench; a folder made in it is removed at the end.
    #[arg(long, global = true, default_value = ".")]
    pub dir: PathBuf,

    /// Runs of each configuration, interleaved; the table gives medians.
    #[arg(long, global = true, default_value_t = 3)]
    pub rounds: usize,

    /// Print one JSON object per line instead of a table.
    #[arg(long, global = true)]
    pub json: bool,

    /// Name (or a part of it) of the configuration that ratios are taken to; default: the first.
    #[arg(long, global = true)]
    pub baseline: Option<String>,

    /// Do not touch memory before each run.
    #[arg(long, global = true)]
    pub no_warm: bool,

    /// Seed of the payloads and of random offsets.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
}

impl Common {
    /// Touches memory before a run, unless switched off.
    ///
    /// # Errors
    ///
    /// Where the memory cannot be mapped.
    pub fn warm(&self, bytes: u64) -> std::io::Result<()> {
        if self.no_warm { Ok(()) } else { crate::warm::memory(bytes) }
    }
}

/// A directory of this process that is removed when dropped.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes a new directory inside `parent`.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn new(parent: &Path, name: &str) -> std::io::Result<Self> {
        let path = parent.join(format!("waldo-bench-{}-{name}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("warning: {} stays behind: {error}", self.path.display());
        }
    }
}
