//! Reads that neither the hot tail nor the page cache could answer.

use crate::driver::{Completion, Driver, Io, Request};
use crate::engine::ENGINE_ID_BITS;
use crate::memory::ReadBuffer;
use crate::sync::oneshot;

/// A read, on its way to the worker.
pub(crate) struct ColdRead {
    /// Number of the page file.
    pub page: u32,
    /// Where to read.
    pub offset: u64,
    /// What is filled.
    pub buffer: ReadBuffer,
    /// Takes the buffer back. Dropped unused where the worker ends before.
    pub done: oneshot::Sender<ReadDone>,
}

/// A read that ended: the buffer, and the bytes read or the system's error number.
pub(crate) type ReadDone = (ReadBuffer, Result<usize, i32>);

/// Marks the ids of these reads among those of the engine's requests.
const MARK: u64 = 1 << ENGINE_ID_BITS;

/// The reads that are under way.
#[derive(Default)]
pub(super) struct ColdReads {
    slots: Vec<Option<oneshot::Sender<ReadDone>>>,
    free: Vec<usize>,
}

impl ColdReads {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Gives a read to the driver.
    pub fn start(&mut self, read: ColdRead, driver: &mut dyn Driver) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(read.done);
        }
        let io = Io::Read { page: read.page, offset: read.offset, buffer: read.buffer };
        driver.submit(Request { id: MARK | slot as u64, io });
    }

    /// Takes the end of a read; gives every other completion back.
    pub fn finish(&mut self, completion: Completion) -> Option<Completion> {
        if completion.id & MARK == 0 {
            return Some(completion);
        }
        let slot = (completion.id & !MARK) as usize;
        let done = self.slots.get_mut(slot).and_then(Option::take);
        self.free.push(slot);
        if let (Some(done), Some(buffer)) = (done, completion.buffer) {
            // A reader that went away wants nothing.
            let _ = done.send((buffer, completion.result));
        }
        None
    }
}
