//! Answers to writes, a little later and in any order, as real disks give them.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use fuser::{Errno, ReplyWrite};

use super::state::{State, Written};

/// Longest time that a write takes.
const DELAY_MAX_US: u64 = 150;

/// Ends writes.
#[derive(Debug)]
pub struct Delay {
    waiting: Sender<(Written, ReplyWrite)>,
}

impl Delay {
    /// Starts a thread that ends writes, and ends itself with this value.
    pub fn new(state: Arc<Mutex<State>>) -> Self {
        let (waiting, arriving) = mpsc::channel::<(Written, ReplyWrite)>();
        thread::spawn(move || {
            let mut random = Rng::with_seed(1);
            let mut under_way = Vec::new();
            loop {
                if under_way.is_empty() {
                    let Ok(write) = arriving.recv() else { return };
                    under_way.push(write);
                }
                // Where nothing else comes within the time, one of those that are there ends.
                let patience = Duration::from_micros(random.u64(..DELAY_MAX_US));
                match arriving.recv_timeout(patience) {
                    Ok(write) => under_way.push(write),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                        let (written, reply) =
                            under_way.swap_remove(random.usize(..under_way.len()));
                        end(&state, &written, reply);
                    }
                }
            }
        });
        Self { waiting }
    }

    /// Ends a write, now or a little later.
    pub fn end(&self, written: Written, reply: ReplyWrite) {
        if let Err(mpsc::SendError((_, reply))) = self.waiting.send((written, reply)) {
            reply.error(Errno::EIO);
        }
    }
}

fn end(state: &Mutex<State>, written: &Written, reply: ReplyWrite) {
    let ended = state.lock().unwrap_or_else(PoisonError::into_inner).end_write(written);
    match ended {
        Ok(()) => reply.written(written.len as u32),
        Err(errno) => reply.error(Errno::from_i32(errno)),
    }
}
