//! What the tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"];

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where the libraries are: beside this test, or above it.
pub fn library(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut folders = own.ancestors().skip(1).take(2);
    let found = folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.exists()));
    found.unwrap_or_else(|| panic!("there is no {name} near {}", own.display()))
}

/// Whether a tool that only some tests need is there; says so where it is not.
pub fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        // Not by a macro, whose output is shown for tests that fail only.
        let _ = writeln!(std::io::stderr(), "skipped: there is no {tool} here");
    }
    found
}

pub fn compiler(variable: &str, otherwise: &str) -> Command {
    Command::new(std::env::var(variable).unwrap_or_else(|_| otherwise.to_owned()))
}

/// Has a compiler find the header and the shared library, here and when the program runs.
pub fn link(command: &mut Command) -> &mut Command {
    let shared = library("libwaldo.so");
    let folder = shared.parent().unwrap().to_str().unwrap();
    command.arg("-I").arg(root().join("include")).arg(&shared);
    command.arg(format!("-Wl,-rpath,{folder}")).args(["-lpthread", "-ldl"])
}

/// How a program is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    Nothing,
    /// Memory errors, leaks, undefined behaviour.
    Address,
    /// Data races of the program.
    Thread,
    /// Memory errors and leaks, of the library, too.
    Valgrind,
}

impl Check {
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Valgrind => &[],
            Self::Address => &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
            Self::Thread => &["-fsanitize=thread"],
        }
    }

    /// Whether this machine can do it; says so where it cannot.
    pub fn is_possible(self, dir: &Path) -> bool {
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
            let _ = writeln!(std::io::stderr(), "skipped: no {:?} here", self.flags());
        }
        is_possible
    }

    /// Runs a program in an empty directory; it says nothing where all is well.
    pub fn run(self, program: &Path, backend: &str) {
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

/// Runs a command, which must succeed; answers what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
