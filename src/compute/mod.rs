//! What a job is, and what its right answer is: arithmetic on which two honest parties agree bit for bit.
//!
//! Quiet and pure. It starts no thread: a product is offered in blocks of rows, and a spoke decides on how
//! many threads they run. It decides nothing about what happens to a worker whose answer is wrong.

pub mod cpu_matrix;
pub mod gemm_i8;
pub mod gpu_matrix;
pub mod gpu_signature;
pub mod kernel;
pub mod merkle;
pub mod mt19937;
pub mod row_hash;
pub mod sample;
pub mod verify;
