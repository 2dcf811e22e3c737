//! Values with named numbers: options, metadata, reports.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use waldo_core::{Backend, CorruptionPolicy, Fault, IoMode, Recovery, Retention, Watch};

use crate::errors;

/// A value of a record, for `as_dict`.
pub trait Value {
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

macro_rules! plain_values {
    ($($type:ty),+) => {
        $(impl Value for $type {
            fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                (*self).clone().into_bound_py_any(py)
            }
        })+
    };
}

plain_values!(bool, i32, u16, u32, u64, usize, f64, String, &'static str);

impl<T: Value> Value for Option<T> {
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.as_ref().map_or_else(|| Ok(py.None().into_bound(py)), |value| value.value(py))
    }
}

impl Value for Vec<String> {
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self)?.into_any())
    }
}

/// Makes a class of named values, which compares, shows itself, and becomes a `dict`.
macro_rules! record {
    (
        $(#[$class_doc:meta])*
        $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)+ }
    ) => {
        $(#[$class_doc])*
        #[pyclass(frozen, get_all, eq, module = "waldo")]
        #[derive(Clone, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)+
        }

        #[pymethods]
        impl $name {
            /// The attributes by name.
            fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
                let dict = PyDict::new(py);
                $(dict.set_item(stringify!($field), self.$field.value(py)?)?;)+
                Ok(dict)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                let mut parts = Vec::new();
                $({
                    let value = self.$field.clone().into_bound_py_any(py)?;
                    parts.push(format!("{}={}", stringify!($field), value.repr()?));
                })+
                Ok(format!("waldo.{}({})", stringify!($name), parts.join(", ")))
            }
        }

        impl Value for $name {
            fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                Ok(self.as_dict(py)?.into_any())
            }
        }
    };
}

record! {
    /// What a store was opened with.
    Options {
        ring_size: u32,
        queue_depth: u32,
        pool_size: u16,
        huge_buf: bool,
        buf_capacity: usize,
        page_capacity: u64,
        index_capacity: usize,
        index_sparse_bytes: usize,
        index_sparse_count: usize,
        file_o_dsync: bool,
        file_capacity: u64,
        tail_capacity: usize,
        read_capacity: usize,
        backend: &'static str,
        io: &'static str,
        retention: &'static str,
        recovery: &'static str,
        corruption: &'static str,
        flush_interval: Option<f64>,
        memory_keep: bool,
        memory_fail: &'static str,
        memory_fail_after: u64,
        memory_fail_count: u64,
        memory_errno: i32,
    }
}

record! {
    /// Something that `probe` looked at.
    Finding {
        name: &'static str,
        state: &'static str,
        value: String,
        meaning: String,
        advice: String,
    }
}

record! {
    /// What a store holds and does, in numbers.
    Metadata {
        after_seq_no: u64,
        prev_seq_no: u64,
        durable_seq_no: u64,
        log_count: u64,
        index_count: u64,
        disk_size: u64,
        index_size: u64,
        page_count: u64,
        pending_resets: usize,
        pending_appends: usize,
        pending_queries: usize,
        pending_fsyncs: usize,
        buffers_free: usize,
        buffers_detached: usize,
        read_memory_used: usize,
        waiting_streams: usize,
        log_size_limit: usize,
        batch_size_limit: usize,
        batch_count_limit: u64,
    }
}

record! {
    /// What opening a store read, checked, dropped and cut.
    RecoveryReport {
        created: bool,
        page_count: u64,
        sealed_page_count: u64,
        bytes_read: u64,
        log_count: u64,
        after_seq_no: u64,
        prev_seq_no: u64,
        dropped: Option<Dropped>,
        cut: Option<Corruption>,
        quarantined: Vec<String>,
        duration: f64,
    }
}

record! {
    /// What a store that is followed holds, in numbers.
    FollowMetadata {
        store_id: String,
        format_version: u32,
        after_seq_no: u64,
        prev_seq_no: u64,
        durable_seq_no: u64,
        log_count: u64,
        page_count: u64,
        ring_size: u32,
        file_capacity: u64,
        frame_alignment: u32,
        disk_size: u64,
        index_count: u64,
        index_size: u64,
        incarnation: u64,
        writer_pid: Option<u32>,
        watching: bool,
    }
}

record! {
    /// How far a check is.
    VerifyProgress {
        bytes_done: u64,
        bytes_total: u64,
    }
}

record! {
    /// A torn tail.
    Dropped {
        page: u32,
        offset: u64,
        frame_count: u64,
    }
}

record! {
    /// Where stored bytes are not what was written.
    Corruption {
        page: u32,
        offset: u64,
        after_seq_no: u64,
        detail: &'static str,
    }
}

impl From<&waldo_core::Options> for Options {
    fn from(from: &waldo_core::Options) -> Self {
        Self {
            ring_size: from.ring_size.unwrap_or(waldo_core::Options::NEW_RING_SIZE),
            queue_depth: from.queue_depth,
            pool_size: from.pool_size,
            huge_buf: from.huge_buf,
            buf_capacity: from.buf_capacity,
            page_capacity: from.page_capacity,
            index_capacity: from.index_capacity,
            index_sparse_bytes: from.index_sparse_bytes,
            index_sparse_count: from.index_sparse_count,
            file_o_dsync: from.file_o_dsync,
            file_capacity: from.file_capacity.unwrap_or(waldo_core::Options::NEW_FILE_CAPACITY),
            tail_capacity: from.tail_capacity,
            read_capacity: from.read_capacity,
            backend: from.backend.word(),
            io: from.io.word(),
            retention: from.retention.word(),
            recovery: from.recovery.word(),
            corruption: from.corruption.word(),
            flush_interval: from.flush_interval.map(|interval| interval.as_secs_f64()),
            memory_keep: from.memory.keep,
            memory_fail: from.memory.fail.word(),
            memory_fail_after: from.memory.fail_after,
            memory_fail_count: from.memory.fail_count,
            memory_errno: from.memory.errno,
        }
    }
}

impl Metadata {
    /// What `waldo` holds; zeros where it has no newest log.
    pub fn of(waldo: &waldo_core::Waldo) -> Self {
        let limits = waldo.batch_limits();
        let empty = Self {
            after_seq_no: 0,
            prev_seq_no: 0,
            durable_seq_no: 0,
            log_count: 0,
            index_count: 0,
            disk_size: waldo.options().disk_size(),
            index_size: 0,
            page_count: 0,
            pending_resets: 0,
            pending_appends: 0,
            pending_queries: 0,
            pending_fsyncs: 0,
            buffers_free: 0,
            buffers_detached: 0,
            read_memory_used: 0,
            waiting_streams: 0,
            log_size_limit: waldo.log_size_limit(),
            batch_size_limit: limits.size,
            batch_count_limit: limits.count,
        };
        let Some(found) = waldo.blocking_metadata() else { return empty };
        Self {
            after_seq_no: found.after_seq_no,
            prev_seq_no: found.prev_seq_no,
            durable_seq_no: found.durable_seq_no,
            log_count: found.log_count,
            index_count: found.index_count,
            disk_size: found.disk_size,
            index_size: found.index_size,
            page_count: found.page_count,
            pending_resets: found.pending_resets,
            pending_appends: found.pending_appends,
            pending_queries: found.pending_queries,
            pending_fsyncs: found.pending_fsyncs,
            buffers_free: found.buffers_free,
            buffers_detached: found.buffers_detached,
            read_memory_used: found.read_memory_used,
            waiting_streams: found.waiting_streams,
            ..empty
        }
    }
}

impl From<&waldo_core::RecoveryReport> for RecoveryReport {
    fn from(from: &waldo_core::RecoveryReport) -> Self {
        let path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
        Self {
            created: from.created,
            page_count: from.page_count,
            sealed_page_count: from.sealed_page_count,
            bytes_read: from.bytes_read,
            log_count: from.log_count,
            after_seq_no: from.after_seq_no,
            prev_seq_no: from.prev_seq_no,
            dropped: from.dropped.map(|dropped| Dropped {
                page: dropped.page,
                offset: dropped.offset,
                frame_count: dropped.frame_count,
            }),
            cut: from.cut.as_ref().map(|cut| Corruption {
                page: cut.page,
                offset: cut.offset,
                after_seq_no: cut.after_seq_no,
                detail: cut.detail,
            }),
            quarantined: from.quarantined.iter().map(path).collect(),
            duration: from.duration.as_secs_f64(),
        }
    }
}

impl From<waldo_core::FollowMetadata> for FollowMetadata {
    fn from(from: waldo_core::FollowMetadata) -> Self {
        Self {
            store_id: from.store_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            format_version: from.format_version,
            after_seq_no: from.after_seq_no,
            prev_seq_no: from.prev_seq_no,
            durable_seq_no: from.durable_seq_no,
            log_count: from.log_count,
            page_count: from.page_count,
            ring_size: from.ring_size,
            file_capacity: from.file_capacity,
            frame_alignment: from.frame_alignment,
            disk_size: from.disk_size,
            index_count: from.index_count,
            index_size: from.index_size,
            incarnation: from.incarnation,
            writer_pid: from.writer_pid,
            watching: from.watching,
        }
    }
}

impl From<waldo_core::VerifyProgress> for VerifyProgress {
    fn from(from: waldo_core::VerifyProgress) -> Self {
        Self { bytes_done: from.bytes_done, bytes_total: from.bytes_total }
    }
}

/// An option that is one of several words.
pub trait Choice: Copy + PartialEq + Sized + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

impl Choice for Backend {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("io_uring", Self::IoUring),
        ("threads", Self::Threads),
        ("memory", Self::Memory),
    ];
}

impl Choice for Watch {
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("poll", Self::Poll)];
}

impl Choice for Fault {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("write", Self::Write),
        ("short_write", Self::ShortWrite),
        ("sync", Self::Sync),
        ("read", Self::Read),
        ("space", Self::Space),
    ];
}

impl Choice for IoMode {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("buffered", Self::Buffered), ("direct", Self::Direct)];
}

impl Choice for Retention {
    const WORDS: &'static [(&'static str, Self)] =
        &[("overwrite", Self::Overwrite), ("hold", Self::Hold), ("refuse", Self::Refuse)];
}

impl Choice for Recovery {
    const WORDS: &'static [(&'static str, Self)] = &[("full", Self::Full), ("fast", Self::Fast)];
}

impl Choice for CorruptionPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("truncate", Self::Truncate)];
}

/// The value of an option that is one of several words.
pub fn choice<T: Choice>(py: Python<'_>, name: &str, word: &str) -> PyResult<T> {
    let found = T::WORDS.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
        errors::option(py, name, word, &format!("it must be one of {}", words.join(", ")))
    })
}
