//! How a store is followed.

use std::time::Duration;

use crate::error::Error;
use crate::options::CorruptionPolicy;

/// How a [`Follower`](crate::Follower) reads a store.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct FollowOptions {
    /// Serves a log only where the page files prove that it is durable.
    ///
    /// The proof of a write is in the next one, or in the seal of a close: the newest write is
    /// served when another one was made, or the store was closed. Without this a log is served as
    /// soon as it is written completely. It survives the end of the writer's process then; a
    /// power loss may take it back.
    pub durable_only: bool,

    /// Largest number of entries that are kept of each page's index, 16 bytes each. At least 2.
    pub index_capacity: usize,

    /// What happens where logs that had been durable are found damaged. With
    /// [`Truncate`](CorruptionPolicy::Truncate) the logs before the damage are served. The
    /// directory is not changed in either case.
    pub corruption: CorruptionPolicy,

    /// How it is noticed that something was written.
    pub watch: Watch,

    /// How often page files are looked at where they cannot be watched. At least a millisecond.
    pub poll_interval: Duration,
}

/// How a [`Follower`](crate::Follower) notices that something was written.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Watch {
    /// Through inotify: an idle store costs nothing. Where that is refused, or the file system is
    /// one that other machines write to as well, the page files are polled.
    #[default]
    Auto,
    /// The page files are polled.
    Poll,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            durable_only: false,
            index_capacity: 256,
            corruption: CorruptionPolicy::Refuse,
            watch: Watch::Auto,
            poll_interval: Duration::from_millis(20),
        }
    }
}

impl FollowOptions {
    /// Checks every option against its limits.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the name of the first option that cannot work, its value, and why.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |name, value, limit: &str| {
            Err(Error::Option { name, value, reason: format!("it must be {limit}") })
        };
        if !(2..=1 << 24).contains(&self.index_capacity) {
            return refuse("index_capacity", self.index_capacity.to_string(), "2 to 16777216");
        }
        if self.poll_interval < Duration::from_millis(1) {
            let value = format!("{:?}", self.poll_interval);
            return refuse("poll_interval", value, "at least a millisecond");
        }
        Ok(())
    }
}
