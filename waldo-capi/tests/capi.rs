//! Compiles the C programs of `tests/capi`, and runs them.

use std::path::{Path, PathBuf};
use std::process::Command;

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where the libraries are: beside this test, or above it.
fn library(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut folders = own.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.exists()));
    found.unwrap_or_else(|| panic!("there is no {name} near {}", own.display()))
}

fn compiler(variable: &str, otherwise: &str) -> Command {
    Command::new(std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned()))
}

/// Compiles a program with the library, shared or static.
fn build(dir: &Path, name: &str, is_static: bool) -> PathBuf {
    let program = dir.join(name);
    let mut command = compiler("CC", "cc");
    command.args(["-std=gnu11", "-g", "-O1"]).args(WARNINGS).arg("-I").arg(root().join("include"));
    command.arg(root().join("tests/capi").join(name).with_extension("c")).arg("-o").arg(&program);
    if is_static {
        command.arg(library("libwaldo.a")).args(["-lpthread", "-ldl", "-lm"]);
    } else {
        let shared = library("libwaldo.so");
        let folder = shared.parent().unwrap().to_str().unwrap();
        command.arg(&shared).arg(format!("-Wl,-rpath,{folder}")).arg("-lpthread");
    }
    assert!(command.status().unwrap().success(), "{name} does not compile");
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

fn test(name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), name, false);
    for backend in ["threads", "io_uring"] {
        run(&program, backend);
    }
}

#[test]
fn roundtrip() {
    test("roundtrip");
}

#[test]
fn arguments() {
    test("arguments");
}

#[test]
fn lifetime() {
    test("lifetime");
}

#[test]
fn the_static_library_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    run(&build(dir.path(), "roundtrip", true), "auto");
}

#[test]
fn the_header_stands_alone() {
    let header = root().join("tests/capi/header_twice.c");
    for (variable, otherwise, language, standards) in [
        ("CC", "cc", "c", ["c99", "c11", "c17"].as_slice()),
        ("CXX", "c++", "c++", ["c++11", "c++14", "c++17", "c++20"].as_slice()),
    ] {
        for standard in standards {
            let status = compiler(variable, otherwise)
                .args(["-fsyntax-only", "-Wconversion"])
                .args(WARNINGS)
                .arg(format!("-std={standard}"))
                .arg("-I")
                .arg(root().join("include"))
                .args(["-x", language])
                .arg(&header)
                .status()
                .unwrap();
            assert!(status.success(), "{standard}");
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
