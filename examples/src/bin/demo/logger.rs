//! What the store has to say, on standard error.

use log::{LevelFilter, Log, Metadata, Record};

use crate::progress;

struct Logger;

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let level = record.level().as_str().to_lowercase();
            progress::say(&format!("{level}: {}\n", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Shows warnings and errors from now on.
pub fn start() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
