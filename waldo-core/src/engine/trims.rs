//! Which frames on disk say that logs were given up.
//!
//! A page may be overwritten only when a frame in a *later* page says that its logs are given up:
//! what the page itself says goes with it.

use std::collections::VecDeque;

/// The trim points that frames carry, in the order of the log.
#[derive(Debug, Default)]
pub(super) struct Trims {
    notes: VecDeque<Note>,
}

/// One frame that carries a trim point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// Every log up to and with this one is given up.
    pub trimmed: u64,
    /// Number of the use of the page that the frame lies in.
    pub page_number: u64,
    /// Position in the log at which the frame ends.
    pub end_position: u64,
}

impl Trims {
    /// Adds a frame that was built.
    pub fn note(&mut self, note: Note) {
        self.notes.push_back(note);
    }

    /// The trim point that frames carry, and the position at which the last of them ends.
    pub fn framed(&self) -> (u64, u64) {
        let trimmed = self.notes.iter().map(|note| note.trimmed).max().unwrap_or(0);
        (trimmed, self.notes.back().map_or(0, |note| note.end_position))
    }

    /// The trim point that frames behind a page carry which end at or before a position; `None`
    /// where there are no such frames.
    pub fn beyond(&self, page_number: u64, position: u64) -> Option<u64> {
        let beyond = |note: &&Note| note.page_number > page_number && note.end_position <= position;
        self.notes.iter().filter(beyond).map(|note| note.trimmed).max()
    }

    /// Forgets frames that durable ones have overtaken.
    pub fn compact(&mut self, durable: u64) {
        while let Some(next) = self.notes.get(1)
            && next.end_position <= durable
        {
            self.notes.pop_front();
        }
    }

    /// Forgets everything: the log starts anew.
    pub fn clear(&mut self) {
        self.notes.clear();
    }
}
