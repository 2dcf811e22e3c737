//! The programs that the classical design's users have.

mod common;

use std::rc::Rc;

use tokio::task::LocalSet;
use waldo_core::{Backend, Cursor, Log, Options, Waldo};

fn on_both(test: impl Fn(Backend)) {
    test(Backend::IoUring);
    test(Backend::Threads);
}

fn run(future: impl Future<Output = Result<(), Box<dyn std::error::Error>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, future).unwrap();
}

#[test]
fn first_program() {
    on_both(|backend| {
        run(async {
            let dir = tempfile::tempdir()?;
            let options = Options {
                ring_size: Some(4),
                queue_depth: 4,
                pool_size: 4,
                huge_buf: false,
                buf_capacity: 2 * 1024 * 1024,
                page_capacity: 100_000,
                index_capacity: 1000,
                index_sparse_bytes: 16 * 1024,
                index_sparse_count: 100,
                file_o_dsync: true,
                file_capacity: Some(4 * 1024 * 1024),
                backend,
                ..Options::default()
            };
            let waldo = Waldo::open(dir.path(), options).await?;
            let logs = [Log::new_borrowed(1, 0, b"1"), Log::new_borrowed(2, 1, b"2")];
            waldo.append(&logs).await?;
            let found = waldo.query(Cursor::After(0), true).await?;
            assert_eq!(&logs, &found.into_iter().collect::<Vec<_>>()[..]);
            Ok(())
        });
    });
}

const LOG_COUNT: u64 = 500_000;
const BATCH: u64 = 1_000;

/// 500,000 logs of 8 bytes in batches of 1,000 by one task, and two that read all of them.
async fn append_and_read(
    dir: &std::path::Path,
    options: Options,
    before: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let storage = Rc::new(Waldo::open(dir, options).await?);
    let prev = storage.metadata().await.map(|metadata| metadata.prev_seq_no).unwrap_or(0);
    assert_eq!(prev, before);

    let readers: Vec<_> = (0..2)
        .map(|_| {
            let storage = Waldo::clone(&storage);
            tokio::task::spawn_local(async move {
                let mut prev = before;
                while prev < before + LOG_COUNT {
                    for log in &storage.query(Cursor::After(prev), true).await.unwrap() {
                        log.validate_data().unwrap();
                        assert_eq!(log.prev_seq_no(), prev);
                        assert_eq!(log.seq_no(), prev + 1);
                        assert_eq!(log.data(), log.seq_no().to_le_bytes());
                        prev = log.seq_no();
                    }
                }
            })
        })
        .collect();
    let appender = tokio::task::spawn_local(async move {
        let storage = Rc::into_inner(storage).unwrap();
        let mut prev = before;
        while prev < before + LOG_COUNT {
            let logs: Vec<_> = (prev + 1..=prev + BATCH)
                .map(|seq_no| Log::new_owned(seq_no, seq_no - 1, seq_no.to_le_bytes().to_vec()))
                .collect();
            storage.append(&logs).await.unwrap();
            prev += BATCH;
        }
        storage.close().await.unwrap();
    });
    appender.await?;
    for reader in readers {
        reader.await?;
    }
    Ok(())
}

#[test]
fn one_appends_two_read() {
    on_both(|backend| {
        run(async {
            let dir = tempfile::tempdir()?;
            let options = Options {
                ring_size: Some(4),
                queue_depth: 4,
                pool_size: 4,
                huge_buf: false,
                buf_capacity: 2 * 1024 * 1024,
                page_capacity: 100_000,
                index_capacity: 1000,
                index_sparse_bytes: 16 * 1024,
                index_sparse_count: 100,
                file_o_dsync: true,
                file_capacity: Some(4 * 1024 * 1024),
                backend,
                ..Options::default()
            };
            append_and_read(dir.path(), options, 0).await?;
            append_and_read(dir.path(), options, LOG_COUNT).await?;
            Ok(())
        });
    });
}
