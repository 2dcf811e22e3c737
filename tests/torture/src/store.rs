//! One store through all that befalls its disk: what it must hold, and looking whether it does.

use std::path::{Path, PathBuf};

use fastrand::Rng;
use waldo_core::{AppendError, Error, Options, QueryError, Retention, Waldo};

use crate::geometry::Geometry;
use crate::model::{Found, Model, Survives};
use crate::note::{Memory, Note};
use crate::session::{self, Plan, Unreadable};

/// A store, and what is known of it.
pub struct Store {
    /// Where it is.
    pub home: PathBuf,
    /// How it was made.
    pub geometry: Geometry,
    /// It was opened once.
    pub exists: bool,
    model: Model,
    number: u32,
    session: u32,
}

impl Store {
    /// One that does not exist yet, of the life with a seed.
    ///
    /// # Errors
    ///
    /// Where nothing can be made in `dir`.
    pub fn of_life(seed: u64, dir: &Path) -> std::io::Result<Self> {
        let geometry = Geometry::of_life(seed, dir)?;
        let overwrites = geometry.base.retention == Retention::Overwrite;
        Ok(Self {
            home: dir.join("home"),
            geometry,
            exists: false,
            model: Model::new(
                Survives::Durable,
                overwrites,
                geometry.base.ring_size.unwrap_or(waldo_core::Options::NEW_RING_SIZE),
            ),
            number: seed as u32,
            session: 0,
        })
    }

    /// Options for the next open.
    pub fn options(&self, random: &mut Rng) -> Options {
        if self.exists { self.geometry.open(random) } else { self.geometry.create(random) }
    }

    /// Works on it, until `is_over` or until it fails. Where `forgetful`, a sync that fails loses
    /// what it was to make durable.
    pub fn work(
        &mut self,
        waldo: &Waldo,
        options: Options,
        forgetful: bool,
        random: &mut Rng,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Vec<Note> {
        self.exists = true;
        self.session += 1;
        let plan = Plan {
            seed: random.u64(..),
            store: self.number,
            session: self.session,
            options,
            faulty: true,
            forgetful,
        };
        let memory = Memory::default();
        session::run(waldo, plan, &memory, is_over);
        memory.take()
    }

    /// Takes what was reported. Answers whether the store failed, where `check_cause` agrees with
    /// the error number.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn take(
        &mut self,
        notes: &[Note],
        check_cause: &dyn Fn(Option<i32>) -> Result<(), String>,
    ) -> Result<bool, String> {
        let mut failed = false;
        for note in notes {
            self.model.note(note)?;
            if let Note::Poisoned { errno } = note {
                failed = true;
                check_cause(*errno).map_err(|what| format!("the store failed {what}"))?;
            }
        }
        Ok(failed)
    }

    /// Readers of a store that failed, or did not, find what was acknowledged, unless they get an
    /// error that `may_be`; and one that failed takes nothing any more.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn read_on(
        &self,
        waldo: &Waldo,
        failed: bool,
        may_be: &dyn Fn(u64, &QueryError) -> bool,
    ) -> Result<(), String> {
        if failed {
            check_poison_holds(waldo)?;
        }
        let tip = waldo.prev_seq_no().unwrap_or(0);
        let logs = match session::read_through(waldo, self.number, tip) {
            Ok(logs) => logs,
            Err(Unreadable::Refused(after, error)) if may_be(after, &error) => return Ok(()),
            Err(unreadable) => return Err(format!("readers do not go on: {unreadable:?}")),
        };
        let Some(metadata) = waldo.blocking_metadata() else { return Ok(()) };
        let trimmed = metadata.after_seq_no;
        let logs = logs.into_iter().filter(|(seq_no, _)| *seq_no > trimmed).collect();
        let found = Found { trimmed, tip, page_count: metadata.page_count, logs };
        self.model.while_open().check(&found).map_err(|what| format!("while it was open: {what}"))
    }

    /// Closes it.
    ///
    /// # Errors
    ///
    /// That of the close.
    pub fn close(&mut self, waldo: Waldo) -> Result<(), Error> {
        waldo.blocking_close()?;
        let noted = self.model.note(&Note::Closed);
        debug_assert!(noted.is_ok(), "a close is never wrong by itself");
        Ok(())
    }

    /// Opens it, now that nothing is wrong any more, and compares.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn look(&mut self, random: &mut Rng, when: &str) -> Result<(), String> {
        let waldo = Waldo::blocking_open(&self.home, self.options(random))
            .map_err(|error| format!("once {when} the store cannot be opened: {error}"))?;
        let found =
            session::scan(&waldo, self.number).map_err(|what| format!("once {when}: {what}"))?;
        self.model.check(&found).map_err(|what| format!("once {when}: {what}"))?;
        self.exists = true;
        self.model.rebase(&found);
        waldo.blocking_close().map_err(|error| format!("once {when}: {error}"))
    }
}

/// A store that failed takes nothing any more.
fn check_poison_holds(waldo: &Waldo) -> Result<(), String> {
    match waldo.blocking_append_assigned(&[b"too late"]) {
        Err(AppendError::Poisoned(_)) => {}
        other => return Err(format!("an append after the store had failed: {other:?}")),
    }
    match waldo.blocking_sync() {
        Err(Error::Poisoned(_)) => Ok(()),
        other => Err(format!("a sync after the store had failed: {other:?}")),
    }
}

/// The system's error number that an open failed with.
///
/// # Errors
///
/// Where it failed with something else.
pub fn errno_of_open(error: &Error) -> Result<Option<i32>, String> {
    match error {
        Error::Io { source, .. } | Error::Unsupported { source, .. } => Ok(source.raw_os_error()),
        Error::Poisoned(poison) => Ok(poison.errno),
        Error::Append(AppendError::NoSpace { errno }) => Ok(Some(*errno)),
        _ => Err(format!("the open failed with the wrong kind of error: {error:?}")),
    }
}
