//! No panic reaches C, and errors fit their storage.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use crate::boundary::{call, shielded};
use crate::error::{Failure, MESSAGE_SIZE, WaldoError};
use crate::status::StatusCode::{WALDO_IO, WALDO_PANIC};
use crate::status::{TABLE, waldo_status_name, waldo_status_traits};

fn answer(body: impl FnOnce() -> Result<(), Failure>) -> (i32, WaldoError) {
    let mut error = MaybeUninit::<WaldoError>::zeroed();
    // SAFETY: it is valid for writing, and zeros are a value of each field.
    unsafe {
        let status = call(error.as_mut_ptr(), body);
        (status, error.assume_init())
    }
}

fn message(error: &WaldoError) -> &str {
    // SAFETY: there is a 0 at the end.
    unsafe { CStr::from_ptr(error.message.as_ptr()) }.to_str().unwrap()
}

#[test]
fn a_panic_is_a_status() {
    let (status, error) = answer(|| panic!("for the test"));
    assert_eq!((status, error.status), (WALDO_PANIC as i32, WALDO_PANIC as i32));
    assert!(message(&error).contains("panicked"));
    assert_eq!(shielded(7, || panic!("for the test")), 7);
}

#[test]
fn a_panic_without_storage_for_the_error_is_a_status_too() {
    // SAFETY: NULL is allowed.
    let status = unsafe { call(std::ptr::null_mut(), || panic!("for the test")) };
    assert_eq!(status, WALDO_PANIC as i32);
}

#[test]
fn a_long_message_is_cut_between_characters() {
    for shift in 0..4 {
        let long = "a".repeat(shift) + &"\u{1f980}".repeat(200);
        let (_, error) = answer(|| Err(Failure::new(WALDO_IO, long.clone())));
        let found = message(&error);
        assert!(long.starts_with(found));
        assert!(found.len() > MESSAGE_SIZE - 5 && found.len() < MESSAGE_SIZE);
    }
}

#[test]
fn a_message_has_no_zeros_inside() {
    let (_, error) = answer(|| Err(Failure::new(WALDO_IO, "a\0b")));
    assert_eq!(message(&error), "a b");
}

#[test]
fn every_status_has_a_name_of_its_own() {
    for (at, (code, name, traits)) in TABLE.iter().enumerate() {
        // SAFETY: names are texts that stay valid.
        let found = unsafe { CStr::from_ptr(waldo_status_name(*code as i32)) };
        assert_eq!(found, *name);
        assert_eq!(found.to_str().unwrap(), format!("{code:?}"));
        assert_eq!(waldo_status_traits(*code as i32), *traits);
        assert!(TABLE[..at].iter().all(|(other, ..)| *other as i32 != *code as i32));
    }
    // SAFETY: as above.
    assert_eq!(unsafe { CStr::from_ptr(waldo_status_name(12345)) }, c"unknown");
    assert_eq!(waldo_status_traits(12345), 0);
}
