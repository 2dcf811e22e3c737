//! What was submitted while the store had no room for it.
//!
//! A thread that runs an event loop must not wait for room. What it submits then goes on here, in
//! order, on a thread that there is only as long as something waits. Others wait for room
//! themselves.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::prelude::*;
use waldo_core::{AppendError, thread};

use crate::errors::{self, Raise};
use crate::wait;

/// Something that waits for room. It tells everybody concerned how it ended, also when it is
/// refused, or dropped.
pub type Job = Pin<Box<dyn Future<Output = Result<(), AppendError>> + Send>>;

/// Jobs in order.
#[derive(Default)]
pub struct Backlog {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// There is a thread that carries them out.
    is_running: bool,
    /// Who wants to know when nothing waits any more.
    waiting: Vec<Waker>,
}

/// Why a job was not accepted.
pub enum Refusal {
    Append(AppendError),
    NoThread(io::Error),
}

impl Raise for Refusal {
    fn raise(&self, py: Python<'_>) -> PyErr {
        match self {
            Self::Append(error) => error.raise(py),
            Self::NoThread(error) => errors::no_thread(py, error),
        }
    }
}

impl Backlog {
    /// Whether something waits, so that what is submitted now has to queue behind it.
    pub fn is_running(&self) -> bool {
        self.lock().is_running
    }

    /// Ready when nothing waits.
    pub fn poll_settled(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.is_running {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|known| known.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Makes a job and has it go on as far as it gets, where nothing waits; else, or where that is
    /// not to its end, it waits.
    ///
    /// `make` is told which. A job that is to wait holds no buffer of the pool: the one before it
    /// may be waiting for just that.
    ///
    /// # Errors
    ///
    /// What the job answered, where it went to its end; the system refuses a thread.
    pub fn enter(
        self: &Arc<Self>,
        make: impl FnOnce(bool) -> Result<Job, AppendError>,
    ) -> Result<(), Refusal> {
        // Locked all the while: nothing gets in between.
        let state = self.lock();
        let is_free = !state.is_running;
        let mut job = make(is_free).map_err(Refusal::Append)?;
        if is_free {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = job.as_mut().poll(&mut context) {
                return result.map_err(Refusal::Append);
            }
        }
        self.add(state, job).map_err(Refusal::NoThread)
    }

    /// Adds a job.
    ///
    /// # Errors
    ///
    /// The system refuses a thread; the job was dropped.
    pub fn push(self: &Arc<Self>, job: Job) -> io::Result<()> {
        self.add(self.lock(), job)
    }

    fn add(self: &Arc<Self>, mut state: MutexGuard<'_, State>, job: Job) -> io::Result<()> {
        state.jobs.push_back(job);
        if state.is_running {
            return Ok(());
        }
        let own = Arc::clone(self);
        match thread::start("waldo-backlog", move || own.run()) {
            Ok(_) => {
                state.is_running = true;
                Ok(())
            }
            Err(error) => {
                let jobs = std::mem::take(&mut state.jobs);
                drop(state);
                drop(jobs);
                Err(error)
            }
        }
    }

    fn run(&self) {
        while let Some(job) = self.next() {
            // Who is concerned was told how it ended, also after a panic, which dropped the job.
            if catch_unwind(AssertUnwindSafe(|| wait::block_on_detached(job))).is_err() {
                log::error!("a job of the backlog panicked");
            }
        }
    }

    /// The next job; where there is none the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let job = state.jobs.pop_front();
        if job.is_none() {
            state.is_running = false;
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
        }
        job
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
