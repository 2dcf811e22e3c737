//! Producers: each appends in a style of its own, one operation after the other.

use std::sync::mpsc;

use fastrand::Rng;
use waldo_core::{AppendError, AppendOptions, Appended, Log, Retention};

use super::{FIRST_PRODUCER, PAUSE, Session};
use crate::note::{Note, Numbers};
use crate::payload::{self, Ident, LEN_MIN, Op};

/// Most logs of an append that is to be atomic.
const COUNT_MAX: usize = 8;

/// How often a producer goes on in the same style.
const STREAK_MAX: usize = 12;

/// Appends that a pipelining producer has under way.
const WINDOW: usize = 12;

/// How a producer appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Payloads that the store numbers.
    Assigned,
    /// Logs with numbers of its own, behind the tip.
    Conditional,
    /// Several batches before the first is acknowledged.
    Pipelined,
    /// A batch larger than a frame.
    Large,
    /// A buffered writer.
    Sink,
}

/// One thread that appends.
pub(super) struct Producer<'a> {
    session: &'a Session<'a>,
    id: u16,
    random: Rng,
    /// Nobody else appends.
    alone: bool,
    next: u32,
}

/// Logs that are about to be appended.
struct Logs {
    op: Op,
    prev: u64,
    numbers: Numbers,
    logs: Vec<Log<'static>>,
}

impl<'a> Session<'a> {
    pub(super) fn producer(&'a self, id: u16, random: Rng, alone: bool) -> Producer<'a> {
        Producer { session: self, id, random, alone, next: 0 }
    }

    /// Appends the first log of an empty store. Nobody else may append yet. Answers whether the
    /// store has a log now.
    pub(super) fn append_first(&self, random: &mut Rng) -> bool {
        if self.waldo.prev_seq_no().is_some() {
            return true;
        }
        let mut producer = self.producer(FIRST_PRODUCER, random.fork(), true);
        // One that was cleared has had a first log before.
        producer.next = random.u32(..);
        let prev = if random.bool() { 0 } else { random.u64(0..1000) };
        let logs = producer.logs(prev, 1);
        producer.append_logs(&logs, AppendOptions::default(), false);
        self.waldo.prev_seq_no().is_some()
    }
}

impl Producer<'_> {
    /// Appends until the session is over.
    pub(super) fn produce(&mut self) {
        use Style::{Assigned, Conditional, Large, Pipelined, Sink};

        while !self.session.is_over() {
            let style = if self.alone {
                self.random.choice([Assigned, Conditional, Pipelined, Large, Sink])
            } else {
                self.random.choice([Assigned, Assigned, Conditional, Pipelined])
            };
            for _ in 0..self.random.usize(1..=STREAK_MAX) {
                if self.session.is_over() {
                    return;
                }
                if self.random.u8(..32) == 0 {
                    self.session.sync(self.id);
                }
                let _turn = self.session.turn();
                match style.unwrap_or(Assigned) {
                    Assigned => self.append_assigned(),
                    Conditional => self.append_conditional(),
                    Pipelined => self.append_pipelined(),
                    Large => self.append_large(),
                    Sink => self.append_by_sink(),
                }
            }
        }
    }

    fn append_assigned(&mut self) {
        let (op, count) = (self.op(), self.count());
        let payloads = self.payloads(op, count);
        let options = self.options();
        self.note(Note::Appending { op, count: count as u16, parts: false, prev: None });
        let result = self.session.waldo.blocking_append_assigned_with(&payloads, options);
        self.answered(op, count as u16, options.durable, result);
    }

    fn append_conditional(&mut self) {
        let Some(tip) = self.session.waldo.prev_seq_no() else { return };
        let count = self.count();
        let logs = self.logs(tip, count);
        let options = self.options();
        self.append_logs(&logs, options, false);
    }

    fn append_large(&mut self) {
        let Some(tip) = self.session.waldo.prev_seq_no() else { return };
        let count = self.random.usize(1..60);
        let logs = self.logs(tip, count);
        let options = AppendOptions { atomic: false, ..self.options() };
        self.append_logs(&logs, options, true);
    }

    fn append_logs(&mut self, logs: &Logs, options: AppendOptions, parts: bool) {
        let Logs { op, prev, numbers, .. } = *logs;
        self.note(Note::Appending { op, count: numbers.count, parts, prev: Some(prev) });
        match self.session.waldo.blocking_append_with(&logs.logs, options) {
            Ok(()) => self.appended(op, prev, numbers, options.durable),
            Err(error) => self.failed(op, &error, parts),
        }
    }

    /// Submits several batches, and waits for all of them.
    fn append_pipelined(&mut self) {
        let (sender, receiver) = mpsc::channel();
        let mut expected = Vec::new();
        for _ in 0..self.random.usize(1..=WINDOW) {
            let (op, count) = (self.op(), self.count());
            let payloads = self.payloads(op, count);
            let size = payloads.iter().map(|data| Log::new_borrowed(1, 0, data).size()).sum();
            let durable = self.random.u8(..4) == 0;
            let Ok(mut builder) = self.session.waldo.try_batch(size, true) else { break };
            if !payloads.iter().all(|data| builder.push_payload(data) == Ok(true)) {
                self.session.violation(format!("{op:?} does not fit a batch of its size"));
                return;
            }
            self.note(Note::Appending { op, count: count as u16, parts: false, prev: None });
            let sender = sender.clone();
            let done = move |result| drop(sender.send((op, result)));
            match self.session.waldo.submit_append(builder.finish(), durable, done) {
                Ok(()) => expected.push((op, count as u16, durable)),
                Err(error) => {
                    self.failed(op, &error, false);
                    break;
                }
            }
        }
        drop(sender);
        while !expected.is_empty() {
            let Ok((op, result)) = receiver.recv() else {
                return self.session.violation(format!("{expected:?} were never answered"));
            };
            let Some(at) = expected.iter().position(|(expected, ..)| *expected == op) else {
                return self.session.violation(format!("{op:?} was answered twice"));
            };
            let (op, count, durable) = expected.remove(at);
            // One that waits for a sync is overtaken by those that do not.
            let overtakes = expected[..at].iter().any(|(.., other)| *other == durable);
            if overtakes && result.is_ok() {
                return self.session.violation(format!("{op:?} was answered before {expected:?}"));
            }
            self.answered(op, count, durable, result);
        }
    }

    /// Pushes logs one by one, and flushes.
    fn append_by_sink(&mut self) {
        let Some(tip) = self.session.waldo.prev_seq_no() else { return };
        let count = self.random.usize(1..100);
        let Logs { op, prev, numbers, logs } = self.logs(tip, count);
        self.note(Note::Appending { op, count: numbers.count, parts: true, prev: Some(prev) });
        let mut sink = self.session.waldo.sink_with_capacity(self.random.usize(1..8192));
        let pushed = logs.into_iter().try_for_each(|log| sink.blocking_push(log));
        match pushed.and_then(|()| sink.blocking_flush()) {
            Ok(()) => self.appended(op, prev, numbers, false),
            Err(error) => {
                drop(sink.into_unflushed());
                self.failed(op, &error, true);
            }
        }
    }

    /// Takes the answer to payloads that the store numbered.
    fn answered(&self, op: Op, count: u16, durable: bool, result: Result<Appended, AppendError>) {
        match result {
            Ok(Appended { first_seq_no: first, last_seq_no, count: told }) => {
                let numbers = Numbers { first, step: 1, count };
                if told != u64::from(count) || numbers.last() != last_seq_no || first == 0 {
                    let what = format!("{op:?} of {count} logs got {first} to {last_seq_no}");
                    return self.session.violation(what);
                }
                self.appended(op, first - 1, numbers, durable);
            }
            Err(error) => self.failed(op, &error, false),
        }
    }

    fn appended(&self, op: Op, prev: u64, numbers: Numbers, durable: bool) {
        let durable = durable || self.session.plan.options.file_o_dsync;
        self.note(Note::Appended { op, prev, numbers, durable });
    }

    /// Takes an error for what it says of the logs.
    fn failed(&self, op: Op, error: &AppendError, parts: bool) {
        let retention = self.session.plan.options.retention;
        match error {
            AppendError::Poisoned(poison) => self.session.poisoned(poison),
            AppendError::Closed => {}
            // Of several parts the first may be there.
            AppendError::Full { .. } if retention != Retention::Overwrite => {
                if !parts {
                    self.note(Note::Refused { op });
                }
                std::thread::sleep(PAUSE);
            }
            AppendError::NoSpace { .. } if self.session.plan.faulty => {
                self.note(Note::NoSpace);
                if !parts {
                    self.note(Note::Refused { op });
                }
                std::thread::sleep(PAUSE);
            }
            AppendError::Sequence { .. } if !self.alone => self.note(Note::Refused { op }),
            AppendError::WouldBlock => self.note(Note::Refused { op }),
            _ => self.session.violation(format!("{op:?} failed: {error}")),
        }
    }

    fn op(&mut self) -> Op {
        let number = self.next;
        self.next += 1;
        Op { session: self.session.plan.session, producer: self.id, number }
    }

    fn options(&mut self) -> AppendOptions {
        AppendOptions { atomic: self.random.bool(), durable: self.random.u8(..4) == 0 }
    }

    /// How many logs an append has.
    fn count(&mut self) -> usize {
        let limit = self.session.waldo.batch_limits().count.min(COUNT_MAX as u64) as usize;
        self.random.usize(1..=limit)
    }

    /// Payloads that fit one frame together.
    fn payloads(&mut self, op: Op, count: usize) -> Vec<Vec<u8>> {
        let len_max = self.session.waldo.log_size_limit() / count - 32;
        let payload = |index| {
            let ident = Ident { op, index: index as u16 };
            payload::build(self.session.plan.store, ident, 0, self.random_len(len_max))
        };
        // One after the other, as each takes from the same random numbers.
        (0..count).map(payload).collect()
    }

    /// Logs behind `prev`.
    fn logs(&mut self, prev: u64, count: usize) -> Logs {
        let op = self.op();
        let len_max = (self.session.waldo.log_size_limit() / count.min(COUNT_MAX)) - 32;
        let step = self.random.choice([1, 1, 1, 2, 7]).unwrap_or(1);
        let first = prev + if self.random.bool() { 1 } else { self.random.u64(1..5) };
        let numbers = Numbers { first, step, count: count as u16 };
        let mut before = prev;
        let mut logs = Vec::with_capacity(count);
        for index in 0..numbers.count {
            let seq_no = numbers.at(index);
            let len = self.random_len(len_max);
            let ident = Ident { op, index };
            let data = payload::build(self.session.plan.store, ident, seq_no, len);
            logs.push(Log::new_owned(seq_no, before, data));
            before = seq_no;
        }
        Logs { op, prev, numbers, logs }
    }

    fn random_len(&mut self, max: usize) -> usize {
        let most = match self.random.u8(..20) {
            0 => max,
            1..=4 => 2000,
            _ => 150,
        };
        self.random.usize(LEN_MIN..=most.min(max).max(LEN_MIN))
    }

    fn note(&self, note: Note) {
        self.session.witness.note(note);
    }
}
