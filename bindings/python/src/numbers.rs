//! Sequence numbers, as Python sees them.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyMemoryView};
use waldo_core::Appended;

/// The numbers of logs that were appended, as a `range`.
pub fn range<'py>(py: Python<'py>, appended: &Appended) -> PyResult<Bound<'py, PyAny>> {
    static RANGE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

    let range =
        RANGE.get_or_try_init(py, || py.import("builtins")?.getattr("range").map(Bound::unbind))?;
    let end = u128::from(appended.last_seq_no) + 1;
    let start = if appended.count == 0 { end } else { appended.first_seq_no.into() };
    range.bind(py).call1((start, end))
}

/// Numbers as a `memoryview` of unsigned 64-bit integers.
pub fn view<'py>(
    py: Python<'py>,
    count: usize,
    numbers: impl Iterator<Item = u64>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyBytes::new_with(py, count * size_of::<u64>(), |bytes| {
        for (place, number) in bytes.chunks_exact_mut(size_of::<u64>()).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        Ok(())
    })?;
    PyMemoryView::from(bytes.as_any())?.call_method1(intern!(py, "cast"), ("Q",))
}
