//! One case: a damaged store is opened in each way, and what comes out is compared with what must.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use waldo_core::{CorruptionPolicy, Error, Options, QueryError, Recovery, RecoveryReport, Waldo};

use super::oracle::{self, Record, Verdict};
use super::reference::{Reference, page_path, read_all};

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Nothing is missing.
    Harmless,
    /// Something is missing, and nothing is left that would say so.
    Traceless,
    /// The end of the log is missing, and nobody had been promised that it would not be.
    Torn,
    /// Logs that had been durable are damaged, and that is said.
    Corrupt,
    /// The directory is said to hold no store.
    NotAStore,
}

type Files = [Option<Vec<u8>>];

/// Puts page files into a directory, and nothing else.
///
/// # Errors
///
/// Where the system refuses that.
pub fn lay(dir: &Path, files: &Files) -> anyhow::Result<()> {
    for (page, file) in files.iter().enumerate() {
        let path = page_path(dir, page);
        match file {
            Some(bytes) => fs::write(&path, bytes)?,
            None => gone(fs::remove_file(&path))?,
        }
    }
    Ok(gone(fs::remove_dir_all(dir.join("quarantine")))?)
}

/// The first log, the last, and their number.
fn ends<'a>(logs: impl DoubleEndedIterator<Item = &'a Record> + Clone) -> (u64, u64, usize) {
    let number = |log: Option<&Record>| log.map_or(0, |log| log.seq_no);
    (number(logs.clone().next()), number(logs.clone().next_back()), logs.count())
}

/// What was removed is gone, and so is what was not there.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// A directory for one damaged store after the other.
pub struct Bench<'a> {
    dir: PathBuf,
    reference: &'a Reference,
}

impl<'a> Bench<'a> {
    pub fn new(dir: &Path, reference: &'a Reference) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned(), reference })
    }

    fn open(
        &self,
        recovery: Recovery,
        corruption: CorruptionPolicy,
    ) -> Result<(Waldo, RecoveryReport), Error> {
        let options = Options { recovery, corruption, ..self.reference.options };
        Waldo::blocking_open_with_report(&self.dir, options)
    }

    /// Checks all that is said of damaged files; in every way of opening them where `thorough`.
    ///
    /// # Errors
    ///
    /// What must not be.
    pub fn check(&self, files: &Files, thorough: bool) -> anyhow::Result<Outcome> {
        let verdict = oracle::judge(files);
        let outcome = match &verdict {
            None => Outcome::NotAStore,
            Some(verdict) if verdict.corrupt || verdict.bad_file => Outcome::Corrupt,
            Some(verdict) if verdict.torn => Outcome::Torn,
            Some(verdict) if verdict.logs != self.reference.logs => Outcome::Traceless,
            Some(_) => Outcome::Harmless,
        };
        lay(&self.dir, files)?;
        self.full(files, verdict.as_ref(), outcome).context("recovery: Full")?;
        let Some(verdict) = verdict.as_ref().filter(|_| thorough) else { return Ok(outcome) };
        if outcome == Outcome::Corrupt {
            lay(&self.dir, files)?;
            self.truncate(files, verdict).context("corruption: Truncate")?;
        }
        lay(&self.dir, files)?;
        self.fast(verdict, outcome).context("recovery: Fast")?;
        Ok(outcome)
    }

    /// `Recovery::Full` says exactly what the rule says.
    fn full(
        &self,
        files: &Files,
        verdict: Option<&Verdict>,
        outcome: Outcome,
    ) -> anyhow::Result<()> {
        let opened = self.open(Recovery::Full, CorruptionPolicy::Refuse);
        match (opened, verdict, outcome) {
            (Err(Error::Corruption(_)), _, Outcome::Corrupt)
            | (Err(Error::NotAStore { .. }), _, Outcome::NotAStore) => self.unchanged(files),
            (
                Ok((waldo, report)),
                Some(verdict),
                Outcome::Harmless | Outcome::Traceless | Outcome::Torn,
            ) => {
                let torn = report.dropped.is_some();
                anyhow::ensure!(
                    torn == verdict.torn,
                    "the tail is {}said to be torn: {report:?}",
                    if torn { "" } else { "not " }
                );
                self.same_logs(&waldo, &report, verdict)?;
                waldo.blocking_close()?;
                Ok(())
            }
            (Ok((_, report)), ..) => {
                anyhow::bail!("it opens, and is to be {outcome:?}: {report:?}")
            }
            (Err(error), ..) => anyhow::bail!("it is to be {outcome:?}: {error}"),
        }
    }

    /// A store that was refused is as it was.
    fn unchanged(&self, files: &Files) -> anyhow::Result<()> {
        for (page, before) in files.iter().enumerate() {
            let now = fs::read(page_path(&self.dir, page)).ok();
            anyhow::ensure!(now == *before, "page {page} was changed by an open that failed");
        }
        anyhow::ensure!(!self.dir.join("quarantine").exists(), "a quarantine without need");
        Ok(())
    }

    /// The store holds what the verdict says, less the oldest page: a store whose newest page is
    /// almost full gives that up ahead of need, also while it is being opened, or just then.
    fn same_logs(
        &self,
        waldo: &Waldo,
        report: &RecoveryReport,
        verdict: &Verdict,
    ) -> anyhow::Result<()> {
        let (trimmed, given_up) = (verdict.trimmed, verdict.oldest_page_last.max(verdict.trimmed));
        anyhow::ensure!(
            [trimmed, given_up].contains(&report.after_seq_no),
            "the trim point is not {trimmed}: {report:?}"
        );
        anyhow::ensure!(
            report.prev_seq_no == verdict.tip,
            "the tip is not {}: {report:?}",
            verdict.tip
        );
        let left = |after| verdict.logs.iter().filter(move |log| log.seq_no > after);
        anyhow::ensure!(
            report.log_count == left(report.after_seq_no).count() as u64,
            "the number of logs is not {}: {report:?}",
            left(report.after_seq_no).count()
        );
        let (logs, error) = read_all(waldo);
        anyhow::ensure!(error.is_none(), "reading fails: {error:?}");
        anyhow::ensure!(
            logs.iter().eq(left(report.after_seq_no)) || logs.iter().eq(left(given_up)),
            "logs {:?} are read, {:?} are there; {report:?}",
            ends(logs.iter()),
            ends(left(report.after_seq_no))
        );
        self.right(&logs)
    }

    /// Logs were appended as they are, and follow each other.
    fn right(&self, logs: &[Record]) -> anyhow::Result<()> {
        for log in logs {
            anyhow::ensure!(
                self.reference.history.contains(log),
                "log {} was never appended so",
                log.seq_no
            );
        }
        for pair in logs.windows(2) {
            anyhow::ensure!(
                pair[1].prev_seq_no == pair[0].seq_no,
                "log {} is followed by log {}",
                pair[0].seq_no,
                pair[1].seq_no
            );
        }
        Ok(())
    }

    /// `CorruptionPolicy::Truncate` keeps what is sound, and copies away what it cuts, as it was.
    fn truncate(&self, files: &Files, verdict: &Verdict) -> anyhow::Result<()> {
        if verdict.is_tied {
            // Nobody can tell what would be cut.
            let refused = self.open(Recovery::Full, CorruptionPolicy::Truncate);
            anyhow::ensure!(matches!(refused, Err(Error::Corruption(_))), "it opens: {refused:?}");
            return self.unchanged(files);
        }
        let (waldo, report) = self.open(Recovery::Full, CorruptionPolicy::Truncate)?;
        anyhow::ensure!(report.cut.is_some(), "nothing is said to be cut: {report:?}");
        anyhow::ensure!(
            !report.quarantined.is_empty() || files.iter().any(Option::is_none),
            "nothing is in quarantine: {report:?}"
        );
        let mut copied = Vec::new();
        for path in &report.quarantined {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let page: usize = name.get(..10).unwrap_or_default().parse().context("a page id")?;
            let copy = fs::read(path)?;
            anyhow::ensure!(
                files.get(page).and_then(Option::as_ref) == Some(&copy),
                "{name} is not what page {page} was"
            );
            copied.push(page);
        }
        self.same_logs(&waldo, &report, verdict)?;
        let lost = |log: &Record| {
            log.seq_no > report.after_seq_no.min(verdict.trimmed)
                && self.reference.logs.contains(log)
                && !verdict.logs.contains(log)
        };
        for (page, log) in oracle::intact(files) {
            anyhow::ensure!(
                !lost(&log) || copied.contains(&page),
                "log {} is good in page {page}, was cut, and is not in quarantine",
                log.seq_no
            );
        }
        waldo.blocking_close()?;
        let (waldo, again) = self.open(Recovery::Full, CorruptionPolicy::Refuse)?;
        anyhow::ensure!(
            again.prev_seq_no == verdict.tip,
            "after a cut the tip was {}, and is {} when it is opened again",
            verdict.tip,
            again.prev_seq_no
        );
        let (logs, error) = read_all(&waldo);
        anyhow::ensure!(error.is_none(), "reading fails after a cut: {error:?}");
        self.right(&logs)?;
        waldo.blocking_close()?;
        Ok(())
    }

    /// `Recovery::Fast` may notice later, and serves nothing wrong.
    fn fast(&self, verdict: &Verdict, outcome: Outcome) -> anyhow::Result<()> {
        let (waldo, report) = match self.open(Recovery::Fast, CorruptionPolicy::Refuse) {
            Ok(opened) => opened,
            Err(Error::Corruption(_)) if outcome == Outcome::Corrupt => return Ok(()),
            Err(error) => anyhow::bail!("it is to be {outcome:?}: {error}"),
        };
        let (logs, error) = read_all(&waldo);
        self.right(&logs)?;
        let after = report.after_seq_no;
        let complete = |expected: &[Record]| {
            let left = |after| expected.iter().filter(move |log| log.seq_no > after);
            left(after).eq(logs.iter()) || left(verdict.oldest_page_last).eq(logs.iter())
        };
        match error {
            None => anyhow::ensure!(
                complete(&verdict.logs) || complete(&self.reference.logs),
                "{} logs are read, and no error; {} are there",
                logs.len(),
                verdict.logs.len()
            ),
            Some(QueryError::Corruption(_)) => anyhow::ensure!(
                outcome == Outcome::Corrupt,
                "reading finds damage where there is none: {error:?}"
            ),
            Some(error) => anyhow::bail!("reading fails: {error}"),
        }
        waldo.blocking_close()?;
        Ok(())
    }
}
