//! Completions that run exactly once, whatever happens to the operation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::shared::{Lane, Shared};
use crate::engine::{Appended, Completion};
use crate::error::{AppendError, Error};

/// A result that can say that its operation was lost.
pub(crate) trait Outcome: Sized + Send + 'static {
    /// The result of an operation that the store ended without answering.
    fn lost(shared: &Shared) -> Self;
}

impl Outcome for Result<Appended, AppendError> {
    fn lost(shared: &Shared) -> Self {
        Err(shared.end().map_or(AppendError::Closed, AppendError::Poisoned))
    }
}

impl Outcome for Result<(), Error> {
    fn lost(shared: &Shared) -> Self {
        Err(shared.end().map_or(Error::Closed, Error::Poisoned))
    }
}

/// A place in a lane, which is given back when this is dropped.
pub(crate) struct Reservation {
    shared: Arc<Shared>,
    lane: Lane,
    /// Bytes of a small append, which count against a budget of their own.
    bytes: usize,
}

impl Reservation {
    pub(super) fn new(shared: Arc<Shared>, lane: Lane, bytes: usize) -> Self {
        Self { shared, lane, bytes }
    }

    /// The lane that the place is in.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// A completion for the operation that takes the place. It gives the place back, and then
    /// runs `done`: with the result, or where it is dropped before, with one that says so.
    pub fn completion<T: Outcome>(self, done: impl FnOnce(T) + Send + 'static) -> Completion<T> {
        let ticket = Ticket { reservation: Some(self), done: Some(done), lost: T::lost };
        Box::new(move |result| ticket.finish(result))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.give_back(self.lane, self.bytes);
    }
}

/// The completion of an operation that is under way.
struct Ticket<T, F: FnOnce(T)> {
    reservation: Option<Reservation>,
    done: Option<F>,
    lost: fn(&Shared) -> T,
}

impl<T, F: FnOnce(T)> Ticket<T, F> {
    fn finish(mut self, result: T) {
        // Before the callback, which may well want to submit the next operation.
        drop(self.reservation.take());
        if let Some(done) = self.done.take() {
            run(|| done(result));
        }
    }
}

impl<T, F: FnOnce(T)> Drop for Ticket<T, F> {
    fn drop(&mut self) {
        let (Some(done), Some(reservation)) = (self.done.take(), self.reservation.take()) else {
            return;
        };
        let shared = Arc::clone(&reservation.shared);
        drop(reservation);
        let result = (self.lost)(&shared);
        run(|| done(result));
    }
}

/// Runs a callback of the user's. Its panic is its own affair: the store goes on.
pub(crate) fn run(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        log::error!("a completion callback panicked; the store goes on");
    }
}
