//! Waldo, as the load generators drive it: through its public API.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use waldo_core::{AppendError, Cursor, Options, Stream, Waldo};

use crate::engine::{Engine, Producer, Setup, Store, Tail};

/// Appends that one bulk producer keeps under way.
const BULK_DEPTH: usize = 3;

/// Pages of the ring.
const RING_SIZE: u32 = 4;

const BLOCK: u64 = 4096;

/// Waldo.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaldoEngine;

impl Engine for WaldoEngine {
    fn name(&self) -> String {
        "waldo".to_owned()
    }

    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>> {
        let waldo = Waldo::blocking_open(dir, options(setup))?;
        Ok(Box::new(WaldoStore { waldo, bulk: setup.batch_logs > 1 }))
    }
}

fn options(setup: &Setup) -> Options {
    let batch = (setup.batch_logs * (setup.log_bytes + 32)) as u64 + 2 * BLOCK;
    let buf_capacity = batch.max(1 << 20).next_multiple_of(BLOCK) as usize;
    let page = setup.disk_bytes / u64::from(RING_SIZE);
    Options {
        ring_size: RING_SIZE,
        pool_size: (BULK_DEPTH + setup.producers).min(64) as u16,
        buf_capacity,
        file_capacity: page.max(4 * buf_capacity as u64).next_multiple_of(BLOCK),
        tail_capacity: 8 * buf_capacity,
        index_capacity: 65_536,
        file_o_dsync: setup.durable,
        ..Options::default()
    }
}

struct WaldoStore {
    waldo: Waldo,
    bulk: bool,
}

impl Store for WaldoStore {
    fn producer(&self, _index: usize) -> anyhow::Result<Box<dyn Producer + '_>> {
        let (sender, receiver) = channel();
        let depth = if self.bulk { BULK_DEPTH } else { 1 };
        Ok(Box::new(WaldoProducer { waldo: &self.waldo, depth, sender, receiver }))
    }

    fn tail(&self) -> anyhow::Result<Option<Box<dyn Tail + '_>>> {
        Ok(Some(Box::new(WaldoTail { stream: self.waldo.stream(Cursor::Tip) })))
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

struct WaldoTail {
    stream: Stream,
}

impl Tail for WaldoTail {
    fn poll(&mut self, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<usize> {
        let Some(chunk) = self.stream.try_next()? else { return Ok(0) };
        let mut count = 0;
        for log in &chunk {
            visit(log.data());
            count += 1;
        }
        Ok(count)
    }
}
