//! A whole network of real processes whose worker has a GPU: chain, validator, miner, worker and `byteleap-gpu` over a fake
//! `libcuda.so.1`, which runs the real kernels in a CPU emulation. Needs g++. Every wait has a deadline, none a length.
#![cfg(feature = "cuda")]

mod faults;
mod quarantine;
mod stage;
