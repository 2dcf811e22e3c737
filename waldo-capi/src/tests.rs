//! Tests that look inside; those of the ABI are C programs, in `tests/capi`.

mod boundary;
mod header;
mod layout;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
