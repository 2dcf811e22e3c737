//! Opening a store: after it was closed, and after its process was killed.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use waldo_core::{Options as WaldoDefaults, Recovery, Waldo};

use crate::ceiling::scan::FilesOf;
use crate::ceiling::{Cache, Scan, Scanner};
use crate::files::{PageFiles, sync_file_system};
use crate::measure::Meter;
use crate::options::{Common, WorkDir, vary};
use crate::outcome::{Metric, Sample};
use crate::payload::Payload;
use crate::report::Plan;
use crate::rounds::{self, Case, Label, Point, Role, Set};
use crate::size;
use crate::stock::Shape;

/// Bytes that the process appends before it is killed.
const APPENDED_BEFORE_KILL: u64 = 64 << 20;

/// What the process says when it may be killed.
const READY: &str = "appending";

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum End {
    /// It was closed.
    Closed,
    /// Its process was killed while it appended.
    Killed,
}

/// [`Recovery`] on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reading {
    /// Every checksum of every page.
    Full,
    /// Full pages by their seal.
    Fast,
}

/// Options of the scenario.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// How the store was left.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "closed,killed")]
    pub end: Vec<End>,
    /// How much is checked.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "full,fast")]
    pub recovery: Vec<Reading>,
    /// State of the page cache.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "warm,cold")]
    pub cache: Vec<Cache>,
    /// Payload that the store holds, three quarters of its size on disk.
    #[arg(long, value_parser = size::parse, value_delimiter = ',', default_value = "3GiB")]
    pub bytes: Vec<u64>,
    /// Bytes of one log.
    #[arg(long, value_parser = size::parse, default_value = "1KiB")]
    pub log_size: u64,
    /// Do not measure what reading the same files achieves without an engine.
    #[arg(long)]
    pub no_ceiling: bool,
}

/// How one open is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Payload that the store holds.
    pub bytes: u64,
    /// How the store was left.
    pub end: End,
    /// How much is checked.
    pub recovery: Reading,
    /// State of the page cache.
    pub cache: Cache,
}

impl Way {
    /// The name of the work.
    #[must_use]
    pub fn work(&self) -> String {
        format!("{}, {}", size::show(self.bytes), self.kind())
    }

    /// The same without the size.
    fn kind(&self) -> String {
        let end = if self.end == End::Closed { "closed" } else { "killed" };
        let recovery = if self.recovery == Reading::Full { "Full" } else { "Fast" };
        format!("{end}, {recovery}, {}", self.cache.label())
    }
}

/// What the scenario runs: a set for each size.
#[must_use]
pub fn plan(options: &Options, common: &Common) -> Plan {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let set = |bytes: &u64| {
        let shape = Shape::three_quarters(*bytes, options.log_size as usize, common.seed);
        let store = Rc::new(Store::new(&common.dir, shape));
        let usual =
            Way { bytes: *bytes, end: End::Closed, recovery: Reading::Full, cache: Cache::Warm };
        let ways = vary(&[usual], &options.end, |way, end| way.end = end);
        let ways = vary(&ways, &options.recovery, |way, recovery| way.recovery = recovery);
        let ways = vary(&ways, &options.cache, |way, cache| way.cache = cache);
        let mut set: Set = Vec::new();
        for way in ways {
            let mut cases: Set = Vec::new();
            if way.recovery == Reading::Full && !options.no_ceiling {
                let store = Rc::clone(&store);
                let files: FilesOf = Box::new(move || store.files());
                let scanner = Scanner::Pread { threads: cpus, crc: true };
                cases.push(Box::new(Scan::new(&way.work(), scanner, way.cache, files)));
            }
            cases.push(Box::new(Recover { way, store: Rc::clone(&store) }));
            let point = Point { axis: "bytes of payload", x: *bytes as f64, series: way.kind() };
            set.extend(rounds::placed(cases, &point));
        }
        set
    };
    let columns =
        &[Metric::Seconds, Metric::GigabytesPerSecond, Metric::CpuSeconds, Metric::ReadPerPayload];
    Plan { scenario: "recover", sets: options.bytes.iter().map(set).collect(), columns }
}

/// A store that is closed, except while a case opens it.
struct Store {
    parent: PathBuf,
    shape: Shape,
    dir: RefCell<Option<Rc<WorkDir>>>,
}

impl Store {
    fn new(parent: &Path, shape: Shape) -> Self {
        Self { parent: parent.to_owned(), shape, dir: RefCell::default() }
    }

    /// Its directory; the store is made when that is first needed.
    fn dir(&self) -> anyhow::Result<Rc<WorkDir>> {
        if let Some(dir) = &*self.dir.borrow() {
            return Ok(Rc::clone(dir));
        }
        let dir = Rc::new(WorkDir::new(&self.parent, "recover")?);
        self.shape.fill(dir.path())?.blocking_close()?;
        sync_file_system(&self.parent)?;
        *self.dir.borrow_mut() = Some(Rc::clone(&dir));
        Ok(dir)
    }

    fn files(&self) -> anyhow::Result<PageFiles> {
        PageFiles::find(self.dir()?.path())
    }
}

struct Recover {
    way: Way,
    store: Rc<Store>,
}

impl Case for Recover {
    fn label(&self) -> Label {
        Label::new(Role::Waldo, self.way.work(), "waldo")
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.store.dir().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let dir = self.store.dir()?;
        if self.way.end == End::Killed {
            append_and_kill(dir.path(), &self.store.shape)?;
        }
        let cached = self.way.cache.apply(&self.store.files()?)?;
        let recovery = match self.way.recovery {
            Reading::Full => Recovery::Full,
            Reading::Fast => Recovery::Fast,
        };
        let options = WaldoDefaults { recovery, ..self.store.shape.options() };
        let meter = Meter::start()?;
        let (waldo, report) = Waldo::blocking_open_with_report(dir.path(), options)?;
        let usage = meter.stop()?;
        anyhow::ensure!(report.log_count > 0, "nothing was recovered");
        waldo.blocking_close()?;
        let sample =
            Sample { payload_bytes: report.bytes_read, ops: 1, usage, ..Sample::default() };
        Ok(sample
            .with_number("logs", report.log_count as f64)
            .with_number("cached before %", cached * 100.0))
    }
}

/// Has another process append to the store, and kills it.
fn append_and_kill(dir: &Path, shape: &Shape) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("finding this program")?;
    let mut child = Killed(
        Command::new(program)
            .arg(Appender::COMMAND)
            .arg(dir)
            .args(["--payload-bytes", &shape.payload_bytes.to_string()])
            .args(["--log-bytes", &shape.log_bytes.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the process that is to be killed")?,
    );
    let output = child.0.stdout.take().context("no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    anyhow::ensure!(line.trim() == READY, "the process that is to be killed ended by itself");
    Ok(())
}

/// A process that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It fails only where the process has ended.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// What the process does that is to be killed: a command of its own, not meant for people.
#[derive(Args, Clone, Debug)]
pub struct Appender {
    dir: PathBuf,
    #[arg(long)]
    payload_bytes: u64,
    #[arg(long)]
    log_bytes: usize,
}

impl Appender {
    /// Name of the command.
    pub const COMMAND: &str = "append-until-killed";

    /// Appends for ever. Says so on its output once there is something to recover.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub fn run(&self) -> anyhow::Result<()> {
        let shape = Shape::three_quarters(self.payload_bytes, self.log_bytes, 1);
        let options = WaldoDefaults { recovery: Recovery::Fast, ..shape.options() };
        let waldo = Waldo::blocking_open(&self.dir, options)?;
        let payload = Payload::new(1, self.log_bytes, 1, 1 << 20);
        let mut logs = Vec::new();
        let (mut appended, mut told) = (0, false);
        loop {
            payload.batch(appended, 64, &mut logs);
            waldo.blocking_append_assigned(&logs)?;
            appended += 64;
            if !told && appended * self.log_bytes as u64 >= APPENDED_BEFORE_KILL {
                told = true;
                println!("{READY}");
                std::io::stdout().flush()?;
            }
        }
    }
}
