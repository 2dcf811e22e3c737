//! Appending the lines of the input, each as a log of its own.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use waldo_core::{AppendError, Log, Waldo};

use crate::board::Board;
use crate::message::Task;
use crate::window::Window;
use crate::{input, work_dir};

/// Appends what the store does not have yet, up to the last log of the task, and waits until all
/// of it is durable. Each line is an append of its own; many of them are under way at a time, so
/// that the store commits them in groups.
pub fn write(
    waldo: &Waldo,
    runtime: &Handle,
    task: &Task,
    board: &Arc<Board>,
) -> anyhow::Result<()> {
    let done = waldo.prev_seq_no().unwrap_or(0);
    let mut lines = input::lines(Path::new(work_dir::INPUT))?;
    let mut bytes = lines.skip(done).context("cannot read the input")?;
    let under_way =
        Arc::new(UnderWay { window: Window::new(task.window), board: Arc::clone(board) });
    let writer = Writer { waldo, runtime, under_way };
    for seq_no in done + 1..=task.last {
        let line = lines.next().context("cannot read the input")?;
        let line = line.context("the input became shorter while it was appended")?;
        board.lead.wait(bytes);
        bytes += line.len() as u64;
        writer.append(seq_no, line).with_context(|| format!("cannot append line {seq_no}"))?;
    }
    writer.under_way.window.wait_for_all().context("cannot append")
}

struct Writer<'a> {
    waldo: &'a Waldo,
    runtime: &'a Handle,
    under_way: Arc<UnderWay>,
}

/// What completions need.
struct UnderWay {
    window: Window,
    board: Arc<Board>,
}

impl Writer<'_> {
    /// Submits an append, once there is room for it. Futures would do, too; but completions keep
    /// the order of their submission by nature, and cost less.
    fn append(&self, seq_no: u64, line: &[u8]) -> Result<(), AppendError> {
        self.under_way.window.enter()?;
        let log = Log::new_borrowed(seq_no, seq_no - 1, line);
        let submitted = self.under_way.board.submit(seq_no);
        loop {
            match self.submit(&log, submitted) {
                // The queue has no room; each append that ends makes some.
                Err(AppendError::WouldBlock) => self.under_way.window.wait_for_one()?,
                result => return result,
            }
        }
    }

    fn submit(&self, log: &Log<'_>, submitted: u64) -> Result<(), AppendError> {
        let mut batch = match self.waldo.try_batch(log.size(), false) {
            Err(AppendError::WouldBlock) => {
                self.runtime.block_on(self.waldo.batch(log.size(), false))?
            }
            result => result?,
        };
        batch.push(log)?;
        let under_way = Arc::clone(&self.under_way);
        let (seq_no, len) = (log.seq_no(), log.data().len() as u64);
        self.waldo.submit_append(batch.finish(), true, move |result| {
            if result.is_ok() {
                under_way.board.acknowledge(seq_no, len, submitted);
            }
            under_way.window.leave(result.map(drop));
        })
    }
}
