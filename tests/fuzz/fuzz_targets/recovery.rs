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
        for appetite in [Appetite::Scan, Appetite::Lookup] {
            let trusting = recovery == Recovery::Fast;
            let (chain, error) = read_all(&pages, &found.recovered, appetite, trusting);
            if trusting {
                // What a seal says is believed until its logs are read.
                continue;
            }
            match error {
                None => assert_eq!(chain.count, found.report.log_count, "{found:?}"),
                // No writer makes such frames, and no fault: that reading notices is enough.
                Some(error) => assert!(matches!(error, QueryError::Corruption(_)), "{error}"),
            }
            assert!(chain.last.is_none_or(|last| last <= found.recovered.tip), "{found:?}");
        }
    }
    Corpus::Keep
});
