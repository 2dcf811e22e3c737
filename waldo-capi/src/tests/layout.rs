//! Sizes and offsets of every struct and values of every constant: C sees what Rust does.

use std::fmt::Write;
use std::mem::offset_of;
use std::process::Command;

use super::root;
use crate::error::WaldoError;
use crate::log::WaldoLog;
use crate::metadata::{WaldoMetadata, WaldoRecovery};
use crate::status::TABLE;
use crate::ticket::Completion;

macro_rules! check {
    ($out:ident, $name:literal, $type:ty, $($field:ident),+) => {
        writeln!($out, "CHECK(sizeof({}) == {});", $name, size_of::<$type>()).unwrap();
        writeln!($out, "CHECK(_Alignof({}) == {});", $name, align_of::<$type>()).unwrap();
        $(
            let (field, offset) = (stringify!($field), offset_of!($type, $field));
            writeln!($out, "CHECK(offsetof({}, {field}) == {offset});", $name).unwrap();
        )+
        // A field that is missing above would go unnoticed.
        let fields = [$(stringify!($field)),+].len();
        assert_eq!(fields, field_count($name), "fields of {}", $name);
    };
}

/// How many fields the header gives a struct.
fn field_count(name: &str) -> usize {
    let header = std::fs::read_to_string(root().join("include/waldo.h")).unwrap();
    let start = header.find(&format!("typedef struct {name} {{")).unwrap();
    let body = header[start..].split_once('}').unwrap().0;
    body.lines().filter(|line| line.trim_end().ends_with(';')).count()
}

#[test]
fn c_and_rust_agree() {
    let mut out = String::from("#include \"waldo.h\"\n#define CHECK(x) _Static_assert(x, #x)\n");
    check!(out, "waldo_log", WaldoLog, seq_no, prev_seq_no, data, len);
    check!(out, "waldo_error", WaldoError, status, os_errno, wanted, actual, reserved, message);
    check!(
        out,
        "waldo_completion",
        Completion,
        user_data,
        kind,
        status,
        os_errno,
        flags,
        first_seq_no,
        last_seq_no,
        count,
        wanted,
        actual,
        chunk,
        store,
        reserved
    );
    check!(
        out,
        "waldo_metadata",
        WaldoMetadata,
        after_seq_no,
        prev_seq_no,
        durable_seq_no,
        log_count,
        index_count,
        disk_size,
        index_size,
        page_count,
        pending_resets,
        pending_appends,
        pending_queries,
        pending_fsyncs,
        buffers_free,
        buffers_detached,
        read_memory_used,
        waiting_streams,
        log_size_limit,
        batch_size_limit,
        batch_count_limit
    );
    check!(
        out,
        "waldo_recovery",
        WaldoRecovery,
        created,
        page_count,
        sealed_page_count,
        bytes_read,
        log_count,
        after_seq_no,
        prev_seq_no,
        dropped,
        dropped_page,
        dropped_offset,
        dropped_frame_count,
        cut,
        cut_page,
        cut_offset,
        cut_after_seq_no,
        quarantined_count,
        duration_ns
    );
    writeln!(out, "CHECK(sizeof(waldo_status) == 4);").unwrap();
    for (code, name, _) in TABLE {
        writeln!(out, "CHECK({} == {});", name.to_str().unwrap(), *code as i32).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("layout.c");
    std::fs::write(&source, out).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(compiler)
        .args(["-std=c11", "-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .arg(&source)
        .status()
        .unwrap();
    assert!(status.success());
}
