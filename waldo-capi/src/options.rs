//! Options, as texts under the names that they have in the core.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::time::Duration;

use waldo_core::{Backend, CorruptionPolicy, Fault, IoMode, Options, Recovery, Retention};

use crate::boundary::{call, not_forked, output, set, shielded, text};
use crate::error::{Failure, WaldoError};
use crate::process::Process;
use crate::status::StatusCode::WALDO_OPTION;
use crate::status::waldo_status;

/// What a store is opened with: settings by key. In brackets the defaults; sizes are in bytes.
///
/// On disk:
///
/// - `ring_size` (0): page files in the ring, at least 2. 0 for as many as the store has, and 4 in
///   a new one;
/// - `file_capacity` (0): size of each, a multiple of 4,096, fixed when the store is made. 0 for
///   that of the store, with buffers no larger than it, and 64 MiB in a new one;
/// - `page_capacity` (no limit): most logs in one;
/// - `retention` (`overwrite`): what happens when the ring is full. The oldest logs go; or with
///   `hold` appends wait, and with `refuse` they fail, until enough is trimmed.
///
/// What an append promises:
///
/// - `file_o_dsync` (`true`): it is acknowledged when it is durable. With `false` it is when the
///   system has it: it survives a crash of the program, but of the machine only after a sync;
/// - `flush_interval_ns` (0): with `false` above, a sync this long after an append; 0 for none.
///
/// In memory:
///
/// - `buf_capacity` (1 MiB): size of a buffer: the most that is appended all or none;
/// - `pool_size` (8): buffers that appends may be in at a time;
/// - `tail_capacity` (4 MiB): the newest logs, for readers that keep up;
/// - `read_capacity` (8 MiB): older logs, for all readers together;
/// - `index_capacity` (4,096), `index_sparse_bytes` (16 KiB), `index_sparse_count` (1,024): most
///   entries of a page file's index, and the bytes and logs from one entry to the next;
/// - `huge_buf` (`false`): buffers in huge pages, where the system has some reserved.
///
/// Asking the system:
///
/// - `backend` (`auto`): `io_uring`, `threads`, or the first where it may be used;
/// - `io` (`auto`): `buffered`, `direct`, or direct for durable logs where the file system can;
/// - `queue_depth` (64): reads and writes at a time.
///
/// Opening:
///
/// - `recovery` (`full`): every checksum; with `fast` full page files are trusted by their summary;
/// - `corruption` (`refuse`): what happens where durable logs are damaged. Opening fails; or with
///   `truncate` the log is cut there, and copies of the files are kept.
pub struct OptionSet {
    process: Process,
    options: Options,
}

/// One option.
struct Key {
    name: &'static CStr,
    get: fn(&Options) -> String,
    /// Answers what a value must be, where this one is not.
    set: fn(&mut Options, &str) -> Result<(), String>,
}

macro_rules! number {
    ($name:literal, $($field:ident).+) => {
        Key {
            name: $name,
            get: |options| options.$($field).+.to_string(),
            set: |options, value| {
                options.$($field).+ = value.parse().map_err(|_| whole_number(value))?;
                Ok(())
            },
        }
    };
}

/// A number that is 0 where it is left to the store.
macro_rules! left_open {
    ($name:literal, $field:ident) => {
        Key {
            name: $name,
            get: |options| options.$field.unwrap_or(0).to_string(),
            set: |options, value| {
                let value = value.parse().map_err(|_| whole_number(value))?;
                options.$field = (value != 0).then_some(value);
                Ok(())
            },
        }
    };
}

macro_rules! boolean {
    ($name:literal, $($field:ident).+) => {
        Key {
            name: $name,
            get: |options| options.$($field).+.to_string(),
            set: |options, value| {
                options.$($field).+ = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err("it must be true or false".to_owned()),
                };
                Ok(())
            },
        }
    };
}

macro_rules! words {
    ($name:literal, $($field:ident).+, $($word:literal => $value:path),+) => {
        Key {
            name: $name,
            get: |options| match options.$($field).+ { $($value => $word.to_owned(),)+ },
            set: |options, value| {
                options.$($field).+ = match value {
                    $($word => $value,)+
                    _ => return Err(one_of(&[$($word),+])),
                };
                Ok(())
            },
        }
    };
}

const KEYS: &[Key] = &[
    left_open!(c"ring_size", ring_size),
    number!(c"queue_depth", queue_depth),
    number!(c"pool_size", pool_size),
    boolean!(c"huge_buf", huge_buf),
    number!(c"buf_capacity", buf_capacity),
    number!(c"page_capacity", page_capacity),
    number!(c"index_capacity", index_capacity),
    number!(c"index_sparse_bytes", index_sparse_bytes),
    number!(c"index_sparse_count", index_sparse_count),
    boolean!(c"file_o_dsync", file_o_dsync),
    left_open!(c"file_capacity", file_capacity),
    number!(c"tail_capacity", tail_capacity),
    number!(c"read_capacity", read_capacity),
    words!(c"backend", backend, "auto" => Backend::Auto, "io_uring" => Backend::IoUring,
        "threads" => Backend::Threads, "memory" => Backend::Memory),
    words!(c"io", io, "auto" => IoMode::Auto, "buffered" => IoMode::Buffered,
        "direct" => IoMode::Direct),
    words!(c"retention", retention, "overwrite" => Retention::Overwrite,
        "hold" => Retention::Hold, "refuse" => Retention::Refuse),
    words!(c"recovery", recovery, "full" => Recovery::Full, "fast" => Recovery::Fast),
    words!(c"corruption", corruption, "refuse" => CorruptionPolicy::Refuse,
        "truncate" => CorruptionPolicy::Truncate),
    Key { name: c"flush_interval_ns", get: flush_interval, set: set_flush_interval },
    boolean!(c"memory.keep", memory.keep),
    words!(c"memory.fail", memory.fail, "none" => Fault::None, "write" => Fault::Write,
        "short_write" => Fault::ShortWrite, "sync" => Fault::Sync, "read" => Fault::Read,
        "space" => Fault::Space),
    number!(c"memory.fail_after", memory.fail_after),
    number!(c"memory.fail_count", memory.fail_count),
    number!(c"memory.errno", memory.errno),
];

fn flush_interval(options: &Options) -> String {
    options.flush_interval.map_or(0, |interval| interval.as_nanos()).to_string()
}

fn set_flush_interval(options: &mut Options, value: &str) -> Result<(), String> {
    let nanos: u64 = value.parse().map_err(|_| whole_number(value))?;
    options.flush_interval = (nanos > 0).then(|| Duration::from_nanos(nanos));
    Ok(())
}

fn whole_number(value: &str) -> String {
    match value.parse::<u128>() {
        Ok(_) => "it is too large".to_owned(),
        Err(_) => "it must be a whole number in decimal digits".to_owned(),
    }
}

fn one_of(words: &[&str]) -> String {
    format!("it must be one of {}", words.join(", "))
}

impl OptionSet {
    /// Borrows options.
    ///
    /// # Safety
    ///
    /// `options` is NULL, or was given to the caller and not freed; nobody changes it as long as
    /// the result is used.
    pub unsafe fn borrow<'a>(options: *const Self) -> Result<&'a Self, Failure> {
        check(options)?;
        // SAFETY: by contract, and it is neither NULL nor unaligned.
        let options = unsafe { &*options };
        not_forked(options.process)?;
        Ok(options)
    }

    /// Borrows options to change them.
    ///
    /// # Safety
    ///
    /// As [`borrow`](Self::borrow), and nobody else uses them.
    unsafe fn borrow_mut<'a>(options: *mut Self) -> Result<&'a mut Self, Failure> {
        check(options)?;
        // SAFETY: by contract, and it is neither NULL nor unaligned.
        let options = unsafe { &mut *options };
        not_forked(options.process)?;
        Ok(options)
    }

    pub fn options(&self) -> Options {
        self.options
    }

    fn set(&mut self, name: &CStr, value: &str) -> Result<(), Failure> {
        let set = find(name)?.set;
        set(&mut self.options, value).map_err(|reason| {
            let name = name.to_string_lossy();
            option_failure(format!("option {name} = {value} is not possible: {reason}"))
        })
    }
}

fn check(options: *const OptionSet) -> Result<(), Failure> {
    if options.is_null() || !options.is_aligned() {
        return Err(Failure::argument("options must not be NULL"));
    }
    Ok(())
}

fn option_failure(message: String) -> Failure {
    Failure::new(WALDO_OPTION, message)
}

fn find(name: &CStr) -> Result<&'static Key, Failure> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        let name = name.to_string_lossy();
        option_failure(format!("there is no option {name}; waldo_options_key names them all"))
    })
}

/// Makes options with the default values. Yours to free with `waldo_options_free`; NULL on
/// failure. One thread at a time uses them; each may be another.
///
/// Errors: `WALDO_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_options_new(options: *mut *mut OptionSet) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(ptr::null_mut(), || {
            output(options, ptr::null_mut(), "options")?;
            let new = OptionSet { process: Process::current(), options: Options::default() };
            set(options, Box::into_raw(Box::new(new)));
            Ok(())
        })
    }
}

/// Frees options. NULL is fine. Stores that were opened with them do not mind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_options_free(options: *mut OptionSet) {
    shielded((), || {
        if check(options).is_ok() {
            // SAFETY: by the contract with the caller it came from `waldo_options_new`, and
            // nobody uses it any more.
            drop(unsafe { Box::from_raw(options) });
        }
    });
}

/// Sets an option. Numbers are decimal, switches are `true` or `false`, and choices are words in
/// lower case; times end in `_ns`, are nanoseconds, and 0 means none. Both texts are used during
/// the call only.
///
/// The range of a number is checked when a store is opened, since some depend on others.
///
/// With `backend` = `memory` nothing is on disk, and a path is only a name: whoever opens it
/// again in this process finds the logs, unless `memory.keep` was `false` when it was closed. Such
/// a store fails on demand, for tests of programs and bindings: `memory.fail` says what (`write`,
/// `short_write`, `sync`, `read`, or `space` for a full disk; `none`), `memory.fail_after` how
/// many of these succeed before (for `space`, bytes), counted from the end of the open,
/// `memory.fail_count` how many fail then (1), and `memory.errno` with which error of the system.
///
/// Errors: `WALDO_OPTION` where the key is unknown or the value cannot be: nothing was changed;
/// `WALDO_INVALID_ARGUMENT`, `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_options_set(
    options: *mut OptionSet,
    key: *const c_char,
    value: *const c_char,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let options = OptionSet::borrow_mut(options)?;
            let (key, value) = (text(key, "key")?, text(value, "value")?);
            options.set(key, &value.to_string_lossy())
        })
    }
}

/// Sets an option that is a number, a switch (0 or 1) or a time in nanoseconds.
///
/// Errors: as `waldo_options_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_options_set_u64(
    options: *mut OptionSet,
    key: *const c_char,
    value: u64,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller.
    unsafe {
        call(error, || {
            let options = OptionSet::borrow_mut(options)?;
            options.set(text(key, "key")?, &value.to_string())
        })
    }
}

/// Writes the value of an option, as `waldo_options_set` would take it, to `value`, which has
/// room for `size` bytes with the 0 at the end. 64 are enough for each. On failure an empty text
/// is written, where there is room for one.
///
/// Errors: `WALDO_OPTION` where the key is unknown, `WALDO_INVALID_ARGUMENT` also where there is
/// too little room (wanted: the bytes needed), `WALDO_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn waldo_options_get(
    options: *const OptionSet,
    key: *const c_char,
    value: *mut c_char,
    size: usize,
    error: *mut WaldoError,
) -> waldo_status {
    // SAFETY: the pointers are NULL or valid, by the contract with the caller; `value` for `size`
    // bytes.
    unsafe {
        call(error, || {
            if size > 0 {
                output(value, 0, "value")?;
            }
            let options = OptionSet::borrow(options)?;
            let found = (find(text(key, "key")?)?.get)(&options.options);
            if found.len() >= size {
                let (wanted, actual) = (found.len() as u64 + 1, size as u64);
                let failure = Failure::argument("value has too little room");
                return Err(failure.with_numbers(wanted, actual));
            }
            let value = value.cast::<u8>();
            value.copy_from_nonoverlapping(found.as_ptr(), found.len());
            value.add(found.len()).write(0);
            Ok(())
        })
    }
}

/// The name of the option with this index, from 0 on; NULL behind the last. The text is the
/// library's, and stays valid. From any thread.
#[unsafe(no_mangle)]
pub extern "C" fn waldo_options_key(index: usize) -> *const c_char {
    shielded(ptr::null(), || KEYS.get(index).map_or(ptr::null(), |key| key.name.as_ptr()))
}
