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

/// Runs a command, which must succeed; answers what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
