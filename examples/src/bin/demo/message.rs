//! What the two processes tell each other.
//!
//! The parent gives a [`Task`] as an argument; the child answers with one [`Message`] a line, as
//! JSON, on its standard output.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use waldo_core::RecoveryReport;

use crate::digest::Digest;
use crate::options::Backend;

/// What a child is to do, in the directory that it runs in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Logs that the input makes.
    pub logs: u64,
    /// Bytes of the input.
    pub bytes: u64,
    /// The last log to append. Streams wait for all logs, whatever this is.
    pub last: u64,
    /// Streams that tail the log.
    pub streams: u64,
    /// Appends that may wait for their acknowledgement at a time.
    pub window: u64,
    /// Bytes that the writer may be ahead of the slowest stream; 0 is no limit.
    pub lead: u64,
    pub backend: Backend,
    /// Change what one stream sees.
    pub tamper: bool,
}

/// What a child says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    /// The store is open.
    Opened(Opened),
    /// The run goes on.
    Progress(Progress),
    /// Every stream has every log, and the store is closed.
    Finished(Finished),
    /// It cannot go on, and this is why.
    Failed(String),
}

/// What opening the store found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Opened {
    /// The store was made.
    pub created: bool,
    pub pages: u64,
    pub bytes_read: u64,
    pub logs: u64,
    pub prev_seq_no: u64,
    pub torn: Option<Torn>,
    /// What recovery took.
    pub recovery: Duration,
    /// What opening took in all.
    pub open: Duration,
}

/// A torn tail that was dropped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Torn {
    pub page: u32,
    pub offset: u64,
    /// Whole frames behind the tear.
    pub frames: u64,
}

impl Opened {
    pub fn new(report: &RecoveryReport, open: Duration) -> Self {
        Self {
            created: report.created,
            pages: report.page_count,
            bytes_read: report.bytes_read,
            logs: report.log_count,
            prev_seq_no: report.prev_seq_no,
            torn: report.dropped.map(|torn| Torn {
                page: torn.page,
                offset: torn.offset,
                frames: torn.frame_count,
            }),
            recovery: report.duration,
            open,
        }
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The last log that was submitted.
    pub submitted: u64,
    /// The last log that was acknowledged as durable.
    pub acknowledged: u64,
    /// Logs acknowledged in this run, and their bytes.
    pub appended_logs: u64,
    pub appended_bytes: u64,
    /// From the first submission to the last acknowledgement.
    pub append_time: Duration,
    /// Bytes that all streams together were delivered, and hashed.
    pub delivered_bytes: u64,
    /// From the start of the streams to the last delivery.
    pub deliver_time: Duration,
    /// From there until every stream had the logs that were there before.
    pub caught_up: Option<Duration>,
    /// Bytes of those logs, as often as there are streams.
    pub caught_up_bytes: u64,
    /// Streams that have every log.
    pub streams_done: u64,
    /// The last log that the slowest stream has.
    pub slowest: u64,
    pub commit: Quantiles,
    pub delivery: Quantiles,
}

/// What half and 99 of 100 are no slower than.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub p50: Duration,
    pub p99: Duration,
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    pub progress: Progress,
    /// What streams saw, and how many of them saw that.
    pub seen: Vec<(Digest, u64)>,
}

impl Message {
    /// Tells the parent.
    pub fn send(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Hasher;

    #[test]
    fn messages_survive_the_journey() {
        let digest = Hasher::new().finish();
        let progress = Progress { append_time: Duration::from_nanos(1), ..Progress::default() };
        let sent =
            Message::Finished(Finished { progress: progress.clone(), seen: vec![(digest, 3)] });
        let line = serde_json::to_string(&sent).unwrap();
        let Message::Finished(got) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert_eq!((got.progress, got.seen), (progress, vec![(digest, 3)]));
    }
}
