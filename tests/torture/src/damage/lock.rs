//! Damage to `LOCK`, which is worth nothing but the lock that is held on it.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use waldo_core::{Error, Options, Waldo};

use crate::run::Run;

/// What is in the file, or whether it is there, says nothing: a store opens whatever became of it,
/// and is locked while it is open.
///
/// # Errors
///
/// Where the harness itself fails.
pub fn check(run: &Run, dir: &Path) -> anyhow::Result<()> {
    let options =
        Options { file_capacity: Some(1 << 20), ring_size: Some(2), ..Options::default() };
    Waldo::blocking_open(dir, options)?.blocking_close()?;
    let lock = dir.join("LOCK");
    let contents: [Option<&[u8]>; 5] =
        [None, Some(b""), Some(b"not a process"), Some(b"1"), Some(&[0xff; 4096])];
    for content in contents {
        let under_way = run.begin(format!("waldo-torture damage: LOCK with {content:?}"));
        Run::count(&run.faults);
        match content {
            Some(bytes) => fs::write(&lock, bytes)?,
            None => fs::remove_file(&lock)?,
        }
        match open_twice(dir, options) {
            Ok(()) => Run::count(&run.cases),
            Err(violation) => run.violation(&under_way, &format!("{violation:#}")),
        }
    }
    Ok(())
}

fn open_twice(dir: &Path, options: Options) -> anyhow::Result<()> {
    let waldo = Waldo::blocking_open(dir, options)?;
    let second = Waldo::blocking_open(dir, options);
    ensure!(matches!(second, Err(Error::Locked { .. })), "it opens twice: {second:?}");
    drop(waldo);
    Waldo::blocking_open(dir, options)?.blocking_close()?;
    Ok(())
}
