//! The C programs of `tests/capi`, once more with sanitizers and under valgrind; those that do
//! what they should not; and every function of the header against everything they try.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{WARNINGS, compiler, has, library, root, run};

/// How a program is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    /// Memory errors, leaks, undefined behaviour.
    Address,
    /// Data races of the program.
    Thread,
    /// Memory errors and leaks, of the library, too.
    Valgrind,
}

impl Check {
    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Valgrind => &[],
            Self::Address => &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Self::Thread => &["-fsanitize=thread"],
        }
    }

    /// Whether this machine can do it; says so where it cannot.
    fn is_possible(self, dir: &Path) -> bool {
        if self == Self::Valgrind {
            return has("valgrind");
        }
        let (source, program) = (dir.join("empty.c"), dir.join("empty"));
        std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let mut command = compiler("CC", "cc");
        command.args(self.flags()).arg(&source).arg("-o").arg(&program);
        let is_built = command.output().unwrap().status.success();
        let is_possible = is_built && Command::new(&program).status().unwrap().success();
        if !is_possible {
            eprintln!("skipped: the compiler has no {:?}", self.flags());
        }
        is_possible
    }

    fn build(self, dir: &Path, name: &str) -> PathBuf {
        let program = dir.join(name);
        let shared = library("libwaldo.so");
        let folder = shared.parent().unwrap().to_str().unwrap();
        let mut command = compiler("CC", "cc");
        command.args(["-std=gnu11", "-g", "-O1"]).args(WARNINGS).args(self.flags());
        command.arg("-I").arg(root().join("include"));
        command.arg(root().join(format!("tests/capi/{name}.c"))).arg("-o").arg(&program);
        run(command.arg(&shared).arg(format!("-Wl,-rpath,{folder}")).args(["-lpthread", "-ldl"]));
        program
    }

    fn run(self, program: &Path, backend: &str) {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "200"]);
        if self == Self::Valgrind {
            command.args(["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full"]);
            command.args(["--errors-for-leak-kinds=definite", "--show-leak-kinds=definite"]);
            command.arg("--child-silent-after-fork=yes");
        }
        command.arg(program).current_dir(&dir).env("WALDO_TEST_BACKEND", backend);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let name = program.display();
        assert!(output.status.success(), "{name}, {self:?}: {}\n{errors}", output.status);
        assert_eq!(errors, "", "{name}, {self:?}");
    }
}

const PROGRAMS: [&str; 6] =
    ["arguments", "roundtrip", "lifetime", "statuses", "nonsense", "hostile"];

fn check(check: Check, programs: &[&str], backends: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    if !check.is_possible(dir.path()) {
        return;
    }
    for name in programs {
        let program = check.build(dir.path(), name);
        for backend in backends {
            check.run(&program, backend);
        }
    }
}

#[test]
fn programs_are_right() {
    check(Check::Nothing, &PROGRAMS, &["threads", "io_uring"]);
    // Those that leave the choice of the backend to others, and files alone.
    check(Check::Nothing, &["roundtrip", "lifetime"], &["memory"]);
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
    let program = Check::Nothing.build(dir.path(), "nonsense");
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
