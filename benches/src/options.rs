//! Options that all scenarios of all bench commands share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;

/// Options of the run, not of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Directory for the files of the bench; a folder made in it is removed at the end.
    #[arg(long, global = true, default_value = ".")]
    pub dir: PathBuf,

    /// Runs of each configuration, interleaved; the table gives medians.
    #[arg(long, global = true, default_value_t = 5)]
    pub rounds: usize,

    /// Print one JSON object per line instead of a table.
    #[arg(long, global = true)]
    pub json: bool,

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

/// Makes one configuration per value out of each of `base`: the combinations of options that are
/// lists.
#[must_use]
pub fn vary<S: Clone, V: Clone>(base: &[S], values: &[V], set: impl Fn(&mut S, V)) -> Vec<S> {
    let mut all = Vec::with_capacity(base.len() * values.len());
    for one in base {
        for value in values {
            let mut one = one.clone();
            set(&mut one, value.clone());
            all.push(one);
        }
    }
    all
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
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            sweep(parent)?;
        }
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = parent.join(format!("{PREFIX}{}-{number}-{name}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// How the names of all work directories start; the number of their process follows.
const PREFIX: &str = "waldo-bench-";

/// Removes what processes left behind that were killed.
fn sweep(parent: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        let Some(owner) = owner.and_then(|owner| owner.parse::<u32>().ok()) else { continue };
        if !Path::new("/proc").join(owner.to_string()).exists() {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("warning: {} stays behind: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_combined() {
        let all = vary(&[(0, 'a')], &[1, 2], |one, value| one.0 = value);
        let all = vary(&all, &['x', 'y'], |one, value| one.1 = value);
        assert_eq!(all, [(1, 'x'), (1, 'y'), (2, 'x'), (2, 'y')]);
    }

    #[test]
    fn a_work_dir_is_gone_with_its_value() {
        let parent = tempfile::tempdir().unwrap();
        let (a, b) = (WorkDir::new(parent.path(), "x"), WorkDir::new(parent.path(), "x"));
        let path = a.unwrap().path().to_owned();
        assert!(!path.exists());
        assert!(b.unwrap().path().is_dir());
    }

    #[test]
    fn what_a_killed_process_left_is_swept() {
        let parent = tempfile::tempdir().unwrap();
        // No process has a number that large.
        let dead = parent.path().join(format!("{PREFIX}4294967295-0-x"));
        let (own, other) = (
            parent.path().join(format!("{PREFIX}{}-0-x", std::process::id())),
            parent.path().join("waldo-bench-notes"),
        );
        for dir in [&dead, &own, &other] {
            std::fs::create_dir(dir).unwrap();
        }
        sweep(parent.path()).unwrap();
        assert!(!dead.exists() && own.exists() && other.exists());
    }
}
