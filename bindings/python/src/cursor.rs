//! Where to read from.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use waldo_core::Cursor;

/// Where to read from.
#[pyclass(frozen, eq, hash, module = "waldo", name = "Cursor")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PyCursor(Place);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    Trim,
    Tip,
    After(u64),
    From(u64),
}

impl PyCursor {
    pub const TRIM: Self = Self(Place::Trim);
    pub const TIP: Self = Self(Place::Tip);

    pub fn cursor(self) -> Cursor {
        match self.0 {
            Place::Trim => Cursor::Trim,
            Place::Tip => Cursor::Tip,
            Place::After(seq_no) => Cursor::After(seq_no),
            Place::From(seq_no) => Cursor::From(seq_no),
        }
    }
}

impl From<Cursor> for PyCursor {
    fn from(cursor: Cursor) -> Self {
        Self(match cursor {
            Cursor::Trim => Place::Trim,
            Cursor::Tip => Place::Tip,
            Cursor::After(seq_no) => Place::After(seq_no),
            Cursor::From(seq_no) => Place::From(seq_no),
        })
    }
}

/// The place before the first log whose number is greater.
#[pyfunction]
#[pyo3(name = "After")]
pub fn after(seq_no: u64) -> PyCursor {
    PyCursor(Place::After(seq_no))
}

/// The place before the first log whose number is this or greater.
#[pyfunction]
#[pyo3(name = "From")]
pub fn from(seq_no: u64) -> PyCursor {
    PyCursor(Place::From(seq_no))
}

#[pymethods]
impl PyCursor {
    fn __repr__(&self) -> String {
        match self.0 {
            Place::Trim => "waldo.Trim".to_owned(),
            Place::Tip => "waldo.Tip".to_owned(),
            Place::After(seq_no) => format!("waldo.After({seq_no})"),
            Place::From(seq_no) => format!("waldo.From({seq_no})"),
        }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (function, seq_no) = match self.0 {
            // Pickled by name.
            Place::Trim => return Ok("Trim".into_pyobject(py)?.into_any()),
            Place::Tip => return Ok("Tip".into_pyobject(py)?.into_any()),
            Place::After(seq_no) => ("After", seq_no),
            Place::From(seq_no) => ("From", seq_no),
        };
        let function = py.import("waldo")?.getattr(function)?;
        Ok(PyTuple::new(py, [function, PyTuple::new(py, [seq_no])?.into_any()])?.into_any())
    }
}
