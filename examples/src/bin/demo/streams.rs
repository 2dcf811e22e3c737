//! Tailing the log from its first line.

use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use waldo_core::{Cursor, Waldo};

use crate::board::Board;
use crate::digest::{Digest, Hasher};
use crate::message::Task;

/// Streams under way, each of which ends with what it saw.
pub struct Streams(Vec<JoinHandle<Option<Digest>>>);

impl Streams {
    /// Starts all streams of a task.
    pub fn start(runtime: &Handle, waldo: &Waldo, task: &Task, board: &Arc<Board>) -> Self {
        let start = |index| {
            let (waldo, board) = (waldo.clone(), Arc::clone(board));
            let (logs, tamper) = (task.logs, task.tamper && index == 0);
            runtime.spawn(async move {
                match follow(&waldo, &board, index, logs, tamper).await {
                    Ok(digest) => {
                        board.stream_done();
                        Some(digest)
                    }
                    Err(error) => {
                        board.fail(format!("stream {}: {error:#}", index + 1));
                        None
                    }
                }
            })
        };
        Self((0..task.streams as usize).map(start).collect())
    }

    /// What streams saw, and how many of them saw the same. For when all are done.
    pub async fn seen(self) -> anyhow::Result<Vec<(Digest, u64)>> {
        let mut seen: Vec<(Digest, u64)> = Vec::new();
        for stream in self.0 {
            let digest = stream.await.context("a stream panicked")?.context("a stream failed")?;
            match seen.iter_mut().find(|(other, _)| *other == digest) {
                Some((_, count)) => *count += 1,
                None => seen.push((digest, 1)),
            }
        }
        Ok(seen)
    }
}

/// Reads all logs, as they come, and hashes them.
async fn follow(
    waldo: &Waldo,
    board: &Board,
    index: usize,
    logs: u64,
    tamper: bool,
) -> anyhow::Result<Digest> {
    let mut stream = waldo.stream(Cursor::Trim);
    let mut hasher = Hasher::new();
    while hasher.logs() < logs {
        let chunk = stream.next().await?;
        let from = hasher.bytes();
        let mut batch = hasher.batch();
        for log in &chunk {
            let prev_seq_no = batch.logs();
            ensure!(
                log.prev_seq_no() == prev_seq_no && log.seq_no() == prev_seq_no + 1,
                "log {} (after {}) came after log {prev_seq_no}",
                log.seq_no(),
                log.prev_seq_no(),
            );
            batch.push(log.data());
        }
        drop(batch);
        // Memory of the store is held for no longer than needed.
        drop(chunk);
        board.deliver(index, hasher.logs(), from, hasher.bytes());
        // A stream that is behind always finds more. It lets others have the same logs first,
        // while they are in the processor's cache.
        tokio::task::yield_now().await;
    }
    let mut digest = hasher.finish();
    digest.hash ^= u128::from(tamper);
    Ok(digest)
}
