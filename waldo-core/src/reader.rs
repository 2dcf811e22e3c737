//! Reading: where the next logs are, and whether the bytes found there are what was written.
//!
//! No I/O and no waiting happens here. [`next`] answers from memory, or says what to read or that
//! there is nothing yet; [`absorb`] takes what was read. Queries, streams and the simulation drive
//! it, each with their own way to read and to wait.

use crate::catalog::{Place, Resume};
use crate::chunk::{Chunk, ChunkStart};
use crate::error::{Corruption, QueryError};
use crate::format::record::{RECORD_HEADER_SIZE, RecordFault, RecordHeader, decode_checked};
use crate::format::{FRAME_HEADER_SIZE, FrameHeader, FrameKind, Tag};
use crate::memory::ReadBuffer;
use crate::memory::read_pool::LARGE_READ;
use crate::published::Published;

/// Where a reader stands.
#[derive(Clone, Debug)]
pub struct Position {
    /// The last log that it had.
    after_seq_no: u64,
    /// It had that log, and goes on with the one that names it. A place that was sought need not
    /// be that of a log.
    chained: bool,
    /// Truncations that it knows of.
    epoch: u64,
    /// Segment of the hot tail, and offset in it, behind that log.
    hot: Option<(u64, usize)>,
    /// Place on disk behind that log.
    cold: Option<Resume>,
    /// Bytes that the next read must have, where a log did not fit the last one.
    least: usize,
}

/// What a reader does next.
#[derive(Debug)]
pub enum Step {
    /// Here are logs.
    Chunk(Chunk),
    /// Read this, and [`absorb`] it.
    Read(Plan),
    /// There is no newer log.
    Wait,
    /// Look again.
    Again,
}

/// A read that is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where.
    pub place: Place,
    /// How many bytes.
    pub len: usize,
}

/// How much a reader wants to read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// As little as holds one log.
    Lookup,
    /// As much as is efficient.
    Scan,
}

impl Position {
    /// Behind a log.
    #[must_use]
    pub fn after(published: &Published, seq_no: u64) -> Self {
        let epoch = published.progress.epoch();
        Self { after_seq_no: seq_no, chained: false, epoch, hot: None, cold: None, least: 0 }
    }

    /// The last log before the position.
    #[must_use]
    pub fn seq_no(&self) -> u64 {
        self.after_seq_no
    }

    /// Moves behind a log.
    pub fn seek(&mut self, seq_no: u64) {
        self.after_seq_no = seq_no;
        self.chained = false;
        self.hot = None;
        self.cold = None;
        self.least = 0;
    }

    /// Moves behind logs that are handed out; answers where it was.
    fn pass(&mut self, last_seq_no: u64) -> u64 {
        self.chained = true;
        std::mem::replace(&mut self.after_seq_no, last_seq_no)
    }
}

/// Finds what comes next, and moves the position behind it where it is in memory.
///
/// # Errors
///
/// [`QueryError::Trimmed`] or [`QueryError::Truncated`]; the position can be moved then, and
/// reading goes on.
pub fn next(
    published: &Published,
    position: &mut Position,
    appetite: Appetite,
) -> Result<Step, QueryError> {
    let progress = &published.progress;
    if progress.epoch() != position.epoch {
        follow_truncations(published, position)?;
    }
    let tip = progress.tip();
    if position.after_seq_no >= tip {
        return Ok(Step::Wait);
    }
    check_trimmed(published, position)?;
    if published.tail.is_open()
        && let Some(chunk) = hot(published, position)
    {
        return Ok(Step::Chunk(chunk));
    }
    position.hot = None;
    let plan = cold(published, position, appetite);
    // Where a page was given up since, the plan leads to the one behind it.
    check_trimmed(published, position)?;
    Ok(plan.map_or(Step::Again, Step::Read))
}

fn check_trimmed(published: &Published, position: &Position) -> Result<(), QueryError> {
    let trimmed = published.progress.trimmed();
    if position.after_seq_no < trimmed {
        return Err(QueryError::Trimmed { oldest: trimmed + 1 });
    }
    Ok(())
}

/// Checks the bytes that were read for a plan, and moves the position behind their logs.
///
/// # Errors
///
/// [`QueryError::Corruption`] where they are not what was written.
pub fn absorb(
    published: &Published,
    position: &mut Position,
    plan: &Plan,
    buffer: ReadBuffer,
) -> Result<Step, QueryError> {
    let mut check = Check::new(published, plan, position);
    let outcome = check.run(&buffer);
    let place = &plan.place;
    if let Err(Fault { offset, detail }) = outcome {
        position.cold = None;
        let is_held = published.catalog.holds(place.page_number);
        if !is_held || published.progress.epoch() != position.epoch {
            // The page was put to another use while it was read, or the log was truncated.
            return Ok(Step::Again);
        }
        // The frames before that are good: they come first, and the next read starts behind them.
        let Some((end, last_seq_no)) = check.whole else {
            let after_seq_no = check.last_seq_no.max(position.after_seq_no);
            let corruption = Corruption { page: place.page, offset, after_seq_no, detail };
            return Err(QueryError::Corruption(corruption));
        };
        (check.end, check.last_seq_no) = (end, last_seq_no);
    } else {
        position.least = check.least;
        position.cold = Some(Resume {
            page_number: place.page_number,
            offset: place.offset + check.at as u64,
            frame: check.frame.map(|frame| (frame.end, frame.incarnation)),
        });
    }
    let Some(start) = check.start else { return Ok(Step::Again) };
    let mut buffer = buffer;
    buffer.truncate(check.end);
    let after = position.pass(check.last_seq_no);
    position.least = 0;
    Ok(Step::Chunk(Chunk::cold(buffer, published.store_id, start, after, check.last_seq_no)))
}

fn follow_truncations(published: &Published, position: &mut Position) -> Result<(), QueryError> {
    let epoch = published.progress.epoch();
    let lowest = published.progress.truncated_since(position.epoch);
    position.epoch = epoch;
    position.hot = None;
    position.cold = None;
    match lowest {
        Some(tip) if tip < position.after_seq_no => {
            position.seek(tip);
            Err(QueryError::Truncated { tip })
        }
        _ => Ok(()),
    }
}

/// The next logs from the hot tail, if it has them.
fn hot(published: &Published, position: &mut Position) -> Option<Chunk> {
    let tail = &published.tail;
    let mut place = position.hot;
    // A reader at the end of a segment goes on in the next: as many as were published since.
    while let Some((number, offset)) = place {
        let Some(segment) = tail.segment(number) else { break };
        let extent = segment.extent();
        if extent.last_seq_no > position.after_seq_no && offset < extent.len {
            let slice = segment.slice(offset, extent.len)?;
            position.hot = Some((number, extent.len));
            return Some(hot_chunk(published, position, slice, None, extent.last_seq_no));
        }
        place = Some((number + 1, 0));
    }
    let segment = tail.find(position.after_seq_no)?;
    let extent = segment.extent();
    if extent.last_seq_no <= position.after_seq_no {
        return None;
    }
    let entry = segment.find(position.after_seq_no);
    let offset = entry.offset as usize * 8;
    let slice = segment.slice(offset, extent.len)?;
    let frame_end = (entry.frame_end as usize * 8).checked_sub(offset).filter(|end| *end > 0);
    let frame = match frame_end {
        Some(end) => Some((end, frame_tag(published, &segment, offset)?)),
        None => None,
    };
    position.hot = Some((segment.number(), extent.len));
    Some(hot_chunk(published, position, slice, frame, extent.last_seq_no))
}

/// The tag of the frame that a segment's byte lies in.
fn frame_tag(published: &Published, segment: &crate::tail::Segment, offset: usize) -> Option<Tag> {
    let (page_number, page_offset) = segment.locate(offset);
    let incarnation =
        published.catalog.with(page_number, |page| page.incarnations.at(page_offset))?;
    Some(published.store_id.tag(page_number, incarnation))
}

fn hot_chunk(
    published: &Published,
    position: &mut Position,
    slice: crate::memory::Slice,
    frame: Option<(usize, Tag)>,
    last_seq_no: u64,
) -> Chunk {
    position.cold = None;
    let after = position.pass(last_seq_no);
    let start = ChunkStart { offset: 0, frame };
    Chunk::hot(slice, published.store_id, start, after, last_seq_no)
}

/// The next read from disk.
fn cold(published: &Published, position: &mut Position, appetite: Appetite) -> Option<Plan> {
    let resumed = position.cold.take().and_then(|resume| published.catalog.resume(&resume));
    let place = resumed.or_else(|| published.catalog.find(position.after_seq_no))?;
    let left = usize::try_from(place.limit - place.offset).unwrap_or(usize::MAX);
    let wanted = match appetite {
        Appetite::Lookup => usize::try_from(place.enough - place.offset).unwrap_or(usize::MAX),
        Appetite::Scan => LARGE_READ,
    };
    let len = wanted.clamp(FRAME_HEADER_SIZE, LARGE_READ).max(position.least).min(left);
    Some(Plan { place, len })
}

/// A check of the bytes of a plan, under way.
struct Check<'a> {
    published: &'a Published,
    plan: &'a Plan,
    after_seq_no: u64,
    /// The first log of the chunk names that one as the log before it.
    chained: bool,
    /// Where the next log or frame's header is, counted from the start of the bytes.
    at: usize,
    frame: Option<Frame>,
    /// Where the first log of the chunk is.
    start: Option<ChunkStart>,
    /// Where its last log ends.
    end: usize,
    last_seq_no: u64,
    /// End and last log of the last frame of the chunk that is whole.
    whole: Option<(usize, u64)>,
    /// The log before the next one, where that was seen.
    chain: Option<u64>,
    /// Bytes that would have been needed to go on.
    least: usize,
}

/// The frame that a check is in; offsets count from the start of the page.
#[derive(Clone, Copy)]
struct Frame {
    end: u64,
    incarnation: u64,
    tag: Tag,
    /// Its last log, where its header was seen.
    last_seq_no: Option<u64>,
}

struct Fault {
    offset: u64,
    detail: &'static str,
}

/// Whether a check goes on.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl<'a> Check<'a> {
    fn new(published: &'a Published, plan: &'a Plan, position: &Position) -> Self {
        let place = &plan.place;
        let frame = place.frame.map(|(end, incarnation)| {
            let tag = published.store_id.tag(place.page_number, incarnation);
            Frame { end, incarnation, tag, last_seq_no: None }
        });
        Self {
            published,
            plan,
            after_seq_no: position.after_seq_no,
            chained: position.chained,
            at: 0,
            frame,
            start: None,
            end: 0,
            last_seq_no: 0,
            whole: None,
            chain: None,
            least: 0,
        }
    }

    fn run(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        while self.offset() < self.plan.place.limit {
            let go = match self.frame {
                Some(frame) => self.record(bytes, frame)?,
                None => self.header(bytes)?,
            };
            if go == Go::Stop {
                let enough = self.offset() + self.least as u64 <= self.plan.place.limit;
                return if enough { Ok(()) } else { self.fault("a frame is cut short") };
            }
        }
        // A frame that ends early does so without a wrong checksum.
        let seen = self.last_seq_no.max(self.after_seq_no);
        if seen < self.plan.place.last_seq_no { self.fault("logs are missing") } else { Ok(()) }
    }

    fn offset(&self) -> u64 {
        self.plan.place.offset + self.at as u64
    }

    fn fault<T>(&self, detail: &'static str) -> Result<T, Fault> {
        Err(Fault { offset: self.offset(), detail })
    }

    /// Enters the frame that starts here, or passes it.
    fn header(&mut self, bytes: &[u8]) -> Result<Go, Fault> {
        let Some(rest) = bytes.get(self.at..self.at + FRAME_HEADER_SIZE) else {
            self.least = FRAME_HEADER_SIZE;
            return Ok(Go::Stop);
        };
        let seed = self.published.store_id.seed();
        let header = FrameHeader::decode(seed, rest).filter(|header| {
            let place = &self.plan.place;
            header.offset == self.offset()
                && header.page_number == place.page_number
                && header.incarnation == place.incarnations.at(header.offset)
        });
        let Some(header) = header else { return self.fault("a frame's header is bad") };
        // An empty log goes on from anywhere.
        let before = self.chain.filter(|tip| *tip != 0);
        if before.is_some_and(|before| before != header.first_prev_seq_no) {
            return self.fault("a frame does not follow the one before it");
        }
        if header.kind != FrameKind::Data {
            self.chain = Some(self.tip_behind(&header));
            self.at += header.length as usize;
            return Ok(Go::On);
        }
        let tag = Tag::new(seed, header.page_number, header.incarnation);
        let end = header.offset + header.length;
        let (incarnation, last_seq_no) = (header.incarnation, Some(header.last_seq_no));
        self.frame = Some(Frame { end, incarnation, tag, last_seq_no });
        self.chain = Some(header.first_prev_seq_no);
        self.at += FRAME_HEADER_SIZE;
        Ok(Go::On)
    }

    /// The tip behind a frame that holds no logs. Truncations are known, and a seal that keeps one
    /// to itself is wrong.
    fn tip_behind(&self, header: &FrameHeader) -> u64 {
        let mut cuts = self.plan.place.cuts.iter();
        let cut = cuts.find(|cut| cut.before_offset == header.offset);
        // What a chunk has so far is not void, so that nothing between it and the truncation is.
        let kept = cut.filter(|_| self.start.is_none()).map(|cut| cut.after_seq_no);
        kept.unwrap_or(header.first_prev_seq_no)
    }

    /// Takes the log that starts here, or leaves the frame where none does.
    fn record(&mut self, bytes: &[u8], frame: Frame) -> Result<Go, Fault> {
        let left = frame.end - self.offset();
        if left < RECORD_HEADER_SIZE as u64 {
            return self.leave(frame);
        }
        let rest = bytes.get(self.at..).unwrap_or_default();
        let Some(header) = RecordHeader::decode(rest) else {
            self.least = RECORD_HEADER_SIZE;
            return Ok(Go::Stop);
        };
        if header.seq_no == 0 {
            // No log has this number: it is the padding of the frame.
            return self.leave(frame);
        }
        if header.size() as u64 > left {
            return self.fault("a log reaches past its frame");
        }
        // A log that is passed over serves nobody: where it is not what it should be, the next one
        // does not follow it.
        let is_passed = header.seq_no <= self.after_seq_no && header.size() <= rest.len();
        match if is_passed { Ok(()) } else { decode_checked(rest, frame.tag).map(drop) } {
            Ok(()) => self.take(&header, frame),
            Err(RecordFault::Short) => {
                self.least = header.size();
                Ok(Go::Stop)
            }
            Err(RecordFault::Checksum) => self.fault("a log's checksum does not match"),
        }
    }

    fn leave(&mut self, frame: Frame) -> Result<Go, Fault> {
        if frame.last_seq_no.is_some_and(|last| self.chain != Some(last)) {
            return self.fault("a frame ends before its last log");
        }
        if self.start.is_some() {
            self.whole = Some((self.end, self.last_seq_no));
        }
        self.at = (frame.end - self.plan.place.offset) as usize;
        self.frame = None;
        Ok(Go::On)
    }

    fn take(&mut self, header: &RecordHeader, frame: Frame) -> Result<Go, Fault> {
        let offset = self.offset();
        let void = self
            .plan
            .place
            .cuts
            .iter()
            .filter(|cut| offset < cut.before_offset && header.seq_no > cut.after_seq_no)
            .map(|cut| cut.before_offset)
            .min();
        if let Some(before_offset) = void {
            // What a truncation made void ends the chunk, or is passed before it starts.
            self.at = (before_offset - self.plan.place.offset) as usize;
            self.frame = None;
            self.chain = None;
            return Ok(if self.start.is_some() { Go::Stop } else { Go::On });
        }
        if self.chain.is_some_and(|before| before != header.prev_seq_no) {
            return self.fault("a log does not follow the one before it");
        }
        if header.seq_no <= header.prev_seq_no {
            return self.fault("a log's number does not grow");
        }
        if header.seq_no > self.plan.place.last_seq_no {
            return self.fault("there are more logs than the page is to have");
        }
        self.chain = Some(header.seq_no);
        if header.seq_no > self.after_seq_no && self.start.is_none() {
            if header.prev_seq_no > self.after_seq_no {
                return self.fault("a log is missing");
            }
            if self.chained && header.prev_seq_no < self.after_seq_no {
                return self.fault("a log does not follow the one before it");
            }
            let frame_end = (frame.end - self.plan.place.offset) as usize;
            self.start = Some(ChunkStart { offset: self.at, frame: Some((frame_end, frame.tag)) });
        }
        self.at += header.size();
        self.end = self.at;
        self.last_seq_no = header.seq_no;
        Ok(Go::On)
    }
}
