//! Where filled buffers come from: built by the writing thread itself, or by a second one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{Scope, ScopedJoinHandle};

use super::Build;
use super::frame::{self, Layout};
use crate::buffer::Buffer;
use crate::payload::Payload;

/// A buffer and its slot in the ring.
pub(super) type Slot = (usize, Buffer);

/// Fills buffers one after the other.
pub(super) struct Builder<'a> {
    layout: Layout,
    build: Build,
    payload: &'a Payload,
    next: u64,
    logs: Vec<&'a [u8]>,
}

impl<'a> Builder<'a> {
    pub fn new(layout: Layout, build: Build, payload: &'a Payload) -> Self {
        Self { layout, build, payload, next: 1, logs: Vec::with_capacity(layout.logs) }
    }

    fn fill(&mut self, buffer: &mut Buffer) {
        self.payload.batch(self.next, self.layout.logs, &mut self.logs);
        frame::build(buffer, self.build, &self.logs, self.next);
        self.next += self.layout.logs as u64;
    }
}

/// Hands out filled buffers and takes empty ones back.
pub(super) enum Source<'scope, 'a> {
    /// The caller's own thread fills them.
    Inline { builder: Builder<'a>, free: Vec<Slot>, ready: Option<Slot> },
    /// Another thread does.
    Thread {
        ready: Receiver<Slot>,
        free: Option<Sender<Slot>>,
        doorbell: Arc<Doorbell>,
        thread: ScopedJoinHandle<'scope, ()>,
    },
}

impl<'scope, 'a> Source<'scope, 'a> {
    /// Buffers are filled when they are asked for.
    pub fn inline(builder: Builder<'a>, buffers: Vec<Buffer>) -> Self {
        Self::Inline { builder, free: buffers.into_iter().enumerate().collect(), ready: None }
    }

    /// A thread fills `writes` buffers, as fast as empty ones come back.
    pub fn thread<'env>(
        scope: &'scope Scope<'scope, 'env>,
        mut builder: Builder<'env>,
        buffers: Vec<Buffer>,
        writes: u64,
    ) -> anyhow::Result<Self>
    where
        'env: 'scope,
    {
        let (give, take) = mpsc::channel::<Slot>();
        let (send, ready) = mpsc::channel::<Slot>();
        for slot in buffers.into_iter().enumerate() {
            give.send(slot).map_err(|_| anyhow::anyhow!("a channel closed by itself"))?;
        }
        let doorbell = Arc::new(Doorbell::new()?);
        let bell = Arc::clone(&doorbell);
        let thread = scope.spawn(move || {
            for (slot, mut buffer) in take.iter().take(writes as usize) {
                builder.fill(&mut buffer);
                if send.send((slot, buffer)).is_err() {
                    return;
                }
                bell.ring();
            }
        });
        Ok(Self::Thread { ready, free: Some(give), doorbell, thread })
    }

    /// A filled buffer, if one can be had without waiting.
    pub fn try_next(&mut self) -> anyhow::Result<Option<Slot>> {
        self.prepare();
        match self {
            Self::Inline { ready, .. } => Ok(ready.take()),
            Self::Thread { ready, .. } => match ready.try_recv() {
                Ok(slot) => Ok(Some(slot)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => anyhow::bail!("the copying thread is gone"),
            },
        }
    }

    /// A filled buffer; waits for it.
    pub fn next(&mut self) -> anyhow::Result<Slot> {
        self.prepare();
        let slot = match self {
            Self::Inline { ready, .. } => ready.take(),
            Self::Thread { ready, .. } => ready.recv().ok(),
        };
        slot.ok_or_else(|| anyhow::anyhow!("no buffer comes back"))
    }

    /// Uses a moment in which nothing can be started to fill the next buffer.
    pub fn prepare(&mut self) {
        if let Self::Inline { builder, free, ready } = self
            && ready.is_none()
            && let Some((slot, mut buffer)) = free.pop()
        {
            builder.fill(&mut buffer);
            *ready = Some((slot, buffer));
        }
    }

    /// Takes an empty buffer back.
    pub fn give_back(&mut self, slot: Slot) {
        match self {
            Self::Inline { free, .. } => free.push(slot),
            Self::Thread { free, .. } => {
                // The thread has ended when it has filled enough buffers.
                let _ended = free.as_ref().map(|free| free.send(slot));
            }
        }
    }

    /// The bell that rings when a buffer is filled; `None` where the caller fills them.
    pub fn doorbell(&self) -> Option<Arc<Doorbell>> {
        match self {
            Self::Inline { .. } => None,
            Self::Thread { doorbell, .. } => Some(Arc::clone(doorbell)),
        }
    }

    /// Ends the copying thread and waits for it.
    pub fn finish(self) -> anyhow::Result<()> {
        if let Self::Thread { ready, free, thread, .. } = self {
            drop((ready, free));
            thread.join().map_err(|_| anyhow::anyhow!("the copying thread panicked"))?;
        }
        Ok(())
    }
}

/// An eventfd that is written to only while the other side sleeps.
pub(super) struct Doorbell {
    event: File,
    sleeping: AtomicBool,
}

impl Doorbell {
    fn new() -> std::io::Result<Self> {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and owned by nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { event: event.into(), sleeping: AtomicBool::new(false) })
    }

    fn ring(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            // Only fails where the counter is full, and then the bell is ringing already.
            let _full = (&self.event).write(&1u64.to_ne_bytes());
        }
    }

    /// Announces that the caller is going to sleep; it must look once more before it does.
    pub fn fall_asleep(&self) {
        self.sleeping.store(true, Ordering::SeqCst);
    }

    /// Announces that the caller is awake, and silences the bell.
    pub fn wake_up(&self) {
        if !self.sleeping.swap(false, Ordering::SeqCst) {
            // Empty where the bell did not ring.
            let _empty = (&self.event).read(&mut [0; 8]);
        }
    }

    /// What to watch.
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
