//! Logs, as C programs give and get them.

use waldo_core::Log;

use crate::error::Failure;

/// One log: a payload with its number and the number of the log before it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WaldoLog {
    /// Its number, greater than `prev_seq_no`.
    pub seq_no: u64,
    /// The number of the log before it; 0 before the first.
    pub prev_seq_no: u64,
    /// The payload; may be NULL where `len` is 0.
    pub data: *const u8,
    /// Bytes of the payload.
    pub len: u64,
}

impl WaldoLog {
    /// Describes a log whose payload lies in memory that outlives the description.
    pub fn of(log: &Log<'_>) -> Self {
        let data = log.data();
        Self {
            seq_no: log.seq_no(),
            prev_seq_no: log.prev_seq_no(),
            data: data.as_ptr(),
            len: data.len() as u64,
        }
    }

    /// The payload of a log that was checked.
    ///
    /// # Safety
    ///
    /// `data` is valid for reading `len` bytes as long as the result is used. Where `len` is 0
    /// it may be anything.
    pub unsafe fn payload<'a>(&self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: by contract; `check` has seen that it is not NULL, and not too long.
        unsafe { std::slice::from_raw_parts(self.data, self.len as usize) }
    }

    /// Whether the payload can be where it says.
    pub fn check(&self, at: usize) -> Result<(), Failure> {
        if self.len > 0 && self.data.is_null() {
            return Err(Failure::argument(format!("logs[{at}].data must not be NULL")));
        }
        if self.len > isize::MAX as u64 {
            return Err(Failure::argument(format!("logs[{at}].len cannot be {}", self.len)));
        }
        Ok(())
    }
}
