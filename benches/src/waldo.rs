//! Waldo, as the load generators drive it: through its public API.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use waldo_core::{AppendError, Backend, Cursor, IoMode, Log, Memory, Options, Stream, Waldo};

use crate::engine::{Appending, Engine, Producer, Setup, Store, Tail, TaskProducer, Waking};
use crate::rounds::Role;
use crate::workload::touch::Touching;

/// Pages of the ring.
const RING_SIZE: u32 = 4;

const BLOCK: u64 = 4096;

/// Waldo.
#[derive(Clone, Copy, Debug)]
pub struct WaldoEngine {
    /// Whether appends go through the page cache.
    pub io: IoMode,
    /// How the system is asked for I/O.
    pub backend: Backend,
    /// Appends that one producer of batches keeps under way.
    pub depth: usize,
}

impl Default for WaldoEngine {
    fn default() -> Self {
        Self { io: IoMode::Auto, backend: Backend::Auto, depth: 3 }
    }
}

impl Engine for WaldoEngine {
    fn name(&self) -> String {
        let usual = Self::default();
        let mut name = "waldo".to_owned();
        match self.io {
            IoMode::Auto => {}
            IoMode::Buffered => name.push_str(", buffered"),
            IoMode::Direct => name.push_str(", direct"),
        }
        match self.backend {
            Backend::Auto => {}
            Backend::IoUring => name.push_str(", io_uring"),
            Backend::Threads => name.push_str(", threads"),
            Backend::Memory => name.push_str(", in memory"),
        }
        if self.depth != usual.depth {
            name.push_str(&format!(", {} under way", self.depth));
        }
        name
    }

    fn role(&self) -> Role {
        Role::Waldo
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let waldo = Waldo::blocking_open(dir, self.options(setup))?;
        let depth = if setup.batch_logs > 1 { self.depth.max(1) } else { 1 };
        Ok(Box::new(WaldoStore { waldo, depth }))
    }
}

impl WaldoEngine {
    pub(crate) fn options(&self, setup: &Setup) -> Options {
        let batch = (setup.batch_logs * (setup.log_bytes + 32)) as u64 + 2 * BLOCK;
        let buf_capacity = batch.max(1 << 20).next_multiple_of(BLOCK) as usize;
        let page = setup.disk_bytes / u64::from(RING_SIZE);
        let usual = Options::default();
        Options {
            ring_size: Some(RING_SIZE),
            pool_size: (self.depth + setup.producers).min(64) as u16,
            buf_capacity,
            file_capacity: Some(page.max(4 * buf_capacity as u64).next_multiple_of(BLOCK)),
            tail_capacity: match setup.tail_bytes {
                0 => usual.tail_capacity,
                bytes => bytes as usize,
            },
            index_capacity: 65_536,
            file_o_dsync: setup.durable,
            io: self.io,
            backend: self.backend,
            // What a run leaves in memory is of no use to the next.
            memory: Memory { keep: self.backend != Backend::Memory, ..usual.memory },
            ..usual
        }
    }
}

struct WaldoStore {
    waldo: Waldo,
    depth: usize,
}

impl Store for WaldoStore {
    fn producer(&self, _index: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        let (sender, receiver) = channel();
        let (waldo, depth) = (&self.waldo, self.depth);
        Ok(Box::new(WaldoProducer { waldo, depth, sender, receiver }))
    }

    fn task_producer(&self, _: usize) -> anyhow::Result<Option<Box<dyn TaskProducer + '_>>> {
        Ok(Some(Box::new(WaldoTask { waldo: &self.waldo })))
    }

    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        Ok(Some(Tail::Waking(Box::new(WaldoTail { stream: self.waldo.stream(Cursor::Tip) }))))
    }

    /// Waits until pages are prepared.
    fn settle(&self) -> anyhow::Result<()> {
        while self.waldo.blocking_metadata().is_some_and(|metadata| metadata.pending_resets > 0) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.waldo.blocking_close()?)
    }
}

struct WaldoProducer<'a> {
    waldo: &'a Waldo,
    depth: usize,
    sender: Sender<Result<(), AppendError>>,
    receiver: Receiver<Result<(), AppendError>>,
}

impl Producer for WaldoProducer<'_> {
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()> {
        if self.depth == 1 {
            self.waldo.blocking_append_assigned(logs)?;
            return Ok(());
        }
        let size = logs.iter().map(|log| (log.len() + 24).next_multiple_of(8)).sum();
        let mut batch = self.waldo.blocking_batch(size, true)?;
        for log in logs {
            anyhow::ensure!(batch.push_payload(log)?, "the batch is over its limit");
        }
        let sender = self.sender.clone();
        self.waldo.submit_append(batch.finish(), false, move |result| {
            // The receiver is gone only where the producer failed.
            let _ = sender.send(result.map(drop));
        })?;
        Ok(())
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        if self.depth > 1 {
            self.receiver.recv()??;
        }
        Ok(())
    }

    fn depth(&self) -> usize {
        self.depth
    }
}

struct WaldoTask<'a> {
    waldo: &'a Waldo,
}

impl TaskProducer for WaldoTask<'_> {
    fn append<'a>(&'a mut self, logs: &'a [&'a [u8]]) -> Appending<'a> {
        Box::pin(async move {
            self.waldo.append_assigned(logs).await?;
            Ok(())
        })
    }
}

struct WaldoTail {
    stream: Stream,
}

impl Waking for WaldoTail {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        touching: &mut Touching,
    ) -> Poll<anyhow::Result<()>> {
        let chunk = ready!(self.stream.poll_next(context))?;
        touching.take_all(chunk.iter(), Log::data);
        Poll::Ready(Ok(()))
    }
}
