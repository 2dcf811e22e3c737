//! What an engine implements to be measured. Waldo and its peers are measured through the same
//! traits by the same load generators.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::rounds::Role;
use crate::workload::touch::Touching;

/// How a store is to be opened.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Each acknowledged append is on stable storage.
    pub durable: bool,
    /// Logs of one append.
    pub batch_logs: usize,
    /// Bytes of one log.
    pub log_bytes: usize,
    /// Threads that append at the same time.
    pub producers: usize,
    /// Bytes of the newest logs that the engine is to keep in memory for streams, where it has
    /// such a thing; 0: what is usual.
    pub tail_bytes: u64,
    /// Bytes on disk that the engine may keep; where it can reuse its files, it should.
    pub disk_bytes: u64,
}

/// An engine under test.
pub trait Engine {
    /// Name in reports.
    fn name(&self) -> String;

    /// Whether it is Waldo or a peer.
    fn role(&self) -> Role {
        Role::Peer
    }

    /// Why the engine does not offer what `setup` asks for; `None` where it does.
    fn refuses(&self, setup: &Setup) -> Option<&'static str> {
        let _ = setup;
        None
    }

    /// Whether a store may stay open between runs: it does nothing by itself then, and the disk
    /// that it takes is bounded.
    fn rests(&self) -> bool {
        true
    }

    /// Whether [`Store::tail`] works.
    fn follows(&self) -> bool {
        true
    }

    /// Opens a new store in the empty directory `dir`.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn open(&self, dir: &Path, setup: &Setup) -> anyhow::Result<Box<dyn Store>>;
}

/// An open store.
pub trait Store: Sync {
    /// A handle for the `index`-th producer, used by one thread.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn producer(&self, index: usize) -> anyhow::Result<Box<dyn Producer + '_>>;

    /// A handle for the `index`-th task that appends; `None` where appends block their thread.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn task_producer(&self, index: usize) -> anyhow::Result<Option<Box<dyn TaskProducer + '_>>> {
        let _ = index;
        Ok(None)
    }

    /// A reader of all that the first producer appends from now on; `None` where the engine has
    /// no way to follow its log.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn tail(&self) -> anyhow::Result<Option<Tail<'_>>> {
        Ok(None)
    }

    /// Waits until the store has nothing left to do by itself, where it can tell. Something was
    /// appended before.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn settle(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Writes that the engine has sent to its files, if it counts them.
    fn writes(&self) -> Option<u64> {
        None
    }

    /// Closes the store and reports errors that came late.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// Appends logs.
///
/// An engine whose appends block implements [`Producer::submit`] alone.
pub trait Producer: Send {
    /// Starts an append. A blocking engine returns when it is done.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn submit(&mut self, logs: &[&[u8]]) -> anyhow::Result<()>;

    /// Waits until the oldest append that was submitted and not yet waited for is acknowledged.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn wait(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Appends that may be submitted before the oldest is waited for.
    fn depth(&self) -> usize {
        1
    }
}

/// The end of an append of a task.
pub type Appending<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// Appends logs from a task, without blocking its thread.
pub trait TaskProducer: Send {
    /// Appends, and is done when that is acknowledged.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn append<'a>(&'a mut self, logs: &'a [&'a [u8]]) -> Appending<'a>;
}

/// Follows a log.
pub enum Tail<'a> {
    /// The engine wakes it.
    Waking(Box<dyn Waking + 'a>),
    /// It must be told when to look.
    Polled(Box<dyn Polled + 'a>),
}

/// A reader that the engine wakes.
pub trait Waking: Send {
    /// Hands the next logs to `touching`, at least one, or has the task woken when there are some.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        touching: &mut Touching,
    ) -> Poll<anyhow::Result<()>>;
}

/// A reader that looks when it is told to.
pub trait Polled: Send {
    /// Hands logs that are there to `touching`.
    ///
    /// # Errors
    ///
    /// What the engine says.
    fn poll(&mut self, touching: &mut Touching) -> anyhow::Result<()>;
}
