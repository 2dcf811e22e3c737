//! Readers that check what they are served.

use waldo_core::memory::{Pool, ReadPool};
use waldo_core::published::Published;
use waldo_core::reader::{self, Appetite, Position, Step};
use waldo_core::recovery::{PageSource, Recovered};
use waldo_core::{Chunk, QueryError};

use crate::STORE_ID;

/// Checks that logs follow each other.
#[derive(Default)]
pub struct Chain {
    /// The last log that was served.
    pub last: Option<u64>,
    /// How many there were.
    pub count: u64,
}

impl Chain {
    /// Takes the next logs in.
    pub fn take(&mut self, chunk: &Chunk) {
        assert!(!chunk.is_empty(), "a chunk without logs");
        for log in chunk {
            log.validate_data().expect("a log that is served is whole");
            assert!(log.seq_no() > log.prev_seq_no(), "numbers grow");
            if let Some(last) = self.last {
                assert_eq!(log.prev_seq_no(), last, "a log follows the one before it");
            }
            self.last = Some(log.seq_no());
            self.count += 1;
        }
        assert_eq!(self.last, Some(chunk.last_seq_no()));
    }
}

/// Reads what was recovered from its start to the end. Answers the logs that were served up to
/// that, or to the error.
pub fn read_all(
    source: &dyn PageSource,
    recovered: &Recovered,
    appetite: Appetite,
) -> (Chain, Option<QueryError>) {
    let pool = Pool::new(1, 1, 4096, false).expect("memory");
    let published = Published::new(STORE_ID, pool, 1, recovered);
    let read_pool = ReadPool::new(1 << 22);
    let mut position = Position::after(&published, recovered.trimmed);
    let mut chain = Chain::default();
    for _ in 0..100_000 {
        let step = match reader::next(&published, &mut position, appetite) {
            Ok(Step::Read(plan)) => {
                let mut buffer = read_pool.try_take(plan.len).expect("nobody else reads");
                let read = source.read_at(plan.place.page, plan.place.offset, &mut buffer);
                buffer.truncate(read.expect("memory can be read"));
                reader::absorb(&published, &mut position, &plan, buffer)
            }
            step => step,
        };
        match step {
            Ok(Step::Chunk(chunk)) => chain.take(&chunk),
            Ok(Step::Wait) => return (chain, None),
            Ok(Step::Again | Step::Read(_)) => {}
            Err(error) => return (chain, Some(error)),
        }
    }
    panic!("a reader does not come forward: {position:?} in {recovered:?}");
}
