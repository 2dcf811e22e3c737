//! The demo, from its command line to its exit code.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BACKENDS: [&str; 3] = ["auto", "io-uring", "threads"];

/// The demo with few streams and a directory for its store.
fn demo(dir: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.args(["--streams", "50", "--dir"]).arg(dir.path().join("stores"));
    fs::create_dir_all(dir.path().join("stores")).unwrap();
    command
}

/// What it did with an input. Nothing is left of its store.
fn run(dir: &TempDir, input: &[u8], options: &[&str]) -> Output {
    let path = dir.path().join("input");
    fs::write(&path, input).unwrap();
    let output = demo(dir).args(options).arg(path).output().unwrap();
    assert_nothing_left(dir);
    output
}

fn assert_nothing_left(dir: &TempDir) {
    let left: Vec<_> = fs::read_dir(dir.path().join("stores")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Text, empty lines, bytes that are no text, a line that is longer than a log may be, and no
/// newline at the end.
fn odd_input() -> Vec<u8> {
    let mut input = Vec::new();
    for number in 0..3000u32 {
        match number % 5 {
            0 => {}
            1 => input.extend_from_slice(&[0xff, 0x00, 0xfe, b'\r']),
            _ => input.extend_from_slice(format!("line {number}").as_bytes()),
        }
        input.push(b'\n');
        if number == 1700 {
            input.resize(input.len() + 1_000_000, b'x');
        }
    }
    input.extend_from_slice(b"the end");
    input
}

fn assert_verified(output: &Output) {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let summary = "50 of 50 streams saw every line, in order and byte for byte";
    assert!(stdout.contains(summary), "{stdout}");
    assert!(stderr.contains("killed with SIGKILL"), "{stderr}");
}

#[test]
fn every_stream_sees_every_line() {
    let dir = tempfile::tempdir().unwrap();
    for backend in BACKENDS {
        assert_verified(&run(&dir, &odd_input(), &["--backend", backend]));
    }
}

#[test]
fn the_shortest_inputs_are_fine() {
    let dir = tempfile::tempdir().unwrap();
    for input in [&b"\n"[..], b"x", b"1\n2\n", b"1\n\n3"] {
        assert_verified(&run(&dir, input, &[]));
    }
}

#[test]
fn an_empty_input_is_said_to_be_empty() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&dir, b"", &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("is empty"));
}

#[test]
fn what_a_stream_should_not_have_seen_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(&dir, &odd_input(), &["--tamper"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("WRONG") && stdout.contains("49 of 50 streams saw every"), "{stdout}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("FAILED"));
}

#[test]
fn a_missing_input_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = demo(&dir).arg(dir.path().join("missing")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing"));
    assert_nothing_left(&dir);
}

#[test]
fn standard_input_can_be_appended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("input");
    fs::write(&path, odd_input()).unwrap();
    let output = demo(&dir).arg("-").stdin(File::open(&path).unwrap()).output().unwrap();
    assert_verified(&output);
}

#[test]
fn an_interrupted_demo_cleans_up() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("input");
    fs::write(&input, "line\n".repeat(200_000)).unwrap();
    // One append at a time: it takes much longer than this test.
    let mut command = demo(&dir);
    command.args(["--window", "1"]).arg(&input);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_start(&mut child);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_nothing_left(&dir);
    assert!(!is_running_in(dir.path()), "a child process goes on");
}

/// Waits until the demo says that it appends.
fn wait_for_start(child: &mut Child) {
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let started = stderr.lines().any(|line| line.unwrap().starts_with("appending"));
    assert!(started, "it ended before it started");
}

/// Whether a process runs in a directory.
fn is_running_in(dir: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read_link(process.path().join("cwd")).ok())
        .any(|cwd| cwd.starts_with(dir))
}
