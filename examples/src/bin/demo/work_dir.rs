//! The directory for the store.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::progress;

/// Magic numbers of file systems that live in memory; see statfs(2).
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// Names in the directory, in which the child processes run.
pub const INPUT: &str = "input";
pub const STORE: &str = "store";

/// A directory that is removed when dropped, unless it is to be kept.
pub struct WorkDir {
    dir: TempDir,
    keep: bool,
}

impl WorkDir {
    /// Makes one where it was asked for; else where temporary files were asked to be; else next to
    /// this program, where there is a disk, other than in many a `/tmp`.
    pub fn new(parent: Option<&Path>, keep: bool) -> anyhow::Result<Self> {
        let parent = parent.map_or_else(default_parent, Path::to_owned);
        let mut builder = tempfile::Builder::new();
        let dir = builder.prefix("waldo-demo-").disable_cleanup(keep).tempdir_in(&parent);
        let dir =
            dir.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        if in_memory(dir.path()) {
            log::warn!(
                "{} is in memory: nothing there is durable, and the figures are not those of a \
                 disk; --dir names another directory",
                dir.path().display()
            );
        }
        Ok(Self { dir, keep })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it, or says where it is kept.
    pub fn close(self) -> anyhow::Result<()> {
        let path = self.path().to_owned();
        if self.keep {
            progress::say(&format!("the store is kept in {}\n", path.display()));
            return Ok(());
        }
        self.dir.close().with_context(|| format!("cannot remove {}", path.display()))
    }
}

fn default_parent() -> PathBuf {
    let temporary = env::var_os("TMPDIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let beside = || env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    temporary.or_else(beside).unwrap_or_else(env::temp_dir)
}

fn in_memory(path: &Path) -> bool {
    let system = rustix::fs::statfs(path);
    system.is_ok_and(|system| [TMPFS, RAMFS].contains(&system.f_type))
}
