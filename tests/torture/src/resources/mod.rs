//! Refused resources: system calls that a policy refuses, limits that are too low. A process that is
//! confined so uses a store. Either that works, and something was said about it; or opening fails
//! with an error that says what is missing. It never hangs, aborts or panics, and whatever becomes of
//! it, the store opens again outside and holds what was acknowledged.

mod cases;
mod child;
mod confine;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use waldo_core::{Backend, Waldo};

pub use self::child::run as run_child;

use self::cases::{Case, Wanted};
use self::child::{Ended, Said};
use crate::run::{Limits, Row, Run};

/// The options of this class.
#[derive(Args, Clone, Debug)]
pub struct Options {
    #[command(flatten)]
    limits: Limits,
    /// Only cases whose names contain this.
    #[arg(long)]
    only: Option<String>,
    /// Shows what each process said.
    #[arg(long)]
    verbose: bool,
}

/// A process that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the runtime says before it ends a program that has no memory for a thread that it starts, or
/// for anything else.
const STARVED: [&str; 2] = ["failed to allocate an alternative stack", "memory allocation of"];

/// Runs the class: every case once.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn run(options: &Options) -> anyhow::Result<Row> {
    let run = Run::start(options.limits);
    let wanted = |case: &Case| options.only.as_ref().is_none_or(|part| case.name.contains(part));
    let (mut worked, mut refused, mut starved) = (0, 0, 0);
    for case in cases::all().into_iter().filter(wanted) {
        let under_way =
            run.begin(format!("waldo-torture resources --verbose --only '{}'", case.name));
        Run::count(&run.faults);
        match judge(&case, options.verbose) {
            Ok(Ended::Well) => worked += 1,
            Ok(Ended::Refused { .. }) => refused += 1,
            Ok(Ended::Starved) => starved += 1,
            Err(violation) => {
                run.violation(&under_way, &format!("{}: {violation:#}", case.name));
                continue;
            }
        }
        Run::count(&run.cases);
    }
    println!(
        "{worked} worked, {refused} were refused with an error, {starved} were ended by the runtime \
         for want of memory"
    );
    Ok(run.row("resources"))
}

/// How it ended, and that this is as it should be.
fn judge(case: &Case, verbose: bool) -> anyhow::Result<Ended> {
    let dir = tempfile::Builder::new().prefix("waldo-resources-").tempdir()?;
    let home = dir.path().join("home");
    // The process may be that of another user.
    for path in [dir.path(), &home] {
        std::fs::create_dir_all(path)?;
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    }
    let (mut said, errors) = confined(case, &home)?;
    if verbose {
        println!(
            "== {}\n{}{errors}",
            case.name,
            said.iter().map(|one| format!("{one:?}\n")).collect::<String>()
        );
    }
    ensure!(!errors.contains("panicked"), "it panics: {errors}");
    let Some(Said::Ended(ended)) = said.pop() else { bail!("it ends without a word: {errors}") };
    let mut acknowledged = 0;
    let mut text = String::new();
    for one in &said {
        match one {
            Said::Acknowledged(seq_no) => acknowledged = *seq_no,
            Said::Log(line) | Said::Finding(line) => text.push_str(line),
            Said::Ended(_) => {}
        }
    }
    if let Ended::Refused { error, .. } = &ended {
        text.push_str(error);
    }
    match (&ended, case.wanted) {
        (Ended::Well, Wanted::Works | Wanted::Either) => {}
        (Ended::Starved, Wanted::Either) => {}
        (Ended::Refused { stage, error }, Wanted::Refused | Wanted::Either) => {
            ensure!(error.len() > 20, "nothing to go by: {stage}: {error}");
            let opened = stage != "open";
            ensure!(!opened || case.wanted == Wanted::Either, "opened, and then: {stage}: {error}");
        }
        (ended, wanted) => bail!("it is to be {wanted:?}, and ended {ended:?}; it said: {text}"),
    }
    ensure!(text.contains(case.says), "{:?} is not said, but {text:?}", case.says);
    outside(&home, acknowledged)?;
    Ok(ended)
}

/// Runs a process, and returns what it said, and its errors.
fn confined(case: &Case, home: &Path) -> anyhow::Result<(Vec<Said>, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["confined", &serde_json::to_string(&case.task(home))?])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (mut stdout, mut stderr) =
        (child.stdout.take().context("no output")?, child.stderr.take().context("no errors")?);
    std::thread::scope(|scope| {
        let errors = scope.spawn(move || {
            let mut errors = String::new();
            stderr.read_to_string(&mut errors).map(|_| errors)
        });
        let said = scope.spawn(move || {
            let mut said = String::new();
            stdout.read_to_string(&mut said).map(|_| said)
        });
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if started.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let join = |text: std::thread::Result<std::io::Result<String>>| match text {
            Ok(text) => text,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let (said, mut errors) = (join(said.join())?, join(errors.join())?);
        let Some(status) = status else { bail!("it hangs, after {said}{errors}") };
        let starved = case.starves && STARVED.iter().any(|words| errors.contains(words));
        ensure!(starved || status.success(), "it ends with {status}, after {said}{errors}");
        let said = said.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        let mut said: Vec<_> = said.context("what it said")?;
        if starved && !status.success() {
            said.push(Said::Ended(Ended::Starved));
            errors.clear();
        }
        Ok((said, errors))
    })
}

/// Opens the store without any confinement.
fn outside(home: &Path, acknowledged: u64) -> anyhow::Result<()> {
    let options = child::options(Backend::Auto);
    let waldo = Waldo::blocking_open(home, options).context("afterwards, outside")?;
    let tip = waldo.prev_seq_no().unwrap_or(0);
    ensure!(tip >= acknowledged, "log {acknowledged} was acknowledged, the last is {tip}");
    child::check_all(&waldo).context("afterwards, outside")?;
    waldo.blocking_close().context("afterwards, outside")?;
    Ok(())
}
