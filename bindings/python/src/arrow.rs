//! Chunks as Arrow data, through the Arrow PyCapsule interface.
//!
//! A chunk is a struct of three columns: `seq_no` and `prev_seq_no` (uint64), `data` (binary).
//! Payloads lie in the chunk with headers in between, which is what `binary_view` is made for: its
//! views point into the chunk's own memory. A consumer that asks for `binary` or `large_binary`,
//! whose payloads lie back to back, gets copies.
//!
//! What is handed out holds nothing of Python's: it may be released on any thread.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};

use pyo3::exceptions::PyOverflowError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods};
use waldo_core::Chunk;

use crate::chunk::Entry;
use crate::process::Local;

const SCHEMA_NAME: &CStr = c"arrow_schema";
const ARRAY_NAME: &CStr = c"arrow_array";

/// Payloads up to this length are kept in their view.
const INLINE_MAX: usize = 12;

/// How payloads are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    View,
    Binary,
    LargeBinary,
}

/// `struct ArrowSchema` of the Arrow C data interface.
#[repr(C)]
struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private_data: *mut c_void,
}

/// `struct ArrowArray` of the Arrow C data interface.
#[repr(C)]
struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private_data: *mut c_void,
}

/// What both structures have in common: whoever they were moved to ends them.
trait Exported: Sized {
    fn release(&self) -> Option<unsafe extern "C" fn(*mut Self)>;
}

impl Exported for Schema {
    fn release(&self) -> Option<unsafe extern "C" fn(*mut Self)> {
        self.release
    }
}

impl Exported for Array {
    fn release(&self) -> Option<unsafe extern "C" fn(*mut Self)> {
        self.release
    }
}

/// Frees a structure that was boxed, and what it holds unless that was moved elsewhere.
///
/// # Safety
///
/// `pointer` came from `Box::into_raw`, and nobody uses it after this.
unsafe fn free<T: Exported>(pointer: *mut T) {
    // SAFETY: by contract.
    unsafe {
        if let Some(release) = (*pointer).release() {
            release(pointer);
        }
        drop(Box::from_raw(pointer));
    }
}

/// Puts a structure into a capsule, which ends it unless somebody moved it out.
fn capsule<'py, T: Exported>(
    py: Python<'py>,
    value: T,
    name: &'static CStr,
    destructor: unsafe extern "C" fn(*mut ffi::PyObject),
) -> PyResult<Bound<'py, PyCapsule>> {
    let pointer = NonNull::from(Box::leak(Box::new(value)));
    // SAFETY: the pointer stays valid until the destructor frees it, which may run anywhere.
    let made = unsafe {
        PyCapsule::new_with_pointer_and_destructor(py, pointer.cast(), name, Some(destructor))
    };
    if made.is_err() {
        // SAFETY: it was boxed just now, and is in no capsule.
        unsafe { free(pointer.as_ptr()) };
    }
    made
}

/// # Safety
///
/// `capsule` is one that [`schema`] made, at its end.
unsafe extern "C" fn free_schema(capsule: *mut ffi::PyObject) {
    // SAFETY: by contract it holds a boxed schema.
    unsafe {
        let pointer = ffi::PyCapsule_GetPointer(capsule, SCHEMA_NAME.as_ptr());
        free(pointer.cast::<Schema>());
    }
}

/// # Safety
///
/// `capsule` is one that [`array`] made, at its end.
unsafe extern "C" fn free_array(capsule: *mut ffi::PyObject) {
    // SAFETY: by contract it holds a boxed array.
    unsafe {
        let pointer = ffi::PyCapsule_GetPointer(capsule, ARRAY_NAME.as_ptr());
        free(pointer.cast::<Array>());
    }
}

impl Layout {
    const fn format(self) -> &'static CStr {
        match self {
            Self::View => c"vz",
            Self::Binary => c"z",
            Self::LargeBinary => c"Z",
        }
    }

    /// The layout that a consumer asks for, where it can be had; else the one without a copy.
    pub fn requested(capsule: &Bound<'_, PyCapsule>) -> PyResult<Self> {
        let pointer = capsule.pointer_checked(Some(SCHEMA_NAME))?.cast::<Schema>();
        // SAFETY: a capsule of this name holds a schema, which is valid as long as the capsule is
        // there. Names and formats are texts, and children as many as it says.
        let format = unsafe {
            let schema = pointer.as_ref();
            let count = usize::try_from(schema.n_children).unwrap_or(0);
            let is_struct = schema.release.is_some() && CStr::from_ptr(schema.format) == c"+s";
            let children = if is_struct && !schema.children.is_null() {
                std::slice::from_raw_parts(schema.children, count)
            } else {
                &[]
            };
            children.iter().map(|child| &**child).find_map(|child| {
                let is_data = !child.name.is_null() && CStr::from_ptr(child.name) == c"data";
                is_data.then(|| CStr::from_ptr(child.format).to_owned())
            })
        };
        let known = [Self::Binary, Self::LargeBinary];
        let found = known.into_iter().find(|layout| Some(layout.format()) == format.as_deref());
        Ok(found.unwrap_or(Self::View))
    }
}

/// The schema of a chunk.
pub fn schema(py: Python<'_>, layout: Layout) -> PyResult<Bound<'_, PyCapsule>> {
    let column = |name, format| Box::into_raw(Box::new(Schema::new(name, format, Vec::new())));
    let columns = vec![
        column(c"seq_no", c"L"),
        column(c"prev_seq_no", c"L"),
        column(c"data", layout.format()),
    ];
    capsule(py, Schema::new(c"", c"+s", columns), SCHEMA_NAME, free_schema)
}

impl Schema {
    fn new(name: &'static CStr, format: &'static CStr, children: Vec<*mut Self>) -> Self {
        let children = Box::new(children);
        Self {
            format: format.as_ptr(),
            name: name.as_ptr(),
            metadata: ptr::null(),
            flags: 0,
            n_children: children.len() as i64,
            children: children.as_ptr().cast_mut(),
            dictionary: ptr::null_mut(),
            release: Some(release_schema),
            private_data: Box::into_raw(children).cast(),
        }
    }
}

/// # Safety
///
/// `schema` was made by [`Schema::new`], and not released before.
unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: by contract the private data is the list of children, each of them boxed.
    unsafe {
        let children = Box::from_raw((*schema).private_data.cast::<Vec<*mut Schema>>());
        children.iter().for_each(|child| free(*child));
        (*schema).release = None;
    }
}

/// What an array points to.
struct Private {
    buffers: Vec<*const c_void>,
    children: Vec<*mut Array>,
    /// The memory of the buffers.
    _memory: Memory,
}

/// The memory of a column.
enum Memory {
    None,
    Numbers { _numbers: Vec<u64> },
    Views { _chunk: Local<Chunk>, _views: Vec<u128>, _sizes: Box<[i64; 1]> },
    Binary { _offsets: Vec<i32>, _payloads: Vec<u8> },
    LargeBinary { _offsets: Vec<i64>, _payloads: Vec<u8> },
}

impl Array {
    fn new(
        length: usize,
        buffers: Vec<*const c_void>,
        children: Vec<*mut Self>,
        memory: Memory,
    ) -> Self {
        let private = Box::new(Private { buffers, children, _memory: memory });
        Self {
            length: length as i64,
            null_count: 0,
            offset: 0,
            n_buffers: private.buffers.len() as i64,
            n_children: private.children.len() as i64,
            buffers: private.buffers.as_ptr().cast_mut(),
            children: private.children.as_ptr().cast_mut(),
            dictionary: ptr::null_mut(),
            release: Some(release_array),
            private_data: Box::into_raw(private).cast(),
        }
    }

    fn numbers(numbers: Vec<u64>) -> Self {
        let buffers = vec![ptr::null(), numbers.as_ptr().cast()];
        Self::new(numbers.len(), buffers, Vec::new(), Memory::Numbers { _numbers: numbers })
    }

    /// Payloads where they are.
    fn views(chunk: &Chunk, entries: &[Entry]) -> PyResult<Self> {
        let bytes = chunk.bytes();
        i32::try_from(bytes.len()).map_err(|_| too_large())?;
        let views: Vec<u128> = entries.iter().map(|entry| view(entry, bytes)).collect();
        let sizes = Box::new([bytes.len() as i64]);
        let buffers =
            vec![ptr::null(), views.as_ptr().cast(), bytes.as_ptr().cast(), sizes.as_ptr().cast()];
        let chunk = Local::new(chunk.clone());
        let memory = Memory::Views { _chunk: chunk, _views: views, _sizes: sizes };
        Ok(Self::new(entries.len(), buffers, Vec::new(), memory))
    }

    /// Copies of payloads, with offsets of 32 bits.
    fn binary(chunk: &Chunk, entries: &[Entry]) -> PyResult<Self> {
        let payloads = gather(chunk, entries);
        i32::try_from(payloads.len()).map_err(|_| too_large())?;
        let offsets: Vec<i32> = ends(entries).map(|end| end as i32).collect();
        let buffers = vec![ptr::null(), offsets.as_ptr().cast(), payloads.as_ptr().cast()];
        let memory = Memory::Binary { _offsets: offsets, _payloads: payloads };
        Ok(Self::new(entries.len(), buffers, Vec::new(), memory))
    }

    /// Copies of payloads, with offsets of 64 bits.
    fn large_binary(chunk: &Chunk, entries: &[Entry]) -> Self {
        let payloads = gather(chunk, entries);
        let offsets: Vec<i64> = ends(entries).map(|end| end as i64).collect();
        let buffers = vec![ptr::null(), offsets.as_ptr().cast(), payloads.as_ptr().cast()];
        let memory = Memory::LargeBinary { _offsets: offsets, _payloads: payloads };
        Self::new(entries.len(), buffers, Vec::new(), memory)
    }
}

/// # Safety
///
/// `array` was made by [`Array::new`], and not released before.
unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: by contract the private data is that of `new`, and its children are boxed.
    unsafe {
        let private = Box::from_raw((*array).private_data.cast::<Private>());
        private.children.iter().for_each(|child| free(*child));
        (*array).release = None;
    }
}

/// A chunk as a struct array.
pub fn array<'py>(
    py: Python<'py>,
    layout: Layout,
    chunk: &Chunk,
    entries: &[Entry],
) -> PyResult<Bound<'py, PyCapsule>> {
    let data = match layout {
        Layout::View => Array::views(chunk, entries)?,
        Layout::Binary => Array::binary(chunk, entries)?,
        Layout::LargeBinary => Array::large_binary(chunk, entries),
    };
    let columns = [
        Array::numbers(entries.iter().map(|entry| entry.seq_no).collect()),
        Array::numbers(entries.iter().map(|entry| entry.prev_seq_no).collect()),
        data,
    ];
    let columns = columns.map(|column| Box::into_raw(Box::new(column))).to_vec();
    let array = Array::new(entries.len(), vec![ptr::null()], columns, Memory::None);
    capsule(py, array, ARRAY_NAME, free_array)
}

/// A view: the length, and either the payload itself, or its first bytes, the number of the
/// buffer that it lies in, and its offset there.
fn view(entry: &Entry, bytes: &[u8]) -> u128 {
    let payload = entry.payload(bytes);
    let mut view = [0_u8; 16];
    let (len, rest) = view.split_at_mut(4);
    len.copy_from_slice(&(payload.len() as u32).to_ne_bytes());
    if payload.len() <= INLINE_MAX {
        rest[..payload.len()].copy_from_slice(payload);
    } else {
        rest[..4].copy_from_slice(&payload[..4]);
        rest[8..].copy_from_slice(&(entry.start as u32).to_ne_bytes());
    }
    u128::from_ne_bytes(view)
}

fn gather(chunk: &Chunk, entries: &[Entry]) -> Vec<u8> {
    let mut payloads = Vec::with_capacity(entries.iter().map(|entry| entry.len).sum());
    for entry in entries {
        payloads.extend_from_slice(entry.payload(chunk.bytes()));
    }
    payloads
}

/// Where payloads that lie back to back end, with a 0 before the first.
fn ends(entries: &[Entry]) -> impl Iterator<Item = usize> {
    let end = |sum: &mut usize, entry: &Entry| {
        *sum += entry.len;
        Some(*sum)
    };
    std::iter::once(0).chain(entries.iter().scan(0, end))
}

fn too_large() -> PyErr {
    PyOverflowError::new_err("the chunk is too large for this layout; ask for large_binary")
}
