//! What is wrong is refused, and nothing of it is appended.

mod common;

use common::{logs, numbers, open};
use waldo_core::{AppendError, AppendOptions, Cursor, Log, Options};

on_both_backends!(
    empty_batches_do_nothing,
    numbers_must_grow,
    logs_must_follow_each_other,
    logs_over_the_limit,
    atomic_batches_over_the_limit,
    a_full_page_of_logs,
    numbers_run_out,
    trying_does_not_wait,
);

fn empty_batches_do_nothing(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&[]).unwrap();
    waldo.blocking_append_atomic(&[]).unwrap();
    assert_eq!(waldo.prev_seq_no(), None);
    waldo.blocking_append(&logs(1, 3)).unwrap();
    let appended = waldo.blocking_append_assigned(&[] as &[&[u8]]).unwrap();
    assert_eq!((appended.last_seq_no, appended.count), (3, 0));
    let (sender, receiver) = std::sync::mpsc::channel();
    let batch = waldo.try_batch(0, true).unwrap().finish();
    waldo.submit_append(batch, false, move |result| sender.send(result).unwrap()).unwrap();
    assert_eq!(receiver.recv().unwrap().unwrap().count, 0);
    assert_eq!(waldo.prev_seq_no(), Some(3));
}

fn numbers_must_grow(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    for (seq_no, prev_seq_no) in [(0, 0), (1, 1), (1, 2), (0, u64::MAX)] {
        let log = Log::new_borrowed(seq_no, prev_seq_no, b"x");
        let error = waldo.blocking_append(&[log]).unwrap_err();
        assert_eq!(error, AppendError::Order { seq_no, prev_seq_no });
    }
    assert_eq!(waldo.prev_seq_no(), None);
}

fn logs_must_follow_each_other(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 10)).unwrap();
    // In the batch: nothing is appended, also of what would have fitted.
    let mut batch = logs(11, 2000);
    batch.push(Log::new_borrowed(2002, 2001, b"gap"));
    let error = waldo.blocking_append(&batch).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 2002, wanted: 2000, actual: 2001 });
    // At the tip.
    let error = waldo.blocking_append(&logs(12, 13)).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 12, wanted: 10, actual: 11 });
    let error = waldo.blocking_append(&logs(10, 11)).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 10, wanted: 10, actual: 9 });
    assert_eq!(waldo.prev_seq_no(), Some(10));
    waldo.blocking_append(&logs(11, 11)).unwrap();
    // A batch over several frames that is refused is refused as a whole, also where a later part
    // would follow the tip.
    let part = logs(1, 4000);
    let error = waldo.blocking_append(&part).unwrap_err();
    assert_eq!(error, AppendError::Sequence { seq_no: 1, wanted: 11, actual: 0 });
    assert_eq!(waldo.prev_seq_no(), Some(11));
}

fn logs_over_the_limit(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&logs(1, 1)).unwrap();
    let limit = waldo.log_size_limit();
    let large = vec![7; limit - 24 + 1];
    let batch = [Log::new_borrowed(2, 1, b"fine"), Log::new_borrowed(3, 2, &large)];
    let error = waldo.blocking_append(&batch).unwrap_err();
    assert!(
        matches!(error, AppendError::ExceedsLimit { seq_no: 3, size, limit: l }
            if l == limit && size > limit),
        "{error}"
    );
    let error = waldo.blocking_append_assigned(&[&b"fine"[..], &large]).unwrap_err();
    assert!(matches!(error, AppendError::ExceedsLimit { seq_no: 1, .. }), "{error}");
    assert_eq!(waldo.prev_seq_no(), Some(1));
    let largest = &large[1..];
    waldo.blocking_append(&[Log::new_borrowed(2, 1, largest)]).unwrap();
    let found = waldo.blocking_query(Cursor::From(2), false).unwrap();
    assert_eq!(found.iter().next().unwrap().data(), largest);
}

fn atomic_batches_over_the_limit(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    let limits = waldo.batch_limits();
    let batch = logs(1, 5000);
    let size: usize = batch.iter().map(Log::size).sum();
    assert!(size > limits.size);
    let error = waldo.blocking_append_atomic(&batch).unwrap_err();
    assert_eq!(
        error,
        AppendError::BatchTooLarge {
            count: 5000,
            count_limit: limits.count,
            size,
            size_limit: limits.size
        }
    );
    assert_eq!(waldo.prev_seq_no(), None);
    // As many as fit are fine, and the rest as well when they need not be atomic.
    let mut sum = 0;
    let fits =
        batch.iter().take_while(|log| (sum + log.size() <= limits.size, sum += log.size()).0);
    let fits = fits.count();
    waldo.blocking_append_atomic(&batch[..fits]).unwrap();
    waldo.blocking_append(&batch[fits..]).unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(5000));
}

/// A batch over a page's limit of logs must not turn the ring for ever.
fn a_full_page_of_logs(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, Options { page_capacity: 10, ..options });
    let error = waldo.blocking_append_atomic(&logs(1, 11)).unwrap_err();
    assert!(matches!(error, AppendError::BatchTooLarge { count: 11, count_limit: 10, .. }));
    waldo.blocking_append(&logs(1, 11)).unwrap();
    let found = waldo.blocking_query(Cursor::Trim, false).unwrap();
    assert_eq!(numbers(&found)[0], 1);
    waldo.blocking_append(&logs(12, 100)).unwrap();
    assert_eq!(waldo.prev_seq_no(), Some(100));
    let metadata = waldo.blocking_metadata().unwrap();
    assert_eq!(metadata.page_count, u64::from(options.ring_size.unwrap()));
    assert_eq!(metadata.log_count, 100 - metadata.after_seq_no);
}

fn numbers_run_out(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_append(&[Log::new_borrowed(u64::MAX - 1, 0, b"x")]).unwrap();
    let error = waldo.blocking_append_assigned(&[b"x", b"y"]).unwrap_err();
    assert_eq!(error, AppendError::Exhausted { tip: u64::MAX - 1 });
    let appended = waldo.blocking_append_assigned(&[b"x"]).unwrap();
    assert_eq!(appended.last_seq_no, u64::MAX);
    let error = waldo.blocking_append_assigned(&[b"x"]).unwrap_err();
    assert_eq!(error, AppendError::Exhausted { tip: u64::MAX });
    let found = waldo.blocking_query(Cursor::From(u64::MAX), false).unwrap();
    assert_eq!(found.last_seq_no(), u64::MAX);
    assert!(waldo.blocking_query(Cursor::After(u64::MAX), false).unwrap().is_empty());
}

fn trying_does_not_wait(options: Options) {
    let dir = tempfile::tempdir().unwrap();
    let waldo = open(&dir, options);
    waldo.blocking_try_append(&logs(1, 5)).unwrap();
    // All buffers are taken: large batches find none, small ones need none.
    let held: Vec<_> = (0..options.pool_size)
        .map(|_| waldo.try_batch(waldo.batch_limits().size, false).unwrap())
        .collect();
    assert!(matches!(waldo.try_batch(40_000, false), Err(AppendError::WouldBlock)));
    let large = vec![1; 40_000];
    let error = waldo.blocking_try_append(&[Log::new_borrowed(6, 5, &large)]).unwrap_err();
    assert_eq!(error, AppendError::WouldBlock);
    waldo.blocking_try_append(&logs(6, 6)).unwrap();
    drop(held);
    waldo.blocking_try_append(&[Log::new_borrowed(7, 6, &large)]).unwrap();
    let error = waldo.blocking_try_append(&logs(8, 9000)).unwrap_err();
    assert!(matches!(error, AppendError::BatchTooLarge { .. }), "{error}");
    let options = AppendOptions { atomic: true, durable: true };
    waldo.blocking_append_with(&logs(8, 9), options).unwrap();
}
