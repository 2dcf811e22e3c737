//! What handles and the worker share, without a worker.

use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, atomic};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::Shared;
use super::shared::Lane;
use crate::driver::Notifier;
use crate::format::StoreId;
use crate::memory::Pool;
use crate::published::Published;
use crate::recovery::Recovered;

/// Nobody.
struct Deaf;

impl Notifier for Deaf {
    fn notify(&self) {}
}

#[derive(Default)]
struct Wakes(atomic::AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, atomic::Ordering::SeqCst);
    }
}

/// Who found no room among the small appends gave the place back that he had taken in the lane.
/// That woke those who wait for a place, himself among them: he asked again and again, with a
/// processor of his own.
#[test]
fn who_waits_for_room_sleeps() {
    let pool = Pool::new(1, 1, 4096, false).unwrap();
    let published = Published::new(StoreId([7; 16]), pool, 1, &Recovered::default());
    let shared = Arc::new(Shared::new(published, Arc::new(Deaf), 100));
    let held = shared.try_reserve(Lane::Ordered, 80).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let context = &mut Context::from_waker(&waker);
        let mut first = pin!(shared.reserve(Lane::Ordered, 30));
        let mut second = pin!(shared.reserve(Lane::Ordered, 30));
        assert!(first.as_mut().poll(context).is_pending());
        assert!(second.as_mut().poll(context).is_pending());
        assert_eq!(wakes.0.load(atomic::Ordering::SeqCst), 0, "somebody woke himself");
        drop(held);
        let Poll::Ready(Ok(place)) = first.as_mut().poll(context) else { panic!("no room") };
        drop(place);
        assert!(second.as_mut().poll(context).is_ready());
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => panic!("a poll does not return"),
        Err(RecvTimeoutError::Disconnected) => panic!("see above"),
    }
}
