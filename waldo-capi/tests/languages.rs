//! Programs in other languages on the installed library: the conformance scripts, and what is in
//! `examples`. See `tests/conformance/README.md`.
//!
//! What they print goes past the test's own output, so that a language that is skipped is seen.

mod common;

use std::process::Command;

use common::{library, root};

fn run(language: &str) {
    let status = Command::new("bash")
        .arg(root().join("tests/conformance/run.sh"))
        .arg(language)
        .env("WALDO_ARCHIVE", library("libwaldo.a"))
        .env("WALDO_CACHE", env!("CARGO_TARGET_TMPDIR"))
        .status()
        .unwrap();
    assert!(status.success(), "{language}: {status}");
}

#[test]
fn c() {
    run("c");
}

#[test]
fn cpp() {
    run("cpp");
}

#[test]
fn python() {
    run("python");
}

#[test]
fn node() {
    run("node");
}

#[test]
fn go() {
    run("go");
}
