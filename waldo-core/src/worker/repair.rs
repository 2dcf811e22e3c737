//! The first write after a crash, before anybody sees the store.
//!
//! What recovery dropped may be on disk in part, and must not become a part of the log when it
//! grows again, nor at the next recovery. So something else is written in its place first.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::driver::{Driver, Wait};
use crate::engine::{Engine, Finished, Operation};
use crate::error::{AppendError, Error, Poison};

/// Has the engine repair what recovery left, and waits for it and for what it brings about: where
/// it is near the end of a page, the next page is given up.
///
/// # Errors
///
/// [`Error::Io`] where that cannot be written.
pub(super) fn repair(
    engine: &mut Engine,
    driver: &mut dyn Driver,
    home: &Path,
) -> Result<(), Error> {
    let ended: Arc<Mutex<Option<Result<(), Error>>>> = Arc::default();
    let end = Arc::clone(&ended);
    engine.submit(Operation::Repair { done: Box::new(move |result| *end.lock() = Some(result)) });
    let (mut requests, mut completions, mut finished) = (Vec::new(), Vec::new(), Vec::new());
    let mut under_way = 0;
    loop {
        // No time passes: nothing that is timed has begun.
        engine.pump(0);
        engine.take_requests(&mut requests);
        under_way += requests.len();
        requests.drain(..).for_each(|request| driver.submit(request));
        engine.take_finished(&mut finished);
        finished.drain(..).for_each(Finished::run);
        if let Some(end) = ended.lock().take_if(|_| !engine.is_writing()) {
            return end.map_err(|error| failed(error, home));
        }
        if under_way == 0 {
            let poison = Poison { reason: "the repair after a crash did not end", errno: None };
            return Err(poison.into());
        }
        driver.wait(Wait::Forever, &mut completions).map_err(|source| io_error(home, source))?;
        under_way -= completions.len();
        completions.drain(..).for_each(|completion| engine.complete(&completion));
    }
}

/// What a failed repair is to whoever opens the store.
fn failed(error: Error, home: &Path) -> Error {
    let errno = match &error {
        Error::Poisoned(poison) => poison.errno,
        Error::Append(AppendError::NoSpace { errno }) => Some(*errno),
        _ => None,
    };
    errno.map_or(error, |errno| io_error(home, std::io::Error::from_raw_os_error(errno)))
}

fn io_error(home: &Path, source: std::io::Error) -> Error {
    Error::Io { action: "repair after a crash", path: home.to_owned(), source }
}
