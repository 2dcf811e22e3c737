//! Calls that fail.

use fastrand::Rng;
use serde::{Deserialize, Serialize};

/// What the kernel asks a file system for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Call {
    /// A name in a directory.
    Lookup,
    /// A file's attributes.
    Attributes,
    /// A file's size is set.
    Truncate,
    /// A file is opened.
    Open,
    /// A file is made.
    Create,
    /// A directory is made.
    MakeDir,
    /// A name is removed.
    Remove,
    /// A file gets another name.
    Rename,
    /// A directory is listed.
    List,
    /// A read.
    Read,
    /// A write.
    Write,
    /// A sync of a file.
    Sync,
    /// A sync of a directory.
    SyncDir,
    /// Blocks are allocated.
    Allocate,
    /// Holes are looked for.
    Seek,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Lookup,
        Self::Attributes,
        Self::Truncate,
        Self::Open,
        Self::Create,
        Self::MakeDir,
        Self::Remove,
        Self::Rename,
        Self::List,
        Self::Read,
        Self::Write,
        Self::Sync,
        Self::SyncDir,
        Self::Allocate,
        Self::Seek,
    ];

    /// Whether it changes what is on the disk, or makes that safe.
    pub fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Lookup | Self::Attributes | Self::Open | Self::List | Self::Read | Self::Seek
        )
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// With an error number. Part of what was to be written may be.
    Errno(i32),
    /// It reads or writes less than it was asked to.
    Short,
}

/// Calls that are to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls.
    pub call: Call,
    /// So many succeed first.
    pub skip: u32,
    /// So many fail; then all is well again.
    pub times: u32,
    /// How.
    pub failure: Failure,
}

/// The calls that are to fail from now on.
#[derive(Debug, Default)]
pub struct Faults {
    faults: Vec<Fault>,
    /// Calls that failed.
    pub injected: u64,
}

impl Faults {
    /// Replaces them.
    pub fn set(&mut self, faults: Vec<Fault>) {
        self.faults = faults;
        self.injected = 0;
    }

    /// How a call fails; `None` where it does not.
    pub fn next(&mut self, call: Call) -> Option<Failure> {
        let fault = self.faults.iter_mut().find(|fault| fault.call == call && fault.times > 0)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        self.injected += 1;
        Some(fault.failure)
    }
}

/// The part of `bytes` that a call which fails, or falls short, transfers. One that falls short
/// transfers something.
pub fn part<'a>(bytes: &'a [u8], failure: Failure, random: &mut Rng) -> &'a [u8] {
    let least = match failure {
        Failure::Errno(_) if random.bool() => return &[],
        Failure::Errno(_) => 0,
        Failure::Short => 1,
    };
    if bytes.len() <= least { bytes } else { &bytes[..random.usize(least..bytes.len())] }
}
