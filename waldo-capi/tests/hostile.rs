//! The C programs of `tests/capi`, once more with sanitizers and under valgrind; those that do
//! what they should not; and every function of the header against everything they try.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Check, WARNINGS, compiler, link, root, run};

fn build(check: Check, dir: &Path, name: &str) -> PathBuf {
    let program = dir.join(name);
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-g", "-O1"]).args(WARNINGS).args(check.flags());
    command.arg(root().join(format!("tests/capi/{name}.c"))).arg("-o").arg(&program);
    run(link(&mut command));
    program
}

const PROGRAMS: [&str; 7] =
    ["arguments", "roundtrip", "chunks", "lifetime", "statuses", "nonsense", "hostile"];

fn check(check: Check, programs: &[&str], backends: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    if !check.is_possible(dir.path()) {
        return;
    }
    for name in programs {
        let program = build(check, dir.path(), name);
        for backend in backends {
            check.run(&program, backend);
        }
    }
}

#[test]
fn programs_are_right() {
    check(Check::Nothing, &PROGRAMS, &["threads", "io_uring"]);
    // Those that leave the choice of the backend to others, and files alone.
    check(Check::Nothing, &["roundtrip", "chunks", "lifetime"], &["memory"]);
}

#[test]
fn programs_are_clean_with_address_and_undefined_behaviour_sanitizers() {
    check(Check::Address, &PROGRAMS, &["auto"]);
}

#[test]
fn programs_are_clean_with_thread_sanitizer() {
    check(Check::Thread, &PROGRAMS, &["auto", "threads"]);
}

/// What an option does not ask for works under valgrind, too, which has its limits with io_uring.
#[test]
fn programs_are_clean_under_valgrind() {
    check(Check::Valgrind, &PROGRAMS, &["auto"]);
}

#[test]
fn every_function_is_tried_with_nonsense() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(Check::Nothing, dir.path(), "nonsense");
    let printed = run(Command::new(program).arg("--list"));
    let tried: BTreeSet<&str> = printed.lines().collect();
    let listed = std::fs::read_to_string(root().join("waldo-capi/symbols.txt")).unwrap();
    assert_eq!(tried, listed.lines().collect());
}

#[test]
fn every_status_is_met() {
    let header = std::fs::read_to_string(root().join("include/waldo.h")).unwrap();
    let statuses = header.split_once("} waldo_status_code;").unwrap().0;
    let all: BTreeSet<&str> = statuses
        .lines()
        .filter_map(|line| line.trim().strip_prefix("WALDO_")?.split_once(" = "))
        .map(|(name, _)| name)
        .collect();
    let program = std::fs::read_to_string(root().join("tests/capi/statuses.c")).unwrap();
    let met = program
        .lines()
        .filter_map(|line| line.trim().strip_prefix("X(")?.split_once(", "))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(all, met);
}
