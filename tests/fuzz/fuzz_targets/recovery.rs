//! Whole page files through recovery and reading, in memory: frames with good checksums that say
//! the wrong things.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::{Corpus, fuzz_target};
use waldo_core::reader::Appetite;
use waldo_core::recovery::{Layout, assemble, scan_all};
use waldo_core::{QueryError, Recovery};
use waldo_fuzz::pages::Pages;
use waldo_fuzz::reading::read_all;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(pages) = Pages::build(&mut Unstructured::new(data)) else { return Corpus::Reject };
    for recovery in [Recovery::Full, Recovery::Fast] {
        let layout = Layout { recovery, ..pages.layout.clone() };
        let scans = scan_all(&pages, &layout).expect("memory can be read");
        let found = assemble(&pages, &layout, &scans, 1).expect("memory can be read");
        let (tip, trimmed) = (found.recovered.tip, found.recovered.trimmed);
        for appetite in [Appetite::Scan, Appetite::Lookup] {
            let (chain, error) = read_all(&pages, &found.recovered, appetite);
            let last = chain.last.unwrap_or(trimmed);
            assert!(chain.last.is_none_or(|last| last <= tip), "{found:?}");
            match error {
                None => {
                    assert!(last >= tip, "logs are missing behind {last}: {found:?}");
                    // What a seal says of their number is believed.
                    let counted = recovery == Recovery::Full;
                    assert!(!counted || chain.count == found.report.log_count, "{found:?}");
                }
                Some(error) => {
                    assert!(matches!(error, QueryError::Corruption(_)), "{error}");
                    // Seals that are trusted may be wrong, and only reading can notice. Else all
                    // frames were checked, each with the one before it; but not whether the log is
                    // there behind which the log is truncated. Writers look that up.
                    let may_fail = recovery == Recovery::Fast || pages.truncated_nowhere;
                    assert!(may_fail, "{error}: {found:?}");
                }
            }
        }
    }
    Corpus::Keep
});
