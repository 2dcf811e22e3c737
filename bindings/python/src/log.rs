//! Logs.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use waldo_core::Log;

use crate::payloads;

/// One log record.
#[pyclass(frozen, module = "waldo", name = "Log")]
pub struct PyLog {
    #[pyo3(get)]
    pub seq_no: u64,
    #[pyo3(get)]
    pub prev_seq_no: u64,
    #[pyo3(get)]
    pub data: Py<PyBytes>,
}

impl PyLog {
    /// The log, for the core.
    pub fn borrow<'a>(&'a self, py: Python<'a>) -> Log<'a> {
        Log::new_borrowed(self.seq_no, self.prev_seq_no, self.data.as_bytes(py))
    }
}

#[pymethods]
impl PyLog {
    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str) {
        ("seq_no", "prev_seq_no", "data")
    }

    #[new]
    fn new(seq_no: u64, prev_seq_no: u64, data: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { seq_no, prev_seq_no, data: payloads::bytes(data)?.unbind() })
    }

    fn __eq__(&self, py: Python<'_>, other: &Self) -> bool {
        self.borrow(py) == other.borrow(py)
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seq_no, self.prev_seq_no, self.data.as_bytes(py)).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Self { seq_no, prev_seq_no, data } = self;
        let data = data.bind(py).repr()?;
        Ok(format!("waldo.Log(seq_no={seq_no}, prev_seq_no={prev_seq_no}, data={data})"))
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let arguments = (self.seq_no, self.prev_seq_no, self.data.bind(py)).into_pyobject(py)?;
        PyTuple::new(py, [py.get_type::<Self>().into_any(), arguments.into_any()])
    }
}
