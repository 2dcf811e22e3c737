//! How far the demo is, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::message::Progress;
use crate::show;

/// On a terminal one line is kept up to date; elsewhere lines follow each other.
pub struct Display {
    logs: u64,
    streams: u64,
    is_terminal: bool,
    shown: Instant,
    /// There is a line to be replaced.
    is_dirty: bool,
}

impl Display {
    pub fn new(logs: u64, streams: u64) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { logs, streams, is_terminal, shown: Instant::now(), is_dirty: false }
    }

    /// Says what happens from now on.
    pub fn stage(&mut self, stage: &str) {
        self.clear();
        self.shown = Instant::now();
        say(&format!("{stage}\n"));
    }

    /// Shows how far a run is, unless that was shown a moment ago.
    pub fn show(&mut self, progress: &Progress) {
        let interval = Duration::from_millis(if self.is_terminal { 100 } else { 1000 });
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let line = self.line(progress);
        if self.is_terminal {
            self.clear();
            say(&line);
            self.is_dirty = true;
        } else {
            say(&format!("{line}\n"));
        }
    }

    /// Removes the line that is kept up to date.
    fn clear(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            say("\r\x1b[K");
        }
    }

    fn line(&self, progress: &Progress) -> String {
        let Progress { acknowledged, delivered_bytes, deliver_time, .. } = *progress;
        format!(
            "{:>3} % appended, {:>3} % at the slowest stream; {} to {} streams, {} have all",
            percent(acknowledged, self.logs),
            percent(progress.slowest, self.logs),
            show::gigabytes_per_second(delivered_bytes, deliver_time),
            show::count(self.streams),
            show::count(progress.streams_done),
        )
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part * 100 / whole.max(1)
}

/// Writes to standard error. What cannot be said does not matter.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
