//! Shows the engine's warnings: a bench that runs on a fallback must say so.

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

/// Prints warnings and errors of the log from now on.
pub fn show() {
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("{}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
