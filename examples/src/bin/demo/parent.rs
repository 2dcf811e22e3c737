//! The demo: two runs on one store, the first of which is killed.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::digest::Digest;
use crate::input::Source;
use crate::message::{Finished, Message, Opened, Progress, Task};
use crate::options::Options;
use crate::process::{Interrupted, Process, Signals};
use crate::progress::{self, Display};
use crate::report::{self, Report};
use crate::show;
use crate::work_dir::{self, WorkDir};

/// Windows that an input has at the least.
const WINDOWS: u64 = 16;

/// What the process that the user started does.
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref() {
            // As a shell tells of a process that a signal ended.
            Some(Interrupted { signal }) => {
                progress::say("interrupted\n");
                ExitCode::from(128 + signal.unsigned_abs() as u8)
            }
            None => {
                progress::say(&format!("the demo FAILED: {error:#}\n"));
                ExitCode::FAILURE
            }
        },
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    let source = Source::new(options.input.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = WorkDir::new(options.dir.as_deref(), options.keep)?;
    let result = runtime.block_on(demo(options, &source, dir.path()));
    // Somebody may still wait for standard input.
    runtime.shutdown_background();
    let removed = dir.close();
    result.and(removed)
}

async fn demo(options: &Options, source: &Source, dir: &Path) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let content = copy(source, &dir.join(work_dir::INPUT), &mut signals).await?;
    if content.logs == 0 {
        writeln!(io::stdout(), "{} is empty: there is nothing to append", source.name())?;
        return Ok(());
    }
    let whole = Task {
        logs: content.logs,
        bytes: content.bytes,
        last: content.logs,
        streams: options.streams,
        // Several windows fit any input, so that there is something under way half way.
        window: options.window.min(content.logs / WINDOWS).max(1),
        lead: options.lead * 1024,
        backend: options.backend,
        tamper: options.tamper,
    };
    let mut runs =
        Runs { dir, whole, signals, display: Display::new(content.logs, options.streams) };
    let first = runs.killed().await?;
    let (opened, second) = runs.finished(&first).await?;
    let Runs { whole, .. } = runs;

    let report =
        Report { source, content, task: &whole, first: &first, opened: &opened, second: &second };
    write!(io::stdout(), "{report}")?;
    let verified = report.verified();
    ensure!(
        verified == options.streams,
        "{} of {} saw something other than the input",
        show::count(options.streams - verified),
        show::many(options.streams, "stream")
    );
    Ok(())
}

/// Copies the input, unless the user gets tired of that.
async fn copy(source: &Source, input: &Path, signals: &mut Signals) -> anyhow::Result<Digest> {
    let (source, input) = (source.clone(), input.to_owned());
    let copying = tokio::task::spawn_blocking(move || source.copy_to(&input));
    tokio::select! {
        copied = copying => copied.context("copying the input panicked")?,
        interrupted = signals.recv() => Err(interrupted.into()),
    }
}

/// What both runs need.
struct Runs<'a> {
    dir: &'a Path,
    /// The task of a run that goes on to the end.
    whole: Task,
    signals: Signals,
    display: Display,
}

impl Runs<'_> {
    /// The first run, which is killed as soon as half of the logs are acknowledged. Answers what it
    /// said last.
    async fn killed(&mut self) -> anyhow::Result<Progress> {
        let Self { dir, whole, signals, display } = self;
        display.stage(&format!(
            "appending {} ({}) durably; {} tail them from the first",
            show::many(whole.logs, "log"),
            show::bytes(whole.bytes),
            show::many(whole.streams, "stream")
        ));
        // Without the last log, it cannot end before it is killed, however short the input is.
        let task = Task { last: whole.logs - 1, ..whole.clone() };
        let mut process = Process::start(&task, dir, signals)?;
        let result = kill_at(&mut process, whole.logs / 2, task.last, display).await;
        process.end_on_error(result).await?;
        let last = process.progress().clone();
        display.stage(&format!("killed with SIGKILL: {}", report::killed(&last)));
        Ok(last)
    }

    /// The second run, which recovers the store and goes on to the end.
    async fn finished(&mut self, first: &Progress) -> anyhow::Result<(Opened, Finished)> {
        let Self { dir, whole, signals, display } = self;
        let mut process = Process::start(whole, dir, signals)?;
        let result = finish(&mut process, whole, first, display).await;
        process.end_on_error(result).await
    }
}

/// Kills a run that appends up to log `last`, once `half` is acknowledged and while it writes; and
/// listens to its last words.
async fn kill_at(
    process: &mut Process<'_>,
    half: u64,
    last: u64,
    display: &mut Display,
) -> anyhow::Result<()> {
    let mut killed = false;
    while let Some(message) = process.next().await? {
        match message {
            Message::Opened(opened) => ensure!(opened.created, "the store was there before"),
            Message::Progress(progress) => {
                display.show(&progress);
                if !killed && progress.acknowledged >= half && is_writing(&progress, last) {
                    process.kill().context("cannot kill the child")?;
                    killed = true;
                }
            }
            Message::Finished(_) | Message::Failed(_) => break,
        }
    }
    let status = process.wait().await?;
    ensure!(
        killed && status.signal() == Some(libc::SIGKILL),
        "the first run was to be killed, but ended by itself ({status})"
    );
    Ok(())
}

/// Whether appends are under way; or else there are none left that could be, because the input is
/// so short.
fn is_writing(progress: &Progress, last: u64) -> bool {
    progress.submitted > progress.acknowledged || progress.acknowledged == last
}

/// Listens to a run that goes on to the end.
async fn finish(
    process: &mut Process<'_>,
    whole: &Task,
    first: &Progress,
    display: &mut Display,
) -> anyhow::Result<(Opened, Finished)> {
    let (mut opened, mut finished) = (None, None);
    while let Some(message) = process.next().await? {
        match message {
            Message::Opened(found) => {
                check(&found, whole, first)?;
                display.stage(&format!(
                    "recovered in {}: {}; going on",
                    show::time(found.recovery),
                    report::recovered(&found)
                ));
                opened = Some(found);
            }
            Message::Progress(progress) => display.show(&progress),
            Message::Finished(end) => finished = Some(end),
            Message::Failed(_) => break,
        }
    }
    let status = process.wait().await?;
    match (opened, finished) {
        (Some(opened), Some(finished)) if status.success() => Ok((opened, finished)),
        _ => bail!("the second run ended too early ({status})"),
    }
}

/// Whether a store that was recovered has everything that had been promised, and nothing that had
/// not been submitted. What the logs hold, the streams will see.
fn check(found: &Opened, whole: &Task, first: &Progress) -> anyhow::Result<()> {
    let Opened { prev_seq_no, logs, .. } = *found;
    ensure!(
        prev_seq_no >= first.acknowledged,
        "LOST: log {} had been acknowledged, but the store that was recovered ends with {prev_seq_no}",
        first.acknowledged
    );
    ensure!(
        prev_seq_no < whole.logs && logs == prev_seq_no,
        "the store that was recovered ends with log {prev_seq_no} and has {logs}; {} were submitted \
         at the most",
        whole.logs - 1
    );
    Ok(())
}
