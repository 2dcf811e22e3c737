//! A disk: its contents, its power, and its faults.

use fastrand::Rng;

use super::fault::{Call, Failure, Faults};
use super::file::WriteId;
use super::image::{Image, NodeId};

/// What the file system and whoever gives orders share.
#[derive(Debug)]
pub struct State {
    /// The contents.
    pub image: Image,
    /// Calls that are to fail.
    pub faults: Faults,
    /// For what is not ordered in detail.
    pub random: Rng,
    /// Bytes that files may take.
    pub room: u64,
    has_power: bool,
    /// Power is lost at a call, after so many.
    armed: Option<u64>,
}

/// A write that was carried out, and not answered yet.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// The file.
    pub node: NodeId,
    /// The write.
    pub id: WriteId,
    /// Where it went.
    pub offset: usize,
    /// How many bytes.
    pub len: usize,
    /// Its end says that it is safe.
    pub durable: bool,
}

impl State {
    /// An empty disk.
    pub fn new() -> Self {
        Self {
            image: Image::new(),
            faults: Faults::default(),
            random: Rng::with_seed(0),
            room: u64::MAX,
            has_power: true,
            armed: None,
        }
    }

    /// Loses power after so many calls that change something.
    pub fn arm(&mut self, calls: u64) {
        self.armed = Some(calls);
    }

    /// Comes back after a power loss, which happens now where it has not. Answers what was at
    /// stake, and whether power had been lost before.
    pub fn restart(&mut self, seed: u64) -> (u64, bool) {
        self.random = Rng::with_seed(seed);
        let at_call = !std::mem::replace(&mut self.has_power, true);
        self.armed = None;
        (self.image.lose_power(&mut self.random), at_call)
    }

    /// Begins a call. Answers how it fails, if it is to.
    ///
    /// # Errors
    ///
    /// `EIO` where there is no power.
    pub fn begin(&mut self, call: Call) -> Result<Option<Failure>, i32> {
        if !self.has_power {
            return Err(libc::EIO);
        }
        if call.is_change()
            && let Some(left) = &mut self.armed
        {
            if *left == 0 {
                self.has_power = false;
                // What the call was to do may be done all the same.
                return if self.random.bool() { Ok(None) } else { Err(libc::EIO) };
            }
            *left -= 1;
        }
        Ok(self.faults.next(call))
    }

    /// Whether what was carried out may be answered.
    ///
    /// # Errors
    ///
    /// `EIO` where there is no power any more.
    pub fn end(&self) -> Result<(), i32> {
        if self.has_power { Ok(()) } else { Err(libc::EIO) }
    }

    /// Ends a write.
    ///
    /// # Errors
    ///
    /// `EIO` where there is no power any more.
    pub fn end_write(&mut self, written: &Written) -> Result<(), i32> {
        self.end()?;
        let file = self.image.file(written.node)?;
        file.finish(written.id, written.offset, written.len, written.durable);
        Ok(())
    }

    /// Whether a file may take so many bytes more.
    ///
    /// # Errors
    ///
    /// `ENOSPC` where it may not.
    pub fn take_room(&mut self, more: u64) -> Result<(), i32> {
        self.room = self.room.checked_sub(more).ok_or(libc::ENOSPC)?;
        Ok(())
    }
}
