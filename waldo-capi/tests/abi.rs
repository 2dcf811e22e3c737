//! The C ABI is the one that is stored; and what would break it is noticed.
//!
//! `make abi` stores it anew. `docs/abi-stability.md` says when that may be.

mod common;

use std::path::Path;
use std::process::Command;

use common::{has, root};

/// Whether there are the tools that the gate needs.
fn can_judge() -> bool {
    ["abidw", "abidiff", "gcc"].iter().all(|tool| has(tool))
}

/// What the gate says of a header.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Broken,
    Grown,
}

use Verdict::{Broken, Grown, Same};

fn judge(header: &Path) -> (Verdict, String) {
    let gate = root().join("waldo-capi/abi/gate.sh");
    let output = Command::new("sh").arg(gate).arg("check").arg(header).output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let verdict = match output.status.code() {
        Some(0) => Same,
        Some(1) => Broken,
        Some(2) => Grown,
        other => panic!("the gate ended with {other:?}: {report}"),
    };
    (verdict, report)
}

#[test]
fn the_abi_is_as_it_is_stored() {
    if !can_judge() {
        return;
    }
    let (verdict, report) = judge(&root().join("include/waldo.h"));
    assert_eq!(verdict, Same, "{report}");
}

#[test]
fn the_header_explains_every_option() {
    let header = std::fs::read_to_string(root().join("include/waldo.h")).unwrap();
    let source = std::fs::read_to_string(root().join("waldo-capi/src/options.rs")).unwrap();
    let keys = source.split("(c\"").chain(source.split("name: c\"")).filter_map(|text| {
        let (key, _) = text.split_once('"')?;
        key.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c)).then_some(key)
    });
    let keys: Vec<&str> = keys.collect();
    assert!(keys.len() >= 19, "{keys:?}");
    for key in keys {
        assert!(header.contains(&format!("`{key}`")), "the header does not say what {key} is");
    }
}

#[test]
fn what_breaks_programs_is_told_from_what_does_not() {
    if !can_judge() {
        return;
    }
    let header = std::fs::read_to_string(root().join("include/waldo.h")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let changed = dir.path().join("waldo.h");
    for (from, to, wanted) in [
        ("    uint64_t wanted;", "    uint64_t wanted, extra;", Broken),
        ("    uint64_t wanted;", "    int64_t wanted;", Broken),
        ("char message[256]", "char message[255]", Broken),
        ("uint64_t reserved[2];", "uint64_t reserved[2], extra;", Broken),
        ("uint64_t batch_count_limit;", "uint64_t extra, batch_count_limit;", Broken),
        ("uint64_t batch_count_limit;", "uint64_t batch_count_limit, extra;", Grown),
        ("uint64_t duration_ns;", "uint64_t duration_ns, extra;", Grown),
        ("WALDO_AGAIN = -3,", "WALDO_AGAIN = -103,", Broken),
        ("WALDO_CURSOR_TIP = 1,", "", Broken),
        ("WALDO_AGAIN = -3,", "WALDO_AGAIN = -3, WALDO_NEW = -103,", Grown),
        ("typedef int32_t waldo_status;", "typedef int64_t waldo_status;", Broken),
        ("uint32_t waldo_abi_version(void);", "", Broken),
        ("uint32_t waldo_abi_version(void);", "uint64_t waldo_abi_version(void);", Broken),
        ("waldo_retain(struct waldo *store)", "waldo_retain(struct waldo *store, int x)", Broken),
        ("uint64_t up_to_seq_no,", "uint32_t up_to_seq_no,", Broken),
        ("uint64_t up_to_seq_no,", "uint64_t renamed,", Same),
        (
            "uint32_t waldo_abi_version(void);",
            "uint32_t waldo_abi_version(void);\nuint32_t waldo_new(void);",
            Grown,
        ),
    ] {
        assert!(header.contains(from), "{from} is not in the header");
        std::fs::write(&changed, header.replacen(from, to, 1)).unwrap();
        let (verdict, report) = judge(&changed);
        assert_eq!(verdict, wanted, "{from} as {to}: {report}");
    }
}
