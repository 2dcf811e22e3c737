//! Stores to be damaged: a few small pages with every kind of frame in them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use waldo_core::{Backend, Cursor, IoMode, Options, QueryError, Waldo};

use super::oracle::{self, Record};

/// A store, as a copy of its page files.
pub struct Reference {
    pub name: &'static str,
    pub options: Options,
    /// It was closed, so that its last page vouches for all that is in it.
    pub is_closed: bool,
    pub files: Vec<Vec<u8>>,
    /// The part of each that cannot change without being noticed.
    pub vital: Vec<Range<usize>>,
    /// The page that is written.
    pub newest: usize,
    /// The logs that it holds.
    pub logs: Vec<Record>,
    /// Every log that it ever held.
    pub history: BTreeSet<Record>,
    /// What its page files were at earlier times.
    pub older: Vec<Vec<Vec<u8>>>,
}

/// Makes all of them in a directory.
///
/// # Errors
///
/// Where a store does not do what it is asked for.
pub fn all(dir: &Path) -> anyhow::Result<Vec<Reference>> {
    let mut references = vec![
        Builder::new(dir, "short and closed", 2, IoMode::Buffered)?.short()?,
        Builder::new(dir, "wrapped and closed", 3, IoMode::Buffered)?.wrapped(true)?,
        Builder::new(dir, "wrapped and killed", 3, IoMode::Buffered)?.wrapped(false)?,
        Builder::new(dir, "edited and killed", 3, IoMode::Buffered)?.edited()?,
    ];
    if waldo_core::driver::files::direct_supported(dir)? {
        references.push(Builder::new(dir, "direct and killed", 3, IoMode::Direct)?.wrapped(false)?);
    }
    Ok(references)
}

/// The options that stores are opened with: the smallest pages that there can be.
fn options(ring_size: u32, io: IoMode) -> Options {
    Options {
        ring_size: Some(ring_size),
        buf_capacity: 16 * 1024,
        file_capacity: Some(24 * 1024),
        index_capacity: 16,
        index_sparse_bytes: 512,
        index_sparse_count: 8,
        queue_depth: 4,
        pool_size: 2,
        tail_capacity: 0,
        read_capacity: 256 * 1024,
        backend: Backend::Threads,
        io,
        ..Options::default()
    }
}

/// The page files of a store.
///
/// # Errors
///
/// Where one cannot be read.
pub fn read_files(dir: &Path, options: &Options) -> anyhow::Result<Vec<Vec<u8>>> {
    (0..options.ring_size.unwrap_or(Options::NEW_RING_SIZE))
        .map(|page| {
            let path = page_path(dir, page as usize);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        })
        .collect()
}

/// Where a page file is.
pub fn page_path(dir: &Path, page: usize) -> std::path::PathBuf {
    dir.join(format!("{page:010}.page"))
}

/// Every log of an open store, and the error that ended the reading, if one did.
pub fn read_all(waldo: &Waldo) -> (Vec<Record>, Option<QueryError>) {
    let tip = waldo.prev_seq_no().unwrap_or(0);
    let mut stream = waldo.stream(Cursor::Trim);
    let mut logs = Vec::new();
    while stream.position() < tip {
        match stream.blocking_next() {
            Ok(chunk) => logs.extend(chunk.iter().map(|log| Record {
                seq_no: log.seq_no(),
                prev_seq_no: log.prev_seq_no(),
                payload: log.data().to_vec(),
            })),
            Err(error) => return (logs, Some(error)),
        }
    }
    (logs, None)
}

struct Builder {
    name: &'static str,
    dir: std::path::PathBuf,
    options: Options,
    waldo: Option<Waldo>,
    history: BTreeSet<Record>,
    older: Vec<Vec<Vec<u8>>>,
    appended: u64,
}

impl Builder {
    fn new(dir: &Path, name: &'static str, ring_size: u32, io: IoMode) -> anyhow::Result<Self> {
        let dir = dir.join(name.replace(' ', "-"));
        let options = options(ring_size, io);
        let waldo = Some(Waldo::blocking_open(&dir, options)?);
        Ok(Self {
            name,
            dir,
            options,
            waldo,
            history: BTreeSet::new(),
            older: Vec::new(),
            appended: 0,
        })
    }

    fn waldo(&self) -> anyhow::Result<&Waldo> {
        self.waldo.as_ref().context("the store is closed")
    }

    /// Appends some batches of some logs, of lengths that differ.
    fn append(&mut self, batches: u64) -> anyhow::Result<()> {
        for _ in 0..batches {
            let count = 1 + self.appended % 3;
            let payloads: Vec<Vec<u8>> = (0..count).map(|_| self.payload()).collect();
            let appended = self.waldo()?.blocking_append_assigned(&payloads)?;
            for (seq_no, payload) in (appended.first_seq_no..).zip(payloads) {
                self.history.insert(Record { seq_no, prev_seq_no: seq_no - 1, payload });
            }
        }
        Ok(())
    }

    fn payload(&mut self) -> Vec<u8> {
        self.appended += 1;
        let number = self.appended;
        let len = number * 7919 % 97;
        let start = format!("{} {number} ", self.name).into_bytes();
        let rest = (0..len).map(|at| (number * 31 + at * 17) as u8);
        start.into_iter().chain(rest).collect()
    }

    /// Appends until the oldest page was given up, or the next page is in use.
    fn turn(&mut self) -> anyhow::Result<()> {
        let pages = |waldo: &Waldo| {
            waldo.blocking_metadata().map(|metadata| (metadata.page_count, metadata.after_seq_no))
        };
        self.append(1)?;
        let before = pages(self.waldo()?);
        while pages(self.waldo()?) == before {
            self.append(1)?;
        }
        Ok(())
    }

    fn remember(&mut self) -> anyhow::Result<()> {
        self.older.push(read_files(&self.dir, &self.options)?);
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let waldo = self.waldo.take().context("the store is closed")?;
        Ok(waldo.blocking_close()?)
    }

    fn reopen(&mut self) -> anyhow::Result<()> {
        self.close()?;
        self.waldo = Some(Waldo::blocking_open(&self.dir, self.options)?);
        Ok(())
    }

    /// A few logs in one page, and a clean close.
    fn short(mut self) -> anyhow::Result<Reference> {
        self.append(12)?;
        self.remember()?;
        self.append(8)?;
        self.finish(true)
    }

    /// A ring that went round, with several incarnations.
    fn wrapped(mut self, closed: bool) -> anyhow::Result<Reference> {
        let turns = self.options.ring_size.unwrap_or(Options::NEW_RING_SIZE) * 2;
        for turn in 0..turns {
            self.turn()?;
            self.append(6)?;
            self.remember()?;
            if turn % 2 == 1 {
                self.reopen()?;
            }
            self.append(u64::from(turn))?;
        }
        self.append(9)?;
        self.finish(closed)
    }

    /// Trims, truncations and a clear among the logs.
    fn edited(mut self) -> anyhow::Result<Reference> {
        self.append(20)?;
        self.waldo()?.blocking_truncate(11)?;
        self.append(20)?;
        self.turn()?;
        self.remember()?;
        self.waldo()?.blocking_clear()?;
        self.append(15)?;
        self.waldo()?.blocking_trim(4)?;
        self.append(10)?;
        self.reopen()?;
        self.turn()?;
        self.remember()?;
        let tip = self.waldo()?.prev_seq_no().context("no logs")?;
        self.waldo()?.blocking_truncate(tip - 7)?;
        self.append(15)?;
        self.waldo()?.blocking_trim(9)?;
        self.append(5)?;
        self.finish(false)
    }

    fn finish(mut self, closed: bool) -> anyhow::Result<Reference> {
        let tip = self.waldo()?.prev_seq_no();
        if closed {
            self.close()?;
        }
        let files = read_files(&self.dir, &self.options)?;
        if !closed {
            self.close()?;
        }
        // Pages are given up ahead of need at any time: what the store holds is what is in this
        // copy of it.
        let whole: Vec<_> = files.iter().cloned().map(Some).collect();
        let verdict = oracle::judge(&whole).context("no store at all")?;
        anyhow::ensure!(
            Some(verdict.tip) == tip && !verdict.logs.is_empty() && !verdict.torn,
            "{} is not as it should be: {verdict:?}",
            self.name
        );
        let logs = verdict.logs;
        let (vital, newest) = oracle::vital(&files);
        let Self { name, options, history, older, .. } = self;
        Ok(Reference {
            name,
            options,
            is_closed: closed,
            files,
            vital,
            newest,
            logs,
            history,
            older,
        })
    }
}
