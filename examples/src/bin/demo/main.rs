//! `demo [INPUT]`: appends a file line by line, durably, while 1,000 streams tail the log from its
//! first line; is killed half way, recovers and goes on; and shows that every stream saw every
//! line, in order and byte for byte.
//!
//! The process that the user starts is the [`parent`]. It runs two [`child`] processes, one after
//! the other, on one store: it kills the first with SIGKILL while that appends, and lets the second
//! finish. They tell it of their progress in [`message`]s on their standard output.
//!
//! - `options`: the command line; `input`, `lines`, `digest`: what is appended, and how it is told
//!   from anything else;
//! - `parent`, `process`, `work_dir`: the two runs, and what is left of them;
//! - `child`, `geometry`, `writer`, `window`, `lead`, `streams`, `board`, `latency`: one run;
//! - `progress`, `report`, `show`, `logger`: what the user sees.

mod board;
mod child;
mod digest;
mod geometry;
mod input;
mod latency;
mod lead;
mod lines;
mod logger;
mod message;
mod options;
mod parent;
mod process;
mod progress;
mod report;
mod show;
mod streams;
mod window;
mod work_dir;
mod writer;

use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;

fn main() -> ExitCode {
    logger::start();
    let options = Options::parse();
    match &options.child {
        Some(task) => child::main(task),
        None => parent::main(&options),
    }
}
