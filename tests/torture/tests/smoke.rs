//! Each class for a few rounds; `make torture` runs them for longer.

use std::process::Command;

/// Runs a class and returns its row: cases, faults injected, violations.
fn run(arguments: &[&str]) -> [u64; 3] {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_waldo-torture"))
        .args(arguments)
        .env("TMPDIR", dir.path())
        .output()
        .unwrap();
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}{errors}");
    assert!(output.status.success(), "{arguments:?}: {said}{errors}");
    let row = said.lines().rfind(|line| line.starts_with('|')).expect("no row");
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [_, numbers @ ..] = cells.as_slice() else { panic!("{row}") };
    let numbers: Vec<u64> = numbers.iter().map(|cell| cell.parse().unwrap()).collect();
    let is_skipped = row.contains("skipped");
    let row: [u64; 3] = numbers.try_into().expect("three numbers");
    assert!(is_skipped || row[0] > 0 && row[1] > 0, "nothing was done: {row:?}");
    row
}

#[test]
fn kills() {
    assert_eq!(run(&["kill", "--rounds", "40", "--jobs", "2"])[2], 0);
}

#[test]
fn power_losses() {
    assert_eq!(run(&["power", "--rounds", "150"])[2], 0);
}

#[test]
fn failing_calls() {
    assert_eq!(run(&["fail", "--rounds", "150"])[2], 0);
}

#[test]
fn full_disks() {
    assert_eq!(run(&["full", "--rounds", "30"])[2], 0);
}

#[test]
fn damage() {
    assert_eq!(run(&["damage", "--rounds", "600", "--jobs", "2"])[2], 0);
}

/// With io_uring and with threads, and with places that streams share.
#[test]
fn hostile_readers() {
    let arguments = ["readers", "--rounds", "4", "--streams", "400", "--mebibytes", "8"];
    assert_eq!(run(&arguments)[2], 0);
}

#[test]
fn refused_resources() {
    for part in ["io_uring_register", " threads,", "memory lock"] {
        assert_eq!(run(&["resources", "--only", part])[2], 0, "{part}");
    }
}
