//! Runs configurations interleaved: each once per round, in an order that rotates.
//!
//! A machine that grows slower or faster while the bench runs then does so to all of them.

use crate::outcome::Sample;

/// One configuration that can be run again and again.
pub trait Case {
    /// A name, unique among the cases of one report.
    fn name(&self) -> String;

    /// Runs it once. Preparation, warming and clearing up are not part of the sample.
    ///
    /// # Errors
    ///
    /// What kept the run from finishing; the other cases go on.
    fn run(&mut self) -> anyhow::Result<Sample>;
}

/// All runs of one case.
#[derive(Debug)]
pub struct Outcome {
    /// Name of the case.
    pub name: String,
    /// One sample per round that worked.
    pub samples: Vec<Sample>,
    /// What went wrong; a case that failed is not run again.
    pub error: Option<String>,
}

/// Runs every case once per round and calls `each` after each run.
pub fn run(
    cases: &mut [Box<dyn Case + '_>],
    rounds: usize,
    mut each: impl FnMut(usize, &str, &anyhow::Result<Sample>),
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = cases
        .iter()
        .map(|case| Outcome { name: case.name(), samples: Vec::new(), error: None })
        .collect();
    let count = cases.len();
    for round in 0..rounds {
        for step in 0..count {
            let at = (round + step) % count;
            let outcome = &mut outcomes[at];
            if outcome.error.is_some() {
                continue;
            }
            let sample = cases[at].run();
            each(round, &outcome.name, &sample);
            match sample {
                Ok(sample) => outcome.samples.push(sample),
                Err(error) => outcome.error = Some(format!("{error:#}")),
            }
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    struct Note(&'static str, Rc<RefCell<Vec<&'static str>>>, bool);

    impl Case for Note {
        fn name(&self) -> String {
            self.0.to_owned()
        }

        fn run(&mut self) -> anyhow::Result<Sample> {
            self.1.borrow_mut().push(self.0);
            anyhow::ensure!(!self.2, "no");
            Ok(Sample::default())
        }
    }

    #[test]
    fn the_order_rotates_and_a_failure_stops_only_its_case() {
        let order = Rc::new(RefCell::new(Vec::new()));
        let mut cases: Vec<Box<dyn Case>> = ["a", "b", "c"]
            .map(|name| Box::new(Note(name, Rc::clone(&order), name == "c")) as Box<dyn Case>)
            .into();
        let outcomes = run(&mut cases, 3, |_, _, _| ());
        assert_eq!(*order.borrow(), ["a", "b", "c", "b", "a", "a", "b"]);
        assert_eq!(outcomes[0].samples.len(), 3);
        assert_eq!(outcomes[2].error.as_deref(), Some("no"));
    }
}
