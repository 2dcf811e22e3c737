//! A child process, and what it says.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::message::{Message, Progress, Task};

/// A child that gets nowhere for so long will not get anywhere.
const PATIENCE: Duration = Duration::from_secs(60);

/// Signals that end the demo, after it cleaned up.
pub struct Signals(Vec<(i32, Signal)>);

/// The user does not want to wait any longer.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted {
    /// Number of the signal.
    pub signal: i32,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let listen = |kind: SignalKind| Ok((kind.as_raw_value(), signal(kind)?));
        kinds.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for one.
    pub async fn recv(&mut self) -> Interrupted {
        poll_fn(|context| {
            let arrived = |(number, signal): &mut (i32, Signal)| {
                signal.poll_recv(context).is_ready().then_some(Interrupted { signal: *number })
            };
            self.0.iter_mut().find_map(arrived).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A child process.
pub struct Process<'a> {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    signals: &'a mut Signals,
    /// What it said last of its progress, and since when it has not got any further.
    progress: Progress,
    since: Instant,
}

impl<'a> Process<'a> {
    /// Starts this program again, as a child with a task in a directory.
    pub fn start(task: &Task, dir: &Path, signals: &'a mut Signals) -> anyhow::Result<Self> {
        let exe = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(exe)
            .arg("--child")
            .arg(serde_json::to_string(task)?)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for the parent, which ends the child.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start this program again")?;
        let stdout = child.stdout.take().context("the child has no standard output")?;
        let said = BufReader::new(stdout).lines();
        Ok(Self { child, said, signals, progress: Progress::default(), since: Instant::now() })
    }

    /// What it says next; `None` once it has ended.
    ///
    /// # Errors
    ///
    /// What it failed with, and [`Interrupted`].
    pub async fn next(&mut self) -> anyhow::Result<Option<Message>> {
        let line = tokio::select! {
            line = self.said.next_line() => line.context("cannot hear the child")?,
            interrupted = self.signals.recv() => return Err(interrupted.into()),
            () = sleep_until(self.since + PATIENCE) => bail!(self.stuck()),
        };
        let Some(line) = line else { return Ok(None) };
        let message = serde_json::from_str(&line).context("cannot understand the child")?;
        match &message {
            Message::Failed(reason) => bail!("{reason}"),
            Message::Progress(progress) => self.note(progress),
            Message::Finished(finished) => self.note(&finished.progress),
            Message::Opened(_) => self.since = Instant::now(),
        }
        Ok(Some(message))
    }

    /// What it said last of its progress.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    fn note(&mut self, progress: &Progress) {
        let state = |progress: &Progress| (progress.acknowledged, progress.delivered_bytes);
        if state(progress) != state(&self.progress) {
            self.since = Instant::now();
        }
        self.progress = progress.clone();
    }

    fn stuck(&self) -> String {
        let Progress { submitted, acknowledged, streams_done, slowest, .. } = self.progress;
        format!(
            "nothing has happened for {} seconds: {submitted} logs were submitted, {acknowledged} \
             acknowledged; the slowest stream has {slowest}, and {streams_done} have all",
            PATIENCE.as_secs()
        )
    }

    /// Passes a result on. After an error the child has ended.
    pub async fn end_on_error<T>(&mut self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        if result.is_err() {
            // It may have ended by itself; there is nothing to be done about anything else.
            let _ = self.kill();
            let _ = self.wait().await;
        }
        result
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.start_kill()
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }
}
