//! cuBLASLt, NVIDIA's own matrix product: the yardstick that ours is measured by, opened at run time where it is found.
//!
//! Runs on: the device's thread, while its [`Gpu`] lives. Nothing that is served depends on it: no library, an old one or
//! one that refuses is a [`CublasFault`] and no more. The library is never closed.

use std::{
    ffi::{CStr, CString, c_void},
    ptr,
};

use super::{
    driver::Ptr,
    fence::{Buffer, Fault, Gpu},
};

/// By the loader's own search; `LD_LIBRARY_PATH` names other places.
const LIBRARIES: [&CStr; 3] = [c"libcublasLt.so.13", c"libcublasLt.so.12", c"libcublasLt.so.11"];
/// What NVIDIA recommends for Hopper; more is of no use to an int8 product.
const WORKSPACE_BYTES: u64 = 32 << 20;
/// So many of the library's own proposals are tried.
const WAYS: i32 = 4;

// The library's own numbers (cublasLt.h, library_types.h).
const R_8I: u32 = 3;
const R_32I: u32 = 10;
const COMPUTE_32I: u32 = 72;
const OP_T: i32 = 1;
const DESC_TRANSA: u32 = 3;
const PREFERENCE_WORKSPACE: u32 = 1;

#[derive(Debug, thiserror::Error)]
pub enum CublasFault {
    #[error(
        "no libcublasLt.so.13, .12 or .11 is found: put its directory into LD_LIBRARY_PATH (in Python's packages: nvidia/cublas/lib)"
    )]
    NotFound,
    #[error("{library} has no {entry}")]
    Missing { library: &'static str, entry: &'static str },
    #[error("{call}: cuBLAS status {status}")]
    Call { call: &'static str, status: i32 },
    #[error("cuBLASLt proposes no way to multiply {rows} × {cols} × {k} int8 values to int32")]
    NoWay { rows: u32, cols: u32, k: u32 },
    #[error(transparent)]
    Cuda(#[from] Fault),
}

macro_rules! entries {
    ($($name:ident($($ty:ty),*);)*) => {
        #[expect(non_snake_case, reason = "each is called like its entry")]
        #[derive(Debug)]
        struct Entries {
            $($name: unsafe extern "C" fn($($ty),*) -> i32,)*
        }

        impl Entries {
            fn of(library: Ptr, named: &'static str) -> Result<Entries, CublasFault> {
                // SAFETY: the library's entries of these names have these signatures in all versions from 11 to 13.
                Ok(unsafe {
                    Entries {
                        $($name: std::mem::transmute::<Ptr, unsafe extern "C" fn($($ty),*) -> i32>(symbol(
                            library,
                            named,
                            stringify!($name),
                        )?),)*
                    }
                })
            }
        }
    };
}

fn symbol(library: Ptr, named: &'static str, entry: &'static str) -> Result<Ptr, CublasFault> {
    let missing = || CublasFault::Missing { library: named, entry };
    let name = CString::new(entry).map_err(|_| missing())?;
    // SAFETY: a library that is never closed, and a name that ends in NUL.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    if found.is_null() { Err(missing()) } else { Ok(found) }
}

entries! {
    cublasLtCreate(*mut Ptr);
    cublasLtDestroy(Ptr);
    cublasLtMatmulDescCreate(*mut Ptr, u32, u32);
    cublasLtMatmulDescDestroy(Ptr);
    cublasLtMatmulDescSetAttribute(Ptr, u32, *const c_void, usize);
    cublasLtMatrixLayoutCreate(*mut Ptr, u32, u64, u64, i64);
    cublasLtMatrixLayoutDestroy(Ptr);
    cublasLtMatmulPreferenceCreate(*mut Ptr);
    cublasLtMatmulPreferenceDestroy(Ptr);
    cublasLtMatmulPreferenceSetAttribute(Ptr, u32, *const c_void, usize);
    cublasLtMatmulAlgoGetHeuristic(Ptr, Ptr, Ptr, Ptr, Ptr, Ptr, Ptr, i32, *mut Heuristic, *mut i32);
    cublasLtMatmul(Ptr, Ptr, *const i32, u64, Ptr, u64, Ptr, *const i32, u64, Ptr, u64, Ptr, *const [u64; 8], u64, usize, Ptr);
}

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Heuristic {
    algorithm: [u64; 8],
    workspace_bytes: usize,
    state: i32,
    waves: f32,
    reserved: [i32; 4],
}

/// The library with a handle of the device that is current.
#[derive(Debug)]
pub struct CublasLt {
    entries: Entries,
    handle: Ptr,
    library: &'static str,
    version: Option<usize>,
}

impl CublasLt {
    /// Opens the library for the device that this `gpu` has made current on this thread.
    pub fn open(_gpu: &Gpu) -> Result<CublasLt, CublasFault> {
        let (library, named) = LIBRARIES.into_iter().find_map(find).ok_or(CublasFault::NotFound)?;
        let entries = Entries::of(library, named)?;
        let mut handle = ptr::null_mut();
        // SAFETY: a place for one pointer.
        told("cublasLtCreate", unsafe { (entries.cublasLtCreate)(&mut handle) })?;
        Ok(CublasLt { entries, handle, library: named, version: version(library) })
    }

    /// The name that it was found by, and its version as it writes it, 120304 or so.
    pub fn name(&self) -> String {
        self.version.map_or_else(|| self.library.to_owned(), |version| format!("{} ({version})", self.library))
    }

    /// How it would multiply `rows` × k by k × `cols`.
    pub fn product<'a>(&'a self, gpu: &'a Gpu, rows: u32, cols: u32, k: u32) -> Result<CublasProduct<'a>, CublasFault> {
        let workspace = gpu.buffer(WORKSPACE_BYTES)?;
        let mut product = CublasProduct {
            of: self,
            gpu,
            shape: [rows, cols, k],
            parts: Parts::default(),
            ways: Vec::new(),
            workspace,
        };
        product.describe()?;
        product.propose()?;
        Ok(product)
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        // SAFETY: made by cublasLtCreate, and used no more.
        unsafe { (self.entries.cublasLtDestroy)(self.handle) };
    }
}

/// One shape, with the ways that the library proposes for it, its own favourite first.
#[derive(Debug)]
pub struct CublasProduct<'a> {
    of: &'a CublasLt,
    gpu: &'a Gpu,
    shape: [u32; 3],
    parts: Parts,
    ways: Vec<Heuristic>,
    workspace: Buffer,
}

/// What the library describes a product with; null until it is made.
#[derive(Debug)]
struct Parts {
    operation: Ptr,
    layouts: [Ptr; 3],
    preference: Ptr,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { operation: ptr::null_mut(), layouts: [ptr::null_mut(); 3], preference: ptr::null_mut() }
    }
}

impl CublasProduct<'_> {
    /// Columns first is the library's order: our B by columns is its A transposed, our A by rows its B, and C by columns
    /// of `cols` is ours by rows. int8 is multiplied in this form alone (TN).
    fn describe(&mut self) -> Result<(), CublasFault> {
        let (entries, parts) = (&self.of.entries, &mut self.parts);
        let [rows, cols, k] = self.shape.map(u64::from);
        // SAFETY: places for one pointer each, and an attribute of the size that is said.
        unsafe {
            told(
                "cublasLtMatmulDescCreate",
                (entries.cublasLtMatmulDescCreate)(&mut parts.operation, COMPUTE_32I, R_32I),
            )?;
            let transposed = ptr::from_ref(&OP_T).cast();
            let set =
                (entries.cublasLtMatmulDescSetAttribute)(parts.operation, DESC_TRANSA, transposed, size_of_val(&OP_T));
            told("cublasLtMatmulDescSetAttribute", set)?;
            let [a, b, c] = &mut parts.layouts;
            for (place, kind, height, width) in [(a, R_8I, k, cols), (b, R_8I, k, rows), (c, R_32I, cols, rows)] {
                let made = (entries.cublasLtMatrixLayoutCreate)(place, kind, height, width, height.cast_signed());
                told("cublasLtMatrixLayoutCreate", made)?;
            }
            told("cublasLtMatmulPreferenceCreate", (entries.cublasLtMatmulPreferenceCreate)(&mut parts.preference))?;
            let bytes = ptr::from_ref(&WORKSPACE_BYTES).cast();
            let set = (entries.cublasLtMatmulPreferenceSetAttribute)(parts.preference, PREFERENCE_WORKSPACE, bytes, 8);
            told("cublasLtMatmulPreferenceSetAttribute", set)
        }
    }

    fn propose(&mut self) -> Result<(), CublasFault> {
        let (mut found, mut count) = ([Heuristic::default(); WAYS as usize], 0);
        let Parts { operation, layouts: [a, b, c], preference } = self.parts;
        // SAFETY: everything was made by this library, and there is room for as many proposals as are asked for.
        let asked = unsafe {
            (self.of.entries.cublasLtMatmulAlgoGetHeuristic)(
                self.of.handle,
                operation,
                a,
                b,
                c,
                c,
                preference,
                WAYS,
                found.as_mut_ptr(),
                &mut count,
            )
        };
        let fits = |way: &&Heuristic| way.state == 0 && way.workspace_bytes as u64 <= WORKSPACE_BYTES;
        let count = usize::try_from(count).unwrap_or_default().min(found.len());
        self.ways = found[..count].iter().filter(fits).copied().collect();
        const NOT_SUPPORTED: i32 = 15;
        match asked {
            0 | NOT_SUPPORTED if self.ways.is_empty() => {
                let [rows, cols, k] = self.shape;
                Err(CublasFault::NoWay { rows, cols, k })
            }
            status => told("cublasLtMatmulAlgoGetHeuristic", status),
        }
    }

    /// How many ways there are; at least one.
    pub fn ways(&self) -> usize {
        self.ways.len()
    }

    /// Starts the product on the device's stream; returns before it has run.
    pub fn multiply(&self, way: usize, a: &Buffer, b: &Buffer, c: &Buffer) -> Result<(), CublasFault> {
        const CALL: &str = "cublasLtMatmul";
        let [rows, cols, k] = self.shape.map(u64::from);
        let fits = a.bytes() >= rows * k && b.bytes() >= cols * k && c.bytes() >= rows * cols * 4;
        let Some(way) = self.ways.get(way).filter(|_| fits) else {
            return Err(Fault::bounds(CALL).into());
        };
        let Parts { operation, layouts: [left, right, out], .. } = self.parts;
        let (one, zero) = (1, 0);
        // SAFETY: everything was made by this library for these sizes, and the buffers are that large.
        let started = unsafe {
            (self.of.entries.cublasLtMatmul)(
                self.of.handle,
                operation,
                &one,
                b.address(),
                left,
                a.address(),
                right,
                &zero,
                c.address(),
                out,
                c.address(),
                out,
                &way.algorithm,
                self.workspace.address(),
                WORKSPACE_BYTES as usize,
                self.gpu.stream(),
            )
        };
        told(CALL, started)
    }
}

impl Drop for CublasProduct<'_> {
    fn drop(&mut self) {
        let (entries, Parts { operation, layouts, preference }) = (&self.of.entries, &self.parts);
        // SAFETY: made by this library, and used no more.
        unsafe {
            layouts.iter().filter(|layout| !layout.is_null()).for_each(|layout| {
                (entries.cublasLtMatrixLayoutDestroy)(*layout);
            });
            if !preference.is_null() {
                (entries.cublasLtMatmulPreferenceDestroy)(*preference);
            }
            if !operation.is_null() {
                (entries.cublasLtMatmulDescDestroy)(*operation);
            }
        }
    }
}

fn find(name: &'static CStr) -> Option<(Ptr, &'static str)> {
    // SAFETY: the name ends in NUL.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    (!library.is_null()).then(|| (library, name.to_str().unwrap_or_default()))
}

fn version(library: Ptr) -> Option<usize> {
    // SAFETY: the library's entry of this name takes nothing and gives a size.
    unsafe {
        let found = libc::dlsym(library, c"cublasLtGetVersion".as_ptr());
        (!found.is_null()).then(|| std::mem::transmute::<Ptr, unsafe extern "C" fn() -> usize>(found)())
    }
}

fn told(call: &'static str, status: i32) -> Result<(), CublasFault> {
    if status == 0 { Ok(()) } else { Err(CublasFault::Call { call, status }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proposal_is_laid_out_as_the_library_has_it() {
        assert_eq!((size_of::<Heuristic>(), std::mem::offset_of!(Heuristic, workspace_bytes)), (96, 64));
        assert_eq!(std::mem::offset_of!(Heuristic, state), 72);
    }
}
