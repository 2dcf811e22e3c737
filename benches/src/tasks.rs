//! A small executor: a thread polls its own futures, in the order in which they are woken.
//!
//! It is what a program with a thread per core has: futures stay where they are, wakers only put
//! a number into a queue.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A future of one task.
pub type Task<'a> = Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// The tasks of one thread that were woken; may be used from any thread.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    woken: Vec<usize>,
    sleeping: bool,
}

/// Wakes one task.
struct Signal {
    task: usize,
    /// Whether it is in the queue.
    queued: AtomicBool,
    queue: Arc<Queue>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let mut state = self.queue.lock();
            state.woken.push(self.task);
            self.queue.wake_thread(state);
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has [`run`] return although tasks are not done.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.wake_thread(self.lock());
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn wake_thread(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::replace(&mut state.sleeping, false);
        drop(state);
        if sleeping {
            self.changed.notify_one();
        }
    }

    /// Waits until there are woken tasks, or for a stop, and puts them into `woken`, which is
    /// empty.
    fn take(&self, woken: &mut Vec<usize>) {
        let mut state = self.lock();
        while state.woken.is_empty() && !self.is_stopped() {
            state.sleeping = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeping = false;
        std::mem::swap(&mut state.woken, woken);
    }
}

/// Polls tasks on this thread until all are done, one fails, or the queue is stopped.
///
/// `started` runs when each task has been polled once.
///
/// # Errors
///
/// The first error of a task.
pub fn run(queue: &Arc<Queue>, tasks: Vec<Task<'_>>, started: impl FnOnce()) -> anyhow::Result<()> {
    let mut tasks: Vec<Slot<'_>> = tasks
        .into_iter()
        .enumerate()
        .map(|(task, future)| Slot::new(queue, task, future))
        .collect();
    let mut left = tasks.len();
    for task in &mut tasks {
        left -= usize::from(task.poll()?);
    }
    started();
    let mut woken = Vec::new();
    while left > 0 && !queue.is_stopped() {
        queue.take(&mut woken);
        for task in woken.drain(..) {
            // A stop does not wait for those that were woken before.
            if queue.is_stopped() {
                return Ok(());
            }
            left -= usize::from(tasks[task].poll()?);
        }
    }
    Ok(())
}

/// Lets the other tasks of the thread go on: a task that never has to wait must do so, or it would
/// keep the thread for itself.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A task, and what it is woken through.
struct Slot<'a> {
    future: Option<Task<'a>>,
    signal: Arc<Signal>,
    waker: Waker,
}

impl<'a> Slot<'a> {
    fn new(queue: &Arc<Queue>, task: usize, future: Task<'a>) -> Self {
        let queued = AtomicBool::new(false);
        let signal = Arc::new(Signal { task, queued, queue: Arc::clone(queue) });
        Self { future: Some(future), waker: Waker::from(Arc::clone(&signal)), signal }
    }

    /// Answers whether the task is done now, and was not before.
    fn poll(&mut self) -> anyhow::Result<bool> {
        let Some(future) = &mut self.future else { return Ok(false) };
        // Before the poll: a wake-up in the middle of it must not be lost.
        self.signal.queued.swap(false, Ordering::AcqRel);
        match future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => Ok(false),
            Poll::Ready(result) => {
                self.future = None;
                result.map(|()| true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    #[test]
    fn a_task_that_is_woken_from_another_thread_goes_on() {
        let queue = Arc::new(Queue::default());
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let waker = thread::spawn(move || receiver.into_iter().for_each(Waker::wake));
        let polls = Cell::new(0);
        let task = |goal: u32| {
            let (sender, polls) = (sender.clone(), &polls);
            let mut own = 0;
            Box::pin(poll_fn(move |context| {
                polls.set(polls.get() + 1);
                own += 1;
                if own == goal {
                    return Poll::Ready(Ok(()));
                }
                let _ = sender.send(context.waker().clone());
                Poll::Pending
            })) as Task<'_>
        };
        run(&queue, vec![task(1), task(5), task(1000)], || assert_eq!(polls.get(), 3)).unwrap();
        assert_eq!(polls.get(), 1006);
        drop(sender);
        waker.join().unwrap();
    }

    #[test]
    fn tasks_that_yield_take_turns_and_can_be_stopped() {
        let queue = Arc::new(Queue::default());
        let turns = [Cell::new(0), Cell::new(0)];
        let busy = |own: usize| {
            let (turns, queue) = (&turns, &queue);
            Box::pin(async move {
                for _ in 0..1000 {
                    turns[own].set(turns[own].get() + 1);
                    if turns[0].get() + turns[1].get() == 100 {
                        queue.stop();
                    }
                    yield_now().await;
                }
                Ok(())
            }) as Task<'_>
        };
        run(&queue, vec![busy(0), busy(1)], || ()).unwrap();
        assert_eq!((turns[0].get(), turns[1].get()), (50, 50));
    }

    #[test]
    fn a_stop_ends_tasks_that_wait_and_an_error_ends_all() {
        let queue = Arc::new(Queue::default());
        let never = || Box::pin(std::future::pending()) as Task<'_>;
        run(&queue, vec![never(), never()], || queue.stop()).unwrap();
        let queue = Arc::new(Queue::default());
        let fails = Box::pin(async { anyhow::bail!("no") });
        assert!(run(&queue, vec![never(), fails], || ()).is_err());
    }
}
