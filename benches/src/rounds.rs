//! Runs configurations interleaved: each once per round, in an order that rotates.
//!
//! A machine that grows slower or faster while the bench runs then does so to all of them, and
//! what is compared are runs of the same round.

use crate::outcome::Sample;

/// Who does the work, which decides what a run is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The work without an engine: what hardware and kernel allow.
    Ceiling,
    /// Waldo.
    Waldo,
    /// Another engine.
    Peer,
}

/// What is done, and by whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The work. Cases with the same work are compared with each other.
    pub work: String,
    /// Who does it, and how.
    pub who: String,
    /// Who that is.
    pub role: Role,
    /// Where it stands in a plot.
    pub point: Option<Point>,
}

/// A place on the horizontal axis of a plot.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// What the axis shows.
    pub axis: &'static str,
    /// Where on it.
    pub x: f64,
    /// What is the same for all points of one plot.
    pub series: String,
}

impl Label {
    /// A label.
    #[must_use]
    pub fn new(role: Role, work: impl Into<String>, who: impl Into<String>) -> Self {
        Self { work: work.into(), who: who.into(), role, point: None }
    }

    /// Both parts in one line.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}: {}", self.work, self.who)
    }
}

/// One configuration that can be run again and again.
pub trait Case {
    /// What it is; unique among the cases of one report.
    fn label(&self) -> Label;

    /// Prepares what all runs share, before the first.
    ///
    /// # Errors
    ///
    /// What kept it from being prepared; it is not run then.
    fn prepare(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Runs it once. Preparation, warming and clearing up are not part of the sample.
    ///
    /// # Errors
    ///
    /// What kept the run from finishing; the other cases go on.
    fn run(&mut self) -> anyhow::Result<Sample>;

    /// Clears up after the last run, also where one failed.
    ///
    /// # Errors
    ///
    /// What came to light only now.
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Cases whose runs interleave.
pub type Set = Vec<Box<dyn Case>>;

/// The same cases, with a place in a plot.
#[must_use]
pub fn placed(set: Set, point: &Point) -> Set {
    let placed = |case| Box::new(Placed { case, point: point.clone() }) as Box<dyn Case>;
    set.into_iter().map(placed).collect()
}

struct Placed {
    case: Box<dyn Case>,
    point: Point,
}

impl Case for Placed {
    fn label(&self) -> Label {
        Label { point: Some(self.point.clone()), ..self.case.label() }
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        self.case.prepare()
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        self.case.run()
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.case.finish()
    }
}

/// All runs of one case.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub label: Label,
    /// One sample per round, until one failed.
    pub samples: Vec<Sample>,
    /// What went wrong; a case that failed is not run again.
    pub error: Option<String>,
}

impl Outcome {
    fn check(&mut self, result: anyhow::Result<()>) {
        if let Err(error) = result
            && self.error.is_none()
        {
            self.error = Some(format!("{error:#}"));
        }
    }
}

/// Runs every case of a set once per round and calls `each` after each run.
pub fn run(
    mut cases: Set,
    rounds: usize,
    mut each: impl FnMut(usize, &Label, &anyhow::Result<Sample>),
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = cases
        .iter()
        .map(|case| Outcome { label: case.label(), samples: Vec::new(), error: None })
        .collect();
    for (case, outcome) in cases.iter_mut().zip(&mut outcomes) {
        outcome.check(case.prepare());
    }
    let count = cases.len();
    for round in 0..rounds {
        for step in 0..count {
            let at = (round + step) % count;
            let outcome = &mut outcomes[at];
            if outcome.error.is_some() {
                continue;
            }
            let sample = cases[at].run();
            each(round, &outcome.label, &sample);
            match sample {
                Ok(sample) => outcome.samples.push(sample),
                Err(error) => outcome.check(Err(error)),
            }
        }
    }
    for (case, outcome) in cases.iter_mut().zip(&mut outcomes) {
        outcome.check(case.finish());
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Note(&'static str, Rc<RefCell<Vec<String>>>, &'static str);

    impl Note {
        fn step(&self, step: &str) -> anyhow::Result<()> {
            self.1.borrow_mut().push(format!("{step}{}", self.0));
            anyhow::ensure!(self.2 != step, "no");
            Ok(())
        }
    }

    impl Case for Note {
        fn label(&self) -> Label {
            Label::new(Role::Peer, "work", self.0)
        }

        fn prepare(&mut self) -> anyhow::Result<()> {
            self.step("+")
        }

        fn run(&mut self) -> anyhow::Result<Sample> {
            self.step("")?;
            Ok(Sample::default())
        }

        fn finish(&mut self) -> anyhow::Result<()> {
            self.step("-")
        }
    }

    fn outcomes(fails: [&'static str; 3]) -> (String, Vec<Outcome>) {
        let steps = Rc::new(RefCell::new(Vec::new()));
        let cases = ["a", "b", "c"].into_iter().zip(fails);
        let cases = cases
            .map(|(name, fails)| Box::new(Note(name, Rc::clone(&steps), fails)) as Box<dyn Case>);
        let outcomes = run(cases.collect(), 3, |_, _, _| ());
        let steps = steps.borrow().join(" ");
        (steps, outcomes)
    }

    #[test]
    fn the_order_rotates_and_a_failure_stops_only_its_case() {
        let (steps, outcomes) = outcomes(["none", "none", ""]);
        assert_eq!(steps, "+a +b +c a b c b a a b -a -b -c");
        assert_eq!(outcomes[0].samples.len(), 3);
        assert_eq!(outcomes[2].error.as_deref(), Some("no"));
    }

    #[test]
    fn what_cannot_be_prepared_is_not_run_and_a_late_error_counts() {
        let (steps, outcomes) = outcomes(["+", "-", "none"]);
        assert_eq!(steps, "+a +b +c b c b c c b -a -b -c");
        assert!(outcomes[0].samples.is_empty() && outcomes[0].error.is_some());
        assert!(outcomes[1].samples.len() == 3 && outcomes[1].error.is_some());
    }
}
