//! One run: opens the store, goes on with the input where the store ends, and streams all of it.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use waldo_core::{Log, Waldo};

use crate::board::Board;
use crate::geometry;
use crate::lines::LOG_MAX;
use crate::message::{Finished, Message, Opened, Task};
use crate::streams::Streams;
use crate::{work_dir, writer};

/// Progress is reported at least as often as this.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// What a child process does.
pub fn main(task: &str) -> ExitCode {
    match run(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where the parent is gone, nobody wants to know.
            let _ = Message::Failed(format!("{error:#}")).send();
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(task).context("not a task")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let started = Instant::now();
    let opening = Waldo::open_with_report(work_dir::STORE, geometry::options(&task));
    let (waldo, report) = runtime.block_on(opening).context("cannot open the store")?;
    Message::Opened(Opened::new(&report, started.elapsed())).send()?;
    let longest = Log::new_borrowed(1, 0, &[0; LOG_MAX]).size();
    ensure!(longest <= waldo.log_size_limit(), "the longest log does not fit the store");

    let board = Arc::new(Board::new(&task, report.prev_seq_no)?);
    let streams = Streams::start(runtime.handle(), &waldo, &task, &board);
    let writer = {
        let (waldo, runtime, task) = (waldo.clone(), runtime.handle().clone(), task.clone());
        let board = Arc::clone(&board);
        thread::Builder::new().name("writer".to_owned()).spawn(move || {
            if let Err(error) = writer::write(&waldo, &runtime, &task, &board) {
                board.fail(format!("{error:#}"));
            }
        })?
    };
    let mut progress = board.progress();
    while progress.streams_done < task.streams {
        Message::Progress(progress).send()?;
        board.wait(REPORT_INTERVAL)?;
        progress = board.progress();
    }
    // Streams may have a log a moment before its append is told so.
    ensure!(writer.join().is_ok(), "the writer panicked");
    board.wait(Duration::ZERO)?;
    let progress = board.progress();
    let seen = runtime.block_on(streams.seen())?;
    runtime.block_on(waldo.close()).context("cannot close the store")?;
    Message::Finished(Finished { progress, seen }).send()?;
    Ok(())
}
