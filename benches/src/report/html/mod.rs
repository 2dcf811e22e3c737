//! One self-contained page with plots, made from JSON lines: no script, nothing from elsewhere.
//!
//! | module | subject |
//! |---|---|
//! | `data` | JSON lines to cases |
//! | `scale` | numbers to places, and round numbers between them |
//! | `svg` | shapes and text |
//! | `chart` | cases to plots |
//! | `page` | plots and tables to a page |

mod chart;
mod data;
mod page;
mod scale;
mod svg;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Options of the command.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// What `--json` printed; `-` is the standard input.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The page.
    #[arg(short, long, default_value = "report.html")]
    output: PathBuf,
}

impl Options {
    /// Reads the lines, and writes the page.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or written, or holds something else.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut data = data::Data::default();
        for input in &self.inputs {
            let text = match input.to_str() {
                Some("-") => std::io::read_to_string(std::io::stdin()),
                _ => std::fs::read_to_string(input),
            };
            let text = text.with_context(|| format!("reading {}", input.display()))?;
            data.read(&text).with_context(|| input.display().to_string())?;
        }
        anyhow::ensure!(!data.parts.is_empty(), "there are no outcomes in it");
        std::fs::write(&self.output, page::page(&data))
            .with_context(|| format!("writing {}", self.output.display()))
    }
}
