//! The time from an open to a close or a crash: operations at random, each checked.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::batch::{BatchBuilder, Body, Numbering};
use crate::engine::{Engine, Finished, Operation};
use crate::error::{AppendError, Error, QueryError};
use crate::log::Log;
use crate::memory::pool::Purpose;
use crate::memory::{Pool, ReadPool};
use crate::options::{Recovery, Retention};
use crate::published::Published;
use crate::reader::{self, Appetite, Position, Step};
use crate::simulation::disk::{Crash, Disk, Faults};
use crate::simulation::flips::read_recovered;
use crate::simulation::model::{Entry, Event, Model, State};
use crate::simulation::random::Random;
use crate::simulation::run::Summary;
use crate::simulation::setup::Setup;
use crate::simulation::witness::{Scene, Witness};

/// Results of operations, as their completions leave them.
#[derive(Default)]
struct Results {
    appends: Vec<(usize, Result<crate::engine::Appended, AppendError>, bool)>,
    manages: Vec<(usize, Kind, Result<(), Error>)>,
    outstanding: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sync,
    Trim,
    Event,
    Close,
}

/// A reader that checks what it reads.
struct Reader {
    position: Position,
    held: Option<crate::chunk::Chunk>,
    hold: bool,
}

/// The time from an open to a close or crash.
pub(super) struct Session<'a> {
    setup: &'a Setup,
    engine: Engine,
    published: Arc<Published>,
    read_pool: Arc<ReadPool>,
    disk: Disk,
    model: Model,
    results: Arc<Mutex<Results>>,
    readers: Vec<Reader>,
    now_ns: u64,
    /// The engine refused an append, so that numbers behind it are not certain.
    unsettled: bool,
    /// Appends may be refused: they are submitted one at a time.
    serial: bool,
    /// A torn tail was found when the store was opened; it stays until it is overwritten.
    opened_torn: bool,
    buffers: usize,
    queue: VecDeque<Operation>,
    witness: Option<Witness>,
    /// Events that the witness was told of.
    briefed: usize,
    /// The newest log that was ever durable.
    durable_max: u64,
}

/// What a session leaves behind.
pub(super) struct Left {
    pub disk: Disk,
    pub state: State,
    pub trimmed: u64,
    /// Somebody who follows on, where the system survived.
    pub witness: Option<Witness>,
}

impl Scene for Session<'_> {
    fn stir(&mut self, random: &mut Random) {
        match random.below(4) {
            0 => self.disk.seep(random),
            1 => self.pump(random),
            _ => self.complete(random),
        }
    }

    fn disk(&self) -> &Disk {
        &self.disk
    }
}

impl<'a> Session<'a> {
    /// Recovers the disk, checks what is found against the state, and starts an engine.
    pub fn open(
        setup: &'a Setup,
        left: Left,
        random: &mut Random,
        summary: &mut Summary,
    ) -> Result<Self, String> {
        let Left { disk, state, trimmed, witness } = left;
        summary.opens += 1;
        let nonce = random.below(1000) as u32;
        let recovery = random.pick(&[Recovery::Full, Recovery::Fast]);
        let found = setup.recover(&disk, recovery, nonce)?;
        if let Some(damage) = found.damage {
            return Err(format!("an intact store is said to be damaged: {damage:?}"));
        }
        let mut recovered = found.recovered;
        if random.one_in(2) {
            recovered.unprepared = (0..setup.config.ring_size).collect();
            let active = recovered.active.map(|active| active.page);
            recovered
                .unprepared
                .retain(|page| recovered.free.contains(page) || active == Some(*page));
        }
        let buffers = setup.write_limit + 3 + 3 * setup.tail_buffers;
        let pool = Pool::new(buffers, setup.write_limit, setup.config.buf_capacity, false)
            .map_err(|error| error.to_string())?;
        let published = Published::new(setup.config.store_id, pool, setup.tail_buffers, &recovered);
        if recovered.tip != state.tip || recovered.trimmed != trimmed {
            return Err(format!(
                "opening again found tip {} and trim point {} instead of {} and {trimmed}",
                recovered.tip, recovered.trimmed, state.tip
            ));
        }
        let log_count: u64 = found.report.log_count;
        if log_count != state.visible(trimmed).len() as u64 {
            return Err(format!(
                "{log_count} logs are counted, {} are there",
                state.visible(trimmed).len()
            ));
        }
        let repair = recovered.repair;
        let engine = Engine::new(setup.config.clone(), Arc::clone(&published), recovered);
        let mut session = Self {
            setup,
            engine,
            read_pool: ReadPool::new(1 << 28),
            disk,
            model: Model::new(state),
            results: Arc::default(),
            readers: Vec::new(),
            now_ns: 0,
            unsettled: false,
            opened_torn: found.report.dropped.is_some() || recovery == Recovery::Fast,
            serial: setup.config.retention != Retention::Overwrite,
            buffers,
            queue: VecDeque::new(),
            published,
            durable_max: witness.as_ref().map_or(0, |witness| witness.durable_max),
            witness,
            briefed: 0,
        };
        if let Some(witness) = &mut session.witness {
            witness.expect(session.model.entries_at_open());
            witness.look_everywhere();
        }
        let read = session.read_all(trimmed)?;
        if read != session.model.latest().visible(trimmed) {
            return Err("what is read after opening is not what was recovered".into());
        }
        for _ in 0..random.between(1, 3) {
            session.add_reader(random);
        }
        if repair {
            let done = session.manage_done(0, Kind::Trim);
            session.queue.push_back(Operation::Repair { done });
            // An open does not return before that is durable.
            session.drain(random);
            session.settle(summary)?;
            let outstanding = session.results.lock().outstanding;
            if outstanding > 0 {
                return Err("the repair after a crash did not end".into());
            }
        }
        Ok(session)
    }

    /// Works until a close or a crash; returns what is left.
    pub fn run(mut self, random: &mut Random, summary: &mut Summary) -> Result<Left, String> {
        if random.one_in(4) {
            self.serial = true;
            self.disk.set_faults(Faults {
                write_error: random.pick(&[0, 40, 150]),
                short_write: random.pick(&[0, 0, 100]),
                sync_error: random.pick(&[0, 0, 10]),
                no_space: random.pick(&[0, 0, 2]),
            });
        }
        for _ in 0..random.between(20, 160) {
            self.act(random, summary)?;
            self.settle(summary)?;
        }
        self.brief();
        match random.below(3) {
            0 => self.close(random, summary),
            1 => self.crash(Crash::Process, random, summary),
            _ => self.crash(Crash::Power, random, summary),
        }
    }

    fn act(&mut self, random: &mut Random, summary: &mut Summary) -> Result<(), String> {
        match random.below(24) {
            0..=8 => self.append(random),
            9 => self.append_wrongly(random),
            10 => self.sync(),
            11 => self.trim(random),
            12 if random.one_in(3) => self.truncate(random),
            12 if random.one_in(6) => self.clear(),
            13 => self.now_ns += random.below(30),
            14..=16 => self.read(random, summary)?,
            _ => self.complete(random),
        }
        if random.one_in(2) {
            self.pump(random);
        }
        if random.one_in(4) {
            self.follow(random)?;
        }
        Ok(())
    }

    /// Lets the witness read on, while the engine does too.
    fn follow(&mut self, random: &mut Random) -> Result<(), String> {
        self.brief();
        let Some(mut witness) = self.witness.take() else { return Ok(()) };
        let followed = witness.follow(self, random);
        // What cannot be written any more may be lost although it was seen.
        if self.published.progress.poison().is_some() {
            return Ok(());
        }
        followed?;
        self.witness = Some(witness);
        self.brief();
        self.witness.as_ref().map_or(Ok(()), Witness::check_told)
    }

    /// Tells the witness what happened.
    fn brief(&mut self) {
        if let Some(witness) = &mut self.witness {
            witness.expect(self.model.entries_since(self.briefed));
            self.briefed = self.model.event_count();
            witness.durable_max = self.durable_max;
            witness.truncated |= self.model.was_truncated();
        }
    }

    fn pump(&mut self, random: &mut Random) {
        while let Some(operation) = self.queue.pop_front() {
            self.engine.submit(operation);
            if random.one_in(3) {
                break;
            }
        }
        self.engine.pump(self.now_ns);
        let mut requests = Vec::new();
        self.engine.take_requests(&mut requests);
        for request in requests {
            self.disk.submit(request);
        }
        let mut finished = Vec::new();
        self.engine.take_finished(&mut finished);
        finished.into_iter().for_each(Finished::run);
        self.durable_max = self.durable_max.max(self.published.progress.durable());
    }

    fn complete(&mut self, random: &mut Random) {
        for _ in 0..random.between(1, 4) {
            if let Some(completion) = self.disk.complete_one(random) {
                self.engine.complete(&completion);
                self.durable_max = self.durable_max.max(self.published.progress.durable());
            }
        }
        self.pump(random);
    }

    /// Lets everything finish that can.
    fn drain(&mut self, random: &mut Random) {
        for _ in 0..10_000 {
            self.pump(random);
            match self.disk.complete_one(random) {
                Some(completion) => self.engine.complete(&completion),
                None if self.queue.is_empty() => {
                    self.pump(random);
                    if self.disk.under_way() == 0 {
                        return;
                    }
                }
                None => {}
            }
        }
    }

    /// Takes the results of operations into the model.
    fn settle(&mut self, summary: &mut Summary) -> Result<(), String> {
        let mut results = self.results.lock();
        let appends = std::mem::take(&mut results.appends);
        let manages = std::mem::take(&mut results.manages);
        results.outstanding -= appends.len() + manages.len();
        drop(results);
        let (durable, tip) = (self.published.progress.durable(), self.published.progress.tip());
        if durable > tip {
            return Err(format!("logs up to {durable} are called durable, but the tip is {tip}"));
        }
        for (number, result, durable) in appends {
            match result {
                Ok(appended) => {
                    summary.logs += appended.count;
                    self.model.acknowledge(number, durable || self.setup.config.durable);
                    let tip = self.published.progress.tip();
                    if self.model.event_count() == number && tip < appended.last_seq_no {
                        return Err(format!("an append was acknowledged before it is seen: {tip}"));
                    }
                }
                Err(AppendError::Poisoned(_) | AppendError::Closed) => {}
                Err(AppendError::Full { .. } | AppendError::NoSpace { .. }) => {
                    self.unsettled = true;
                }
                Err(AppendError::Sequence { .. }) if self.unsettled => {}
                Err(error) => return Err(format!("append {number} failed: {error}")),
            }
        }
        for (number, kind, result) in manages {
            match (kind, result) {
                (Kind::Event, Ok(())) => self.model.acknowledge(number, true),
                (Kind::Sync, Ok(())) => self.model.acknowledge(number, true),
                (_, Ok(()) | Err(Error::Poisoned(_) | Error::Closed)) => {}
                (_, Err(Error::Append(_))) => self.unsettled = true,
                (_, Err(_)) if self.unsettled => {}
                // It waited for room, and the ring gave the log up in the meantime.
                (Kind::Event, Err(Error::NotFound { .. })) if self.serial => self.unsettled = true,
                (kind, Err(error)) => return Err(format!("{kind:?} {number} failed: {error}")),
            }
        }
        Ok(())
    }

    fn append(&mut self, random: &mut Random) {
        if self.serial || self.unsettled {
            // A refused append makes the numbers of those behind it uncertain: one at a time.
            self.drain(random);
            let mut summary = Summary::default();
            if self.settle(&mut summary).is_err() || self.unsettled {
                return;
            }
            if self.results.lock().outstanding > 0 {
                return;
            }
        }
        let tip = self.model.latest().tip;
        let assigned = random.one_in(3);
        let first_prev = if tip == 0 && !assigned { random.below(50) } else { tip };
        let limits = self.setup.config.batch_limits();
        let numbering = if assigned {
            Numbering::Assigned
        } else if random.one_in(4) {
            Numbering::Conditional(self.setup.config.store_id.tag(random.below(9), 1))
        } else {
            Numbering::Conditional(self.published.progress.tag())
        };
        let pooled = random.one_in(4);
        let body = match self.published.pool.try_take(Purpose::Producer) {
            Some(buffer) if pooled => Body::Pooled(buffer),
            _ => Body::Copied(Vec::new()),
        };
        let mut builder = BatchBuilder::new(body, numbering, limits);
        let mut entries = Vec::new();
        let mut prev = first_prev;
        let count_max = random.pick(&[1, 1, 3, 30]);
        for _ in 0..random.between(1, count_max) {
            let seq_no =
                if assigned || random.one_in(2) { prev + 1 } else { prev + random.between(1, 4) };
            let len_max = random.pick(&[1, 9, 40, self.setup.large as u64]);
            let len = random.below(len_max) as usize;
            let data: Vec<u8> = (0..len).map(|_| random.number() as u8).collect();
            let pushed = if assigned {
                builder.push_payload(&data)
            } else {
                builder.push(&Log::new_borrowed(seq_no, prev, &data))
            };
            match pushed {
                Ok(true) => {}
                Ok(false) | Err(_) => break,
            }
            entries.push(Entry { seq_no, prev_seq_no: prev, data });
            prev = seq_no;
        }
        if entries.is_empty() {
            return;
        }
        let number = self.model.submit(Event::Append(entries));
        let durable = random.one_in(4);
        let done = self.append_done(number, durable);
        self.queue.push_back(Operation::Append { batch: builder.finish(), durable, done });
    }

    /// An append that must be refused, and must not hurt any other.
    fn append_wrongly(&mut self, random: &mut Random) {
        let tip = self.model.latest().tip;
        if tip == 0 || self.unsettled || self.published.progress.poison().is_some() {
            return;
        }
        // An operation that may still be refused makes the tip uncertain.
        if self.serial && self.results.lock().outstanding > 0 {
            return;
        }
        let limits = self.setup.config.batch_limits();
        let numbering = Numbering::Conditional(self.published.progress.tag());
        let mut builder = BatchBuilder::new(Body::Copied(Vec::new()), numbering, limits);
        let wrong = tip + random.between(1, 5);
        let Ok(true) = builder.push(&Log::new_borrowed(wrong + 1, wrong, b"wrong")) else { return };
        let done = Box::new(move |result: Result<_, AppendError>| {
            let refused = matches!(
                result,
                Err(AppendError::Sequence { .. }
                    | AppendError::Poisoned(_)
                    | AppendError::Full { .. }
                    | AppendError::NoSpace { .. }
                    | AppendError::Closed)
            );
            assert!(refused, "an append that does not follow was not refused: {result:?}");
        });
        self.queue.push_back(Operation::Append { batch: builder.finish(), durable: false, done });
    }

    fn append_done(
        &self,
        number: usize,
        durable: bool,
    ) -> Box<dyn FnOnce(Result<crate::engine::Appended, AppendError>) + Send> {
        let results = Arc::clone(&self.results);
        results.lock().outstanding += 1;
        Box::new(move |result| results.lock().appends.push((number, result, durable)))
    }

    fn manage_done(&self, number: usize, kind: Kind) -> Box<dyn FnOnce(Result<(), Error>) + Send> {
        let results = Arc::clone(&self.results);
        results.lock().outstanding += 1;
        Box::new(move |result| results.lock().manages.push((number, kind, result)))
    }

    fn sync(&mut self) {
        let done = self.manage_done(self.model.event_count(), Kind::Sync);
        self.queue.push_back(Operation::Sync { done });
    }

    fn trim(&mut self, random: &mut Random) {
        let state = self.model.latest();
        let Some((&first, _)) = state.logs.iter().next() else { return };
        // Only logs that are there for certain: a trim overtakes appends.
        let tip = self.published.progress.tip();
        if self.published.progress.epoch() != 0 && !self.queue.is_empty() || tip < first {
            return;
        }
        let up_to = random.between(first, tip);
        self.model.trim(up_to);
        let census = self.census(up_to);
        let done = self.manage_done(0, Kind::Trim);
        self.queue.push_front(Operation::Trim { up_to_seq_no: up_to, census, done });
    }

    /// Counts as a caller would: by reading.
    fn census(&mut self, seq_no: u64) -> Option<crate::engine::Census> {
        let page = self.published.catalog.with_log(seq_no, Clone::clone)?;
        let layout = self.setup.layout(Recovery::Full);
        let count =
            crate::recovery::count_logs(&self.disk, &layout, &page, page.end, seq_no).ok()?;
        Some(crate::engine::Census { page_number: page.number, count })
    }

    fn truncate(&mut self, random: &mut Random) {
        self.drain(random);
        let mut summary = Summary::default();
        if self.settle(&mut summary).is_err() || self.unsettled {
            return;
        }
        if self.results.lock().outstanding > 0 || self.published.progress.poison().is_some() {
            return;
        }
        let trimmed = self.published.progress.trimmed();
        let visible = self.model.latest().visible(trimmed);
        if visible.is_empty() {
            return;
        }
        let after = visible[random.below(visible.len() as u64) as usize].seq_no;
        let census = self.census(after);
        let epoch = self.published.progress.epoch();
        if after == self.model.latest().tip {
            return;
        }
        let number = self.model.submit(Event::Truncate(after));
        let done = self.manage_done(number, Kind::Event);
        self.queue.push_back(Operation::Truncate { after_seq_no: after, census, epoch, done });
        while !self.queue.is_empty() {
            self.drain(random);
        }
        let mut results = self.results.lock();
        let given_up = |(at, _, result): &(usize, Kind, Result<(), Error>)| {
            *at == number && matches!(result, Err(Error::NotFound { .. }))
        };
        // The ring may have given the log up in the meantime: then nothing happened.
        if let Some(at) = results.manages.iter().position(given_up) {
            drop(results.manages.swap_remove(at));
            results.outstanding -= 1;
            self.model.refuse(number);
        }
    }

    fn clear(&mut self) {
        if self.unsettled || self.model.latest().tip == 0 {
            return;
        }
        let number = self.model.submit(Event::Clear);
        let done = self.manage_done(number, Kind::Event);
        self.queue.push_back(Operation::Clear { done });
    }

    fn add_reader(&mut self, random: &mut Random) {
        let progress = &self.published.progress;
        let (trimmed, tip) = (progress.trimmed(), progress.tip());
        let after = random.between(trimmed.min(tip), tip);
        let position = Position::after(&self.published, after);
        self.readers.push(Reader { position, held: None, hold: random.one_in(3) });
    }

    /// Lets one reader read on.
    fn read(&mut self, random: &mut Random, summary: &mut Summary) -> Result<(), String> {
        if random.one_in(12) {
            self.add_reader(random);
        }
        if self.readers.is_empty() {
            return Ok(());
        }
        let at = random.below(self.readers.len() as u64) as usize;
        let mut reader = self.readers.swap_remove(at);
        let appetite = random.pick(&[Appetite::Lookup, Appetite::Scan]);
        let chunk = match self.next_chunk(&mut reader.position, appetite) {
            Ok(chunk) => chunk,
            Err(QueryError::Trimmed { oldest }) => {
                reader.position.seek(oldest - 1);
                None
            }
            Err(QueryError::Truncated { .. }) => None,
            // After a failed sync the system may have dropped what it could not write.
            Err(QueryError::Corruption(_)) if self.published.progress.poison().is_some() => None,
            Err(error) => return Err(format!("a read failed: {error}")),
        };
        if let Some(chunk) = chunk {
            summary.reads += self.check_chunk(&chunk)?;
            if reader.hold {
                reader.held = Some(chunk);
            }
        }
        if let Some(held) = &reader.held {
            self.check_chunk(held)?;
        }
        if !random.one_in(20) {
            self.readers.push(reader);
        }
        Ok(())
    }

    fn next_chunk(
        &self,
        position: &mut Position,
        appetite: Appetite,
    ) -> Result<Option<crate::chunk::Chunk>, QueryError> {
        use crate::recovery::PageSource;

        for _ in 0..100_000 {
            match reader::next(&self.published, position, appetite)? {
                Step::Chunk(chunk) => return Ok(Some(chunk)),
                Step::Wait => return Ok(None),
                Step::Again => {}
                Step::Read(plan) => {
                    let mut buffer =
                        self.read_pool.try_take(plan.len).ok_or(QueryError::Timeout)?;
                    let read = self.disk.read_at(plan.place.page, plan.place.offset, &mut buffer);
                    buffer.truncate(read.unwrap_or(0));
                    match reader::absorb(&self.published, position, &plan, buffer)? {
                        Step::Chunk(chunk) => return Ok(Some(chunk)),
                        _ => continue,
                    }
                }
            }
        }
        panic!("a reader does not come forward: {position:?}");
    }

    /// Every log must be one that was submitted, and follow the one before it.
    fn check_chunk(&self, chunk: &crate::chunk::Chunk) -> Result<u64, String> {
        let mut prev = None;
        let mut count = 0;
        for log in chunk {
            log.validate_data().map_err(|error| format!("a log that was read is bad: {error}"))?;
            let entry = Entry {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                data: log.data().to_vec(),
            };
            if !self.model.knows(&entry) {
                return Err(format!("log {} was never submitted like that", entry.seq_no));
            }
            if prev.is_some_and(|prev| prev != entry.prev_seq_no) {
                let logs: Vec<_> =
                    chunk.iter().map(|log| (log.prev_seq_no(), log.seq_no())).collect();
                return Err(format!(
                    "log {} does not follow the one before it in {logs:?} of {chunk:?}",
                    entry.seq_no
                ));
            }
            prev = Some(entry.seq_no);
            count += 1;
        }
        if prev != Some(chunk.last_seq_no()) {
            return Err(format!("a chunk up to {} ends with {prev:?}", chunk.last_seq_no()));
        }
        Ok(count)
    }

    fn read_all(&self, trimmed: u64) -> Result<Vec<Entry>, String> {
        let mut position = Position::after(&self.published, trimmed);
        let mut entries = Vec::new();
        loop {
            let chunk = self
                .next_chunk(&mut position, Appetite::Scan)
                .map_err(|error| format!("reading everything failed: {error}"))?;
            let Some(chunk) = chunk else { return Ok(entries) };
            entries.extend(chunk.iter().map(|log| Entry {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                data: log.data().to_vec(),
            }));
        }
    }

    fn close(mut self, random: &mut Random, summary: &mut Summary) -> Result<Left, String> {
        let done = self.manage_done(0, Kind::Close);
        self.queue.push_back(Operation::Close { done });
        self.drain(random);
        self.settle(summary)?;
        let outstanding = self.results.lock().outstanding;
        if outstanding > 0 {
            return Err(format!("{outstanding} operations never ended"));
        }
        if self.published.progress.poison().is_some() {
            summary.poisoned += 1;
            return self.crash(Crash::Power, random, summary);
        }
        if !self.engine.is_closed() {
            return Err("a close did not end".into());
        }
        summary.closes += 1;
        let trimmed = self.published.progress.trimmed();
        let found = self.read_all(trimmed)?;
        let tip = self.published.progress.tip();
        let least = if self.unsettled { 0 } else { self.model.event_count() };
        let state = self.after(&found, tip, trimmed, least)?;
        let held: Vec<_> = self.readers.drain(..).filter_map(|reader| reader.held).collect();
        drop(self.engine);
        for chunk in &held {
            if chunk.is_empty() {
                return Err("a chunk did not outlive the close".into());
            }
        }
        drop(held);
        self.published.tail.clear();
        let free = self.published.pool.free_count();
        if free != self.buffers {
            return Err(format!("{free} of {} buffers came back", self.buffers));
        }
        let nonce = random.below(1000) as u32;
        if let Some(witness) = &mut self.witness {
            witness.note_written(&self.disk);
        }
        let closed = self.disk.crash(Crash::Power, random);
        let again = self.setup.recover(&closed, Recovery::Full, nonce)?;
        if let Some(witness) = &mut self.witness {
            let found = read_recovered(self.setup, &closed, &again)?;
            let (tip, trimmed) = (again.recovered.tip, again.recovered.trimmed);
            // Where nothing is durable by itself, the seals may be lost.
            let sealed = self.setup.config.durable;
            witness.compare(&closed, tip, trimmed, &found, sealed)?;
        }
        let leftover = |dropped: crate::recovery::Dropped| dropped.frame_count > 0;
        if again.report.dropped.is_some_and(leftover) && !self.opened_torn {
            return Err(format!("a closed store has a torn tail: {:?}", again.report));
        }
        // A trim that a full ring had no room for lives in memory only.
        let kept = again.recovered.trimmed;
        if kept != trimmed && self.setup.config.retention == Retention::Overwrite {
            return Err(format!("the trim point went from {trimmed} to {kept} by closing"));
        }
        let is_kept = kept == trimmed;
        let (disk, trimmed, witness) = (closed, kept, self.witness);
        if is_kept {
            return Ok(Left { disk, state, trimmed, witness });
        }
        let found = read_recovered(self.setup, &disk, &again)?;
        let state = self.model.check_some(&found, tip, kept)?;
        Ok(Left { disk, state, trimmed, witness })
    }

    fn after(
        &self,
        found: &[Entry],
        tip: u64,
        trimmed: u64,
        least: usize,
    ) -> Result<State, String> {
        if self.unsettled {
            // Refused appends left holes in the model's events: what was acknowledged must be
            // there, and nothing else.
            return self.model.check_some(found, tip, trimmed);
        }
        self.model.check_from(found, tip, trimmed, least)
    }

    fn crash(
        mut self,
        crash: Crash,
        random: &mut Random,
        summary: &mut Summary,
    ) -> Result<Left, String> {
        summary.crashes += 1;
        self.settle(summary)?;
        let poisoned = self.published.progress.poison().is_some();
        let durable = self.published.progress.durable();
        let trimmed_max = self
            .published
            .catalog
            .oldest(|page| page.last_seq_no)
            .unwrap_or(0)
            .max(self.published.progress.trimmed())
            .max(self.model.trim_asked());
        let disk = std::mem::take(&mut self.disk).crash(crash, random);
        let nonce = random.below(1000) as u32;
        let first = self.setup.recover(&disk, Recovery::Full, nonce)?;
        if let Some(damage) = first.damage {
            return Err(format!("a crash ({crash:?}) is taken for damage: {damage:?}"));
        }
        let fast = self.setup.recover(&disk, Recovery::Fast, nonce)?;
        let again = self.setup.recover(&disk, Recovery::Full, nonce)?;
        for (name, other) in [("again", &again), ("fast", &fast)] {
            let same = other.recovered.tip == first.recovered.tip
                && other.recovered.trimmed == first.recovered.trimmed
                && other.damage.is_none();
            if !same {
                return Err(format!("recovery ({name}) differs: {other:?} from {first:?}"));
            }
        }
        summary.torn += u64::from(first.report.dropped.is_some());
        let (tip, trimmed) = (first.recovered.tip, first.recovered.trimmed);
        if trimmed > trimmed_max && trimmed > tip {
            return Err(format!("logs up to {trimmed} are gone, only {trimmed_max} were given up"));
        }
        if tip < durable && !self.model.was_truncated() {
            return Err(format!("logs up to {durable} were called durable, but the tip is {tip}"));
        }
        let found = read_recovered(self.setup, &disk, &first)?;
        let power = crash == Crash::Power || poisoned;
        let state = if self.unsettled {
            self.model.check_some(&found, tip, trimmed)?
        } else {
            self.model.check(&found, tip, trimmed, power)?
        };
        let mut witness = self.witness.filter(|_| !power);
        if let Some(witness) = &mut witness {
            witness.look_everywhere();
            witness.compare(&disk, tip, trimmed, &found, false)?;
        }
        Ok(Left { disk, state, trimmed, witness })
    }
}
