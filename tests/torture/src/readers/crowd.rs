//! The threads that drive all streams: each is polled when it is woken, and at no other time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use waldo_core::Waldo;

use super::reader::{Next, Reader};
use crate::run::Run;

/// Streams that do not end within this time never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream goes on by one chunk at a time; what is appended between two meetings may be more.
const CHUNKS_A_MEETING: usize = 4;

/// What the threads are told.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// A stream was woken.
    Woken(usize),
    /// The ring was written through once more.
    Lap,
    /// Whoever gets it has driven all streams that were woken before.
    Meet,
    /// Nothing more is appended: [`Crowd::tip`] is the last log.
    End,
    /// Who holds chunks lets go of them, once they were compared.
    Release,
    /// Everybody ends.
    Leave,
}

/// All streams, and what became of them.
#[derive(Default)]
pub struct Crowd {
    /// The last log, once nothing more is appended.
    pub tip: AtomicU64,
    inboxes: Mutex<Vec<Sender<Message>>>,
    met: Mutex<Vec<Receiver<()>>>,
    ended: Mutex<Vec<Receiver<()>>>,
    violation: Mutex<Option<anyhow::Error>>,
    readers: AtomicU64,
    finished: AtomicU64,
    left: AtomicU64,
    compared: AtomicU64,
    waiting: AtomicU64,
    trimmed: AtomicU64,
}

impl Crowd {
    /// Starts a thread that drives some streams.
    pub fn start<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        run: &'scope Run,
        waldo: &Waldo,
        readers: Vec<Reader>,
    ) {
        let (sender, inbox) = mpsc::channel();
        let (ends, ended) = mpsc::channel();
        let (meets, met) = mpsc::channel();
        lock(&self.inboxes).push(sender.clone());
        lock(&self.ended).push(ended);
        lock(&self.met).push(met);
        let going = readers.iter().filter(|reader| !reader.is_hostile()).count() as u64;
        self.readers.fetch_add(going, Ordering::Relaxed);
        let drive = Drive::new(self, run, waldo.clone(), readers, &sender);
        scope.spawn(move || {
            if let Err(violation) = drive.go(&inbox, &meets) {
                lock(&self.violation).get_or_insert(violation);
            }
            drop(ends);
        });
    }

    /// Tells all threads something.
    pub fn tell(&self, message: impl Fn() -> Message) {
        for inbox in lock(&self.inboxes).iter() {
            // One that is gone has said why.
            let _ = inbox.send(message());
        }
    }

    /// Waits until all streams that were woken have been driven, several chunks far.
    pub fn meet(&self) {
        for _ in 0..CHUNKS_A_MEETING {
            self.tell(|| Message::Meet);
            for met in lock(&self.met).iter() {
                // One that is gone has said why.
                let _ = met.recv();
            }
        }
    }

    /// Waits until every stream that goes on has read all that there is, whatever others hold.
    ///
    /// # Errors
    ///
    /// Where one does not.
    pub fn wait_for_readers(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.readers.load(Ordering::Relaxed) - self.finished.load(Ordering::Relaxed);
            if left == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{left} streams cannot go on while others hold chunks"
            );
            self.meet();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until every stream has come to its end.
    ///
    /// # Errors
    ///
    /// Where one does not.
    pub fn wait_for_all(&self) -> anyhow::Result<()> {
        for ended in lock(&self.ended).iter() {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                bail!("streams are still waiting {} seconds after the end", PATIENCE.as_secs());
            }
        }
        Ok(())
    }

    /// What was wrong, if anything was.
    pub fn verdict(&self) -> anyhow::Result<()> {
        lock(&self.violation).take().map_or(Ok(()), Err)
    }

    /// What became of the streams.
    pub fn tally(&self) -> impl fmt::Display {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "{} streams held chunks, {} left, {} read on, {} of these only once chunks were let go of; {} times told of a trim",
            load(&self.compared),
            load(&self.left),
            load(&self.finished),
            load(&self.waiting),
            load(&self.trimmed)
        )
    }
}

/// Wakes a stream.
struct Alarm {
    index: usize,
    inbox: Sender<Message>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        // Nobody is there any more where everything is over.
        let _ = self.inbox.send(Message::Woken(self.index));
    }
}

/// What one thread drives.
struct Drive<'a> {
    crowd: &'a Crowd,
    run: &'a Run,
    /// Gone at the end, so that the streams are the last to keep the store open.
    waldo: Option<Waldo>,
    readers: Vec<Option<Reader>>,
    wakers: Vec<Waker>,
    over: usize,
    is_released: bool,
}

impl<'a> Drive<'a> {
    fn new(
        crowd: &'a Crowd,
        run: &'a Run,
        waldo: Waldo,
        readers: Vec<Reader>,
        inbox: &Sender<Message>,
    ) -> Self {
        let alarm = |index| Waker::from(Arc::new(Alarm { index, inbox: inbox.clone() }));
        let wakers = (0..readers.len()).map(alarm).collect();
        let readers = readers.into_iter().map(Some).collect();
        Self { crowd, run, waldo: Some(waldo), readers, wakers, over: 0, is_released: false }
    }

    fn go(mut self, inbox: &Receiver<Message>, meets: &Sender<()>) -> anyhow::Result<()> {
        self.poll_all(|_| true)?;
        while self.over < self.readers.len() {
            let Ok(message) = inbox.recv() else { return Ok(()) };
            match message {
                Message::Woken(index) => self.poll(index)?,
                Message::Lap => self.poll_all(Reader::lags)?,
                Message::Meet => drop(meets.send(())),
                Message::End => {
                    self.waldo = None;
                    self.poll_all(|_| true)?;
                }
                Message::Release => self.release()?,
                Message::Leave => return Ok(()),
            }
        }
        Ok(())
    }

    fn tip(&self) -> Option<u64> {
        Some(self.crowd.tip.load(Ordering::Acquire)).filter(|tip| *tip > 0)
    }

    fn poll_all(&mut self, wanted: impl Fn(&Reader) -> bool) -> anyhow::Result<()> {
        for index in 0..self.readers.len() {
            if self.readers[index].as_ref().is_some_and(&wanted) {
                self.poll(index)?;
            }
        }
        Ok(())
    }

    /// Has a stream go one chunk further; then it is the turn of the others.
    fn poll(&mut self, index: usize) -> anyhow::Result<()> {
        let tip = self.tip();
        let waker = &self.wakers[index];
        let Some(reader) = &mut self.readers[index] else { return Ok(()) };
        let held = reader.holds();
        match reader.poll(self.waldo.as_ref(), tip, &mut Context::from_waker(waker))? {
            Next::Again => waker.wake_by_ref(),
            Next::Waits => {}
            Next::Stops => {
                self.run.faults.fetch_add(u64::from(!held), Ordering::Relaxed);
                if self.is_released {
                    self.let_go(index)?;
                }
            }
            Next::Over => self.end(index),
        }
        Ok(())
    }

    fn end(&mut self, index: usize) {
        let Some(reader) = self.readers[index].take() else { return };
        self.over += 1;
        self.crowd.trimmed.fetch_add(reader.trimmed, Ordering::Relaxed);
        if reader.is_hostile() {
            Run::count(&self.run.faults);
            Run::count(&self.crowd.left);
        } else {
            Run::count(&self.run.cases);
            Run::count(&self.crowd.finished);
        }
    }

    fn let_go(&mut self, index: usize) -> anyhow::Result<()> {
        let Some(reader) = &self.readers[index] else { return Ok(()) };
        reader.check_held()?;
        Run::count(&self.run.cases);
        Run::count(&self.crowd.compared);
        self.crowd.trimmed.fetch_add(reader.trimmed, Ordering::Relaxed);
        self.readers[index] = None;
        self.over += 1;
        Ok(())
    }

    fn release(&mut self) -> anyhow::Result<()> {
        self.is_released = true;
        let waits = |reader: &&Reader| !reader.is_hostile();
        let waiting = self.readers.iter().flatten().filter(waits).count() as u64;
        self.crowd.waiting.fetch_add(waiting, Ordering::Relaxed);
        for index in 0..self.readers.len() {
            if self.readers[index].as_ref().is_some_and(Reader::holds) {
                self.let_go(index)?;
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
