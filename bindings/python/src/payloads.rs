//! What is appended, taken from Python.
//!
//! `bytes` never change, so that they can be read with the interpreter free for other threads as
//! long as somebody holds them. Everything else is copied first.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyList, PyMemoryView, PyString, PyTuple};
use waldo_core::batch::{BatchBuilder, BatchLimits, check_log};
use waldo_core::format::record_size;
use waldo_core::{AppendError, AppendOptions, Appended, Log, Waldo};

use crate::log::PyLog;

/// What a bytes-like object holds.
pub fn bytes<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("a payload is bytes-like, not str: encode it"));
    }
    let view = PyMemoryView::from(object)?;
    Ok(view.call_method0(intern!(object.py(), "tobytes"))?.cast_into()?)
}

/// What a call appends, held as long as the call takes.
pub struct Payloads<'py>(Vec<Bound<'py, PyBytes>>);

impl<'py> Payloads<'py> {
    pub fn new(objects: &Bound<'py, PyAny>) -> PyResult<Self> {
        let is_payload = objects.is_instance_of::<PyBytes>()
            || objects.is_instance_of::<PyByteArray>()
            || objects.is_instance_of::<PyMemoryView>()
            || objects.is_instance_of::<PyString>();
        if is_payload {
            return Err(PyTypeError::new_err("a list of payloads is wanted, not one payload"));
        }
        let payloads: PyResult<Vec<_>> = if let Ok(list) = objects.cast_exact::<PyList>() {
            list.iter().map(|object| bytes(&object)).collect()
        } else if let Ok(tuple) = objects.cast_exact::<PyTuple>() {
            tuple.iter().map(|object| bytes(&object)).collect()
        } else {
            objects.try_iter()?.map(|object| bytes(&object?)).collect()
        };
        payloads.map(Self)
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(|bytes| bytes.as_bytes()).collect()
    }
}

/// Logs that a call appends, held as long as it takes.
pub struct Logs<'py>(Vec<Bound<'py, PyLog>>);

impl<'py> Logs<'py> {
    pub fn new(objects: &Bound<'py, PyAny>) -> PyResult<Self> {
        let logs = objects.try_iter()?.map(|object| match object?.cast_into::<PyLog>() {
            Ok(log) => Ok(log),
            Err(error) => {
                let object: Bound<'py, PyAny> = error.into_inner();
                let class = object.get_type();
                Err(PyTypeError::new_err(format!("a waldo.Log is wanted, not {}", class.name()?)))
            }
        });
        logs.collect::<PyResult<_>>().map(Self)
    }

    pub fn borrow(&self) -> Vec<Log<'_>> {
        self.0.iter().map(|log| log.get().borrow(log.py())).collect()
    }
}

/// What is appended: payloads that the store numbers, or logs.
#[derive(Clone, Copy)]
pub enum Items<'a> {
    Payloads(&'a [&'a [u8]]),
    Logs(&'a [Log<'a>]),
}

impl Items<'_> {
    pub fn is_assigned(&self) -> bool {
        matches!(self, Self::Payloads(_))
    }

    pub fn count(&self) -> usize {
        match self {
            Self::Payloads(payloads) => payloads.len(),
            Self::Logs(logs) => logs.len(),
        }
    }

    /// Bytes that all of them take, with their headers.
    pub fn size(&self) -> usize {
        match self {
            Self::Payloads(payloads) => {
                payloads.iter().map(|data| record_size(data.len())).fold(0, usize::saturating_add)
            }
            Self::Logs(logs) => logs.iter().map(Log::size).fold(0, usize::saturating_add),
        }
    }

    /// Whether one frame holds all of them.
    pub fn fits(&self, limits: &BatchLimits) -> bool {
        self.size() <= limits.size && self.count() as u64 <= limits.count
    }

    /// Why they cannot be appended all or none.
    pub fn too_large(&self, limits: &BatchLimits) -> AppendError {
        AppendError::BatchTooLarge {
            count: self.count() as u64,
            count_limit: limits.count,
            size: self.size(),
            size_limit: limits.size,
        }
    }

    /// Finds what is wrong with any of them by itself.
    pub fn check(&self, limits: &BatchLimits) -> Result<(), AppendError> {
        match self {
            Self::Payloads(payloads) => {
                let sizes = payloads.iter().map(|data| record_size(data.len()));
                let too_large = sizes.enumerate().find(|(_, size)| *size > limits.size);
                too_large.map_or(Ok(()), |(at, size)| {
                    Err(AppendError::ExceedsLimit { seq_no: at as u64, size, limit: limits.size })
                })
            }
            Self::Logs(logs) => {
                logs.iter().try_for_each(|log| check_log(log, limits))?;
                logs.iter().zip(logs.iter().skip(1)).try_for_each(|(before, log)| {
                    let (seq_no, wanted, actual) =
                        (log.seq_no(), before.seq_no(), log.prev_seq_no());
                    let error = AppendError::Sequence { seq_no, wanted, actual };
                    if wanted == actual { Ok(()) } else { Err(error) }
                })
            }
        }
    }

    /// Adds all of them to a batch that has room for them.
    pub fn fill(&self, batch: &mut BatchBuilder, limits: &BatchLimits) -> Result<(), AppendError> {
        let mut fits = true;
        match self {
            Self::Payloads(payloads) => {
                for data in *payloads {
                    fits &= batch.push_payload(data)?;
                }
            }
            Self::Logs(logs) => {
                for log in *logs {
                    fits &= batch.push(log)?;
                }
            }
        }
        if fits { Ok(()) } else { Err(self.too_large(limits)) }
    }

    /// A copy, for later.
    pub fn pack(&self) -> Packed {
        let mut packed = Packed { is_assigned: self.is_assigned(), ..Packed::default() };
        match self {
            Self::Payloads(payloads) => payloads.iter().for_each(|data| packed.push(data)),
            Self::Logs(logs) => logs.iter().for_each(|log| packed.push_log(log)),
        }
        packed
    }
}

/// Copies of payloads or logs, in one piece of memory.
#[derive(Default)]
pub struct Packed {
    payloads: Vec<u8>,
    entries: Vec<Entry>,
    is_assigned: bool,
    size: usize,
}

struct Entry {
    seq_no: u64,
    prev_seq_no: u64,
    /// Where its payload ends.
    end: usize,
}

impl Packed {
    /// No payloads yet, of those that the store is to number.
    pub fn new() -> Self {
        Self { is_assigned: true, ..Self::default() }
    }

    pub fn push(&mut self, data: &[u8]) {
        self.push_log(&Log::new_borrowed(0, 0, data));
    }

    fn push_log(&mut self, log: &Log<'_>) {
        self.payloads.extend_from_slice(log.data());
        self.size += log.size();
        let (seq_no, prev_seq_no, end) = (log.seq_no(), log.prev_seq_no(), self.payloads.len());
        self.entries.push(Entry { seq_no, prev_seq_no, end });
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that all of them take, with their headers.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn slices(&self) -> Vec<&[u8]> {
        let mut start = 0;
        let payload = |entry: &Entry| {
            let payload = self.payloads.get(start..entry.end).unwrap_or_default();
            start = entry.end;
            payload
        };
        self.entries.iter().map(payload).collect()
    }

    /// Appends all of it, in as many parts as it takes.
    pub async fn append(
        &self,
        waldo: &Waldo,
        options: AppendOptions,
    ) -> Result<Appended, AppendError> {
        let slices = self.slices();
        if self.is_assigned {
            return waldo.append_assigned_with(&slices, options).await;
        }
        let logs = self.logs(&slices);
        waldo.append_with(&logs, options).await?;
        Ok(Appended { first_seq_no: 0, last_seq_no: 0, count: logs.len() as u64 })
    }

    fn logs<'a>(&'a self, slices: &[&'a [u8]]) -> Vec<Log<'a>> {
        let entries = self.entries.iter().zip(slices);
        let log = |(entry, data): (&Entry, &&'a [u8])| {
            Log::new_borrowed(entry.seq_no, entry.prev_seq_no, data)
        };
        entries.map(log).collect()
    }

    /// Lends what is in it.
    pub fn with_items<T>(&self, lend: impl FnOnce(Items<'_>) -> T) -> T {
        let slices = self.slices();
        if self.is_assigned {
            return lend(Items::Payloads(&slices));
        }
        lend(Items::Logs(&self.logs(&slices)))
    }
}
