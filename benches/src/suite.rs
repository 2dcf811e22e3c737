//! All scenarios one after the other, one table of what they yield, and the goals.

use std::io::Write;
use std::rc::Rc;

use clap::Args;

use crate::engine::Engine;
use crate::goals::{self, Goal};
use crate::options::Common;
use crate::outcome::Metric;
use crate::report::{self, Header};
use crate::rounds::Outcome;
use crate::scenario::Scenario;

/// One scenario of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The scenario with its options, as on the command line.
    pub line: &'static str,
    /// What is added where time is short.
    pub short: &'static str,
    /// What the outcomes say about the goals.
    pub judge: fn(&[Outcome]) -> Vec<Goal>,
}

/// Waldo against what the hardware allows.
pub const WALDO: &[Part] = &[
    Part {
        line: "append --io auto,buffered --first-lap",
        short: "--bytes 1GiB",
        judge: goals::append,
    },
    Part { line: "commit", short: "--producers 1,64 --seconds 1", judge: goals::commit },
    Part {
        line: "fanout --streams 3000,10000 --rate 100MiB",
        short: "--seconds 2",
        judge: goals::fanout,
    },
    Part {
        line: "fanout --streams 30000 --rate 10MiB",
        short: "--seconds 2",
        judge: goals::fanout,
    },
    Part {
        line: "fanout --streams 300 --rate 100MiB --touch every-byte",
        short: "--seconds 2",
        judge: goals::fanout,
    },
    Part {
        line: "fanout --streams 100 --rate 50MiB --touch hash",
        short: "--seconds 1",
        judge: |_| Vec::new(),
    },
    Part {
        line: "fanout --streams 0,1,8,64 --rate 0 --seconds 3",
        short: "--streams 0,8 --seconds 1",
        judge: goals::flat_out,
    },
    Part { line: "catchup", short: "--bytes 1GiB --seconds 1 --streams 1", judge: goals::catchup },
    Part {
        line: "lookup",
        short: "--threads 1,16 --seconds 0.5 --bytes 512MiB",
        judge: goals::lookup,
    },
    Part { line: "recover", short: "--end closed", judge: goals::recover },
    Part { line: "idle", short: "--seconds 2", judge: goals::idle },
];

/// Waldo against other engines.
pub const PEERS: &[Part] = &[
    Part {
        line: "append --no-ceiling",
        short: "--bytes 1GiB --seconds 3",
        judge: goals::append_peers,
    },
    Part {
        line: "commit --producers 1,4,16,64 --no-ceiling",
        short: "--seconds 1",
        judge: goals::commit_peers,
    },
    Part {
        line: "fanout --streams 0,1,8,64 --rate 0 --seconds 3",
        short: "--streams 0,8 --seconds 1",
        judge: |_| Vec::new(),
    },
];

/// Options of the suite.
#[derive(Args, Clone, Debug)]
pub struct Suite {
    /// Shorter runs of fewer configurations: minutes, not an hour. Options of a scenario that are
    /// given twice count as given last.
    #[arg(long)]
    pub short: bool,
    /// Only parts whose line contains one of these.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

impl Suite {
    /// Runs the parts, and prints one table and the goals.
    ///
    /// # Errors
    ///
    /// Where nothing can be run or printed, or a case failed (after all others were reported).
    pub fn run(
        &self,
        parts: &[Part],
        peers: &[Rc<dyn Engine>],
        common: &Common,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let header = Header::collect("suite", &common.dir)?;
        let mut done: Vec<(Metric, Vec<Outcome>)> = Vec::new();
        let mut goals = Vec::new();
        for part in parts.iter().filter(|part| self.wants(part)) {
            let line = self.line(part);
            let plan = Scenario::parse(&line)?.plan(peers, common)?;
            let metric = plan.columns.first().copied().unwrap_or(Metric::Seconds);
            let outcomes = plan.run(&Header { options: line, ..header.clone() }, common)?;
            // Not every part measures every goal of its kind.
            goals
                .extend((part.judge)(&outcomes).into_iter().filter(|goal| goal.measured.is_some()));
            done.push((metric, outcomes));
        }
        report::print_suite(&mut out, &header, &done, &goals, common.json)?;
        out.flush()?;
        let all = || done.iter().flat_map(|(_, outcomes)| outcomes);
        let failed = all().filter(|outcome| outcome.error.is_some()).count();
        anyhow::ensure!(failed == 0, "{failed} of {} configurations failed", all().count());
        Ok(())
    }

    fn wants(&self, part: &Part) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| part.line.contains(only))
    }

    fn line(&self, part: &Part) -> String {
        if self.short { shortened(part.line, part.short) } else { part.line.to_owned() }
    }
}

/// A line with other options in place of its own.
fn shortened(line: &str, other: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    for pair in other.split(' ').collect::<Vec<_>>().chunks(2) {
        if let Some(at) = words.iter().position(|word| Some(word) == pair.first()) {
            words.splice(at..(at + pair.len()).min(words.len()), pair.iter().copied());
        } else {
            words.extend(pair);
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_both_suites_is_understood() {
        for part in WALDO.iter().chain(PEERS) {
            Scenario::parse(part.line).unwrap();
            Scenario::parse(&shortened(part.line, part.short)).unwrap();
        }
    }

    #[test]
    fn options_are_replaced_or_added() {
        assert_eq!(shortened("a --x 1 --y 2", "--x 3 --z 4"), "a --x 3 --y 2 --z 4");
    }
}
