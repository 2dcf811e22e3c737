//! Queries and streams that wait: polled by the consumer of their queue.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use waldo_core::{Chunk, QueryError};

use crate::boundary::{Handle, panicked};
use crate::error::Failure;
use crate::process::{Local, Process};
use crate::queue::Queue;
use crate::status::StatusCode::{WALDO_BUSY, WALDO_CANCELLED};
use crate::store::Store;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::ticket::{Completion, Kind, Ticket, Yield};

/// A stream, or a query that is under way.
pub struct Reader {
    local: Local<Inner>,
}

struct Inner {
    state: Mutex<State>,
    position: AtomicU64,
    kind: Kind,
    // Behind the state: what reads must never be the last that holds the store.
    store: Arc<Store>,
}

struct State {
    /// `None` while a thread waits with it, and once a query is done.
    source: Option<Source>,
    waiting: Option<Waiting>,
    wakeup: Option<(Arc<Wakeup>, Waker)>,
}

/// Who waits for the next chunk.
struct Waiting {
    ticket: Ticket,
    slot: usize,
}

/// Where chunks come from.
pub(crate) enum Source {
    Stream(Box<waldo_core::Stream>),
    Query(Pin<Box<dyn Future<Output = Result<Chunk, QueryError>> + Send>>),
}

/// Tells one queue that a reader may go on.
pub(crate) struct Wakeup {
    reader: Weak<Reader>,
    queue: Arc<Queue>,
    is_scheduled: AtomicBool,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        if !self.is_scheduled.swap(true, Ordering::AcqRel) {
            let queue = Arc::clone(&self.queue);
            queue.schedule(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Arc::clone(self).wake();
    }
}

impl Wakeup {
    /// Polls the reader, on behalf of the consumer of `queue`.
    pub fn run(&self, queue: &Queue, out: &mut Vec<Completion>) {
        // Before it is polled: what happens meanwhile schedules it once more.
        self.is_scheduled.store(false, Ordering::Release);
        let Some(reader) = self.reader.upgrade() else { return };
        if let Some((ticket, result)) = reader.poll(false) {
            ticket.finish_into(result, queue, out);
        }
    }
}

impl Handle for Reader {
    const NAME: &'static str = "stream";

    fn process(&self) -> Process {
        self.local.process()
    }
}

impl Source {
    fn position(&self) -> u64 {
        match self {
            Self::Stream(stream) => stream.position(),
            Self::Query(_) => 0,
        }
    }
}

impl Reader {
    pub fn new(store: &Arc<Store>, source: Source) -> Arc<Self> {
        let kind = match source {
            Source::Stream(_) => Kind::WALDO_KIND_STREAM_NEXT,
            Source::Query(_) => Kind::WALDO_KIND_QUERY,
        };
        let inner = Inner {
            position: AtomicU64::new(source.position()),
            state: Mutex::new(State { source: Some(source), waiting: None, wakeup: None }),
            kind,
            store: Arc::clone(store),
        };
        Arc::new(Self { local: Local::new(inner) })
    }

    pub fn is_of(&self, store: &Store) -> bool {
        std::ptr::eq(&*self.local.store, store)
    }

    pub fn position(&self) -> u64 {
        self.local.position.load(Ordering::Acquire)
    }

    /// Has the next chunk completed through a queue.
    pub fn submit(self: &Arc<Self>, queue: &Arc<Queue>, user_data: u64) -> Result<(), Failure> {
        let store = &self.local.store;
        let ticket = Ticket::new(queue, Some(store), user_data, self.local.kind)?;
        let mut state = self.local.state.lock();
        if state.waiting.is_some() || state.source.is_none() {
            return Err(busy());
        }
        let known = state.wakeup.as_ref().filter(|(own, _)| Arc::ptr_eq(&own.queue, queue));
        let wakeup = match known {
            Some((wakeup, _)) => Arc::clone(wakeup),
            None => {
                let wakeup = Arc::new(Wakeup {
                    reader: Arc::downgrade(self),
                    queue: Arc::clone(queue),
                    is_scheduled: AtomicBool::new(false),
                });
                state.wakeup = Some((Arc::clone(&wakeup), Waker::from(Arc::clone(&wakeup))));
                store.note_queue(queue);
                wakeup
            }
        };
        let slot = queue.register(Arc::clone(self));
        state.waiting = Some(Waiting { ticket, slot });
        drop(state);
        wakeup.wake();
        if store.is_ended() {
            // Whoever ends the store may have looked for its readers already.
            self.end();
        }
        Ok(())
    }

    /// Waits for the next chunk on this thread.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Chunk, Failure> {
        let mut state = self.local.state.lock();
        let source = if state.waiting.is_none() { state.source.take() } else { None };
        drop(state);
        let Some(mut source) = source else { return Err(busy()) };
        let next = || match (&mut source, timeout) {
            (Source::Stream(stream), None) => stream.blocking_next(),
            (Source::Stream(stream), Some(timeout)) => stream.blocking_next_timeout(timeout),
            (Source::Query(_), _) => Err(QueryError::Closed),
        };
        let result = catch_unwind(AssertUnwindSafe(next));
        self.local.position.store(source.position(), Ordering::Release);
        self.local.state.lock().source = Some(source);
        Ok(result.map_err(|_| panicked())??)
    }

    /// Goes on behind a log.
    pub fn seek(&self, seq_no: u64) -> Result<(), Failure> {
        let mut state = self.local.state.lock();
        let State { source, waiting, .. } = &mut *state;
        match (waiting, source) {
            (None, Some(Source::Stream(stream))) => stream.seek(seq_no),
            _ => return Err(busy()),
        }
        self.local.position.store(seq_no, Ordering::Release);
        Ok(())
    }

    /// Looks for the next chunk. Where `is_last`, there is an answer in any case.
    fn poll(&self, is_last: bool) -> Option<(Ticket, Result<Yield, Failure>)> {
        let mut state = self.local.state.lock();
        let State { source, waiting, wakeup } = &mut *state;
        // Nobody waits: it was woken for what was cancelled.
        let (Some(source_now), Some((_, waker)), true) =
            (&mut *source, &*wakeup, waiting.is_some())
        else {
            return None;
        };
        let mut context = Context::from_waker(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| match source_now {
            Source::Stream(stream) => stream.poll_next(&mut context),
            Source::Query(query) => query.as_mut().poll(&mut context),
        }));
        let result = match polled {
            Ok(Poll::Ready(Ok(chunk))) => Ok(Yield::Chunk(chunk)),
            Ok(Poll::Ready(Err(error))) => Err(error.into()),
            Ok(Poll::Pending) if is_last => Err(QueryError::Closed.into()),
            Ok(Poll::Pending) => return None,
            Err(_) => Err(panicked()),
        };
        self.local.position.store(source_now.position(), Ordering::Release);
        if matches!(source_now, Source::Query(_)) {
            *source = None;
        }
        let Waiting { ticket, slot } = waiting.take()?;
        let queue = wakeup.as_ref().map(|(wakeup, _)| Arc::clone(&wakeup.queue));
        drop(state);
        if let Some(queue) = queue {
            queue.unregister(slot);
        }
        Some((ticket, result))
    }

    /// Completes what waits, since no more will come.
    pub fn end(&self) {
        if let Some((ticket, result)) = self.poll(true) {
            ticket.finish(result);
        }
    }

    /// Cancels what waits, with this `user_data` or any; answers whether something did.
    pub fn cancel(&self, user_data: Option<u64>) -> bool {
        let mut state = self.local.state.lock();
        let is_meant =
            |waiting: &mut Waiting| user_data.is_none_or(|own| own == waiting.ticket.user_data());
        let Some(Waiting { ticket, slot }) = state.waiting.take_if(is_meant) else { return false };
        let queue = state.wakeup.as_ref().map(|(wakeup, _)| Arc::clone(&wakeup.queue));
        let query = state.source.take_if(|source| matches!(source, Source::Query(_)));
        drop(state);
        drop(query);
        if let Some(queue) = queue {
            queue.unregister(slot);
        }
        ticket.finish(Err(Failure::new(WALDO_CANCELLED, "the operation was cancelled")));
        true
    }
}

fn busy() -> Failure {
    Failure::new(WALDO_BUSY, "the stream has an outstanding next already")
}
