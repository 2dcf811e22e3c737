//! What the system offers.

use std::path::PathBuf;

use pyo3::prelude::*;
use waldo_core::Fitness;

use crate::records::Finding;

/// Finds out whether the system is fit for Waldo, and the file system of `path`, too.
#[pyfunction]
#[pyo3(signature = (path=None))]
pub fn probe(py: Python<'_>, path: Option<PathBuf>) -> Vec<Finding> {
    let findings = py.detach(|| waldo_core::probe(path.as_deref()));
    findings.into_iter().map(Finding::from).collect()
}

impl From<waldo_core::Finding> for Finding {
    fn from(finding: waldo_core::Finding) -> Self {
        Self {
            name: finding.name,
            state: match finding.fitness {
                Fitness::Ok => "ok",
                Fitness::Degraded => "degraded",
                Fitness::Unusable => "unusable",
            },
            value: finding.value,
            meaning: finding.meaning,
            advice: finding.advice,
        }
    }
}
