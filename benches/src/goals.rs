//! What Waldo is to reach, and whether it does.
//!
//! Ratios are of runs of the same round; a goal is judged by their median.

use waldo_core::IoMode;

use crate::ceiling::Cache;
use crate::outcome::Metric;
use crate::report::compare::{best_ceiling, difference, ratio, waldo};
use crate::report::{Spread, extra_spread};
use crate::rounds::{Outcome, Role};
use crate::scenario::recover::{End, Reading, Way};
use crate::scenario::{append, catchup, fanout, idle, lookup};
use crate::workload::touch::Touch;

/// What is wanted of a figure.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// This much or more.
    AtLeast(f64),
    /// This much or less.
    AtMost(f64),
}

/// A goal, and what was measured.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Goal {
    /// What is measured, with its unit.
    pub what: String,
    /// What is wanted.
    pub wanted: Wanted,
    /// What was measured; `None` where that could not be.
    pub measured: Option<Spread>,
}

impl Goal {
    fn at_least(what: impl Into<String>, limit: f64, measured: Option<Spread>) -> Self {
        Self { what: what.into(), wanted: Wanted::AtLeast(limit), measured }
    }

    fn at_most(what: impl Into<String>, limit: f64, measured: Option<Spread>) -> Self {
        Self { what: what.into(), wanted: Wanted::AtMost(limit), measured }
    }

    /// Whether it is reached; `None` where nothing was measured.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let median = self.measured?.median;
        Some(match self.wanted {
            Wanted::AtLeast(limit) => median >= limit,
            Wanted::AtMost(limit) => median <= limit,
        })
    }
}

/// Finds figures among outcomes.
struct Found<'a>(&'a [Outcome]);

impl<'a> Found<'a> {
    fn case(&self, work: &str, who: &str) -> Option<&'a Outcome> {
        self.0.iter().find(|outcome| outcome.label.work == work && outcome.label.who == who)
    }

    fn waldo(&self, work: &str) -> Option<&'a Outcome> {
        waldo(self.0, work)
    }

    /// A figure of Waldo's.
    fn figure(&self, work: &str, metric: Metric) -> Option<Spread> {
        Spread::over(&self.waldo(work)?.samples, metric)
    }

    fn extra(&self, work: &str, name: &str) -> Option<Spread> {
        extra_spread(&self.waldo(work)?.samples, name)
    }

    /// Waldo's ratio to the best ceiling of the work.
    fn of_ceiling(&self, work: &str, metric: Metric) -> Option<Spread> {
        ratio(self.waldo(work)?, best_ceiling(self.0, work, metric)?, metric)
    }

    /// Waldo's ratio to a peer.
    fn of_peer(&self, work: &str, peer: &str, metric: Metric) -> Option<Spread> {
        ratio(self.waldo(work)?, self.case(work, peer)?, metric)
    }

    /// How many times as good Waldo is at one work as at another.
    fn of_other(&self, work: &str, other: &str, metric: Metric) -> Option<Spread> {
        ratio(self.waldo(work)?, self.waldo(other)?, metric)
    }
}

fn bulk(durable: bool, io: IoMode) -> String {
    append::work(durable, io, 2048, 1024, 1)
}

fn commits(producers: usize) -> String {
    append::work(true, IoMode::Auto, 1, 256, producers)
}

/// Bulk appends against what the hardware allows.
#[must_use]
pub fn append(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let metric = Metric::MegabytesPerSecond;
    let durable = bulk(true, IoMode::Auto);
    let more_cpu = || {
        let ceiling = best_ceiling(outcomes, &durable, metric)?;
        difference(found.waldo(&durable)?, ceiling, Metric::CpuPerGib)
    };
    let first_lap = || {
        let first = found.case(&durable, "waldo, first lap")?;
        ratio(first, found.waldo(&durable)?, metric)
    };
    let of_ceiling = |durable, io| found.of_ceiling(&bulk(durable, io), metric);
    vec![
        Goal::at_least("bulk, durable: of the ceiling", 0.9, of_ceiling(true, IoMode::Auto)),
        Goal::at_most("bulk, durable: CPU s/GiB over the ceiling", 0.08, more_cpu()),
        Goal::at_least(
            "bulk, durable, buffered: of the ceiling",
            0.9,
            of_ceiling(true, IoMode::Buffered),
        ),
        Goal::at_least("bulk, not durable: of the ceiling", 0.9, of_ceiling(false, IoMode::Auto)),
        Goal::at_least("bulk, durable: first lap, of the steady rate", 0.8, first_lap()),
    ]
}

/// Small commits against what the hardware allows.
#[must_use]
pub fn commit(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let metric = Metric::OpsPerSecond;
    vec![
        Goal::at_least(
            "commits, 1 producer: of the raw write rate",
            0.95,
            found.of_ceiling(&commits(1), metric),
        ),
        Goal::at_least(
            "commits, 64 producers: times those of 1",
            18.0,
            found.of_other(&commits(64), &commits(1), metric),
        ),
        Goal::at_most(
            "commits, 64 producers: p99, µs",
            600.0,
            found.figure(&commits(64), Metric::P99),
        ),
    ]
}

/// Bulk appends against other engines.
#[must_use]
pub fn append_peers(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let mut goals = Vec::new();
    for (durable, peer, limit) in
        [(true, "okaywal", 3.0), (true, "raft-engine", 4.0), (false, "commitlog", 2.0)]
    {
        let work = bulk(durable, IoMode::Auto);
        let what = format!("bulk, {}", append::durability(durable));
        let rate = found.of_peer(&work, peer, Metric::MegabytesPerSecond);
        let cpu = found.of_peer(&work, peer, Metric::CpuPerGib);
        goals.push(Goal::at_least(format!("{what}: times {peer}"), limit, rate));
        goals.push(Goal::at_least(
            format!("{what}: CPU per GiB, times less than {peer}"),
            1.0,
            cpu,
        ));
    }
    goals
}

/// Small commits against raft-engine.
#[must_use]
pub fn commit_peers(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let peer = "raft-engine";
    let mut goals = Vec::new();
    for (producers, limit) in [(1, 1.0), (4, 1.3), (16, 1.5), (64, 1.3)] {
        let work = commits(producers);
        let rate = found.of_peer(&work, peer, Metric::OpsPerSecond);
        let p99 = found.of_peer(&work, peer, Metric::P99);
        let what = format!("commits, {producers} producers");
        goals.push(Goal::at_least(format!("{what}: times {peer}"), limit, rate));
        goals.push(Goal::at_least(format!("{what}: p99, times better than {peer}"), 1.0, p99));
    }
    goals
}

/// Payload per second that fan-outs are measured with.
const FAST: u64 = 100 << 20;
const SLOW: u64 = 10 << 20;

fn streams(count: usize, rate: u64, touch: Touch) -> String {
    fanout::work(false, count, rate, touch)
}

/// Many streams behind a writer with a rate.
#[must_use]
pub fn fanout(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let milliseconds = |work: &str| {
        let p99 = found.figure(work, Metric::P99)?;
        Some(Spread { median: p99.median / 1e3, min: p99.min / 1e3, max: p99.max / 1e3 })
    };
    let behind = |work: &str| found.extra(work, "most batches behind");
    let terabyte = streams(10_000, FAST, Touch::Header);
    let cheap = streams(3000, FAST, Touch::Header);
    let many = streams(30_000, SLOW, Touch::Header);
    let bytes = streams(300, FAST, Touch::EveryByte);
    vec![
        Goal::at_least(
            "10,000 streams: GB/s delivered",
            1000.0,
            found.figure(&terabyte, Metric::GigabytesPerSecond),
        ),
        Goal::at_most("10,000 streams: most batches behind", 2.0, behind(&terabyte)),
        Goal::at_most("10,000 streams: p99, ms", 100.0, milliseconds(&terabyte)),
        Goal::at_most("3,000 streams: CPU %", 35.0, found.figure(&cheap, Metric::CpuShare)),
        Goal::at_most("3,000 streams: p99, ms", 12.0, milliseconds(&cheap)),
        Goal::at_most("30,000 streams at 10 MiB/s: most batches behind", 2.0, behind(&many)),
        Goal::at_most("300 streams, every byte: most batches behind", 2.0, behind(&bytes)),
    ]
}

/// Streams behind a writer that appends as fast as it can.
#[must_use]
pub fn flat_out(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let work = |count| streams(count, 0, Touch::Header);
    let of_alone = |count| found.of_other(&work(count), &work(0), Metric::WriterMegabytesPerSecond);
    vec![Goal::at_least("flat out, 8 streams: of the writer alone", 0.7, of_alone(8))]
}

/// Streams that read from the oldest log on.
#[must_use]
pub fn catchup(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let metric = Metric::MegabytesPerSecond;
    let cold = catchup::reading(Cache::Cold, 1);
    let fio = outcomes
        .iter()
        .filter(|outcome| outcome.label.work == cold && outcome.label.who.starts_with("fio"))
        .filter_map(|outcome| Some((Spread::over(&outcome.samples, metric)?.median, outcome)))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let of_fio = fio.and_then(|(_, fio)| ratio(found.waldo(&cold)?, fio, metric));
    let mut goals = vec![
        Goal::at_least("catch-up, 1 stream, cold: of fio", 0.85, of_fio),
        Goal::at_least(
            "catch-up, 1 stream, warm: MB/s",
            8000.0,
            found.figure(&catchup::reading(Cache::Warm, 1), metric),
        ),
    ];
    for cache in [Cache::Cold, Cache::Warm] {
        let beside = catchup::writing(Some((cache, 8)));
        // The other way round: how many times as long as alone.
        let times = found.of_other(&catchup::writing(None), &beside, Metric::P99);
        let what = format!("a writer beside 8 streams, {}: p99, times that alone", cache.label());
        goals.push(Goal::at_most(what, 2.0, times));
    }
    goals
}

/// Lookups of one log of 1 KiB.
#[must_use]
pub fn lookup(outcomes: &[Outcome]) -> Vec<Goal> {
    use lookup::Place;

    let found = Found(outcomes);
    let metric = Metric::OpsPerSecond;
    let index_spacing = waldo_core::Options::default().index_sparse_bytes;
    let bytes_max = (index_spacing + 24 + 1024) as f64;
    let mut goals = Vec::new();
    for threads in [1, 16] {
        let (warm, hot) = (lookup::work(Place::Warm, threads), lookup::work(Place::Hot, threads));
        goals.push(Goal::at_least(
            format!("lookups, page cache, {threads} at once: of the ceiling"),
            0.6,
            found.of_ceiling(&warm, metric),
        ));
        goals.push(Goal::at_least(
            format!("lookups, hot tail, {threads} at once: a second"),
            500_000.0,
            found.figure(&hot, metric),
        ));
    }
    goals.push(Goal::at_most(
        "lookups, page cache: bytes read",
        bytes_max,
        found.figure(&lookup::work(Place::Warm, 1), Metric::FetchedPerOp),
    ));
    goals.push(Goal::at_most(
        "lookups, cold: bytes read from the device",
        bytes_max,
        found.figure(&lookup::work(Place::Cold, 1), Metric::ReadPerOp),
    ));
    goals
}

/// Opening a store of 4 GiB that holds 3 GiB of payload.
#[must_use]
pub fn recover(outcomes: &[Outcome]) -> Vec<Goal> {
    let found = Found(outcomes);
    let work = |end, recovery, cache| Way { bytes: 3 << 30, end, recovery, cache }.work();
    let seconds = |end, recovery, cache| found.figure(&work(end, recovery, cache), Metric::Seconds);
    let cold = work(End::Closed, Reading::Full, Cache::Cold);
    vec![
        Goal::at_most(
            "open, Fast, after a close, s",
            0.05,
            seconds(End::Closed, Reading::Fast, Cache::Warm),
        ),
        Goal::at_most(
            "open, Fast, after a kill, s",
            0.3,
            seconds(End::Killed, Reading::Fast, Cache::Warm),
        ),
        Goal::at_most(
            "open, Full, 3 GiB, warm, s",
            0.15,
            seconds(End::Closed, Reading::Full, Cache::Warm),
        ),
        Goal::at_least(
            "open, Full, cold: of reading the files",
            0.9,
            found.of_ceiling(&cold, Metric::Seconds),
        ),
    ]
}

/// Waiting streams.
#[must_use]
pub fn idle(outcomes: &[Outcome]) -> Vec<Goal> {
    let waldo = outcomes.iter().find(|outcome| outcome.label.role == Role::Waldo);
    // What was measured may have taken less time.
    let per_ten_seconds = waldo.and_then(|waldo| {
        let share = Spread::over(&waldo.samples, Metric::CpuPerSecond)?;
        Some(Spread { median: share.median * 10.0, min: share.min * 10.0, max: share.max * 10.0 })
    });
    let streams = idle::STREAMS;
    vec![Goal::at_most(format!("idle, {streams} streams: CPU s in 10 s"), 0.05, per_ten_seconds)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Usage;
    use crate::outcome::Sample;
    use crate::rounds::Label;

    fn outcome(role: Role, work: &str, who: &str, bytes: u64) -> Outcome {
        let usage = Usage { seconds: 1.0, user: 1.0, ..Usage::default() };
        let samples = vec![Sample { payload_bytes: bytes, usage, ..Sample::default() }];
        Outcome { label: Label::new(role, work, who), samples, error: None }
    }

    #[test]
    fn a_goal_is_met_by_its_median() {
        let spread = |median| Some(Spread { median, min: 0.0, max: 9.0 });
        assert_eq!(Goal::at_least("a", 1.0, spread(1.0)).is_met(), Some(true));
        assert_eq!(Goal::at_least("a", 1.0, spread(0.9)).is_met(), Some(false));
        assert_eq!(Goal::at_most("a", 1.0, spread(1.1)).is_met(), Some(false));
        assert_eq!(Goal::at_most("a", 1.0, None).is_met(), None);
    }

    #[test]
    fn figures_of_the_suite_are_found_by_their_names() {
        let work = bulk(true, IoMode::Auto);
        let goals = append(&[
            outcome(Role::Ceiling, &work, "ceiling: a", 1000 << 20),
            outcome(Role::Ceiling, &work, "ceiling: b", 2000 << 20),
            outcome(Role::Waldo, &work, "waldo", 1900 << 20),
            outcome(Role::Waldo, &work, "waldo, first lap", 1000 << 20),
        ]);
        let medians: Vec<Option<f64>> =
            goals.iter().map(|goal| Some(goal.measured?.median)).collect();
        assert!((medians[0].unwrap() - 0.95).abs() < 1e-9);
        assert!(medians[1].unwrap() > 0.0);
        assert_eq!(medians[2], None);
        assert!((medians[4].unwrap() - 0.526).abs() < 1e-3);
    }
}
