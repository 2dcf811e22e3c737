//! ThreadSanitizer, in programs that were built with it and link this library.
//!
//! The library is not instrumented: its locks and atomics are unseen, while the memory functions
//! that it calls are intercepted, so that everything that one thread hands to another looks like
//! a race. So its own threads, and other threads inside its calls, are left out; and what a call
//! or a callback orders is told: whatever came before one call comes before what follows a later
//! one. That is more than the library promises, so that some races of the program itself stay
//! unnoticed; none is reported that is none.
//!
//! Without ThreadSanitizer all of this is a look at one variable.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

type Mark = unsafe extern "C" fn(file: *const c_char, line: c_int);
type Order = unsafe extern "C" fn(file: *const c_char, line: c_int, place: *const c_void);

/// The annotations that the sanitizer's run-time library knows.
struct Runtime {
    ignore: [Mark; 2],
    attend: [Mark; 2],
    before: Order,
    after: Order,
    /// Its destructor ends what [`ignore_thread`] began, behind all others.
    key: libc::pthread_key_t,
}

/// Stands for everything that calls order.
static ORDER: u8 = 0;

/// Where an annotation is said to be.
const FILE: &CStr = c"waldo";

#[inline]
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

    RUNTIME.get_or_init(Runtime::find).as_ref()
}

/// Looks for a function of the program by its name.
fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is a string that ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

fn mark(name: &CStr) -> Option<Mark> {
    // SAFETY: the type that every implementation of these annotations has.
    find(name).map(|found| unsafe { std::mem::transmute::<*mut c_void, Mark>(found) })
}

fn order(name: &CStr) -> Option<Order> {
    // SAFETY: as above.
    find(name).map(|found| unsafe { std::mem::transmute::<*mut c_void, Order>(found) })
}

impl Runtime {
    fn find() -> Option<Self> {
        find(c"__tsan_init")?;
        let ignore = [mark(c"AnnotateIgnoreReadsBegin")?, mark(c"AnnotateIgnoreWritesBegin")?];
        let attend = [mark(c"AnnotateIgnoreReadsEnd")?, mark(c"AnnotateIgnoreWritesEnd")?];
        let before = order(c"AnnotateHappensBefore")?;
        let after = order(c"AnnotateHappensAfter")?;
        let mut key = 0;
        // SAFETY: the destructor stays valid for the life of the process.
        let made = unsafe { libc::pthread_key_create(&raw mut key, Some(end_thread)) };
        (made == 0).then_some(Self { ignore, attend, before, after, key })
    }

    /// Leaves the calling thread out from now on.
    fn ignore(&self) {
        // SAFETY: each takes a text that stays valid.
        self.ignore.iter().for_each(|mark| unsafe { mark(FILE.as_ptr(), 0) });
    }

    /// Ends an [`ignore`](Self::ignore) of the calling thread.
    fn attend(&self) {
        // SAFETY: as above; it was begun on this thread.
        self.attend.iter().for_each(|mark| unsafe { mark(FILE.as_ptr(), 0) });
    }

    /// What this thread did comes before what others do after [`after`](Self::after).
    fn before(&self) {
        // SAFETY: takes a text that stays valid, and an address that is only a name to it.
        unsafe { (self.before)(FILE.as_ptr(), 0, (&raw const ORDER).cast()) };
    }

    /// What others did before comes before what this thread does.
    fn after(&self) {
        // SAFETY: as above.
        unsafe { (self.after)(FILE.as_ptr(), 0, (&raw const ORDER).cast()) };
    }
}

unsafe extern "C" fn end_thread(_: *mut c_void) {
    if let Some(runtime) = runtime() {
        runtime.attend();
    }
}

/// Leaves the calling thread out to its end: one of the library's own.
pub fn ignore_thread() {
    if let Some(runtime) = runtime() {
        runtime.ignore();
        // SAFETY: the key is valid, and any value but NULL has its destructor called.
        unsafe { libc::pthread_setspecific(runtime.key, (&raw const ORDER).cast()) };
    }
}

/// Leaves a thread out while it is inside a call of the library.
pub struct Call(Option<&'static Runtime>);

impl Call {
    /// The call begins.
    #[inline]
    #[must_use]
    pub fn begin() -> Self {
        let runtime = runtime();
        if let Some(runtime) = runtime {
            runtime.before();
            runtime.ignore();
        }
        Self(runtime)
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if let Some(runtime) = self.0 {
            runtime.attend();
            runtime.after();
        }
    }
}

/// Runs a callback of the program on one of the library's own threads.
pub fn call_back(callback: impl FnOnce()) {
    let Some(runtime) = runtime() else { return callback() };
    runtime.attend();
    runtime.after();
    callback();
    runtime.before();
    runtime.ignore();
}
