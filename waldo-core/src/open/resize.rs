//! A ring of another size than at the last open.
//!
//! More pages are simply made. Fewer are possible where the pages with the highest numbers hold
//! nothing that is kept: then their files are removed.

use crate::catalog::PageUse;
use crate::driver::files::Home;
use crate::error::Error;
use crate::recovery::Recovered;

/// Fits what was recovered into the ring that is asked for. Answers the page files that are to
/// be removed.
pub(super) fn check(
    ring_size: u32,
    recovered: &mut Recovered,
    existing: &[u32],
) -> Result<Vec<u32>, Error> {
    let surplus: Vec<u32> = existing.iter().copied().filter(|page| *page >= ring_size).collect();
    if surplus.is_empty() {
        return Ok(surplus);
    }
    drop_trimmed(recovered);
    if let Some(kept) = recovered.pages.iter().rev().find(|page| page.page >= ring_size) {
        return Err(refusal(ring_size, recovered, kept));
    }
    recovered.free.retain(|page| *page < ring_size);
    Ok(surplus)
}

/// Forgets the oldest pages as far as everything in them is trimmed: they are free.
fn drop_trimmed(recovered: &mut Recovered) {
    let is_dead = |page: &PageUse, tip| page.last_seq_no <= tip;
    let active = recovered.active.map(|active| active.page_number);
    let dead = recovered
        .pages
        .iter()
        .take_while(|page| Some(page.number) != active && is_dead(page, recovered.trimmed))
        .count();
    for page in recovered.pages.drain(..dead) {
        recovered.full.retain(|(_, number)| *number != page.number);
        recovered.free.push(page.page);
    }
}

fn refusal(ring_size: u32, recovered: &Recovered, kept: &PageUse) -> Error {
    let needed = recovered.pages.iter().map(|page| page.page).max().unwrap_or(0) + 1;
    let is_active = recovered.active.is_some_and(|active| active.page == kept.page);
    let advice = if is_active {
        format!(
            "page {} is the one that is written; append until the ring has gone on to a page \
             that stays, and trim what is older",
            kept.page
        )
    } else {
        format!("page {} holds logs up to {}; trim those first", kept.page, kept.last_seq_no)
    };
    Error::Option {
        name: "ring_size",
        value: ring_size.to_string(),
        reason: format!("the store needs {needed} pages as it is: {advice}"),
    }
}

/// Removes the files that are no longer part of the ring.
pub(super) fn remove(home: &Home, surplus: &[u32]) -> Result<(), Error> {
    // The highest first: what a crash leaves is a ring without holes.
    for page in surplus.iter().rev() {
        home.remove_page(*page)?;
    }
    if surplus.is_empty() { Ok(()) } else { home.sync() }
}

/// Removes the files of a store that could not be made. What cannot be removed stays: the error
/// that led here is the one to report.
pub(super) fn give_up(home: &Home, made: &[u32]) {
    for page in made.iter().rev() {
        if home.page_path(*page).exists()
            && let Err(error) = home.remove_page(*page)
        {
            log::warn!("{error}");
        }
    }
}
