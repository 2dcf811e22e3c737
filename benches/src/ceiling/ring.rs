//! A bare io_uring with registered files and buffers.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

use anyhow::Context;
use io_uring::{IoUring, opcode, squeue, types};

use crate::buffer::Buffer;

/// Mark of the wake-up among the completions.
const WAKE: u64 = u64::MAX;

/// The ring, and the buffers that the kernel is working on.
pub(super) struct Ring<'a> {
    ring: IoUring,
    files: &'a [File],
    flying: Vec<Option<Flight>>,
    in_flight: usize,
    watching: bool,
    fixed_files: bool,
    fixed_buffers: bool,
}

struct Flight {
    buffer: Buffer,
    len: usize,
    started: Instant,
}

/// A request that the kernel has finished.
pub(super) struct Landed {
    pub slot: usize,
    pub buffer: Buffer,
    pub started: Instant,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub file: usize,
    pub offset: u64,
    pub len: usize,
}

impl<'a> Ring<'a> {
    /// A ring for requests on `files` with `buffers`; a buffer's position is its slot.
    ///
    /// Both are registered where `register` asks for it and the memory-lock limit allows it;
    /// [`Ring::remark`] tells.
    pub fn new(files: &'a [File], buffers: &[Buffer], register: bool) -> anyhow::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build((buffers.len() as u32 + 1).next_power_of_two())
            .context("io_uring is refused here; try --method call")?;
        let descriptors: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let fixed_files = register && ring.submitter().register_files(&descriptors).is_ok();
        let vectors: Vec<libc::iovec> = buffers.iter().map(Buffer::iovec).collect();
        // SAFETY: registration pins the pages; they stay valid also if a buffer is unmapped.
        let fixed_buffers =
            register && unsafe { ring.submitter().register_buffers(&vectors) }.is_ok();
        let flying = buffers.iter().map(|_| None).collect();
        Ok(Self { ring, files, flying, in_flight: 0, watching: false, fixed_files, fixed_buffers })
    }

    /// What is registered.
    pub fn remark(&self) -> &'static str {
        match (self.fixed_files, self.fixed_buffers) {
            (true, true) => "files, buffers",
            (true, false) => "files",
            (false, true) => "buffers",
            (false, false) => "nothing",
        }
    }

    /// Requests that the kernel has not finished.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts to write the first `place.len` bytes of `buffer`.
    pub fn write(
        &mut self,
        slot: usize,
        buffer: Buffer,
        place: Place,
        durable: bool,
    ) -> anyhow::Result<()> {
        let flags = if durable { libc::RWF_DSYNC } else { 0 };
        let data = buffer.as_ptr();
        let len = place.len as u32;
        let entry = match (self.fixed_buffers, self.fixed_files) {
            (true, true) => {
                let file = types::Fixed(place.file as u32);
                opcode::WriteFixed::new(file, data, len, slot as u16)
                    .offset(place.offset)
                    .rw_flags(flags)
                    .build()
            }
            (true, false) => opcode::WriteFixed::new(self.fd(place), data, len, slot as u16)
                .offset(place.offset)
                .rw_flags(flags)
                .build(),
            (false, _) => opcode::Write::new(self.fd(place), data, len)
                .offset(place.offset)
                .rw_flags(flags)
                .build(),
        };
        self.launch(entry, slot, buffer, place.len)
    }

    /// Starts to read `place.len` bytes to the start of `buffer`.
    pub fn read(&mut self, slot: usize, mut buffer: Buffer, place: Place) -> anyhow::Result<()> {
        let data = buffer.as_mut_ptr();
        let len = place.len as u32;
        let entry = match (self.fixed_buffers, self.fixed_files) {
            (true, true) => {
                let file = types::Fixed(place.file as u32);
                opcode::ReadFixed::new(file, data, len, slot as u16).offset(place.offset).build()
            }
            (true, false) => opcode::ReadFixed::new(self.fd(place), data, len, slot as u16)
                .offset(place.offset)
                .build(),
            (false, _) => opcode::Read::new(self.fd(place), data, len).offset(place.offset).build(),
        };
        self.launch(entry, slot, buffer, place.len)
    }

    fn fd(&self, place: Place) -> types::Fd {
        types::Fd(self.files[place.file].as_raw_fd())
    }

    fn launch(
        &mut self,
        entry: squeue::Entry,
        slot: usize,
        buffer: Buffer,
        len: usize,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(len <= buffer.len(), "a request is longer than its buffer");
        self.flying[slot] = Some(Flight { buffer, len, started: Instant::now() });
        // SAFETY: the buffer is kept in `flying` until its completion was seen, and `drop` waits
        // for all of them; the files outlive the ring.
        if let Err(error) = unsafe { self.ring.submission().push(&entry.user_data(slot as u64)) } {
            self.flying[slot] = None;
            return Err(error.into());
        }
        self.in_flight += 1;
        Ok(())
    }

    /// Makes the next [`Ring::wait`] return also when `wake` becomes readable.
    pub fn watch(&mut self, wake: RawFd) -> anyhow::Result<()> {
        if !self.watching {
            let poll = opcode::PollAdd::new(types::Fd(wake), libc::POLLIN as u32).build();
            // SAFETY: a poll refers to no memory.
            unsafe { self.ring.submission().push(&poll.user_data(WAKE)) }?;
            self.watching = true;
        }
        Ok(())
    }

    /// Hands what was started to the kernel.
    pub fn submit(&mut self) -> io::Result<()> {
        self.ring.submit().map(drop)
    }

    /// Hands what was started to the kernel, waits for at least one completion (or wake-up), and
    /// puts what has landed into `landed`.
    pub fn wait(&mut self, landed: &mut Vec<Landed>) -> anyhow::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        for entry in self.ring.completion() {
            if entry.user_data() == WAKE {
                self.watching = false;
                continue;
            }
            let slot = entry.user_data() as usize;
            self.in_flight -= 1;
            let Some(flight) = self.flying.get_mut(slot).and_then(Option::take) else {
                anyhow::bail!("a completion belongs to no request");
            };
            match usize::try_from(entry.result()) {
                Err(_) => return Err(io::Error::from_raw_os_error(-entry.result()).into()),
                Ok(done) => anyhow::ensure!(done == flight.len, "{done} of {} bytes", flight.len),
            }
            landed.push(Landed { slot, buffer: flight.buffer, started: flight.started });
        }
        Ok(())
    }
}

impl Drop for Ring<'_> {
    fn drop(&mut self) {
        let mut landed = Vec::new();
        while self.flying.iter().any(Option::is_some) {
            let before = self.in_flight;
            if self.wait(&mut landed).is_err() && self.in_flight == before {
                // The kernel answers no more: better to leak than to free what it writes to.
                self.flying.iter_mut().filter_map(Option::take).for_each(std::mem::forget);
            }
        }
    }
}
