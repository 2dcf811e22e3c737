//! What must be in the log: the operations in order, and the logs after each of them.

use std::collections::BTreeMap;

/// One log as the model knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Number of the log.
    pub seq_no: u64,
    /// Number of the log before it.
    pub prev_seq_no: u64,
    /// Payload.
    pub data: Vec<u8>,
}

/// An operation that changes which logs there are.
#[derive(Clone, Debug)]
pub enum Event {
    /// Logs were appended, all or none of them.
    Append(Vec<Entry>),
    /// The logs after this one were removed.
    Truncate(u64),
    /// All logs were removed.
    Clear,
}

/// The logs after some events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// All of them, trimmed ones included, by number.
    pub logs: BTreeMap<u64, Entry>,
    /// The newest; 0 where the log is empty and may start anywhere.
    pub tip: u64,
}

impl State {
    /// Applies an event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Append(entries) => {
                for entry in entries {
                    self.tip = entry.seq_no;
                    self.logs.insert(entry.seq_no, entry.clone());
                }
            }
            Event::Truncate(after) => {
                self.logs.split_off(&(after + 1));
                self.tip = *after;
            }
            Event::Clear => *self = Self::default(),
        }
    }

    /// The logs after `trimmed`.
    #[must_use]
    pub fn visible(&self, trimmed: u64) -> Vec<Entry> {
        self.logs.range(trimmed + 1..).map(|(_, entry)| entry.clone()).collect()
    }
}

/// Everything that was submitted since the last open.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The logs at the last open.
    base: State,
    events: Vec<Event>,
    /// Events that are certain to survive a power loss.
    durable: usize,
    /// Events that are certain to survive a crash of the process.
    acknowledged: usize,
    /// The largest trim point that was asked for.
    trim_asked: u64,
    /// The largest trim point that is certain to survive.
    trim_durable: u64,
    latest: State,
}

impl Model {
    /// A model of a store that holds `state`.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { latest: state.clone(), base: state, ..Self::default() }
    }

    /// The logs if everything submitted succeeds.
    #[must_use]
    pub fn latest(&self) -> &State {
        &self.latest
    }

    /// Submits an event; returns its number.
    pub fn submit(&mut self, event: Event) -> usize {
        self.latest.apply(&event);
        if matches!(event, Event::Clear) {
            self.trim_asked = 0;
            self.trim_durable = 0;
        }
        self.events.push(event);
        self.events.len()
    }

    /// Takes back the newest event, which was refused.
    pub fn refuse(&mut self, number: usize) {
        assert_eq!(number, self.events.len(), "only the newest event can be refused");
        self.events.pop();
        self.latest = self.state(self.events.len());
    }

    /// An event was acknowledged, and with it all before it.
    pub fn acknowledge(&mut self, number: usize, durable: bool) {
        self.acknowledged = self.acknowledged.max(number);
        if durable {
            self.durable = self.durable.max(number);
        }
    }

    /// Everything submitted so far is durable.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }

    /// A trim was asked for.
    pub fn trim(&mut self, up_to: u64) {
        self.trim_asked = self.trim_asked.max(up_to);
    }

    /// The largest trim asked for.
    #[must_use]
    pub fn trim_asked(&self) -> u64 {
        self.trim_asked
    }

    /// The logs after the first `count` events.
    #[must_use]
    pub fn state(&self, count: usize) -> State {
        let mut state = self.base.clone();
        for event in &self.events[..count] {
            state.apply(event);
        }
        state
    }

    /// Whether a log with these numbers and bytes was ever submitted.
    #[must_use]
    pub fn knows(&self, entry: &Entry) -> bool {
        let appended = self
            .events
            .iter()
            .any(|event| matches!(event, Event::Append(entries) if entries.contains(entry)));
        appended || self.base.logs.get(&entry.seq_no) == Some(entry)
    }

    /// Every log that was there at the last open.
    pub fn entries_at_open(&self) -> impl Iterator<Item = &Entry> {
        self.base.logs.values()
    }

    /// Every log that was submitted behind so many events.
    pub fn entries_since(&self, event_count: usize) -> impl Iterator<Item = &Entry> {
        let appended = self.events.iter().skip(event_count).filter_map(|event| match event {
            Event::Append(entries) => Some(entries),
            Event::Truncate(_) | Event::Clear => None,
        });
        appended.flatten()
    }

    /// Whether logs were, or are to be, truncated.
    #[must_use]
    pub fn was_truncated(&self) -> bool {
        self.events.iter().any(|event| !matches!(event, Event::Append(_)))
    }

    /// The logs that a crash left, if they are what some prefix of the events leaves that has all
    /// certain ones.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn check(
        &self,
        found: &[Entry],
        tip: u64,
        trimmed: u64,
        power: bool,
    ) -> Result<State, String> {
        let least = if power { self.durable } else { self.acknowledged };
        self.check_from(found, tip, trimmed, least)
    }

    /// The same, where damage may have taken certain ones.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn check_from(
        &self,
        found: &[Entry],
        tip: u64,
        trimmed: u64,
        least: usize,
    ) -> Result<State, String> {
        let mut state = self.state(least);
        for count in least..=self.events.len() {
            if count > least {
                state.apply(&self.events[count - 1]);
            }
            if state.tip == tip && state.visible(trimmed) == found {
                return Ok(state);
            }
        }
        let expected = self.state(least);
        Err(format!(
            "after {} certain events of {} the tip must be {} or later with {:?} before it, but \
             the tip is {tip} with {:?} (trimmed {trimmed})",
            least,
            self.events.len(),
            expected.tip,
            numbers(&expected.visible(trimmed)),
            numbers(found),
        ))
    }
}

fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.seq_no).collect()
}

impl Model {
    /// Checks logs where some events were refused, so that only what is certain can be compared:
    /// every log was submitted and follows the one before it.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn check_some(&self, found: &[Entry], tip: u64, trimmed: u64) -> Result<State, String> {
        let mut prev = trimmed;
        let mut state = State { tip, ..State::default() };
        for entry in found {
            if !self.knows(entry) {
                return Err(format!("log {} was never submitted like that", entry.seq_no));
            }
            if entry.prev_seq_no != prev && prev != trimmed {
                return Err(format!("log {} does not follow log {prev}", entry.seq_no));
            }
            prev = entry.seq_no;
            state.logs.insert(entry.seq_no, entry.clone());
        }
        if !found.is_empty() && prev != tip {
            return Err(format!("the tip is {tip}, but the last log is {prev}"));
        }
        Ok(state)
    }
}
