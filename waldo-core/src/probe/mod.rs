//! What this system offers, in words that say what to do.
//!
//! Nothing here is needed to open a store: Waldo finds out for itself and does with what there is.
//! This tells a person, or a program that a person will ask, beforehand.

mod directory;
mod system;
#[cfg(test)]
mod tests;

use std::path::Path;

/// How fit something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// As it should be.
    Ok,
    /// Waldo works, more slowly or with less.
    Degraded,
    /// Waldo does not work.
    Unusable,
}

/// Something that [`probe`] looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at, such as `io_uring`. Stays the same from version to version.
    pub name: &'static str,
    /// How fit it is.
    pub fitness: Fitness,
    /// What was found.
    pub value: String,
    /// What that means for Waldo.
    pub meaning: String,
    /// What to do about it; empty where there is nothing to do.
    pub advice: String,
}

impl Finding {
    fn ok(name: &'static str, value: impl Into<String>, meaning: impl Into<String>) -> Self {
        let (value, meaning) = (value.into(), meaning.into());
        Self { name, fitness: Fitness::Ok, value, meaning, advice: String::new() }
    }

    fn degraded(
        name: &'static str,
        value: impl Into<String>,
        meaning: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let fitness = Fitness::Degraded;
        Self { fitness, advice: advice.into(), ..Self::ok(name, value, meaning) }
    }

    fn unusable(
        name: &'static str,
        value: impl Into<String>,
        meaning: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let fitness = Fitness::Unusable;
        Self { fitness, advice: advice.into(), ..Self::ok(name, value, meaning) }
    }
}

/// Finds out whether the system is fit for Waldo, and the file system of `directory`, where that is
/// given.
///
/// Makes a small ring, and a file without a name in the directory; nothing is left behind. Takes
/// milliseconds, and as long as a few small durable writes take. From any thread.
///
/// ```
/// for finding in waldo_core::probe(None) {
///     println!("{}: {} - {}", finding.name, finding.value, finding.meaning);
/// }
/// ```
#[must_use]
pub fn probe(directory: Option<&Path>) -> Vec<Finding> {
    let mut findings = system::findings();
    if let Some(directory) = directory {
        findings.extend(directory::findings(directory));
    }
    findings
}
