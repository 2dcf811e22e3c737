//! A follower that watches the engine at work from outside, through the page files alone.
//!
//! It reads while writes arrive sector by sector, and while the engine goes on between two of its
//! reads. What it is told that was written, it is told when a write is complete, and no sooner.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::chunk::Chunk;
use crate::error::QueryError;
use crate::follow::{Changes, Fault, Found, Place, Terms, Tracker};
use crate::handle::Cursor;
use crate::memory::Pool;
use crate::options::{CorruptionPolicy, Recovery};
use crate::reader::Appetite;
use crate::recovery::{Layout, PageSource};
use crate::simulation::disk::Disk;
use crate::simulation::model::Entry;
use crate::simulation::random::Random;
use crate::simulation::setup::Setup;

/// Somebody who follows the log.
pub(super) struct Witness {
    terms: Terms,
    tracker: Option<Tracker>,
    place: Option<Place>,
    changes: Changes,
    /// The log that it saw last, where it was told of nothing since.
    served: Option<u64>,
    /// Every log that was ever submitted.
    submitted: BTreeMap<u64, Vec<Entry>>,
    /// The newest log that it saw.
    newest: u64,
    /// The newest log that was ever durable.
    pub durable_max: u64,
    /// Logs were truncated. Those that had become durable before are not told of any more.
    pub truncated: bool,
    /// It was told so.
    told_truncated: bool,
    /// Logs that it saw.
    pub seen: u64,
    /// Times that it was told that logs are gone, or void.
    pub lapses: u64,
}

/// What is being read while it changes.
pub(super) trait Scene: Send {
    /// Something happens.
    fn stir(&mut self, random: &mut Random);
    fn disk(&self) -> &Disk;
}

/// A scene in which things happen between two reads.
struct Watched<'a>(Mutex<(&'a mut dyn Scene, Random)>);

impl PageSource for Watched<'_> {
    fn read_at(&self, page: u32, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut guard = self.0.lock();
        let (scene, random) = &mut *guard;
        if random.one_in(2) {
            scene.stir(random);
        }
        scene.disk().read_at(page, offset, bytes)
    }
}

impl Witness {
    pub fn new(setup: &Setup, random: &mut Random) -> Result<Self, String> {
        let pool = Pool::new(0, 0, 4096, false).map_err(|error| error.to_string())?;
        let terms = Terms {
            layout: Layout {
                blank_limit: random.pick(&[0, 4096, u64::MAX]),
                ..setup.layout(Recovery::Fast)
            },
            durable_only: random.one_in(3),
            corruption: CorruptionPolicy::Refuse,
            pool,
        };
        Ok(Self {
            terms,
            tracker: None,
            place: None,
            changes: Changes::default(),
            served: None,
            submitted: BTreeMap::new(),
            newest: 0,
            durable_max: 0,
            truncated: false,
            told_truncated: false,
            seen: 0,
            lapses: 0,
        })
    }

    /// Knows that logs may be found from now on.
    pub fn expect<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) {
        for entry in entries {
            let known = self.submitted.entry(entry.seq_no).or_default();
            if !known.contains(entry) {
                known.push(entry.clone());
            }
        }
    }

    /// Anything may have been written: the writer ended, or another one began.
    pub fn look_everywhere(&mut self) {
        self.changes.note_missed();
    }

    /// Learns what was written.
    pub fn note_written(&mut self, disk: &Disk) {
        for page in disk.take_written() {
            self.changes.note_page(page);
        }
    }

    /// Reads on a little.
    pub fn follow(&mut self, scene: &mut dyn Scene, random: &mut Random) -> Result<(), String> {
        self.note_written(scene.disk());
        let seed = random.number();
        let watched = Watched(Mutex::new((scene, Random::new(seed))));
        if self.tracker.is_none() && !self.open(&watched)? {
            return Ok(());
        }
        let restart = random.one_in(30);
        let Some(tracker) = &mut self.tracker else { return Ok(()) };
        if restart {
            (self.place, self.served) = (None, None);
        }
        let cursor = random.pick(&[Cursor::Trim, Cursor::Tip]);
        let appetite = random.pick(&[Appetite::Lookup, Appetite::Scan]);
        let place = self.place.get_or_insert_with(|| tracker.place(cursor, appetite));
        let oldest = place.is_oldest();
        let after = place.seq_no();
        let found = tracker.next(&watched, place, &mut self.changes);
        match found {
            Ok(Found::Chunk(chunk)) => self.check(&chunk, after, oldest),
            Ok(Found::End { doubt }) => {
                if doubt && random.one_in(3) {
                    tracker.look(&watched).map(drop).or_else(forgive_restless)?;
                }
                Ok(())
            }
            Err(told @ (QueryError::Trimmed { .. } | QueryError::Truncated { .. })) => {
                self.lapses += 1;
                self.served = None;
                self.told_truncated |= matches!(told, QueryError::Truncated { .. });
                Ok(())
            }
            Err(QueryError::Io { errno: libc::EAGAIN, .. }) => Ok(()),
            Err(error) => Err(format!("a follower fails: {error}")),
        }
    }

    fn open(&mut self, source: &dyn PageSource) -> Result<bool, String> {
        match Tracker::open(source, self.terms.clone()) {
            Ok(tracker) => self.tracker = Some(tracker),
            Err(fault) => forgive_restless(fault)?,
        }
        Ok(self.tracker.is_some())
    }

    fn check(&mut self, chunk: &Chunk, after: u64, oldest: bool) -> Result<(), String> {
        // A trim point need not be the number of a log.
        let first = chunk.iter().next().map_or(0, |log| log.prev_seq_no());
        if !oldest && first > after {
            return Err(format!("a follower at {after} misses the log {first}"));
        }
        let mut prev = self.served.filter(|served| *served == after);
        for log in chunk {
            log.validate_data().map_err(|error| format!("a follower reads a bad log: {error}"))?;
            let entry = Entry {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                data: log.data().to_vec(),
            };
            let known = self.submitted.get(&entry.seq_no);
            if !known.is_some_and(|known| known.contains(&entry)) {
                return Err(format!("a follower reads log {}, never submitted", entry.seq_no));
            }
            if prev.is_some_and(|prev| prev != entry.prev_seq_no) {
                return Err(format!("a follower reads log {} after {prev:?}", entry.seq_no));
            }
            prev = Some(entry.seq_no);
            self.seen += 1;
        }
        self.served = prev;
        self.newest = self.newest.max(chunk.last_seq_no());
        Ok(())
    }

    /// Reads a store at rest: it must find just what recovery finds. Where it was not closed,
    /// nothing proves that all of it is durable.
    pub fn compare(
        &mut self,
        disk: &Disk,
        tip: u64,
        trimmed: u64,
        found: &[Entry],
        closed: bool,
    ) -> Result<(), String> {
        let Some(mut tracker) = self.tracker.take() else { return Ok(()) };
        let failed = |error: QueryError| format!("a follower fails at rest: {error}");
        let mut read = Vec::new();
        let mut place = tracker.place(Cursor::Tip, Appetite::Scan);
        let mut looks = 0;
        loop {
            match tracker.next(disk, &mut place, &mut self.changes) {
                Ok(Found::Chunk(_)) => {}
                Ok(Found::End { doubt: true }) if looks < 3 => {
                    looks += 1;
                    tracker.look(disk).map_err(|fault| failed(fault.into()))?;
                }
                Ok(Found::End { .. }) => break,
                Err(QueryError::Trimmed { .. } | QueryError::Truncated { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let mut place = tracker.place(Cursor::Trim, Appetite::Scan);
        loop {
            let chunk = match tracker.next(disk, &mut place, &mut self.changes) {
                Ok(Found::Chunk(chunk)) => chunk,
                Ok(Found::End { .. }) => break,
                // Nothing proves yet that what it had was given up, though it is overwritten.
                Err(QueryError::Trimmed { .. }) if self.terms.durable_only && !closed => {
                    read.clear();
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            read.extend(chunk.iter().map(|log| Entry {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                data: log.data().to_vec(),
            }));
        }
        let progress = Arc::clone(tracker.published());
        let progress = &progress.progress;
        let same = progress.tip() == tip && progress.trimmed() == trimmed && read == found;
        if !same && (closed || !self.terms.durable_only) {
            let numbers = |entries: &[Entry]| entries.iter().map(|e| e.seq_no).collect::<Vec<_>>();
            return Err(format!(
                "a follower finds tip {} and trim point {} instead of {tip} and {trimmed}; logs \
                 {:?} instead of {:?}",
                progress.tip(),
                progress.trimmed(),
                numbers(&read),
                numbers(found)
            ));
        }
        let totals = tracker.published().catalog.totals();
        if same && totals.log_count != read.len() as u64 {
            return Err(format!("a follower counts {} of {} logs", totals.log_count, read.len()));
        }
        self.tracker = Some(tracker);
        Ok(())
    }

    /// What it saw and was told must be so.
    pub fn check_told(&self) -> Result<(), String> {
        if self.told_truncated && !self.truncated {
            return Err("a follower is told of a truncation that never was".into());
        }
        let checked = self.terms.durable_only && !self.truncated;
        if checked && self.newest > self.durable_max {
            let (newest, durable) = (self.newest, self.durable_max);
            return Err(format!("a follower serves {newest}, durable is {durable}"));
        }
        Ok(())
    }
}

/// Reads all of a store at rest, to its very end.
pub(super) fn read(
    setup: &Setup,
    disk: &Disk,
    random: &mut Random,
) -> Result<Vec<Entry>, QueryError> {
    let system = |errno| QueryError::Io { page: 0, errno };
    let pool = Pool::new(0, 0, 4096, false).map_err(|_| system(libc::ENOMEM))?;
    let terms = Terms {
        layout: setup.layout(Recovery::Fast),
        durable_only: false,
        corruption: CorruptionPolicy::Refuse,
        pool,
    };
    let mut tracker = Tracker::open(disk, terms)?;
    let appetite = random.pick(&[Appetite::Lookup, Appetite::Scan]);
    let mut place = tracker.place(Cursor::Trim, appetite);
    let mut changes = Changes::all();
    let mut entries = Vec::new();
    while let Found::Chunk(chunk) = tracker.next(disk, &mut place, &mut changes)? {
        entries.extend(chunk.iter().map(|log| Entry {
            seq_no: log.seq_no(),
            prev_seq_no: log.prev_seq_no(),
            data: log.data().to_vec(),
        }));
    }
    tracker.look(disk)?;
    Ok(entries)
}

/// A writer that is much faster than a reader is no failure.
fn forgive_restless(fault: Fault) -> Result<(), String> {
    match fault {
        Fault::Restless => Ok(()),
        fault => Err(format!("a follower fails: {}", QueryError::from(fault))),
    }
}
