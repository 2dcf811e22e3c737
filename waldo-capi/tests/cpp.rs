//! The C++ layer: its tests and its example, with each compiler and standard, and sanitizers.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Check, WARNINGS, has, link, root, run};

const LAYER: &str = "tests/cpp/layer.cpp";

/// Compiles a program of the repository.
fn build(dir: &Path, source: &str, tool: &str, standard: &str, flags: &[&str]) -> PathBuf {
    let program = dir.join(format!("{tool}-{standard}"));
    let mut command = Command::new(tool);
    command.arg("-g").arg(format!("-std={standard}")).args(WARNINGS).args(flags);
    command.arg(root().join(source)).arg("-o").arg(&program);
    run(link(&mut command));
    program
}

fn check(check: Check, tool: &str, standard: &str) {
    let dir = tempfile::tempdir().unwrap();
    if has(tool) && check.is_possible(dir.path()) {
        check.run(&build(dir.path(), LAYER, tool, standard, check.flags()), "auto");
    }
}

#[test]
fn the_layer_does_what_it_says() {
    check(Check::Nothing, "g++", "c++17");
    check(Check::Nothing, "clang++", "c++20");
}

#[test]
fn the_layer_compiles_without_warnings() {
    for tool in ["g++", "clang++"] {
        for standard in ["c++17", "c++20"] {
            if has(tool) {
                let mut command = Command::new(tool);
                command.arg(format!("-std={standard}")).args(WARNINGS).arg("-Wshadow");
                command.arg("-fsyntax-only").arg("-I").arg(root().join("include"));
                run(command.arg(root().join(LAYER)));
            }
        }
    }
}

#[test]
fn the_layer_is_clean_with_address_and_undefined_behaviour_sanitizers() {
    check(Check::Address, "g++", "c++20");
}

#[test]
fn the_layer_is_clean_with_thread_sanitizer() {
    check(Check::Thread, "g++", "c++20");
}

#[test]
fn the_layer_is_clean_under_valgrind() {
    check(Check::Valgrind, "g++", "c++17");
}

/// What a result has to offer does not depend on exceptions.
#[test]
fn the_layer_compiles_without_exceptions() {
    if !has("g++") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("plain.cpp");
    let text = "#include <waldo.hpp>\n\
        int main() { return libwaldo::options::make().value().get(\"io\") ? 0 : 1; }\n";
    std::fs::write(&source, text).unwrap();
    let program = dir.path().join("plain");
    let mut command = Command::new("g++");
    command.args(["-std=c++17", "-fno-exceptions", "-fno-rtti"]).args(WARNINGS);
    run(link(command.arg(&source).arg("-o").arg(&program)));
    run(&mut Command::new(&program));
}

#[test]
fn the_program_of_the_readme_works() {
    if !has("g++") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let program = readme.split_once("```cpp\n").unwrap().1.split_once("```").unwrap().0;
    let program = program.replace("/tmp/logs", dir.path().join("logs").to_str().unwrap());
    let source = dir.path().join("readme.cpp");
    let text = format!("#include <iostream>\n#include <waldo.hpp>\nint main() {{\n{program}}}\n");
    std::fs::write(&source, text).unwrap();
    let built = build(dir.path(), source.to_str().unwrap(), "g++", "c++17", &[]);
    assert_eq!(run(&mut Command::new(built)), "1 hello\n");
}

#[test]
fn the_example_appends_and_tails() {
    if !has("g++") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let source = "examples/cpp/append_and_tail.cpp";
    let program = build(dir.path(), source, "g++", "c++17", &[]);
    let lines = dir.path().join("lines");
    let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
    std::fs::write(&lines, &text).unwrap();
    for run_number in 1..=2 {
        let mut command = Command::new(&program);
        command
            .arg(dir.path().join("store"))
            .stdin(Stdio::from(std::fs::File::open(&lines).unwrap()));
        let printed = run(&mut command);
        let (logs, bytes) = (2000 * run_number, (text.len() - 2000) * run_number);
        let wanted = format!(
            "2000 lines are durable, the newest is log {logs}\n\
             the tail saw {logs} logs, {bytes} bytes\n"
        );
        assert_eq!(printed, wanted);
    }
}
