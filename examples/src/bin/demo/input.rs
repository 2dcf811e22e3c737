//! What is appended: a file, standard input, or the sources of this repository.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::digest::{Digest, Hasher};
use crate::lines::Lines;
use crate::show;

/// Bytes that are read and written at a time.
const BUFFER_SIZE: usize = 256 * 1024;

/// Where the input comes from.
#[derive(Clone)]
pub enum Source {
    File(PathBuf),
    Stdin,
    /// Text files of this repository, one behind the other.
    Repository(Vec<PathBuf>),
}

impl Source {
    /// The source that the command line names.
    pub fn new(input: Option<&Path>) -> anyhow::Result<Self> {
        match input {
            Some(path) if path == Path::new("-") => Ok(Self::Stdin),
            Some(path) => Ok(Self::File(path.to_owned())),
            None => {
                let root = repository()?;
                let mut files = Vec::new();
                collect(&root, &mut files).with_context(|| unreadable(&root))?;
                files.sort_unstable();
                Ok(Self::Repository(files))
            }
        }
    }

    /// What it is, for the user.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Repository(files) => {
                format!("{} files of this repository", show::count(files.len() as u64))
            }
        }
    }

    /// Copies all of it to a file of its own, so that nothing that happens to the source meanwhile
    /// can disturb the comparison at the end; answers what it comes to.
    pub fn copy_to(&self, target: &Path) -> anyhow::Result<Digest> {
        let file = File::create_new(target).with_context(|| unwritable(target))?;
        let mut copy =
            Copy { target: BufWriter::with_capacity(BUFFER_SIZE, file), hasher: Hasher::new() };
        match self {
            Self::File(path) => copy.take(open(path)?).with_context(|| unreadable(path))?,
            Self::Stdin => copy.take(io::stdin()).context("cannot read standard input")?,
            Self::Repository(files) => {
                copy.take(Chain::new(files)).context("cannot read a file")?
            }
        }
        copy.target.flush().with_context(|| unwritable(target))?;
        Ok(copy.hasher.finish())
    }
}

/// The lines of a copy.
pub fn lines(path: &Path) -> anyhow::Result<Lines<BufReader<File>>> {
    Ok(Lines::new(BufReader::with_capacity(BUFFER_SIZE, open(path)?)))
}

struct Copy {
    target: BufWriter<File>,
    hasher: Hasher,
}

impl Copy {
    fn take(&mut self, source: impl Read) -> io::Result<()> {
        let mut lines = Lines::new(BufReader::with_capacity(BUFFER_SIZE, source));
        let mut batch = self.hasher.batch();
        while let Some(line) = lines.next()? {
            batch.push(line);
            self.target.write_all(line)?;
        }
        Ok(())
    }
}

/// Files one behind the other, each opened when it is its turn.
struct Chain<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    open: Option<File>,
}

impl<'a> Chain<'a> {
    fn new(files: &'a [PathBuf]) -> Self {
        Self { files: files.iter(), open: None }
    }
}

impl Read for Chain<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.open {
                let len = file.read(buffer)?;
                if len > 0 || buffer.is_empty() {
                    return Ok(len);
                }
            }
            let Some(path) = self.files.next() else { return Ok(0) };
            self.open = Some(File::open(path)?);
        }
    }
}

/// The root of this repository: where this program was built, or else the current directory.
fn repository() -> anyhow::Result<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    match built.filter(|root| root.join("Cargo.toml").is_file()) {
        Some(root) => Ok(root.to_owned()),
        None => std::env::current_dir().context("there is no current directory"),
    }
}

/// Finds the sources and lock files under a directory.
fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if kind.is_dir() && !is_hidden && name != "target" {
            collect(&entry.path(), files)?;
        } else if kind.is_file() && is_source(Path::new(&name)) {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn is_source(name: &Path) -> bool {
    let extension = name.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "md" | "toml" | "lock")) || name == Path::new("Makefile")
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| unreadable(path))
}

fn unreadable(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn unwritable(path: &Path) -> String {
    format!("cannot write {}", path.display())
}
