//! The bodies of seal, open and control frames, and what an index makes of a seal's entries.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waldo_core::format::meta::{Control, OpenBody};
use waldo_core::format::seal::SealBody;
use waldo_core::index::{Spacing, SparseIndex};

fuzz_target!(|data: &[u8]| {
    if let Some(open) = OpenBody::decode(data) {
        assert_eq!(OpenBody::decode(&open.encode()), Some(open));
    }
    if let Some(control) = Control::decode(data) {
        assert_eq!(Control::decode(&control.encode()), Some(control));
    }
    let Some(seal) = SealBody::decode(data) else { return };
    assert_eq!(seal.encode(), data, "all that is read is written");
    let capacity = 2 + usize::from(data[0]);
    let spacing = Spacing { bytes: 64, count: 8 };
    let index = SparseIndex::from_entries(seal.index.clone(), capacity, spacing);
    for entry in &seal.index {
        let _ = index.find(entry.prev_seq_no);
        let _ = index.find(entry.prev_seq_no.wrapping_add(1));
    }
});
