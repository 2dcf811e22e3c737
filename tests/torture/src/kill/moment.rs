//! When a writer is killed: at any time, or in the middle of something.

use std::time::Duration;

use fastrand::Rng;

use crate::note::Note;

/// What a writer may be killed in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Middle {
    Start,
    Open,
    Reopen,
    Trim,
    Truncate,
    Clear,
    Sync,
    Close,
}

/// The moment of a kill: so long after a report.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    middle: Middle,
    /// How long after it.
    pub delay: Duration,
    opens: u32,
}

impl Moment {
    /// Chooses one.
    pub fn random(random: &mut Rng) -> Self {
        let middle = match random.u8(..16) {
            0 | 1 => Middle::Start,
            2 => Middle::Reopen,
            3 => Middle::Trim,
            4 | 5 => Middle::Truncate,
            6 | 7 => Middle::Clear,
            8 => Middle::Sync,
            9 | 10 => Middle::Close,
            _ => Middle::Open,
        };
        let delay_us = match middle {
            Middle::Start => random.u64(..15_000),
            Middle::Open => random.u64(..60_000),
            Middle::Reopen => random.u64(..10_000),
            Middle::Close => random.u64(..3_000),
            // Most of the time within the first few writes.
            _ => {
                let most = random.u64(1..1_500);
                random.u64(..most)
            }
        };
        Self { middle, delay: Duration::from_micros(delay_us), opens: 0 }
    }

    /// Whether it counts from the start of the process, not from a report.
    pub fn is_at_start(&self) -> bool {
        self.middle == Middle::Start
    }

    /// Whether it has begun with this report. What may not happen in a session gives way to the
    /// next session.
    pub fn begins(&mut self, note: &Note) -> bool {
        self.opens += u32::from(*note == Note::Opening);
        let is_middle = match self.middle {
            Middle::Start => false,
            Middle::Open => matches!(note, Note::Opened { .. }),
            Middle::Reopen => *note == Note::Opening && self.opens > 1,
            Middle::Trim => matches!(note, Note::Trimming { .. }),
            Middle::Truncate => matches!(note, Note::Truncating { .. }),
            Middle::Clear => *note == Note::Clearing,
            Middle::Sync => matches!(note, Note::Syncing { .. }),
            Middle::Close => *note == Note::Closing,
        };
        is_middle || self.opens > 6
    }
}

/// What was under way after some reports.
pub fn under_way(notes: &[Note], is_new: bool) -> &'static str {
    let newest = |is: fn(&Note) -> bool| notes.iter().rposition(is);
    let is_open = |begin: Option<usize>, end: Option<usize>| begin.is_some() && begin > end;
    let opening = newest(|note| *note == Note::Opening);
    let opened = newest(|note| matches!(note, Note::Opened { .. }));
    if opening.is_none() {
        "starting"
    } else if is_open(opening, opened) && opened.is_none() && is_new {
        "creating"
    } else if is_open(opening, opened) {
        "opening"
    } else if newest(|note| *note == Note::Closed) > opened {
        "between sessions"
    } else if newest(|note| *note == Note::Closing) > opened {
        "closing"
    } else if is_open(
        newest(|note| matches!(note, Note::Truncating { .. } | Note::Clearing)),
        newest(|note| matches!(note, Note::Truncated | Note::Cleared | Note::Kept)),
    ) {
        if newest(|note| *note == Note::Clearing)
            > newest(|note| matches!(note, Note::Truncating { .. }))
        {
            "clearing"
        } else {
            "truncating"
        }
    } else if is_open(
        newest(|note| matches!(note, Note::Trimming { .. })),
        newest(|note| matches!(note, Note::Trimmed { .. })),
    ) {
        "trimming"
    } else if is_open(
        newest(|note| matches!(note, Note::Syncing { .. })),
        newest(|note| matches!(note, Note::Synced { .. })),
    ) {
        "syncing"
    } else {
        "appending"
    }
}
