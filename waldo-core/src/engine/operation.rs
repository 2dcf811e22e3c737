//! What the engine is asked to do, and what it answers.

use crate::batch::Batch;
use crate::error::{AppendError, Error};

/// Runs once, with the result of one operation.
///
/// It runs on the worker's thread, outside every lock, and never inside the call that submitted
/// the operation. It must not block.
pub type Completion<T> = Box<dyn FnOnce(T) + Send>;

/// Numbers of the logs that an append added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// `seq_no` of the first log.
    pub first_seq_no: u64,
    /// `seq_no` of the last log.
    pub last_seq_no: u64,
    /// Number of logs.
    pub count: u64,
}

/// Ends an append.
pub type AppendCompletion = Completion<Result<Appended, AppendError>>;

/// Ends any other operation.
pub type ManageCompletion = Completion<Result<(), Error>>;

/// Where in a page a sequence number falls, counted by somebody who could read the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Number of the use of the page.
    pub page_number: u64,
    /// Logs of the page up to and with the number.
    pub count: u64,
}

/// One operation.
pub enum Operation {
    /// Appends a batch.
    Append {
        /// The logs.
        batch: Batch,
        /// Completes when they are durable, whatever the store's default is.
        durable: bool,
        /// Takes the result.
        done: AppendCompletion,
    },
    /// Makes everything before it durable.
    Sync {
        /// Takes the result.
        done: ManageCompletion,
    },
    /// Gives up the logs up to and with a number.
    Trim {
        /// The last log that goes.
        up_to_seq_no: u64,
        /// Its place, where the page's numbers have gaps.
        census: Option<Census>,
        /// Takes the result.
        done: ManageCompletion,
    },
    /// Removes the logs after a number.
    Truncate {
        /// The last log that stays.
        after_seq_no: u64,
        /// Its place, where the page's numbers have gaps.
        census: Option<Census>,
        /// Truncations that the caller knew of when it looked.
        epoch: u64,
        /// Takes the result.
        done: ManageCompletion,
    },
    /// Removes every log; the next may have any number.
    Clear {
        /// Takes the result.
        done: ManageCompletion,
    },
    /// Writes the trim point under the new incarnation, behind the end of the recovered log, so
    /// that what recovery dropped can never become part of it again.
    Repair {
        /// Takes the result.
        done: ManageCompletion,
    },
    /// Finishes what was submitted, seals, and ends the store.
    Close {
        /// Takes the result.
        done: ManageCompletion,
    },
}

impl Operation {
    /// Ends the operation without doing it.
    pub fn fail(self, append: AppendError, manage: Error) -> Finished {
        match self {
            Self::Append { done, .. } => Finished::Append(done, Err(append)),
            Self::Sync { done }
            | Self::Trim { done, .. }
            | Self::Truncate { done, .. }
            | Self::Clear { done }
            | Self::Repair { done }
            | Self::Close { done } => Finished::Manage(done, Err(manage)),
        }
    }
}

/// A completion with its result, ready to run.
pub enum Finished {
    /// An append ended.
    Append(AppendCompletion, Result<Appended, AppendError>),
    /// Another operation ended.
    Manage(ManageCompletion, Result<(), Error>),
}

impl Finished {
    /// Runs the completion.
    pub fn run(self) {
        match self {
            Self::Append(done, result) => done(result),
            Self::Manage(done, result) => done(result),
        }
    }
}
