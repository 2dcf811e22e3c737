//! Appending, with and without waiting.

use std::sync::Arc;

use pyo3::prelude::*;
use waldo_core::batch::{Batch, BatchLimits};
use waldo_core::{AppendError, AppendOptions, Appended, Waldo};

use crate::backlog::{Job, Refusal};
use crate::errors::Raise;
use crate::event_loop;
use crate::outcome::Outcome;
use crate::payloads::{Items, Packed};
use crate::store::Store;
use crate::ticket::{Ending, Kind, Pledge};
use crate::wait;

/// What takes so long to copy and checksum that others get the interpreter meanwhile, in bytes.
const LONG: usize = 64 * 1024;

/// Appends, and waits for the acknowledgement.
pub fn append(
    py: Python<'_>,
    store: &Store,
    items: Items<'_>,
    options: AppendOptions,
) -> PyResult<Appended> {
    let waldo = store.open_waldo(py)?;
    store.settle(py)?;
    let is_short = items.size() <= LONG;
    let appended = match items {
        Items::Payloads(payloads) => {
            wait::block_on(py, is_short, waldo.append_assigned_with(payloads, options))?
        }
        Items::Logs(logs) => {
            let appended = wait::block_on(py, is_short, waldo.append_with(logs, options))?;
            appended.map(|()| Appended { first_seq_no: 0, last_seq_no: 0, count: 0 })
        }
    };
    appended.map_err(|error| error.raise(py))
}

/// Appends without waiting for the acknowledgement.
pub fn submit(
    py: Python<'_>,
    store: &Store,
    items: Items<'_>,
    options: AppendOptions,
) -> PyResult<Arc<Outcome<Ending>>> {
    let waldo = store.open_waldo(py)?;
    let limits = waldo.batch_limits();
    check(py, items, &limits)?;
    let pledge = Pledge::new(if items.is_assigned() { Kind::Numbered } else { Kind::Appended });
    let outcome = pledge.outcome();
    if !items.fits(&limits) {
        if options.atomic {
            return Err(items.too_large(&limits).raise(py));
        }
        // Each of its parts waits for the one before.
        let job = append_parts(waldo.clone(), items.pack(), options, pledge);
        push(py, store, Box::pin(job))?;
        return Ok(outcome);
    }
    let make = |may_build| job(waldo, items, options.durable, pledge, may_build);
    if event_loop::running(py)?.is_some() {
        store.backlog().enter(make).map_err(|refusal| refusal.raise(py))?;
        return Ok(outcome);
    }
    store.settle(py)?;
    let job = if items.size() <= LONG { make(true) } else { py.detach(|| make(true)) };
    let sent = wait::block_on(py, true, job.map_err(|error| error.raise(py))?)?;
    sent.map_err(|error| error.raise(py))?;
    Ok(outcome)
}

/// Raises what is wrong with any of the items by itself.
pub fn check(py: Python<'_>, items: Items<'_>, limits: &BatchLimits) -> PyResult<()> {
    items.check(limits).map_err(|error| error.raise(py))
}

/// Leaves a job to the backlog.
pub fn push(py: Python<'_>, store: &Store, job: Job) -> PyResult<()> {
    store.backlog().push(job).map_err(|error| Refusal::NoThread(error).raise(py))
}

fn build(waldo: &Waldo, items: Items<'_>) -> Result<Batch, AppendError> {
    let mut batch = waldo.try_batch(items.size(), items.is_assigned())?;
    items.fill(&mut batch, &waldo.batch_limits())?;
    Ok(batch.finish())
}

/// Makes a job that appends what fits one frame. Where it may not build the batch now, or cannot,
/// it holds no buffer of the pool until it is carried out.
fn job(
    waldo: &Waldo,
    items: Items<'_>,
    durable: bool,
    pledge: Pledge,
    may_build: bool,
) -> Result<Job, AppendError> {
    let built = if may_build { build(waldo, items) } else { Err(AppendError::WouldBlock) };
    match built {
        Ok(batch) => Ok(Box::pin(send(waldo.clone(), batch, durable, pledge))),
        Err(AppendError::WouldBlock) => {
            Ok(Box::pin(build_and_send(waldo.clone(), items.pack(), durable, pledge)))
        }
        Err(error) => Err(error),
    }
}

/// Tells of a refusal, and passes it on.
fn refuse(pledge: Pledge, error: AppendError) -> Result<(), AppendError> {
    let ending = Ending::appended(pledge.kind(), Err(error.clone()));
    pledge.keep(ending);
    Err(error)
}

/// Submits a batch; waits for room.
async fn send(
    waldo: Waldo,
    batch: Batch,
    durable: bool,
    pledge: Pledge,
) -> Result<(), AppendError> {
    let (outcome, kind) = (pledge.outcome(), pledge.kind());
    let done = move |result| outcome.complete(Ending::appended(kind, result));
    match waldo.send_append(batch, durable, done).await {
        Ok(()) => {
            pledge.hand_over();
            Ok(())
        }
        Err(error) => refuse(pledge, error),
    }
}

/// Builds and submits a batch; waits for a buffer, and for room.
async fn build_and_send(
    waldo: Waldo,
    packed: Packed,
    durable: bool,
    pledge: Pledge,
) -> Result<(), AppendError> {
    let assigned = pledge.kind() == Kind::Numbered;
    let built = waldo.batch(packed.size(), assigned).await.and_then(|mut batch| {
        packed.with_items(|items| items.fill(&mut batch, &waldo.batch_limits()))?;
        Ok(batch.finish())
    });
    drop(packed);
    match built {
        Ok(batch) => send(waldo, batch, durable, pledge).await,
        Err(error) => refuse(pledge, error),
    }
}

/// Appends more than a frame holds.
async fn append_parts(
    waldo: Waldo,
    packed: Packed,
    options: AppendOptions,
    pledge: Pledge,
) -> Result<(), AppendError> {
    let appended = packed.append(&waldo, options).await;
    let ending = Ending::appended(pledge.kind(), appended);
    pledge.keep(ending);
    Ok(())
}
