//! The real executor over a fake `libcuda.so.1`, which runs the real kernels in a CPU emulation: the whole host path
//! without a GPU. Emulation is slow, so matrices are small. Needs g++.
#![cfg(feature = "cuda")]

mod answers;
mod bench;
mod faults;
mod world;
