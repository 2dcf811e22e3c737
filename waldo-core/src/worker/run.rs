//! The worker's loop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::cold::ColdReads;
use super::shared::Shared;
use super::ticket;
use crate::driver::{Completion, Driver, Request, Wait};
use crate::engine::{Engine, Finished, Operation};

/// As many acknowledgements take less time than a write.
const FEW: usize = 64;

/// Works until the store is closed, or the worker itself fails; then releases everything, `home`
/// last.
pub(super) fn run(
    shared: &Arc<Shared>,
    home: impl Sized,
    engine: Engine,
    driver: Box<dyn Driver>,
    reads_max: usize,
) {
    let mut worker = Worker {
        shared: Arc::clone(shared),
        engine,
        driver,
        reads: ColdReads::default(),
        reads_max,
        started: Instant::now(),
        expects_close: false,
        close_submitted: false,
        seen: Seen::of(shared),
        news: News::None,
        requests: Vec::new(),
        completions: Vec::new(),
        finished: Vec::new(),
        wakers: Vec::new(),
    };
    if catch_unwind(AssertUnwindSafe(|| worker.work())).is_err() {
        // Before anything of the engine is dropped: what it held is told so.
        shared.published.progress.set_poison(super::panicked());
        log::error!("the worker panicked; the store must be reopened");
    }
    worker.end();
    drop(home);
    shared.set_ended();
    ticket::run(|| shared.waiters.wake_all(&mut Vec::new()));
    shared.finish_close();
}

struct Worker {
    shared: Arc<Shared>,
    engine: Engine,
    driver: Box<dyn Driver>,
    reads: ColdReads,
    reads_max: usize,
    started: Instant,
    /// The engine knows that a close is coming.
    expects_close: bool,
    /// It was asked to close.
    close_submitted: bool,
    seen: Seen,
    news: News,
    // Kept from round to round, so that a round allocates nothing.
    requests: Vec<Request>,
    completions: Vec<Completion>,
    finished: Vec<Finished>,
    wakers: Vec<Waker>,
}

/// What waiting readers were told of.
struct Seen {
    tip: u64,
    epoch: u64,
    poisoned: bool,
}

/// What waiting readers are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    /// There are newer logs.
    Tip(u64),
    /// The log is shorter, or broken.
    Everybody,
}

impl Seen {
    fn of(shared: &Shared) -> Self {
        let progress = &shared.published.progress;
        Self { tip: progress.tip(), epoch: progress.epoch(), poisoned: progress.poison().is_some() }
    }
}

impl Worker {
    fn work(&mut self) {
        loop {
            self.acknowledge_few();
            self.take_operations();
            self.engine.pump(self.now_ns());
            let started = self.start_requests();
            self.engine.take_finished(&mut self.finished);
            self.look_around();
            if self.engine.is_closed() {
                self.deliver();
                return;
            }
            // I/O goes first: what is to be delivered is delivered while the disk works.
            let waited = match (self.has_deliveries(), started) {
                (true, true) => self.driver.wait(Wait::Poll, &mut self.completions),
                (true, false) => Ok(()),
                (false, _) => self.sleep(),
            };
            self.deliver();
            self.take_completions();
            if let Err(error) = waited {
                self.engine.fail("the I/O driver failed", error.raw_os_error());
                self.engine.take_finished(&mut self.finished);
                self.deliver();
                return;
            }
        }
    }

    /// Acknowledges what was written before the next write starts, if that is little: who waited
    /// for it goes on at once, and what he appends next joins that write. A handful of producers
    /// so share each write, where they would take turns otherwise.
    fn acknowledge_few(&mut self) {
        self.engine.settle();
        self.engine.take_finished(&mut self.finished);
        if self.finished.len() <= FEW {
            self.finished.drain(..).for_each(Finished::run);
        }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes what handles submitted.
    fn take_operations(&mut self) {
        // Looked at first: what was submitted before the close is in the lanes by then.
        let closing = self.shared.is_closing();
        self.shared.drain(&mut self.engine);
        if closing && !self.expects_close {
            self.expects_close = true;
            self.engine.expect_close();
        }
        if closing && !self.close_submitted && self.shared.is_drained() {
            self.close_submitted = true;
            // Who waits for the close is told when the lock on the directory is released, too.
            self.engine.submit(Operation::Close { done: Box::new(|_| ()) });
        }
        if self.close_submitted && self.shared.published.progress.poison().is_some() {
            self.engine.abandon();
        }
        while self.reads.len() < self.reads_max
            && let Some(read) = self.shared.pop_read()
        {
            self.reads.start(read, &mut *self.driver);
        }
    }

    /// Gives the engine's requests to the driver; answers whether there were any.
    fn start_requests(&mut self) -> bool {
        self.engine.take_requests(&mut self.requests);
        let started = !self.requests.is_empty();
        for request in self.requests.drain(..) {
            self.driver.submit(request);
        }
        started
    }

    /// Finds out what waiting readers are to be told, and what others may want to know.
    fn look_around(&mut self) {
        let now = Seen::of(&self.shared);
        if now.epoch != self.seen.epoch || now.poisoned != self.seen.poisoned {
            self.news = News::Everybody;
        } else if now.tip > self.seen.tip {
            self.news = News::Tip(now.tip);
        }
        self.seen = now;
        let gauges = &self.shared.gauges;
        gauges.syncs.store(self.engine.syncs_under_way(), Ordering::Relaxed);
        gauges.preparing.store(usize::from(self.engine.is_preparing()), Ordering::Relaxed);
        gauges.reads.store(self.reads.len(), Ordering::Relaxed);
    }

    fn has_deliveries(&self) -> bool {
        !self.finished.is_empty() || self.news != News::None
    }

    /// Waits until there is something to do.
    fn sleep(&mut self) -> std::io::Result<()> {
        let takes_reads = self.reads.len() < self.reads_max;
        let wait = if self.shared.prepare_sleep(takes_reads, self.expects_close) {
            self.engine.deadline_ns().map_or(Wait::Forever, |deadline| {
                Wait::For(Duration::from_nanos(deadline.saturating_sub(self.now_ns())))
            })
        } else {
            Wait::Poll
        };
        let waited = self.driver.wait(wait, &mut self.completions);
        self.shared.woke();
        waited
    }

    /// Wakes readers, and runs completions. What they promise is published already.
    fn deliver(&mut self) {
        let (waiters, wakers) = (&self.shared.waiters, &mut self.wakers);
        match std::mem::replace(&mut self.news, News::None) {
            News::None => {}
            News::Tip(tip) => ticket::run(|| waiters.wake(tip, wakers)),
            News::Everybody => {
                ticket::run(|| waiters.wake_all(wakers));
                self.shared.refuse_waiting();
            }
        }
        self.finished.drain(..).for_each(Finished::run);
    }

    fn take_completions(&mut self) {
        for completion in self.completions.drain(..) {
            if let Some(completion) = self.reads.finish(completion) {
                self.engine.complete(&completion);
            }
        }
    }

    /// Drops everything. The driver first: it waits for the kernel, which may still use what the
    /// engine holds.
    fn end(self) {
        let Self { engine, driver, reads, finished, .. } = self;
        ticket::run(|| drop(driver));
        ticket::run(|| drop(engine));
        ticket::run(|| drop(finished));
        drop(reads);
    }
}
