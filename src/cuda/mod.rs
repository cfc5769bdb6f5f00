//! CUDA: the driver bound at run time, what is wrong with its bindings fenced off, and the kernels as safe calls.
//!
//! ```text
//! cust ──► api (the driver's symbols) ──► driver (slots, dlopen) ──► libcuda.so.1, or nothing
//! kernels ──► fence ──► cust
//! ```
//!
//! `unsafe` lives in `api`, `driver` and `fence` alone. A context belongs to the thread that opened it; nothing here
//! starts a thread, reads a clock or knows what a challenge is.

mod api;
mod artefact;
mod driver;
mod fence;
mod kernels;

pub use self::{
    artefact::{Artefact, Choice},
    driver::Unavailable,
    fence::{Buffer, DeviceFacts, Fault, FaultKind, Gpu, Key, Mark, StartFault, devices, start},
    kernels::{Kernels, Product},
};
