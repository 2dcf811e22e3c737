//! Writes the inputs that fuzzing starts from, made from real stores: `seeds DIRECTORY`.

use std::fs;
use std::io::{Error, Result};
use std::path::Path;

use waldo_core::driver::files::page_path;
use waldo_core::format::bytes::u32_at;
use waldo_core::format::frame::starts_with_magic;
use waldo_core::format::{FRAME_HEADER_SIZE, PAGE_HEADER_SIZE};
use waldo_core::{Options, Waldo};
use waldo_fuzz::HEADER_FIELDS_SIZE;
use waldo_fuzz::store::{Input, SEAL_SIZE, contents, home, options};

type Work = fn(&Waldo) -> std::result::Result<(), Box<dyn std::error::Error>>;

const STORES: [(&str, Work); 6] = [
    ("empty", |_| Ok(())),
    ("logs", |waldo| {
        waldo.blocking_append_assigned(&["one", "two"])?;
        waldo.blocking_append_assigned(&[""])?;
        Ok(())
    }),
    ("trimmed", |waldo| {
        waldo.blocking_append_assigned(&["one", "two", "three"])?;
        Ok(waldo.blocking_trim(2)?)
    }),
    ("truncated", |waldo| {
        waldo.blocking_append_assigned(&["one", "two", "three"])?;
        waldo.blocking_truncate(1)?;
        waldo.blocking_append_assigned(&["another two"])?;
        Ok(())
    }),
    ("cleared", |waldo| {
        waldo.blocking_append_assigned(&["one"])?;
        waldo.blocking_clear()?;
        waldo.blocking_append_assigned(&["one again"])?;
        Ok(())
    }),
    ("wrapped", |waldo| {
        for _ in 0..11 {
            waldo.blocking_append_assigned(&["once more"])?;
        }
        Ok(())
    }),
];

fn main() -> Result<()> {
    let target = std::env::args().nth(1).ok_or_else(|| Error::other("seeds DIRECTORY"))?;
    let target = Path::new(&target);
    for (name, work) in STORES {
        let options = Options { file_o_dsync: name != "truncated", ..options() };
        let home = home();
        let waldo = Waldo::blocking_open(home.path(), options).map_err(Error::other)?;
        work(&waldo).map_err(|error| Error::other(error.to_string()))?;
        // As a crash would leave it, and as a close does.
        keep(target, &format!("{name}-killed"), home.path())?;
        waldo.blocking_close().map_err(Error::other)?;
        keep(target, name, home.path())?;
    }
    Ok(())
}

/// Writes a store, and the parts of its first page, as inputs of the targets.
fn keep(target: &Path, name: &str, home: &Path) -> Result<()> {
    let write = |kind: &str, name: &str, bytes: &[u8]| {
        let folder = target.join(kind);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    let files = [fs::read(page_path(home, 0))?, fs::read(page_path(home, 1))?];
    let pages = files.each_ref().map(|file| contents(file));
    let input = Input { flags: 0, pages: pages.iter().map(Vec::as_slice).collect() };
    write("store", name, &input.join())?;
    if name.ends_with("-killed") {
        return Ok(());
    }
    write("page_header", "real", &files[0][..HEADER_FIELDS_SIZE])?;
    let mut offset = PAGE_HEADER_SIZE;
    let mut frames = Vec::new();
    while let Some(frame) = frame_at(&files[0], offset) {
        frames.push(frame);
        offset += frame.len();
    }
    frames.extend(frame_at(&files[0], files[0].len() - SEAL_SIZE));
    for (number, frame) in frames.into_iter().enumerate() {
        let kind = if frame[4] == 1 { "record" } else { "seal" };
        let name = format!("{name}-{number}");
        write("frame", &name, frame)?;
        write(kind, &name, &frame[FRAME_HEADER_SIZE..])?;
    }
    Ok(())
}

/// The frame that starts at `offset`.
fn frame_at(file: &[u8], offset: usize) -> Option<&[u8]> {
    let frame = file.get(offset..)?;
    let units = u32_at(frame, 28).filter(|_| starts_with_magic(frame))?;
    frame.get(..units as usize * 8)
}
