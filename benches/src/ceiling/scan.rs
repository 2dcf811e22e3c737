//! Files of somebody else from start to end: what reading a whole store can cost at best.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::Context;

use super::Cache;
use crate::buffer::Buffer;
use crate::files::{Io, PageFiles, expect_sequential_reads};
use crate::measure::{Meter, Usage};
use crate::outcome::Sample;
use crate::rounds::{Case, Label, Role};

/// Bytes of one read: small enough that they are still in the processor's cache when they are
/// checksummed.
const READ_BYTES: usize = 256 << 10;

/// Gives the files; they may have to be made first.
pub type FilesOf = Box<dyn Fn() -> anyhow::Result<PageFiles>>;

/// How files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// `pread` on the given number of threads, each with files of its own.
    Pread {
        /// Number of threads.
        threads: usize,
        /// Computes the CRC32C of everything.
        crc: bool,
    },
    /// The benchmark program `fio`.
    Fio {
        /// Through the page cache, with what the kernel reads ahead, or past it, with four reads
        /// under way.
        io: Io,
    },
}

/// The case.
pub struct Scan {
    work: String,
    scanner: Scanner,
    cache: Cache,
    files: FilesOf,
}

/// Whether `fio` can be run.
#[must_use]
pub fn has_fio() -> bool {
    Command::new("fio").arg("--version").output().is_ok_and(|output| output.status.success())
}

impl Scan {
    /// A case.
    #[must_use]
    pub fn new(work: &str, scanner: Scanner, cache: Cache, files: FilesOf) -> Self {
        Self { work: work.to_owned(), scanner, cache, files }
    }
}

impl Case for Scan {
    fn label(&self) -> Label {
        let who = match self.scanner {
            Scanner::Pread { threads, crc } => {
                let threads =
                    if threads > 1 { format!(", {threads} threads") } else { String::new() };
                let crc = if crc { ", CRC" } else { "" };
                format!("ceiling: pread{crc}{threads}")
            }
            Scanner::Fio { io: Io::Buffered } => "fio: buffered".to_owned(),
            Scanner::Fio { io: Io::Direct } => "fio: direct, 4 in flight".to_owned(),
        };
        Label::new(Role::Ceiling, &self.work, who)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        (self.files)().map(drop)
    }

    fn run(&mut self) -> anyhow::Result<Sample> {
        let files = (self.files)()?;
        let cached = self.cache.apply(&files)?;
        let sample = match self.scanner {
            Scanner::Pread { threads, crc } => by_pread(&files, threads, crc)?,
            Scanner::Fio { io } => by_fio(&files, io)?,
        };
        Ok(sample.with_number("cached before %", cached * 100.0))
    }
}

fn by_pread(files: &PageFiles, threads: usize, crc: bool) -> anyhow::Result<Sample> {
    let open = files.open(Io::Buffered)?;
    open.iter().for_each(expect_sequential_reads);
    let meter = Meter::start()?;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|first| {
                let open = &open;
                scope.spawn(move || {
                    open.iter()
                        .skip(first)
                        .step_by(threads.max(1))
                        .try_for_each(|file| scan(file, crc))
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        }
        anyhow::Ok(())
    })?;
    let usage = meter.stop()?;
    Ok(Sample { payload_bytes: files.total_bytes(), ops: 1, usage, ..Sample::default() })
}

fn scan(file: &File, crc: bool) -> anyhow::Result<()> {
    let mut buffer = Buffer::new(READ_BYTES)?;
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at)? {
            0 => return Ok(()),
            n => {
                at += n as u64;
                if crc {
                    std::hint::black_box(crc_fast::crc32_iscsi(&buffer[..n]));
                }
            }
        }
    }
}

fn by_fio(files: &PageFiles, io: Io) -> anyhow::Result<Sample> {
    let output = Command::new("fio")
        .args(["--name=scan", "--rw=read", "--readonly", "--bs=1m", "--invalidate=0"])
        .args(["--file_service_type=sequential", "--output-format=json"])
        .args(match io {
            Io::Buffered => ["--ioengine=psync", "--direct=0", "--iodepth=1"],
            Io::Direct => ["--ioengine=io_uring", "--direct=1", "--iodepth=4"],
        })
        .arg(format!("--filename={}", fio_names(files.paths())?))
        .output()
        .context("starting fio")?;
    anyhow::ensure!(
        output.status.success(),
        "fio: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let (bytes, seconds) = fio_read(&output.stdout)?;
    let usage = Usage { seconds, ..Usage::default() };
    Ok(Sample { payload_bytes: bytes, ops: 1, usage, ..Sample::default() })
}

/// Names of files as `fio` wants them: colons separate them.
fn fio_names<P: AsRef<Path>>(paths: &[P]) -> anyhow::Result<String> {
    let names: Option<Vec<String>> = paths
        .iter()
        .map(|path| path.as_ref().to_str().map(|path| path.replace(':', "\\:")))
        .collect();
    Ok(names.context("fio takes only names in UTF-8")?.join(":"))
}

/// Bytes that were read, and in how many seconds.
fn fio_read(json: &[u8]) -> anyhow::Result<(u64, f64)> {
    let report: serde_json::Value = serde_json::from_slice(json).context("fio's report")?;
    let read = &report["jobs"][0]["read"];
    let bytes = read["io_bytes"].as_u64().context("fio does not say how much it read")?;
    let milliseconds = read["runtime"].as_f64().context("fio does not say how long it took")?;
    Ok((bytes, milliseconds / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fio_is_understood() {
        let json = br#"{"jobs": [{"read": {"io_bytes": 4096, "runtime": 250, "bw": 16}}]}"#;
        assert_eq!(fio_read(json).unwrap(), (4096, 0.25));
        assert!(fio_read(b"{}").is_err());
        assert_eq!(fio_names(&["/a/b", "/c:d"]).unwrap(), "/a/b:/c\\:d");
    }

    #[test]
    fn all_bytes_of_all_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        PageFiles::create(&path, 3, 300 << 10).unwrap();
        for threads in [1, 2] {
            let files: FilesOf = Box::new({
                let path = path.clone();
                move || PageFiles::find(&path)
            });
            let scanner = Scanner::Pread { threads, crc: true };
            let sample = Scan::new("scan", scanner, Cache::Warm, files).run().unwrap();
            assert_eq!(sample.payload_bytes, 900 << 10);
        }
    }
}
