//! Option strings of the C ABI: lines of `key=value`, and a store in memory that is opened with
//! what they make.
#![no_main]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use libfuzzer_sys::fuzz_target;
// Links the functions below.
use waldo as _;

unsafe extern "C" {
    fn waldo_options_new(options: *mut *mut c_void) -> c_int;
    fn waldo_options_free(options: *mut c_void);
    fn waldo_options_set(
        options: *mut c_void,
        key: *const c_char,
        value: *const c_char,
        error: *mut c_void,
    ) -> c_int;
    fn waldo_options_get(
        options: *const c_void,
        key: *const c_char,
        value: *mut c_char,
        size: usize,
        error: *mut c_void,
    ) -> c_int;
    fn waldo_options_key(index: usize) -> *const c_char;
}

const OK: c_int = 0;

struct Options(*mut c_void);

impl Options {
    fn new() -> Self {
        let mut options = ptr::null_mut();
        // SAFETY: it is valid for writing.
        assert_eq!(unsafe { waldo_options_new(&raw mut options) }, OK);
        Self(options)
    }

    fn set(&self, key: &CStr, value: &CStr) -> bool {
        // SAFETY: options that were made above, and texts that end with a 0; NULL is no error.
        unsafe { waldo_options_set(self.0, key.as_ptr(), value.as_ptr(), ptr::null_mut()) == OK }
    }

    fn get(&self, key: &CStr) -> Option<CString> {
        let mut value = [0xAA_u8; 64];
        // SAFETY: as above, and the size is that of the text.
        let status = unsafe {
            let value = value.as_mut_ptr().cast();
            waldo_options_get(self.0, key.as_ptr(), value, 64, ptr::null_mut())
        };
        let text = CStr::from_bytes_until_nul(&value).expect("a 0 is written in every case");
        (status == OK).then(|| text.to_owned())
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: they were made above, and are not used any more.
        unsafe { waldo_options_free(self.0) };
    }
}

fn keys() -> impl Iterator<Item = &'static CStr> {
    (0..).map_while(|index| {
        let key = waldo_options_key_at(index);
        // SAFETY: NULL, or a text of the library's that stays.
        (!key.is_null()).then(|| unsafe { CStr::from_ptr(key) })
    })
}

fn waldo_options_key_at(index: usize) -> *const c_char {
    // SAFETY: any index is allowed.
    unsafe { waldo_options_key(index) }
}

fuzz_target!(|data: &[u8]| {
    let options = Options::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (key, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &[][..]),
        };
        let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) else { continue };
        let before = options.get(&key);
        if options.set(&key, &value) {
            let after = options.get(&key).expect("an option that can be set can be read");
            let again = Options::new();
            assert!(again.set(&key, &after), "what is read can be set");
            assert_eq!(again.get(&key).as_ref(), Some(&after));
        } else {
            assert_eq!(options.get(&key), before, "a value that is refused changes nothing");
        }
    }
    // All of them can be carried over to others.
    let copy = Options::new();
    for key in keys() {
        let value = options.get(key).expect("every option has a value");
        assert!(copy.set(key, &value));
        assert_eq!(copy.get(key), Some(value));
    }
});
