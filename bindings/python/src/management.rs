//! Making durable, trimming, truncating, without waiting.

use std::future::Future;

use pyo3::prelude::*;
use waldo_core::{AppendError, Error, Waldo};

use crate::errors::{self, Raise};
use crate::store::Store;
use crate::submission;
use crate::ticket::{Ending, Kind, Pledge, Ticket};
use crate::wait;

/// A completion of the core.
type Done = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Submits an operation; one that finds no room, or must queue behind others, takes the form
/// that waits.
fn submit<F>(
    py: Python<'_>,
    store: &Store,
    now: impl FnOnce(&Waldo, Done) -> Result<(), Error>,
    later: impl FnOnce(Waldo) -> F + Send + 'static,
) -> PyResult<Ticket>
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let waldo = store.open_waldo(py)?;
    let pledge = Pledge::new(Kind::Managed);
    let ticket = pledge.ticket();
    if !store.backlog().is_running() && submitted(py, waldo, &pledge, now)? {
        pledge.hand_over();
        return Ok(ticket);
    }
    let waldo = waldo.clone();
    let job = async move {
        let result = later(waldo).await;
        pledge.keep(Ending::Managed(result));
        Ok(())
    };
    submission::push(py, store, Box::pin(job))?;
    Ok(ticket)
}

/// Submits an operation, if there is room for it.
fn submitted(
    py: Python<'_>,
    waldo: &Waldo,
    pledge: &Pledge,
    now: impl FnOnce(&Waldo, Done) -> Result<(), Error>,
) -> PyResult<bool> {
    let outcome = pledge.outcome();
    match now(waldo, Box::new(move |result| outcome.complete(Ending::Managed(result)))) {
        Ok(()) => Ok(true),
        Err(Error::Append(AppendError::WouldBlock)) => Ok(false),
        Err(error) => Err(error.raise(py)),
    }
}

pub fn sync(py: Python<'_>, store: &Store) -> PyResult<Ticket> {
    let now = |waldo: &Waldo, done| waldo.submit_sync(done);
    submit(py, store, now, |waldo| async move { waldo.sync().await })
}

pub fn truncate(py: Python<'_>, store: &Store, after_seq_no: u64) -> PyResult<Ticket> {
    let now = |waldo: &Waldo, done| waldo.submit_truncate(after_seq_no, done);
    submit(py, store, now, move |waldo| async move { waldo.truncate(after_seq_no).await })
}

pub fn clear(py: Python<'_>, store: &Store) -> PyResult<Ticket> {
    let now = |waldo: &Waldo, done| waldo.submit_clear(done);
    submit(py, store, now, |waldo| async move { waldo.clear().await })
}

/// A trim overtakes what waits for room: it may be what makes some.
pub fn trim(py: Python<'_>, store: &Store, up_to_seq_no: u64) -> PyResult<Ticket> {
    let waldo = store.open_waldo(py)?;
    let pledge = Pledge::new(Kind::Managed);
    let ticket = pledge.ticket();
    let now = |waldo: &Waldo, done| waldo.submit_trim(up_to_seq_no, done);
    if submitted(py, waldo, &pledge, now)? {
        pledge.hand_over();
        return Ok(ticket);
    }
    let waldo = waldo.clone();
    let work = move || {
        let result = wait::block_on_detached(waldo.trim(up_to_seq_no));
        pledge.keep(Ending::Managed(result));
    };
    waldo_core::thread::start("waldo-trim", work).map_err(|error| errors::no_thread(py, &error))?;
    Ok(ticket)
}
