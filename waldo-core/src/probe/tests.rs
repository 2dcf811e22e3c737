use std::path::Path;

use super::{Finding, Fitness, probe};

fn named<'a>(findings: &'a [Finding], name: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.name == name).unwrap()
}

#[test]
fn what_is_not_as_it_should_be_comes_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    for finding in probe(Some(dir.path())) {
        assert_eq!(finding.advice.is_empty(), finding.fitness == Fitness::Ok, "{finding:?}");
        assert!(!finding.value.is_empty() && !finding.meaning.is_empty(), "{finding:?}");
    }
}

#[test]
fn nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let findings = probe(Some(dir.path()));
    assert_ne!(named(&findings, "durable_writes").fitness, Fitness::Unusable);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_directory_that_is_not_there_is_unusable() {
    let dir = tempfile::tempdir().unwrap();
    let findings = probe(Some(&dir.path().join("missing")));
    assert_eq!(named(&findings, "directory").fitness, Fitness::Unusable);
}

#[test]
fn a_file_system_without_durable_files_is_unusable() {
    let findings = probe(Some(Path::new("/proc")));
    assert_eq!(named(&findings, "directory").fitness, Fitness::Unusable);
}

#[test]
fn memory_is_told_from_disks() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    let findings = probe(Some(dir.path()));
    assert_eq!(named(&findings, "file_system").value, "tmpfs");
    assert_eq!(named(&findings, "file_system").fitness, Fitness::Degraded);
}
