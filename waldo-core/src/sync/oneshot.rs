//! A channel for one message, where ThreadSanitizer looks on.
//!
//! The sanitizer knows no fences. The crate of this name orders its messages by them, so that each
//! message, and whatever a thread does with it, would look like a race. Here a lock does it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Mutex;

/// The side that has the message.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mutex<State<T>>>);

/// The side that waits for it.
#[derive(Debug)]
pub(crate) struct Receiver<T>(Arc<Mutex<State<T>>>);

/// The sender is gone, and has left no message.
#[derive(Debug)]
pub(crate) struct RecvError;

#[derive(Debug)]
enum State<T> {
    Empty(Option<Waker>),
    Sent(T),
    /// One side is gone, or the message was taken.
    Disconnected,
}

pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State::Empty(None)));
    (Sender(Arc::clone(&state)), Receiver(state))
}

impl<T> Sender<T> {
    /// Gives the message back where nobody waits for it any more.
    pub fn send(self, message: T) -> Result<(), T> {
        let mut state = self.0.lock();
        let State::Empty(waker) = &mut *state else { return Err(message) };
        let waker = waker.take();
        *state = State::Sent(message);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let State::Empty(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = State::Disconnected;
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        if let State::Empty(waker) = &mut *state {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        match std::mem::replace(&mut *state, State::Disconnected) {
            State::Sent(message) => Poll::Ready(Ok(message)),
            State::Empty(_) | State::Disconnected => Poll::Ready(Err(RecvError)),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // What it was is dropped outside the lock: a message may do anything then.
        let state = std::mem::replace(&mut *self.0.lock(), State::Disconnected);
        drop(state);
    }
}
