//! The life of one store: written, killed, checked, again and again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use waldo_core::{Retention, Waldo};

use super::Tally;
use super::child::Task;
use super::moment::{Moment, under_way};
use crate::geometry::Geometry;
use crate::model::{Found, Model, Survives};
use crate::note::Note;
use crate::run::Run;
use crate::session;

/// Most kills in one life.
const KILLS_MAX: u32 = 25;

/// Sessions of one writer process have numbers of their own.
const SESSION_STRIDE: u32 = 1000;

/// A writer that gets nowhere for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gives a store its life.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn live(run: &Run, seed: u64, dir: &Path, tally: &Mutex<Tally>) -> anyhow::Result<()> {
    let under_way = run.begin(format!("waldo-torture kill --seed {seed} --rounds {KILLS_MAX}"));
    let home = tempfile::Builder::new().prefix("waldo-kill-").tempdir_in(dir)?;
    let geometry = Geometry::of_life(seed, home.path())?;
    let mut random = Rng::with_seed(seed);
    let overwrites = geometry.base.retention == Retention::Overwrite;
    let mut life = Life {
        run,
        task: Task {
            home: home.path().to_owned(),
            life: seed,
            store: seed as u32,
            session: 1,
            is_new: true,
        },
        geometry,
        model: Model::new(
            Survives::Acknowledged,
            overwrites,
            geometry.base.ring_size.unwrap_or(waldo_core::Options::NEW_RING_SIZE),
        ),
        tally,
    };
    for _ in 0..random.u32(1..=KILLS_MAX) {
        if !run.next() {
            break;
        }
        if let Err(what) = life.round(&mut random)? {
            let kept = home.keep();
            let what = format!("{what}\n  store: {} (of a life with {geometry:?})", kept.display());
            run.violation(&under_way, &what);
            break;
        }
    }
    Ok(())
}

struct Life<'a> {
    run: &'a Run,
    task: Task,
    geometry: Geometry,
    model: Model,
    tally: &'a Mutex<Tally>,
}

impl Life<'_> {
    /// Starts a writer, kills it, and looks at what it left.
    fn round(&mut self, random: &mut Rng) -> anyhow::Result<Result<(), String>> {
        let notes = self.write_and_kill(Moment::random(random))?;
        Run::count(&self.run.faults);
        self.count(&notes);
        self.task.session += SESSION_STRIDE;
        self.task.is_new &= !notes.iter().any(|note| matches!(note, Note::Opened { .. }));
        for note in &notes {
            // The writer opens a store again only where it knows how everything ended.
            if let Err(what) = self.model.note(note) {
                return Ok(Err(what));
            }
        }
        // Now and then a writer is the first to open what another one left.
        if self.model.is_in_doubt() || self.task.is_new || random.u8(..4) > 0 {
            let checked = self.check(random);
            Run::count(&self.run.cases);
            return Ok(checked);
        }
        Run::count(&self.run.cases);
        Ok(Ok(()))
    }

    fn write_and_kill(&self, mut moment: Moment) -> anyhow::Result<Vec<Note>> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("writer")
            .arg(serde_json::to_string(&self.task)?)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a writer")?;
        let said = listen(&mut child)?;
        let mut notes = Vec::new();
        if !moment.is_at_start() {
            loop {
                match said.recv_timeout(PATIENCE) {
                    Ok(note) => {
                        let begins = moment.begins(&note) || matches!(note, Note::Violation(_));
                        notes.push(note);
                        if begins {
                            break;
                        }
                    }
                    Err(error) => {
                        let _ = child.kill();
                        let _ = child.wait();
                        notes.push(Note::Violation(format!("the writer says nothing: {error}")));
                        return Ok(notes);
                    }
                }
            }
        }
        thread::sleep(moment.delay);
        child.kill().context("cannot kill the writer")?;
        let status = child.wait().context("cannot wait for the writer")?;
        notes.extend(said.iter());
        let has_violation = notes.iter().any(|note| matches!(note, Note::Violation(_)));
        if status.code().is_some() && !has_violation {
            notes.push(Note::Violation(format!("the writer ended by itself: {status}")));
        }
        Ok(notes)
    }

    /// Opens what is left, and compares it with what was reported.
    fn check(&mut self, random: &mut Rng) -> Result<(), String> {
        let found = self.look(random)?;
        self.model.check(&found)?;
        if random.u8(..8) == 0 {
            let again = self.look(random)?;
            self.check_again(&found, &again)?;
        }
        self.task.is_new = false;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.overwritten += self.model.given_up(&found) as u64;
        self.model.rebase(&found);
        Ok(())
    }

    /// Opening changes nothing; only a ring that is full may give up its oldest logs for what an
    /// open writes.
    fn check_again(&self, found: &Found, again: &Found) -> Result<(), String> {
        let mut model = self.model.clone();
        model.rebase(found);
        model.check(again).map_err(|what| format!("opening again: {what}"))
    }

    fn look(&self, random: &mut Rng) -> Result<Found, String> {
        let options = if self.task.is_new {
            self.geometry.create(random)
        } else {
            self.geometry.open(random)
        };
        let waldo = Waldo::blocking_open(&self.task.home, options)
            .map_err(|error| format!("the store cannot be opened: {error}"))?;
        if waldo.recovery_report().dropped.is_some() {
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).torn += 1;
        }
        let found = session::scan(&waldo, self.task.store)?;
        // Now and then without a word of goodbye.
        if random.bool() {
            waldo
                .blocking_close()
                .map_err(|error| format!("the store cannot be closed: {error}"))?;
        }
        Ok(found)
    }

    fn count(&self, notes: &[Note]) {
        let logs = |note: &Note| match note {
            Note::Appended { numbers, .. } => u64::from(numbers.count),
            _ => 0,
        };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.acknowledged += notes.iter().map(logs).sum::<u64>();
        *tally.moments.entry(under_way(notes, self.task.is_new)).or_default() += 1;
    }
}

/// What a writer says, as it says it; ends with it.
fn listen(child: &mut Child) -> anyhow::Result<Receiver<Note>> {
    let Some(stdout) = child.stdout.take() else { bail!("the writer has no standard output") };
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("witness".to_owned()).spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let note = line.map_err(|error| error.to_string()).and_then(|line| {
                serde_json::from_str(&line).map_err(|error| format!("{error} in {line}"))
            });
            let note = note.unwrap_or_else(Note::Violation);
            if sender.send(note).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}
