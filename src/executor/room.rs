//! The device's memory for one product, and the steps of a round in it: draw, multiply, hash.
//!
//! Runs on: the device's thread. Owns its buffers, which are freed with it. Nothing but hashes leaves the device.

use super::fault::JobFault;
use crate::{
    compute::gemm_i8::{Hash, RoundKey, SIDE_MAX, SIDE_STEP},
    cuda::{Buffer, Fault, Kernels, Key},
    wire::gpu_socket::Timings,
};

/// Rows that are multiplied at once when chunks are opened: the products' own step.
pub const OPENED_ROWS: u32 = 256;
/// Memory that is left alone: the driver's own, and what it takes for launches.
const SPARE_BYTES: u64 = 64 << 20;

/// A, B and C of `rows` × n, and the chaining values of C's chunks.
pub struct Room<'a> {
    kernels: &'a Kernels,
    rows: u32,
    n: u32,
    a: Buffer,
    b: Buffer,
    c: Buffer,
    nodes: [Buffer; 2],
}

/// Bytes of each buffer of a room.
fn sizes(rows: u32, n: u32) -> [u64; 5] {
    let [rows, n] = [rows, n].map(u64::from);
    let per_row = n / 256;
    [rows * n, n * n, rows * n * 4, rows * per_row * 32, rows * per_row.div_ceil(2) * 32]
}

fn fits(rows: u32, n: u32, free: u64) -> bool {
    sizes(rows, n).iter().sum::<u64>() + SPARE_BYTES.min(free / 16) <= free
}

/// Free bytes that a device needs for the smallest product.
pub fn least_bytes() -> u64 {
    let sum: u64 = sizes(SIDE_STEP, SIDE_STEP).iter().sum();
    sum + sum / 15
}

/// The side of the largest product that a device with so many free bytes computes; `None`: it has none.
pub fn largest_n(free_bytes: u64) -> Option<u32> {
    (1..=SIDE_MAX / SIDE_STEP).rev().map(|steps| steps * SIDE_STEP).find(|n| fits(*n, *n, free_bytes))
}

impl<'a> Room<'a> {
    /// Memory for `rows` rows; refused by name where it is known not to be there.
    pub fn new(kernels: &'a Kernels, uuid: &str, rows: u32, n: u32) -> Result<Room<'a>, JobFault> {
        let cuda = |fault| JobFault::Cuda { uuid: uuid.to_owned(), fault };
        let free = kernels.gpu.free_bytes().map_err(cuda)?;
        if !fits(rows, n, free) {
            let needed: u64 = sizes(rows, n).iter().sum();
            let (needed_mib, free_mib) = (needed.div_ceil(1 << 20), free >> 20);
            return Err(JobFault::TooLarge { uuid: uuid.to_owned(), n, needed_mib, free_mib });
        }
        Room::taken(kernels, rows, n).map_err(cuda)
    }

    fn taken(kernels: &'a Kernels, rows: u32, n: u32) -> Result<Room<'a>, Fault> {
        let [a, b, c, lower, upper] = sizes(rows, n).map(|bytes| kernels.gpu.buffer(bytes));
        Ok(Room { kernels, rows, n, a: a?, b: b?, c: c?, nodes: [lower?, upper?] })
    }

    fn per_row(&self) -> u32 {
        self.n / 256
    }

    /// A whole round: the hash of each row, and what its time went into.
    pub fn round(&self, key: &RoundKey) -> Result<(Vec<Hash>, Timings), Fault> {
        let (gpu, key) = (&self.kernels.gpu, Key(*key.bytes()));
        let (rows, n) = (u64::from(self.rows), u64::from(self.n));
        let began = gpu.mark()?;
        self.kernels.expand(&self.a, rows * n, key, 0)?;
        self.kernels.expand(&self.b, n * n, key, 1)?;
        let drawn = gpu.mark()?;
        self.kernels.multiply(&self.a, &self.b, &self.c, self.rows, self.n, self.n)?;
        let multiplied = gpu.mark()?;
        let [lower, upper] = &self.nodes;
        self.kernels.chunk_cvs(&self.c, lower, rows, self.per_row())?;
        let top = self.kernels.row_hashes(lower, upper, rows, self.per_row())?;
        let hashed = gpu.mark()?;
        let hashes = self.hashes(top, rows)?;
        let timings = Timings {
            generate: gpu.ms_between(&began, &drawn)?,
            multiply: gpu.ms_between(&drawn, &multiplied)?,
            hash: gpu.ms_between(&multiplied, &hashed)?,
            total: gpu.ms_between(&began, &hashed)?,
        };
        Ok((hashes, timings))
    }

    /// Draws all of B, which every batch of rows of this round is multiplied with.
    pub fn draw_b(&self, key: &RoundKey) -> Result<(), Fault> {
        let n = u64::from(self.n);
        self.kernels.expand(&self.b, n * n, Key(*key.bytes()), 1)
    }

    /// The chaining values of these rows of C, all chunks of the first row first. At most as many as the room has.
    pub fn chaining(&self, key: &RoundKey, rows: &[u32]) -> Result<Vec<Hash>, Fault> {
        let mut padded = rows.to_vec();
        padded.resize(self.rows as usize, rows.first().copied().unwrap_or_default());
        let numbers: Vec<u8> = padded.iter().flat_map(|row| row.to_le_bytes()).collect();
        let mut list = self.kernels.gpu.buffer(numbers.len() as u64)?;
        self.kernels.gpu.write(&mut list, &numbers)?;
        self.kernels.expand_rows(&self.a, &list, self.rows, u64::from(self.n), Key(*key.bytes()), 0)?;
        self.kernels.multiply(&self.a, &self.b, &self.c, self.rows, self.n, self.n)?;
        self.kernels.chunk_cvs(&self.c, &self.nodes[0], u64::from(self.rows), self.per_row())?;
        self.hashes(&self.nodes[0], rows.len() as u64 * u64::from(self.per_row()))
    }

    /// The values of one chunk of the `at`-th row that was multiplied last.
    pub fn values(&self, at: usize, chunk: u32) -> Result<Box<[i32; 256]>, Fault> {
        let mut bytes = [0; 1024];
        let place = (at as u64 * u64::from(self.n) + u64::from(chunk) * 256) * 4;
        self.kernels.gpu.read(&self.c, place, &mut bytes)?;
        let mut values = Box::new([0; 256]);
        for (value, word) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = i32::from_le_bytes(*word);
        }
        Ok(values)
    }

    fn hashes(&self, from: &Buffer, count: u64) -> Result<Vec<Hash>, Fault> {
        let mut bytes = vec![0; count as usize * 32];
        self.kernels.gpu.read(from, 0, &mut bytes)?;
        Ok(bytes.as_chunks::<32>().0.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_largest_products_take() {
        let mib = |n| sizes(n, n).iter().sum::<u64>() >> 20;
        assert_eq!([mib(32_768), mib(65_536)], [6336, 25_344]);
    }

    #[test]
    fn the_largest_product_is_one_that_would_be_taken() {
        let gib = |gib: u64| largest_n(gib << 30);
        assert_eq!([gib(1), gib(24), gib(80)], [Some(12_544), Some(SIDE_MAX - SIDE_STEP * 5), Some(SIDE_MAX)]);
        assert_eq!((largest_n(0), largest_n(1 << 20)), (None, Some(256)));
        assert_eq!([least_bytes() - 1, least_bytes()].map(largest_n), [None, Some(SIDE_STEP)]);
    }
}
