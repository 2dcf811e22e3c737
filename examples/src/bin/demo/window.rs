//! A bound on the appends that wait for their acknowledgement.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use waldo_core::AppendError;

/// Counts appends under way. One thread submits; completions come from another.
pub struct Window {
    limit: u64,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    under_way: u64,
    /// The submitter sleeps until no more than this are under way.
    wanted: Option<u64>,
    failure: Option<AppendError>,
}

impl Window {
    pub fn new(limit: u64) -> Self {
        Self { limit: limit.max(1), state: Mutex::default(), moved: Condvar::new() }
    }

    /// Counts one more, once there is room for it.
    ///
    /// # Errors
    ///
    /// What an earlier append ended with.
    pub fn enter(&self) -> Result<(), AppendError> {
        self.wait_for(self.limit - 1)?.under_way += 1;
        Ok(())
    }

    /// Waits until one of those under way has ended, besides the one that was just counted.
    ///
    /// # Errors
    ///
    /// What an earlier append ended with.
    pub fn wait_for_one(&self) -> Result<(), AppendError> {
        let under_way = self.lock().under_way;
        self.wait_for(under_way.saturating_sub(1).max(1)).map(drop)
    }

    /// Waits until all have ended.
    ///
    /// # Errors
    ///
    /// What one of them ended with.
    pub fn wait_for_all(&self) -> Result<(), AppendError> {
        self.wait_for(0).map(drop)
    }

    /// One has ended.
    pub fn leave(&self, result: Result<(), AppendError>) {
        let mut state = self.lock();
        state.under_way -= 1;
        if let Err(error) = result {
            state.failure.get_or_insert(error);
        }
        let wakes =
            state.wanted.is_some_and(|wanted| state.under_way <= wanted) || state.failure.is_some();
        drop(state);
        if wakes {
            self.moved.notify_one();
        }
    }

    fn wait_for(&self, wanted: u64) -> Result<MutexGuard<'_, State>, AppendError> {
        let mut state = self.lock();
        loop {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.under_way <= wanted {
                state.wanted = None;
                return Ok(state);
            }
            state.wanted = Some(wanted);
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn no_more_than_the_limit_are_under_way() {
        let window = Window::new(3);
        let under_way = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..1000 {
                window.enter().unwrap();
                assert!(under_way.fetch_add(1, Ordering::SeqCst) < 3);
                scope.spawn(|| {
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    window.leave(Ok(()));
                });
            }
            window.wait_for_all().unwrap();
            assert_eq!(under_way.load(Ordering::SeqCst), 0);
        });
    }

    #[test]
    fn a_failure_ends_every_wait() {
        let window = Window::new(2);
        window.enter().unwrap();
        window.enter().unwrap();
        window.leave(Err(AppendError::Closed));
        assert_eq!(window.enter(), Err(AppendError::Closed));
        assert_eq!(window.wait_for_one(), Err(AppendError::Closed));
        assert_eq!(window.wait_for_all(), Err(AppendError::Closed));
    }
}
