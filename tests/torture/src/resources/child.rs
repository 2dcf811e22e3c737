//! What a confined process does, and what it says about it, in lines of JSON.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use waldo_core::{Backend, Cursor, Fitness, FollowOptions, Follower, Options, Waldo};

use super::confine::Confinement;
use crate::payload::{self, Ident, Op};

/// What a process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    pub home: PathBuf,
    pub backend: String,
    pub late: bool,
    pub huge_buf: bool,
    pub confinements: Vec<Confinement>,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// A line of the log.
    Log(String),
    /// Something that is not as it should be.
    Finding(String),
    /// All up to this log is durable.
    Acknowledged(u64),
    /// The last word.
    Ended(Ended),
}

/// How it ended.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ended {
    Well,
    /// The runtime of the program had no memory, and ended it.
    Starved,
    /// A call failed.
    Refused {
        stage: String,
        error: String,
    },
}

/// Logs of each of the two times that the store is open.
const LOGS: u64 = 120;

/// The options of a small store.
pub fn options(backend: Backend) -> Options {
    Options {
        ring_size: Some(3),
        pool_size: 2,
        buf_capacity: 64 * 1024,
        file_capacity: Some(128 * 1024),
        index_capacity: 64,
        tail_capacity: 0,
        read_capacity: 512 * 1024,
        backend,
        ..Options::default()
    }
}

/// The confined process.
///
/// # Errors
///
/// Where it could not be confined.
pub fn run(task: &str) -> anyhow::Result<()> {
    let task: Task = serde_json::from_str(task)?;
    log::set_logger(&Logger).map_err(|error| anyhow::anyhow!("{error}"))?;
    log::set_max_level(log::LevelFilter::Info);
    let ended = match work(&task) {
        Ok(()) => Ended::Well,
        Err(Stop::Harness(error)) => return Err(error),
        Err(Stop::Refused(stage, error)) => Ended::Refused { stage: stage.to_owned(), error },
    };
    say(&Said::Ended(ended));
    Ok(())
}

enum Stop {
    Harness(anyhow::Error),
    Refused(&'static str, String),
}

fn at<E: std::fmt::Display>(stage: &'static str) -> impl Fn(E) -> Stop {
    move |error| Stop::Refused(stage, error.to_string())
}

fn work(task: &Task) -> Result<(), Stop> {
    let backend = match task.backend.as_str() {
        "io_uring" => Backend::IoUring,
        "threads" => Backend::Threads,
        _ => Backend::Auto,
    };
    let options = Options { huge_buf: task.huge_buf, ..options(backend) };
    let confine = || {
        let mut confinements = task.confinements.iter();
        confinements.try_for_each(Confinement::apply)
    };
    if !task.late {
        confine().map_err(|error| Stop::Harness(error.into()))?;
        for finding in waldo_core::probe(Some(&task.home)) {
            if finding.fitness != Fitness::Ok {
                say(&Said::Finding(format!("{finding:?}")));
            }
        }
    }
    for time in 0..2 {
        let waldo = Waldo::blocking_open(&task.home, options).map_err(at("open"))?;
        if task.late && time == 0 {
            confine().map_err(|error| Stop::Harness(error.into()))?;
        }
        use_store(&waldo, time)?;
        let mut follower =
            Follower::open(&task.home, FollowOptions::default()).map_err(at("follow"))?;
        let followed = follower.blocking_next_timeout(Duration::from_secs(10));
        followed.map_err(at("follow"))?;
        waldo.blocking_close().map_err(at("close"))?;
    }
    Ok(())
}

fn use_store(waldo: &Waldo, time: u64) -> Result<(), Stop> {
    let first = waldo.prev_seq_no().unwrap_or(0) + 1;
    for seq_no in first..first + LOGS {
        let ident = Ident { op: Op { session: 0, producer: 0, number: 0 }, index: 0 };
        let payload = payload::build(0, ident, seq_no, 100 + (seq_no as usize * 977) % 9_000);
        waldo.blocking_append_assigned(&[payload]).map_err(at("append"))?;
        say(&Said::Acknowledged(seq_no));
    }
    waldo.blocking_sync().map_err(at("sync"))?;
    waldo.blocking_trim(first + time).map_err(at("trim"))?;
    let (sender, receiver) = std::sync::mpsc::channel();
    // A call that has a thread of its own.
    waldo
        .submit_truncate(first + LOGS - 1, move |result| drop(sender.send(result)))
        .map_err(at("truncate"))?;
    let truncated = receiver.recv_timeout(Duration::from_secs(10)).map_err(at("truncate"))?;
    truncated.map_err(at("truncate"))?;
    check_all(waldo).map_err(|error| Stop::Refused("read", format!("{error:#}")))
}

/// Every log of a store is what was appended, and comes after the one before it.
///
/// # Errors
///
/// Where one is not, or cannot be read.
pub fn check_all(waldo: &Waldo) -> anyhow::Result<()> {
    let tip = waldo.prev_seq_no().unwrap_or(0);
    let mut stream = waldo.stream(Cursor::Trim);
    let mut prev = None;
    while stream.position() < tip {
        for log in &stream.blocking_next_timeout(Duration::from_secs(10))? {
            let follows = prev.is_none_or(|prev| prev == log.prev_seq_no());
            ensure!(follows, "WRONG: log {} has no place", log.seq_no());
            let checked = payload::check(0, log.seq_no(), log.data());
            checked.map_err(|error| anyhow::anyhow!("WRONG: {error}"))?;
            prev = Some(log.seq_no());
        }
    }
    Ok(())
}

fn say(said: &Said) {
    let Ok(mut line) = serde_json::to_vec(said) else { return };
    line.push(b'\n');
    // Whoever does not listen any more has seen enough.
    let _ = std::io::stdout().write_all(&line);
}

/// Says what the library logs.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        say(&Said::Log(format!("{}: {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}
