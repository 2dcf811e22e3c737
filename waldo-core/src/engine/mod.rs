//! The engine: a state machine that turns operations into I/O requests, and I/O completions into
//! acknowledgements.
//!
//! It has no thread, no clock, no file and no source of randomness: everything comes in through
//! [`Engine::submit`], [`Engine::complete`] and [`Engine::pump`], and goes out through
//! [`Engine::take_requests`], [`Engine::take_finished`] and what it [publishes](Published). The
//! worker drives it with a real disk, the simulation with one that fails in every way.
//!
//! - `appends`, `controls`: operations become frames; `framing`, `gather`: frames become writes;
//! - `pipeline`: writes under way, and the stable pointer: acknowledgement is decided here;
//! - `ring`, `rotation`: which page is written next, and what has to be true before one is reused;
//! - `durability`: syncs, for stores whose writes are not durable by themselves;
//! - `sealing`: summaries of full pages;
//! - `prepare`: writing the blocks of pages ahead of need.

mod appends;
pub mod config;
mod controls;
mod durability;
mod framing;
mod gather;
pub mod operation;
mod pipeline;
mod prepare;
mod ring;
mod rotation;
mod sealing;
mod stable;
mod trims;

use std::collections::VecDeque;
use std::sync::Arc;

pub use config::Config;
pub use operation::{Appended, Census, Completion, Finished, Operation};

use crate::driver;
use crate::driver::{Io, Request};
use crate::error::{AppendError, Error, Poison};
use crate::format::PAGE_HEADER_SIZE;
use crate::format::frame::position;
use crate::index::SparseIndex;
use crate::published::Published;
use crate::recovery::Recovered;

use self::durability::Durability;
use self::gather::Gather;
use self::operation::ManageCompletion;
use self::pipeline::Pipeline;
use self::prepare::Preparer;
use self::ring::{Active, Ring};
use self::trims::{Note, Trims};

/// The state machine. See the [module](self).
pub struct Engine {
    config: Config,
    published: Arc<Published>,
    /// Operations that are not framed yet, in order.
    pending: VecDeque<Operation>,
    /// Bytes of the small appends among them.
    pending_small: usize,
    /// The newest log that was given a frame; 0 where there is none.
    tip: u64,
    /// The trim point that was given a frame.
    trimmed: u64,
    /// The frames that carry it, and those before it.
    trims: Trims,
    /// Position at which the last truncation ends; nothing is overwritten before it is durable.
    barrier: u64,
    /// Truncations that were given a frame.
    epoch: u64,
    /// A repair must be written by all means.
    lossy: bool,
    incarnation: u64,
    page_number: u64,
    active: Option<Active>,
    ring: Ring,
    gather: Option<Gather>,
    /// The index of a page that was given up, for the page that takes its place.
    spare_index: Option<SparseIndex>,
    next_segment: u64,
    pipeline: Pipeline,
    durability: Durability,
    /// Pages that were left and are to be sealed, with their number and end.
    to_seal: VecDeque<(u32, u64, u64)>,
    /// The page whose seal is being written or wiped, and the bytes of that.
    sealing: Option<(u32, usize)>,
    preparer: Preparer,
    closing: Option<ManageCompletion>,
    /// The close was seen, or will be: nothing waits for room any more.
    close_requested: bool,
    closed: bool,
    poison: Option<Poison>,
    requests: Vec<Request>,
    finished: Vec<Finished>,
}

/// Who asked for a request, as its id says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Write(u64),
    Sync,
    Seal,
    Prepare,
}

/// Bits of a request's id that the engine uses. Ids with a higher bit are the worker's.
pub const ENGINE_ID_BITS: u32 = 62;

impl Purpose {
    fn id(self) -> u64 {
        match self {
            Self::Write(unit) => unit << 2,
            Self::Sync => 1,
            Self::Seal => 2,
            Self::Prepare => 3,
        }
    }

    fn from_id(id: u64) -> Self {
        match id & 3 {
            1 => Self::Sync,
            2 => Self::Seal,
            3 => Self::Prepare,
            _ => Self::Write(id >> 2),
        }
    }
}

/// Why the operation at the front must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocked {
    /// For I/O that is under way, or that starts now.
    Io,
    /// For ever: the active page has no room left, not even the last resort.
    NoRoom,
    /// For the user to trim.
    Full { oldest: u64 },
    /// For room on disk.
    NoSpace { errno: i32 },
}

impl Engine {
    /// Makes an engine that goes on where `recovered` says the log ends.
    ///
    /// Everything that was recovered must be durable by now.
    #[must_use]
    pub fn new(config: Config, published: Arc<Published>, recovered: Recovered) -> Self {
        let tip = published.progress.tip();
        let trimmed = published.progress.trimmed();
        let tag = config.store_id.tag(0, 0);
        let active = recovered.active.map(|active| Active {
            page: active.page,
            number: active.page_number,
            tag: config.store_id.tag(active.page_number, recovered.incarnation),
            offset: active.offset,
            log_count: active.log_count,
            opened: true,
            may_be_sealed: true,
            predecessor: ring::Predecessor::default(),
            overwrites: None,
        });
        published.progress.set_tag(active.as_ref().map_or(tag, |active| active.tag));
        let durable_position = active
            .as_ref()
            .map_or(0, |active| position(active.number, config.page_size, active.offset));
        let written = |page: u32| {
            let active = active.as_ref().filter(|active| active.page == page);
            active.map_or(PAGE_HEADER_SIZE as u64, |active| active.offset)
        };
        let unprepared: Vec<(u32, u64)> =
            recovered.unprepared.iter().map(|page| (*page, written(*page))).collect();
        let mut trims = Trims::default();
        for page in &recovered.pages {
            trims.note(Note {
                trimmed: page.trimmed_seq_no.min(trimmed),
                page_number: page.number,
                end_position: position(page.number, config.page_size, page.end),
            });
        }
        let full = recovered.full.iter().map(|&(page, number)| ring::Full { page, number });
        let mut durability = Durability::new(durable_position, config.flush_interval_ns);
        if recovered.repair {
            durability.withhold_promises();
        }
        Self {
            pending: VecDeque::new(),
            pending_small: 0,
            tip,
            trimmed,
            trims,
            barrier: 0,
            epoch: published.progress.epoch(),
            lossy: recovered.lossy,
            incarnation: recovered.incarnation,
            page_number: recovered.page_number_max,
            active,
            ring: Ring { full: full.collect(), free: recovered.free.into() },
            gather: None,
            spare_index: None,
            next_segment: published.tail.next_number(),
            pipeline: Pipeline::default(),
            durability,
            to_seal: VecDeque::new(),
            sealing: None,
            preparer: Preparer::new(unprepared),
            closing: None,
            close_requested: false,
            closed: false,
            poison: None,
            requests: Vec::new(),
            finished: Vec::new(),
            config,
            published,
        }
    }

    /// Takes an operation. What it leads to comes out after the next [`pump`](Self::pump).
    pub fn submit(&mut self, operation: Operation) {
        if let Some(poison) = &self.poison {
            let failed =
                operation.fail(AppendError::Poisoned(poison.clone()), poison.clone().into());
            self.finished.push(failed);
            return;
        }
        if self.closed || self.closing.is_some() {
            self.finished.push(operation.fail(AppendError::Closed, Error::Closed));
            return;
        }
        match operation {
            // A trim may be what the appends before it wait for.
            trim @ Operation::Trim { .. } => self.pending.push_front(trim),
            Operation::Close { done } => {
                self.close_requested = true;
                self.closing = Some(done);
            }
            other => {
                self.pending_small += appends::small_len(&other);
                self.pending.push_back(other);
            }
        }
    }

    /// Says that the store is about to be closed: appends that wait for room fail, since nobody
    /// may trim any more.
    pub fn expect_close(&mut self) {
        self.close_requested = true;
    }

    /// Takes the end of an I/O request.
    pub fn complete(&mut self, completion: &driver::Completion) {
        match Purpose::from_id(completion.id) {
            Purpose::Write(unit) => match completion.result {
                Ok(written) if self.pipeline.complete(unit, written) => {}
                Ok(_) => self.fail("a write was cut short", None),
                Err(errno) => self.fail("a write failed", Some(errno)),
            },
            Purpose::Sync => match completion.result {
                Ok(_) => self.sync_completed(),
                Err(errno) => self.fail("a sync failed", Some(errno)),
            },
            Purpose::Seal => match completion.result {
                Ok(written) if self.sealing.is_none_or(|(_, len)| len == written) => {
                    self.sealing = None;
                }
                Ok(_) => self.fail("a write was cut short", None),
                Err(errno) => self.fail("a write failed", Some(errno)),
            },
            Purpose::Prepare => self.prepared(completion.result),
        }
    }

    /// Takes the end of a request that prepares a page.
    fn prepared(&mut self, result: Result<usize, i32>) {
        let synced = self.preparer.syncs();
        self.preparer.complete(result);
        // A failed sync may have lost what appends wrote to the page in the meantime, and the
        // system does not say so twice.
        if let (Some(page), Err(errno)) = (synced, result)
            && !self.ring.free.contains(&page)
        {
            self.fail("a sync failed", Some(errno));
        }
    }

    /// Finishes what has become stable or durable, and starts nothing.
    pub fn settle(&mut self) {
        if self.poison.is_none() {
            self.advance();
            self.durability.finish_waiting(&mut self.finished);
        }
    }

    /// Does everything that can be done now.
    pub fn pump(&mut self, now_ns: u64) {
        if self.poison.is_some() {
            return;
        }
        self.advance();
        while let Some(step) = self.next_step() {
            match step {
                Ok(()) => self.release_ahead(),
                Err(Blocked::Io | Blocked::NoRoom) => break,
                Err(Blocked::Full { oldest }) => {
                    if !self.refuse_full(oldest) {
                        break;
                    }
                }
                Err(Blocked::NoSpace { errno }) => self.fail_front(AppendError::NoSpace { errno }),
            }
        }
        self.durability.finish_waiting(&mut self.finished);
        self.start_syncs(now_ns);
        self.start_seals();
        self.finish_close();
        if self.poison.is_none()
            && !self.closed
            && self.sealing.is_none()
            && let Some(io) = self.preparer.next_request(self.config.page_size)
        {
            self.request(Purpose::Prepare, io);
        }
    }

    /// Nanoseconds, on the caller's clock, at which [`pump`](Self::pump) must be called again
    /// even if nothing happens.
    #[must_use]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.durability.deadline_ns()
    }

    /// Moves the I/O requests that are to be started to `requests`.
    pub fn take_requests(&mut self, requests: &mut Vec<Request>) {
        requests.append(&mut self.requests);
    }

    /// Moves the operations that ended to `finished`. What they promise is published already.
    pub fn take_finished(&mut self, finished: &mut Vec<Finished>) {
        finished.append(&mut self.finished);
    }

    /// Operations that wait inside the engine.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Bytes of small appends that wait inside the engine.
    #[must_use]
    pub fn pending_size(&self) -> usize {
        self.pending_small
    }

    /// Writes under way.
    #[must_use]
    pub fn writes_under_way(&self) -> usize {
        self.pipeline.len()
    }

    /// Syncs under way.
    #[must_use]
    pub fn syncs_under_way(&self) -> usize {
        self.durability.under_way()
    }

    /// Whether frames are still being written.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.pipeline.is_empty()
    }

    /// Whether pages are still being prepared.
    #[must_use]
    pub fn is_preparing(&self) -> bool {
        !self.preparer.is_idle()
    }

    /// Whether a close has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Breaks the store: everything under way and everything later fails.
    pub fn fail(&mut self, reason: &'static str, errno: Option<i32>) {
        if self.poison.is_some() {
            return;
        }
        let poison = Poison { reason, errno };
        log::error!("{poison}");
        self.published.progress.set_poison(poison.clone());
        self.poison = Some(poison.clone());
        let append = AppendError::Poisoned(poison.clone());
        let manage = || Error::Poisoned(poison.clone());
        for unit in self.pipeline.drain() {
            for ack in unit.acks {
                self.finished.push(match ack {
                    pipeline::Ack::Append { done, .. } => {
                        Finished::Append(done, Err(append.clone()))
                    }
                    pipeline::Ack::Manage { done } => Finished::Manage(done, Err(manage())),
                });
            }
        }
        self.durability.fail(&append, &manage, &mut self.finished);
        for operation in self.pending.drain(..) {
            self.finished.push(operation.fail(append.clone(), manage()));
        }
        if let Some(done) = self.closing.take() {
            self.finished.push(Finished::Manage(done, Err(manage())));
            self.closed = true;
        }
        self.pending_small = 0;
        self.gather = None;
    }

    /// Ends a broken store that is asked to close.
    pub fn abandon(&mut self) {
        self.closed = true;
    }

    /// The next thing to do for the operation at the front; `None` where there is nothing.
    fn next_step(&mut self) -> Option<Result<(), Blocked>> {
        if self.poison.is_some() || self.pipeline.len() >= self.config.writes_max {
            return None;
        }
        self.reject_invalid();
        match self.pending.front()? {
            Operation::Append { .. } => self.append_step(),
            Operation::Trim { .. } => Some(self.write_trim()),
            Operation::Truncate { .. } => Some(self.write_truncate()),
            Operation::Clear { .. } => Some(self.write_clear()),
            Operation::Repair { .. } => Some(self.write_repair()),
            Operation::Sync { .. } => {
                self.await_sync();
                Some(Ok(()))
            }
            // `submit` keeps a close elsewhere.
            Operation::Close { .. } => None,
        }
    }

    /// Where the ring is full: fails the operation at the front, unless it is an append that is to
    /// wait.
    fn refuse_full(&mut self, oldest: u64) -> bool {
        let waits = self.config.retention != crate::options::Retention::Refuse
            && matches!(self.pending.front(), Some(Operation::Append { .. }));
        if waits && !self.close_requested {
            self.refuse_cuts(oldest);
            return false;
        }
        self.fail_front(AppendError::Full { oldest });
        true
    }

    /// Fails what cuts the log behind an append that waits for room: whoever is to make room by a
    /// trim may be waiting for it.
    fn refuse_cuts(&mut self, oldest: u64) {
        let cuts = |operation: &Operation| {
            matches!(operation, Operation::Truncate { .. } | Operation::Clear { .. })
        };
        while let Some(at) = self.pending.iter().position(cuts) {
            let full = AppendError::Full { oldest };
            let refused = self.pending.remove(at);
            self.finished
                .extend(refused.map(|operation| operation.fail(full.clone(), full.into())));
        }
    }

    fn fail_front(&mut self, error: AppendError) {
        if let Some(operation) = self.pending.pop_front() {
            self.pending_small -= appends::small_len(&operation);
            self.finished.push(operation.fail(error.clone(), Error::Append(error)));
        }
    }

    fn request(&mut self, purpose: Purpose, io: Io) {
        self.requests.push(Request { id: purpose.id(), io });
    }

    /// Position of an offset of the active page.
    fn position(&self, page_number: u64, offset: u64) -> u64 {
        position(page_number, self.config.page_size, offset)
    }
}
