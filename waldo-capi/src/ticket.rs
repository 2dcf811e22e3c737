//! Completions, and a place for one of them in a queue.

use std::ptr;
use std::sync::Arc;

use waldo_core::Chunk;

use crate::boundary::{give, retain, take};
use crate::chunk::ChunkHandle;
use crate::error::Failure;
use crate::queue::Queue;
use crate::status::StatusCode::{WALDO_AGAIN, WALDO_OK};
use crate::status::waldo_status;
use crate::store::Store;

/// What a completion is the end of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `waldo_open_async`
    WALDO_KIND_OPEN = 1,
    /// `waldo_close_async`
    WALDO_KIND_CLOSE = 2,
    /// `waldo_append_async`, `waldo_append_packed_async`
    WALDO_KIND_APPEND = 3,
    /// `waldo_sync_async`
    WALDO_KIND_SYNC = 4,
    /// `waldo_trim_async`
    WALDO_KIND_TRIM = 5,
    /// `waldo_truncate_async`
    WALDO_KIND_TRUNCATE = 6,
    /// `waldo_clear_async`
    WALDO_KIND_CLEAR = 7,
    /// `waldo_query_async`
    WALDO_KIND_QUERY = 8,
    /// `waldo_stream_next_async`
    WALDO_KIND_STREAM_NEXT = 9,
}

/// How an operation ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// What was given with the operation.
    pub user_data: u64,
    /// Which operation it was: a `waldo_kind`.
    pub kind: u32,
    /// How it ended.
    pub status: waldo_status,
    /// The system's error number; 0 where the system has no part in it.
    pub os_errno: i32,
    /// 0; bits may be added.
    pub flags: u32,
    /// The first log appended or read; 0 where there is none.
    pub first_seq_no: u64,
    /// The last log appended or read; 0 where there is none.
    pub last_seq_no: u64,
    /// How many logs were appended. 0 for everything else: `waldo_chunk_count` counts a chunk.
    pub count: u64,
    /// As in `waldo_error`.
    pub wanted: u64,
    /// As in `waldo_error`.
    pub actual: u64,
    /// What was read: yours to release with `waldo_chunk_release`. NULL where nothing was read.
    /// Streams that follow the log side by side may be given references to one chunk; each is
    /// released for itself.
    pub chunk: *mut ChunkHandle,
    /// The store that was opened: yours to release with `waldo_release`. NULL for other kinds.
    pub store: *mut Store,
    /// Zeros.
    pub reserved: [u64; 2],
}

// SAFETY: the handles in it are counted references that any thread may use or release.
unsafe impl Send for Completion {}

impl Completion {
    fn new(user_data: u64, kind: Kind) -> Self {
        Self {
            user_data,
            kind: kind as u32,
            status: WALDO_OK as i32,
            os_errno: 0,
            flags: 0,
            first_seq_no: 0,
            last_seq_no: 0,
            count: 0,
            wanted: 0,
            actual: 0,
            chunk: ptr::null_mut(),
            store: ptr::null_mut(),
            reserved: [0; 2],
        }
    }

    /// Releases what is in a completion that nobody will get.
    pub fn discard(self) {
        // SAFETY: both are NULL, or references that nobody else was given.
        unsafe {
            drop(take(self.chunk));
            drop(take(self.store));
        }
    }
}

/// What an operation that succeeded brings.
pub(crate) enum Yield {
    Nothing,
    Appended { first_seq_no: u64, last_seq_no: u64, count: u64 },
    Chunk(Chunk),
    Store(Arc<Store>),
}

/// An accepted operation's place in a queue. Dropped before it is finished, it gives the place
/// back: for operations that are refused.
pub(crate) struct Ticket {
    /// `None` once it is finished.
    queue: Option<Arc<Queue>>,
    store: Option<Arc<Store>>,
    user_data: u64,
    kind: Kind,
}

impl Ticket {
    /// Takes a place.
    ///
    /// The operation counts as one of `store`, whose close completes after it.
    pub fn new(
        queue: &Arc<Queue>,
        store: Option<&Arc<Store>>,
        user_data: u64,
        kind: Kind,
    ) -> Result<Self, Failure> {
        if !queue.reserve() {
            let message = "the completion queue is full; take completions out, and try again";
            return Err(Failure::new(WALDO_AGAIN, message));
        }
        // A close does not wait for what is submitted after it.
        let store = store.filter(|store| store.enter()).cloned();
        Ok(Self { queue: Some(Arc::clone(queue)), store, user_data, kind })
    }

    pub fn user_data(&self) -> u64 {
        self.user_data
    }

    /// Completes the operation.
    pub fn finish(mut self, result: Result<Yield, Failure>) {
        let completion = self.completion(result, None);
        if let Some(queue) = self.queue.take() {
            queue.post(completion);
        }
    }

    /// Completes the operation straight into the hands of the queue's own consumer, `queue`,
    /// where it is that queue's.
    pub fn finish_into(
        mut self,
        result: Result<Yield, Failure>,
        queue: &Queue,
        out: &mut Vec<Completion>,
    ) {
        if !self.queue.as_deref().is_some_and(|own| std::ptr::eq(own, queue)) {
            return self.finish(result);
        }
        let before = out.last().map_or(ptr::null_mut(), |completion| completion.chunk);
        // SAFETY: NULL, or a reference that nobody was given yet.
        let before = unsafe {
            retain(before);
            take(before)
        };
        out.push(self.completion(result, before));
        // Its place is given back by the consumer.
        self.queue = None;
    }

    /// `before`: the chunk of the completion before this one. Streams that follow the log side by
    /// side read the same, and share it.
    fn completion(
        &self,
        result: Result<Yield, Failure>,
        before: Option<Arc<ChunkHandle>>,
    ) -> Completion {
        let mut completion = Completion::new(self.user_data, self.kind);
        match result {
            Ok(Yield::Nothing) => {}
            Ok(Yield::Appended { first_seq_no, last_seq_no, count }) => {
                completion.first_seq_no = first_seq_no;
                completion.last_seq_no = last_seq_no;
                completion.count = count;
            }
            Ok(Yield::Chunk(chunk)) => {
                completion.first_seq_no = chunk.iter().next().map_or(0, |log| log.seq_no());
                completion.last_seq_no = chunk.last_seq_no();
                completion.chunk = give(match before.filter(|before| before.share(&chunk)) {
                    Some(before) => before,
                    None => Arc::new(ChunkHandle::new(chunk)),
                });
            }
            Ok(Yield::Store(store)) => completion.store = give(store),
            Err(failure) => {
                completion.status = failure.status as i32;
                completion.os_errno = failure.os_errno;
                completion.wanted = failure.wanted;
                completion.actual = failure.actual;
            }
        }
        completion
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.refuse();
        }
        // Behind the completion, which comes before that of a close.
        if let Some(store) = self.store.take() {
            store.leave();
        }
    }
}
