//! What a disk's process is told, and what it answers: one JSON value a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// How the kernel is told to use the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Caching {
    /// The page cache serves reads; each write goes through to the disk.
    Through,
    /// The page cache holds writes back until somebody syncs, as that of a real file system does.
    Back,
    /// No page cache: reads and writes go to the disk, several at a time.
    None,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Lose power at a call that changes something, after so many of them.
    Arm {
        /// How many.
        calls: u64,
    },
    /// Lose power now, unless that has happened, and come back.
    Restart {
        /// Chooses what is left.
        seed: u64,
    },
    /// Let calls fail from now on, instead of those before.
    Fail(Vec<Fault>),
    /// Have room for so many bytes.
    Room(u64),
    /// Copy what is on the disk into a directory.
    Save(PathBuf),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done; so many calls have failed since the last order to fail.
    Done {
        /// How many.
        injected: u64,
    },
    /// The disk is mounted.
    Mounted,
    /// It came back, with its files in this directory of the mounted one.
    Restarted {
        /// The directory.
        top: String,
        /// Sectors and names that had not been synced.
        at_stake: u64,
        /// Power was lost at a call, not by the order.
        at_call: bool,
    },
    /// It cannot be done.
    Failed(String),
}
