//! CUDA: the driver bound at run time, what is wrong with its bindings fenced off, and the kernels as safe calls.
//!
//! ```text
//! cust ──► api (the driver's symbols) ──► driver (slots, dlopen) ──► libcuda.so.1, or nothing
//! kernels ──► fence ──► cust
//! cublas_lt ──► libcublasLt.so, or nothing: NVIDIA's own product, for the bench alone
//! ```
//!
//! `unsafe` lives in `api`, `driver`, `fence` and `cublas_lt` alone. A context belongs to the thread that opened it; nothing here
//! starts a thread, reads a clock or knows what a challenge is.

mod api;
mod artefact;
mod cublas_lt;
mod driver;
mod fence;
mod kernels;
mod remedy;

pub use self::{
    artefact::{Artefact, Choice},
    cublas_lt::{CublasFault, CublasLt, CublasProduct},
    driver::Unavailable,
    fence::{Buffer, DeviceFacts, Fault, FaultKind, Gpu, Key, Mark, StartFault, devices, driver_version, start},
    kernels::{Kernels, Product},
};
