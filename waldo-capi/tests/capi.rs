//! Compiles the C programs of `tests/capi`, and runs them.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{WARNINGS, compiler, has, library, root};

/// Compiles a program with the library, shared or static.
fn build(dir: &Path, source: &str, is_static: bool) -> PathBuf {
    let program = dir.join("program");
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-g", "-O1"]).args(WARNINGS).arg("-I").arg(root().join("include"));
    command.arg(root().join(source)).arg("-o").arg(&program);
    if is_static {
        command.arg(library("libwaldo.a")).args(["-lpthread", "-ldl", "-lm"]);
    } else {
        let shared = library("libwaldo.so");
        let folder = shared.parent().unwrap().to_str().unwrap();
        command.arg(&shared).arg(format!("-Wl,-rpath,{folder}")).arg("-lpthread");
    }
    assert!(command.status().unwrap().success(), "{source} does not compile");
    program
}

/// Runs a program in an empty directory, on a backend.
fn run(program: &Path, backend: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("timeout");
    command.arg("300").arg(program).current_dir(&dir).env("WALDO_TEST_BACKEND", backend);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "on {backend}: {}\n{errors}", output.status);
}

#[test]
fn the_static_library_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    run(&build(dir.path(), "tests/capi/roundtrip.c", true), "auto");
}

#[test]
fn the_example_of_durable_appends() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "examples/c/durable_append.c", false);
    let lines = dir.path().join("lines");
    let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&lines, text).unwrap();
    let mut command = Command::new(program);
    command.arg(dir.path().join("store")).stdin(Stdio::from(std::fs::File::open(lines).unwrap()));
    let printed = common::run(&mut command);
    assert_eq!(printed, "2000 lines are durable, the newest is log 2000\n");
}

#[test]
fn the_example_of_streams_in_an_epoll_loop() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "examples/c/epoll_streams.c", false);
    let printed = common::run(Command::new(program).arg(dir.path().join("store")));
    assert_eq!(printed, "1000 streams read 100000 logs, 792000 bytes\n");
}

/// With each compiler that there is, as every standard that the header is for.
#[test]
fn the_header_stands_alone() {
    let header = root().join("tests/capi/header_twice.c");
    let c = ["c99", "c11", "c17"].as_slice();
    let cpp = ["c++11", "c++14", "c++17", "c++20"].as_slice();
    for (tool, language, standards) in
        [("gcc", "c", c), ("clang", "c", c), ("g++", "c++", cpp), ("clang++", "c++", cpp)]
    {
        if !has(tool) {
            continue;
        }
        for standard in standards {
            let mut command = Command::new(tool);
            command.arg("-fsyntax-only").args(WARNINGS).arg(format!("-std={standard}"));
            command.arg("-I").arg(root().join("include")).args(["-x", language]);
            common::run(command.arg(&header));
        }
    }
}

#[test]
fn exported_symbols_are_those_of_the_list() {
    let listed = std::fs::read_to_string(root().join("waldo-capi/symbols.txt")).unwrap();
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--extern-only", "--format=posix"])
        .arg(library("libwaldo.so"))
        .output()
        .unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<&str> = found.lines().filter_map(|line| line.split(' ').next()).collect();
    found.sort_unstable();
    assert_eq!(found, listed.lines().collect::<Vec<_>>());
}
