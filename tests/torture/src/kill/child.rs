//! The writer process.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use waldo_core::Waldo;

use crate::geometry::Geometry;
use crate::note::{Note, Pipe, Witness};
use crate::session::{self, Plan};

/// A session lasts at most this long, where nobody kills its process.
const SESSION_MAX_MS: u64 = 150;

/// What a writer process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Where the store is.
    pub home: PathBuf,
    /// The seed of the store's life.
    pub life: u64,
    /// The store, as its payloads name it.
    pub store: u32,
    /// The first session; others follow.
    pub session: u32,
    /// The store was never opened.
    pub is_new: bool,
}

/// Writes until somebody kills this process.
///
/// # Errors
///
/// Where the task is none.
pub fn write(task: &str) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(task).context("not a task")?;
    let geometry = Geometry::of_life(task.life, &task.home)?;
    for session in task.session.. {
        let is_new = task.is_new && session == task.session;
        if let Err(what) = write_once(&task, &geometry, session, is_new) {
            Pipe.note(Note::Violation(what));
            break;
        }
    }
    Ok(())
}

/// One session: opens, works, closes.
fn write_once(task: &Task, geometry: &Geometry, session: u32, is_new: bool) -> Result<(), String> {
    let mut random = fastrand::Rng::with_seed(task.life ^ u64::from(session) << 32);
    let options = if is_new { geometry.create(&mut random) } else { geometry.open(&mut random) };
    Pipe.note(Note::Opening);
    let waldo = Waldo::blocking_open(&task.home, options)
        .map_err(|error| format!("the writer cannot open the store: {error}"))?;
    let report = waldo.recovery_report();
    Pipe.note(Note::Opened { tip: report.prev_seq_no, trimmed: report.after_seq_no });
    let end = Instant::now() + Duration::from_millis(random.u64(1..SESSION_MAX_MS));
    let plan = Plan {
        seed: random.u64(..),
        store: task.store,
        session,
        options,
        faulty: false,
        forgetful: false,
    };
    session::run(&waldo, plan, &Pipe, &|| Instant::now() >= end);
    Pipe.note(Note::Closing);
    waldo.blocking_close().map_err(|error| format!("the store cannot be closed: {error}"))?;
    Pipe.note(Note::Closed);
    Ok(())
}
