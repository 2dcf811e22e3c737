//! Load generators over [`crate::engine`].

mod bell;
pub mod fanout;
pub mod pace;
pub mod produce;
pub mod touch;

use std::path::PathBuf;
use std::rc::Rc;

use crate::engine::{Engine, Setup, Store};
use crate::files;
use crate::options::{Common, WorkDir};
use crate::outcome::Sample;
use crate::rounds::{Case, Label, Role, Set};

/// What is done with an open store.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Producers append.
    Produce(produce::Load),
    /// One producer appends, and streams follow.
    Fanout(fanout::Load),
}

/// In which state a run finds the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// New for each run: pages that were never written before.
    Fresh,
    /// The same for all runs: so much payload was appended before the first.
    Steady {
        /// Bytes of payload.
        lead_in: u64,
    },
}

/// What an engine is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// The work, as the report names it.
    pub work: String,
    /// How the store is opened.
    pub setup: Setup,
    /// State of the store.
    pub start: Start,
    /// What is done with it.
    pub load: Load,
}

/// One engine under one load.
pub struct EngineCase {
    engine: Rc<dyn Engine>,
    task: Task,
    dir: PathBuf,
    seed: u64,
    warm: bool,
    open: Option<Open>,
}

/// Dropped in this order: the store before its files.
struct Open {
    store: Box<dyn Store>,
    _dir: WorkDir,
}

/// The longest lead-in; an engine that is slow must not take all the time there is.
const LEAD_IN_SECONDS_MAX: f64 = 5.0;

impl EngineCase {
    /// A case.
    #[must_use]
    pub fn new(engine: Rc<dyn Engine>, task: Task, common: &Common) -> Self {
        let (dir, seed, warm) = (common.dir.clone(), common.seed, !common.no_warm);
        Self { engine, task, dir, seed, warm, open: None }
    }

    fn open(&self) -> anyhow::Result<Open> {
        let setup = &self.task.setup;
        let dir = WorkDir::new(&self.dir, &self.engine.name())?;
        if self.warm {
            crate::warm::memory(self.memory())?;
        }
        let store = self.engine.open(dir.path(), setup)?;
        if let Start::Steady { lead_in } = self.task.start {
            // At least one append, so that there is something to settle.
            let bytes = lead_in.max(1);
            let load = produce::Load { bytes, seconds: LEAD_IN_SECONDS_MAX, task_threads: None };
            produce::run(&*store, setup, &load, self.seed)?;
            store.settle()?;
        }
        Ok(Open { store, _dir: dir })
    }

    /// Memory that the engine may come to need, page cache included: what it does not reuse on
    /// disk it touches anew.
    fn memory(&self) -> u64 {
        let disk = self.task.setup.disk_bytes;
        match (self.task.start, &self.task.load) {
            (Start::Steady { lead_in }, Load::Produce(load)) if !self.engine.rests() => {
                lead_in.saturating_add(load.bytes).min(8 * disk)
            }
            _ => disk,
        }
    }

    fn run_on(&self, open: &Open) -> anyhow::Result<Sample> {
        let (store, setup) = (&*open.store, &self.task.setup);
        let sample = match &self.task.load {
            Load::Produce(load) => produce::run(store, setup, load, self.seed),
            Load::Fanout(load) => fanout::run(store, setup, load, self.seed),
        };
        // What one run leaves to be written back must not disturb the next.
        files::sync_file_system(&self.dir)?;
        sample
    }
}

impl Case for EngineCase {
    fn label(&self) -> Label {
        let mut who = self.engine.name();
        if self.task.start == Start::Fresh {
            who.push_str(", first lap");
        }
        if let Load::Produce(produce::Load { task_threads: Some(_), .. }) = self.task.load {
            who.push_str(", tasks");
        }
        Label::new(self.engine.role(), &self.task.work, who)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        if self.task.start != Start::Fresh && self.engine.rests() {
            self.open = Some(self.open()?);
        }
        Ok(())
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        if let Some(open) = &self.open {
            return self.run_on(open);
        }
        let open = self.open()?;
        let sample = self.run_on(&open);
        open.store.close()?;
        sample
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        match self.open.take() {
            Some(open) => open.store.close(),
            None => Ok(()),
        }
    }
}

/// A task for every engine that does not refuse it; says which do, and why.
#[must_use]
pub fn cases(engines: &[Rc<dyn Engine>], task: &Task, common: &Common) -> Set {
    let mut set: Set = Vec::new();
    for engine in engines {
        let cannot_follow = matches!(task.load, Load::Fanout(_)) && !engine.follows();
        let reason = cannot_follow.then_some("it cannot follow its log");
        match reason.or_else(|| engine.refuses(&task.setup)) {
            Some(reason) => {
                eprintln!("left out: {} at {}: {reason}", engine.name(), task.work);
            }
            None => set.push(Box::new(EngineCase::new(Rc::clone(engine), task.clone(), common))),
        }
    }
    set
}

/// Puts cases into as few sets as the disk allows: where there are peers, those of one kind of
/// work have it to themselves.
#[must_use]
pub fn sets(works: Vec<Set>) -> Vec<Set> {
    let has_peers = works.iter().flatten().any(|case| case.label().role == Role::Peer);
    if has_peers { works } else { vec![works.into_iter().flatten().collect()] }
}
