//! The validator against honest and other miners, in virtual time, with real crypto. No socket, no thread.

mod bench;
mod btauth;
mod gate;
mod gemm;
mod gpu_matrix;
mod lease_file;
mod life;
mod market;
mod node;
mod overrides;
mod recorded;
mod rounds;
mod sealed;
mod status;
mod tasks;
mod weights;
