//! An immutable run of logs in memory, handed to readers.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::format::frame::{FRAME_HEADER_SIZE, FrameHeader, FrameKind};
use crate::format::record::{RECORD_HEADER_SIZE, RecordHeader};
use crate::format::{StoreId, Tag};
use crate::log::Log;
use crate::memory::{ReadBuffer, Slice};

/// A run of consecutive logs, oldest first. Cloning it counts a reference.
///
/// Its logs stay valid as long as it is held: after the logs were trimmed, after the store was
/// closed, after every handle is gone. It holds memory of the store, though, so a reader keeps
/// one at a time; see [`Options::tail_capacity`](crate::Options::tail_capacity).
#[derive(Clone, Default)]
pub struct Chunk {
    bytes: Bytes,
    seed: u32,
    /// Where the first log that belongs to the chunk, or the header of its frame, starts.
    start: usize,
    /// End and tag of the frame that `start` lies in, where it is not a frame's header.
    frame: Option<(usize, Tag)>,
    /// The logs up to and with this `seq_no` do not belong to the chunk.
    after_seq_no: u64,
    /// `seq_no` of the last log.
    last_seq_no: u64,
}

/// The logs that a query found.
pub type QueryLogs = Chunk;

#[derive(Clone, Default)]
enum Bytes {
    #[default]
    Empty,
    Hot(Slice),
    Cold(Arc<ReadBuffer>),
    Own(Arc<[u8]>),
}

impl Deref for Bytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Hot(slice) => slice,
            Self::Cold(buffer) => buffer,
            Self::Own(bytes) => bytes,
        }
    }
}

/// Where in some bytes the logs of a chunk start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkStart {
    /// Offset of a frame's header, or of a log inside a frame.
    pub offset: usize,
    /// End and tag of the frame, where `offset` is that of a log.
    pub frame: Option<(usize, Tag)>,
}

impl Chunk {
    pub(crate) fn hot(
        slice: Slice,
        store_id: StoreId,
        start: ChunkStart,
        after_seq_no: u64,
        last_seq_no: u64,
    ) -> Self {
        let bytes = Bytes::Hot(slice);
        Self {
            bytes,
            seed: store_id.seed(),
            start: start.offset,
            frame: start.frame,
            after_seq_no,
            last_seq_no,
        }
        .skip_old()
    }

    pub(crate) fn cold(
        buffer: ReadBuffer,
        store_id: StoreId,
        start: ChunkStart,
        after_seq_no: u64,
        last_seq_no: u64,
    ) -> Self {
        let bytes = Bytes::Cold(Arc::new(buffer));
        Self {
            bytes,
            seed: store_id.seed(),
            start: start.offset,
            frame: start.frame,
            after_seq_no,
            last_seq_no,
        }
        .skip_old()
    }

    /// The logs, oldest first.
    #[inline]
    #[must_use]
    pub fn iter(&self) -> LogIter<'_> {
        let (frame_end, tag) = self.frame.unwrap_or((self.start, Tag::from_raw(0)));
        let (bytes, offset) = (&*self.bytes, self.start);
        LogIter { bytes, seed: self.seed, offset, frame_end, tag, len: 0, step: RECORD_HEADER_SIZE }
    }

    /// The logs from where another iterator of this chunk has come to, for callers who cannot keep
    /// the iterator itself from call to call.
    ///
    /// A place of another chunk is answered with logs of this one, or with none.
    #[inline]
    #[must_use]
    pub fn iter_from(&self, place: LogPlace) -> LogIter<'_> {
        let LogPlace { offset, frame_end, tag } = place;
        LogIter {
            bytes: &self.bytes,
            seed: self.seed,
            offset,
            frame_end,
            tag,
            len: 0,
            step: RECORD_HEADER_SIZE,
        }
    }

    /// Number of logs.
    #[must_use]
    pub fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether both are the same logs in the same memory. Cheap, and so not always noticed where
    /// the logs are equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq::<[u8]>(&*self.bytes, &*other.bytes)
            && self.start == other.start
            && self.last_seq_no == other.last_seq_no
    }

    /// Whether there are no logs in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last_seq_no <= self.after_seq_no || self.iter().next().is_none()
    }

    /// `seq_no` of the last log; 0 where the chunk is empty.
    #[must_use]
    pub fn last_seq_no(&self) -> u64 {
        self.last_seq_no
    }

    /// Bytes that the chunk spans on disk, headers and padding included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// The bytes that the logs lie in, with headers and padding in between: every payload of
    /// the chunk is a part of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether it holds memory that readers of older logs may have to wait for: more than half
    /// of [`Options::read_capacity`](crate::Options::read_capacity) is in use. Who keeps chunks
    /// then waits for himself, sooner or later, unless he makes them his
    /// [own](Self::into_owned).
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        matches!(&self.bytes, Bytes::Cold(buffer) if buffer.is_scarce())
    }

    /// The same logs in memory of their own, for keeping: it holds nothing of the store, and is
    /// not part of what the store's [`memory_max`](crate::Options::memory_max) counts.
    #[must_use]
    pub fn into_owned(self) -> Self {
        match &self.bytes {
            Bytes::Empty | Bytes::Own(_) => self,
            Bytes::Hot(_) | Bytes::Cold(_) => {
                let bytes: Arc<[u8]> = self.bytes[self.start..].into();
                let frame = self.frame.map(|(end, tag)| (end - self.start, tag));
                Self { bytes: Bytes::Own(bytes), start: 0, frame, ..self }
            }
        }
    }

    /// Moves the start behind the logs that the reader has had.
    fn skip_old(mut self) -> Self {
        let mut iter = self.iter();
        loop {
            let before = iter.clone();
            match iter.next() {
                Some(log) if log.seq_no() <= self.after_seq_no => {}
                Some(_) => {
                    let (start, frame) = before.skip_to_log();
                    self.start = start;
                    self.frame = frame;
                    return self;
                }
                None => {
                    self.start = self.bytes.len();
                    self.frame = None;
                    return self;
                }
            }
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("count", &self.count())
            .field("last_seq_no", &self.last_seq_no)
            .field("size", &self.size())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Chunk {
    type Item = Log<'a>;
    type IntoIter = LogIter<'a>;

    #[inline]
    fn into_iter(self) -> LogIter<'a> {
        self.iter()
    }
}

/// How far a [`LogIter`] has come; see [`Chunk::iter_from`].
#[derive(Clone, Copy, Debug)]
pub struct LogPlace {
    offset: usize,
    frame_end: usize,
    tag: Tag,
}

/// Iterates the logs of a [`Chunk`].
#[derive(Clone)]
pub struct LogIter<'a> {
    bytes: &'a [u8],
    seed: u32,
    offset: usize,
    frame_end: usize,
    tag: Tag,
    /// Length of the last payload, and bytes of its log. Where the next is as long, the place of
    /// the log after it does not depend on what memory answers, and the processor looks ahead.
    len: usize,
    step: usize,
}

/// Marks a branch as rare, so that it stays one and is predicted.
#[cold]
#[inline]
fn rare() {}

impl<'a> LogIter<'a> {
    /// How far it has come.
    #[inline]
    #[must_use]
    pub fn place(&self) -> LogPlace {
        LogPlace { offset: self.offset, frame_end: self.frame_end, tag: self.tag }
    }

    /// Where the next log starts, and its frame.
    fn skip_to_log(mut self) -> (usize, Option<(usize, Tag)>) {
        while !self.at_log() {
            if !self.enter_frame() {
                return (self.bytes.len(), None);
            }
        }
        (self.offset, Some((self.frame_end, self.tag)))
    }

    /// Whether a log starts here: the rest of a frame behind its last log is zeros, and no
    /// log's `seq_no` is.
    #[inline]
    fn at_log(&self) -> bool {
        self.offset + RECORD_HEADER_SIZE <= self.frame_end
            && self.bytes.get(self.offset..self.offset + 8).is_some_and(|seq_no| seq_no != [0; 8])
    }

    /// Passes on to the next log, or to the end. Takes the iterator itself, so that one that is
    /// used in a loop can stay in registers.
    #[cold]
    #[inline(never)]
    fn next_log(mut self) -> Self {
        while !self.at_log() && self.enter_frame() {}
        self
    }

    /// Enters the next frame that holds logs.
    fn enter_frame(&mut self) -> bool {
        self.offset = self.frame_end;
        let Some(rest) = self.bytes.get(self.offset..) else { return false };
        let Some(header) = FrameHeader::decode_trusted(rest) else { return false };
        let length = header.length as usize;
        self.frame_end = self.offset.saturating_add(length.max(FRAME_HEADER_SIZE));
        if header.kind == FrameKind::Data {
            self.offset += FRAME_HEADER_SIZE;
            self.tag = Tag::new(self.seed, header.page_number, header.incarnation);
        } else {
            self.offset = self.frame_end;
        }
        true
    }
}

impl<'a> Iterator for LogIter<'a> {
    type Item = Log<'a>;

    #[inline]
    fn next(&mut self) -> Option<Log<'a>> {
        if !self.at_log() {
            *self = self.clone().next_log();
            if !self.at_log() {
                return None;
            }
        }
        let rest = self.bytes.get(self.offset..)?;
        let header = RecordHeader::decode(rest)?;
        if header.len as usize != self.len {
            rare();
            self.len = header.len as usize;
            self.step = header.size();
        }
        let payload = rest.get(RECORD_HEADER_SIZE..RECORD_HEADER_SIZE + self.len)?;
        self.offset += self.step;
        Some(Log::from_stored(&header, payload, self.tag))
    }
}

impl std::iter::FusedIterator for LogIter<'_> {}
