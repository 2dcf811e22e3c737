//! A disk, from the side of those who use it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use tempfile::TempDir;

use super::fault::Fault;
use super::order::{Answer, Caching, Order};

/// A mounted disk. Dropping it unmounts it.
#[derive(Debug)]
pub struct RemoteDisk {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    mount: TempDir,
    top: String,
}

/// How a disk came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarted {
    /// Sectors and names that had not been synced.
    pub at_stake: u64,
    /// Power had been lost at a call.
    pub at_call: bool,
}

/// Why there can be no such disk on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

impl RemoteDisk {
    /// Mounts an empty one in a new directory in `dir`; says why not where this machine does not
    /// have what that takes.
    ///
    /// # Errors
    ///
    /// Where it fails all the same.
    pub fn mount(dir: &Path, caching: Caching) -> anyhow::Result<Result<Self, Missing>> {
        if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
            return Ok(Err(Missing(format!("/dev/fuse cannot be used: {error}"))));
        }
        let mount = tempfile::Builder::new().prefix("waldo-disk-").tempdir_in(dir)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("disk")
            .arg(mount.path())
            .arg(format!("--caching={}", format!("{caching:?}").to_lowercase()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the disk")?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("the disk cannot be spoken to");
        };
        let answers = BufReader::new(answers);
        let mut disk = Self { child, orders: Some(orders), answers, mount, top: "0".to_owned() };
        match disk.answer() {
            Ok(Answer::Mounted) => Ok(Ok(disk)),
            // It says itself what is wrong.
            _ => Ok(Err(Missing("FUSE file systems cannot be mounted".into()))),
        }
    }

    /// The directory that is left of what was there before the last power loss.
    pub fn top(&self) -> PathBuf {
        self.mount.path().join(&self.top)
    }

    /// Has power go at a call that changes something, after so many of them.
    ///
    /// # Errors
    ///
    /// Where the disk's process fails.
    pub fn arm(&mut self, calls: u64) -> anyhow::Result<()> {
        self.order(&Order::Arm { calls }).map(drop)
    }

    /// Has power go now, unless it has, and come back.
    ///
    /// # Errors
    ///
    /// Where the disk's process fails.
    pub fn restart(&mut self, seed: u64) -> anyhow::Result<Restarted> {
        match self.order(&Order::Restart { seed })? {
            Answer::Restarted { top, at_stake, at_call } => {
                self.top = top;
                Ok(Restarted { at_stake, at_call })
            }
            other => bail!("the disk answers {other:?}"),
        }
    }

    /// Has calls fail from now on, instead of those before; answers how many have.
    ///
    /// # Errors
    ///
    /// Where the disk's process fails.
    pub fn fail(&mut self, faults: Vec<Fault>) -> anyhow::Result<u64> {
        match self.order(&Order::Fail(faults))? {
            Answer::Done { injected } => Ok(injected),
            other => bail!("the disk answers {other:?}"),
        }
    }

    /// Copies what is on the disk into a directory.
    ///
    /// # Errors
    ///
    /// Where that cannot be.
    pub fn save(&mut self, target: &Path) -> anyhow::Result<()> {
        match self.order(&Order::Save(target.to_owned()))? {
            Answer::Failed(reason) => bail!("{reason}"),
            _ => Ok(()),
        }
    }

    fn order(&mut self, order: &Order) -> anyhow::Result<Answer> {
        let line = serde_json::to_string(order)? + "\n";
        let orders = self.orders.as_mut().context("the disk takes no orders")?;
        orders.write_all(line.as_bytes()).context("the disk takes no orders")?;
        self.answer()
    }

    fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).context("the disk does not answer")
    }
}

impl Drop for RemoteDisk {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
