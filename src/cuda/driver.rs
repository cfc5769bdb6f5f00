//! The CUDA driver's library, bound when it is first asked for.
//!
//! `cust` links `-lcuda`, and a program so linked does not start where there is no NVIDIA driver. [`super::api`] defines
//! the driver's entries itself; each jumps through a slot that [`load`] fills from `libcuda.so.1`. Before that, and
//! where there is no driver, each answers `CUDA_ERROR_NO_DEVICE`. Any thread may call; the library stays loaded until
//! the process ends. It also maps result codes that `cust` (CUDA 11.4) does not know, which would be invalid values of
//! a Rust enum there, to `CUDA_ERROR_UNKNOWN`, and keeps the code that the driver gave.

use std::{
    cell::Cell,
    ffi::{CStr, c_char, c_void},
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::api;

pub type Ptr = *mut c_void;

pub(super) const SUCCESS: u32 = 0;
pub(super) const NOT_SUPPORTED: u32 = 801;
const NO_DEVICE: u32 = 100;
const UNKNOWN: u32 = 999;

/// Result codes of CUDA 11.4, those that `cust` can represent. Ascending.
const KNOWN: [u32; 87] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 34, 100, 101, 102, 200, 201, 202, 205, 206, 207, 208, 209, 210, 211, 212, 213, 214, 215,
    216, 217, 218, 219, 220, 221, 222, 223, 224, 300, 301, 302, 303, 304, 400, 401, 500, 600, 700, 701, 702, 703, 704,
    705, 708, 709, 710, 711, 712, 713, 714, 715, 716, 717, 718, 719, 720, 800, 801, 802, 803, 804, 805, 806, 807, 808,
    809, 900, 901, 902, 903, 904, 905, 906, 907, 908, 909, 910, 911, 999,
];

thread_local! {
    /// The last failure's code as the driver gave it.
    static LAST: Cell<u32> = const { Cell::new(0) };
}

/// One entry: its name, and the address behind it once that is known.
pub(super) struct Slot {
    pub name: &'static CStr,
    pub entry: &'static AtomicPtr<c_void>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no CUDA driver: {0}; without an NVIDIA driver this machine computes on its CPU alone")]
pub struct Unavailable(String);

/// Opens the driver's library, once; the first call decides. `cuInit` does it too.
pub fn load() -> Result<(), Unavailable> {
    static STATE: OnceLock<Result<(), Unavailable>> = OnceLock::new();
    STATE.get_or_init(open).clone()
}

fn open() -> Result<(), Unavailable> {
    let library = library(libc::RTLD_NOW | libc::RTLD_LOCAL)?;
    for slot in api::SLOTS {
        // SAFETY: a library that is never closed, and a name that ends in NUL.
        let entry = unsafe { libc::dlsym(library, slot.name.as_ptr()) };
        slot.entry.store(entry, Ordering::Release);
    }
    Ok(())
}

fn library(flags: i32) -> Result<Ptr, Unavailable> {
    // SAFETY: the name ends in NUL; what dlerror gives is read before any other call of the loader on this thread.
    unsafe {
        let library = libc::dlopen(c"libcuda.so.1".as_ptr(), flags);
        if !library.is_null() {
            return Ok(library);
        }
        let why = libc::dlerror();
        let named = |why| CStr::from_ptr(why).to_string_lossy().into_owned();
        Err(Unavailable(if why.is_null() { "libcuda.so.1 is not found".into() } else { named(why) }))
    }
}

/// An entry that is newer than `cust`, for the fence alone.
pub(super) fn entry(name: &CStr) -> Option<Ptr> {
    load().ok()?;
    let library = library(libc::RTLD_NOW | libc::RTLD_NOLOAD).ok()?;
    // SAFETY: as in `open`.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The code of this thread's last failure, as the driver gave it.
pub(super) fn last_code() -> u32 {
    LAST.get()
}

/// What a caller that knows CUDA 11.4 alone may be given.
pub(super) fn representable(code: u32) -> u32 {
    if code != SUCCESS {
        LAST.set(code);
    }
    if KNOWN.binary_search(&code).is_ok() { code } else { UNKNOWN }
}

/// What an entry answers that has no address.
pub(super) fn unbound() -> u32 {
    representable(if load().is_ok() { NOT_SUPPORTED } else { NO_DEVICE })
}

fn message(code: u32) -> &'static CStr {
    match code {
        SUCCESS => c"no error",
        NO_DEVICE => c"no CUDA driver, or no device",
        NOT_SUPPORTED => c"the driver lacks this entry",
        _ => c"unknown error",
    }
}

/// Never fails: `cust` panics where it says what an error is, when this does.
///
/// # Safety
///
/// `text` is a valid place for one pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuGetErrorString(code: u32, text: *mut *const c_char) -> u32 {
    // SAFETY: the caller's place is valid, and `error_string` is the driver's entry of this name.
    unsafe {
        let known = api::error_string().is_some_and(|real| real(code, text) == SUCCESS && !(*text).is_null());
        if !known {
            *text = message(code).as_ptr();
        }
    }
    SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_cust_does_not_know_are_unknown_and_kept() {
        assert!(KNOWN.is_sorted());
        assert_eq!([0, 2, 719, 46, 36, 1000].map(representable), [0, 2, 719, UNKNOWN, UNKNOWN, UNKNOWN]);
        assert_eq!((representable(46), representable(0), last_code()), (UNKNOWN, 0, 46));
    }

    #[test]
    fn an_error_always_has_a_text() {
        for code in [0, 2, 46, 100, 801, 4000] {
            let mut text = std::ptr::null();
            // SAFETY: one place for one pointer, which then points to a text that ends in NUL.
            let said = unsafe { (cuGetErrorString(code, &mut text), CStr::from_ptr(text)) };
            assert!(said.0 == SUCCESS && !said.1.is_empty());
        }
    }
}
