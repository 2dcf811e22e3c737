//! Stores at rest: read, damaged, and repaired.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::{Engine, Finished, Operation};
use crate::error::QueryError;
use crate::format::PAGE_HEADER_SIZE;
use crate::memory::{Pool, ReadPool};
use crate::options::Recovery;
use crate::published::Published;
use crate::reader::{self, Appetite, Position, Step};
use crate::recovery::Assembled;
use crate::simulation::disk::{Crash, Disk};
use crate::simulation::model::{Entry, State};
use crate::simulation::random::Random;
use crate::simulation::run::Summary;
use crate::simulation::setup::Setup;
use crate::simulation::witness;

/// Reads every log of a recovered store.
pub(super) fn read_recovered(
    setup: &Setup,
    disk: &Disk,
    found: &Assembled,
) -> Result<Vec<Entry>, String> {
    let pool = Pool::new(1, 1, 4096, false).map_err(|error| error.to_string())?;
    let published = Published::new(setup.config.store_id, pool, 1, &found.recovered);
    let read_pool = ReadPool::new(1 << 20);
    let mut position = Position::after(&published, found.recovered.trimmed);
    let mut entries = Vec::new();
    loop {
        use crate::recovery::PageSource;
        let failed = |error: QueryError| format!("a recovered log cannot be read: {error}");
        match reader::next(&published, &mut position, Appetite::Scan).map_err(failed)? {
            Step::Wait => return Ok(entries),
            Step::Again | Step::Chunk(_) => {}
            Step::Read(plan) => {
                let mut buffer = read_pool.try_take(plan.len).ok_or("no memory to read with")?;
                let read = disk
                    .read_at(plan.place.page, plan.place.offset, &mut buffer)
                    .map_err(|error| error.to_string())?;
                buffer.truncate(read);
                let step = reader::absorb(&published, &mut position, &plan, buffer);
                if let Step::Chunk(chunk) = step.map_err(failed)? {
                    entries.extend(chunk.iter().map(|log| Entry {
                        seq_no: log.seq_no(),
                        prev_seq_no: log.prev_seq_no(),
                        data: log.data().to_vec(),
                    }));
                }
            }
        }
    }
}

/// Inverts bits of a store that is at rest: what is found is a prefix of what was there, or
/// damage.
pub(super) fn flip_bits(
    setup: &Setup,
    disk: &Disk,
    state: &State,
    trimmed: u64,
    random: &mut Random,
    summary: &mut Summary,
) -> Result<(), String> {
    let whole = state.visible(trimmed);
    let unvouched = setup.recover(disk, Recovery::Full, 1)?.unvouched;
    for _ in 0..4 {
        let mut damaged = disk.copy();
        let page = random.below(u64::from(setup.config.ring_size)) as usize;
        let offset = PAGE_HEADER_SIZE
            + random.below(setup.config.page_size - PAGE_HEADER_SIZE as u64) as usize;
        damaged.flip(page, offset, random.below(8) as u32);
        summary.flips += 1;
        follow_damaged(setup, &damaged, &whole, random)?;
        let found = setup.recover(&damaged, Recovery::Full, 1)?;
        if found.damage.is_some() {
            summary.corruptions += 1;
            repair(setup, damaged, found, random)?;
            continue;
        }
        let logs = read_recovered(setup, &damaged, &found)?;
        let same = found.recovered.tip == state.tip && found.recovered.trimmed == trimmed;
        if same && logs == whole {
            continue;
        }
        // The last writes have no witness behind them: losing them is reported as a torn tail.
        let has_witness = !unvouched
            .iter()
            .any(|part| part.page as usize == page && part.bytes.contains(&(offset as u64)));
        if has_witness || found.report.dropped.is_none() {
            let rest = logs.len();
            return Err(format!(
                "a bit flipped at page {page} offset {offset} goes unnoticed: {rest} of {} logs",
                whole.len()
            ));
        }
    }
    Ok(())
}

/// Follows a damaged log: what is read is a prefix of what was there, unless an error says where
/// it ends. What is missing at its end without one is no more than recovery would drop.
fn follow_damaged(
    setup: &Setup,
    disk: &Disk,
    whole: &[Entry],
    random: &mut Random,
) -> Result<(), String> {
    match witness::read(setup, disk, random) {
        Err(QueryError::Corruption(_)) => Ok(()),
        Err(error) => Err(format!("a follower of a damaged store fails: {error}")),
        Ok(read) if read == whole => Ok(()),
        Ok(read) => {
            // It trusts seals, and so may recovery.
            let found = setup.recover(disk, Recovery::Fast, 1)?;
            let kept = read_recovered(setup, disk, &found)?;
            if found.damage.is_none() && found.report.dropped.is_some() && read == kept {
                return Ok(());
            }
            let (read, whole) = (read.len(), whole.len());
            Err(format!("a follower of a damaged store finds {read} of {whole} logs, no damage"))
        }
    }
}

/// Cuts a damaged log as `CorruptionPolicy::Truncate` does: afterwards it is sound, and holds what
/// was left.
fn repair(
    setup: &Setup,
    mut disk: Disk,
    found: Assembled,
    random: &mut Random,
) -> Result<(), String> {
    let pool = Pool::new(8, 1, setup.config.buf_capacity, false).map_err(|e| e.to_string())?;
    let published = Published::new(setup.config.store_id, pool, 1, &found.recovered);
    let (tip, trimmed) = (found.recovered.tip, found.recovered.trimmed);
    let mut engine = Engine::new(setup.config.clone(), published, found.recovered);
    let ended = Arc::new(Mutex::new(None));
    let result = Arc::clone(&ended);
    engine.submit(Operation::Repair { done: Box::new(move |end| *result.lock() = Some(end)) });
    for _ in 0..1000 {
        engine.pump(0);
        let mut requests = Vec::new();
        engine.take_requests(&mut requests);
        requests.into_iter().for_each(|request| disk.submit(request));
        let mut finished = Vec::new();
        engine.take_finished(&mut finished);
        finished.into_iter().for_each(Finished::run);
        let Some(completion) = disk.complete_one(random) else { break };
        engine.complete(&completion);
    }
    if !matches!(*ended.lock(), Some(Ok(()))) {
        return Err(format!("a repair did not end well: {:?}", ended.lock()));
    }
    let again = setup.recover(&disk.crash(Crash::Power, random), Recovery::Full, 7)?;
    let same = again.recovered.tip == tip && again.recovered.trimmed >= trimmed;
    if again.damage.is_some() || !same {
        return Err(format!("a repaired store is still damaged: {again:?}, tip {tip}"));
    }
    Ok(())
}
