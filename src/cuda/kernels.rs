//! The kernels of `cuda/` as safe calls: sizes, launches and the bytes that each touches.
//!
//! All of them are started on the device's one stream and return before they have run; [`Gpu::read`] waits.

use super::{
    artefact::Artefact,
    fence::{Argument, Buffer, Fault, Gpu, Key, Shape},
};

/// Shared memory of a block of the portable product.
const MMA_SHARED: u32 = 98_304;
/// Shared memory of a block of Hopper's: four stages of two tiles, room to align them, and their barriers.
const WGMMA_SHARED: u32 = 197_696;
/// Bytes of a BLAKE3 chaining value.
const CV: u64 = 32;
/// BLAKE3's flag of the topmost node.
const ROOT: u32 = 8;

/// Which kernel multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    Mma,
    Wgmma,
}

/// A device with the kernels that it has.
#[derive(Debug)]
pub struct Kernels {
    pub gpu: Gpu,
    pub artefact: Artefact,
    pub product: Product,
}

impl Kernels {
    pub fn new(gpu: Gpu, artefact: Artefact) -> Kernels {
        Kernels { gpu, artefact, product: if artefact.has_wgmma() { Product::Wgmma } else { Product::Mma } }
    }

    /// `bytes` (a multiple of 64) of a keystream, from its start.
    pub fn expand(&self, out: &Buffer, bytes: u64, key: Key, stream: u64) -> Result<(), Fault> {
        let blocks = bytes / 64;
        let arguments =
            [Argument::Buffer(out, bytes), Argument::U64(blocks), Argument::Key(key), Argument::U64(stream)];
        self.gpu.launch("expand", Shape { grid: blocks.div_ceil(256), block: 256, shared: 0 }, &arguments)
    }

    /// These rows of `width` bytes of a keystream, one after the other. `rows`: `count` numbers of 32 bits.
    pub fn expand_rows(
        &self,
        out: &Buffer,
        rows: &Buffer,
        count: u32,
        width: u64,
        key: Key,
        stream: u64,
    ) -> Result<(), Fault> {
        let (count_64, per_row) = (u64::from(count), width / 64);
        let arguments = [
            Argument::Buffer(out, count_64 * width),
            Argument::Buffer(rows, count_64 * 4),
            Argument::U32(count),
            Argument::U64(per_row),
            Argument::Key(key),
            Argument::U64(stream),
        ];
        let shape = Shape { grid: (count_64 * per_row).div_ceil(256), block: 256, shared: 0 };
        self.gpu.launch("expand_rows", shape, &arguments)
    }

    /// C of `rows` × `cols`, of A by rows and B by columns, each of `k` bytes. All multiples of 256.
    pub fn multiply(&self, a: &Buffer, b: &Buffer, c: &Buffer, rows: u32, cols: u32, k: u32) -> Result<(), Fault> {
        let [rows_64, cols_64, k_64] = [rows, cols, k].map(u64::from);
        let sizes = [Argument::U32(rows), Argument::U32(cols), Argument::U32(k)];
        let c = Argument::Buffer(c, rows_64 * cols_64 * 4);
        let (kernel, shape, [a, b]) = match self.product {
            Product::Mma => {
                let shape = Shape { grid: rows_64 / 128 * (cols_64 / 256), block: 256, shared: MMA_SHARED };
                let operands = [Argument::Buffer(a, rows_64 * k_64), Argument::Buffer(b, cols_64 * k_64)];
                ("gemm_s8_mma", shape, operands)
            }
            Product::Wgmma => {
                let pairs = rows_64 / 256 * (cols_64 / 256);
                let resident = u64::from(self.gpu.multiprocessors() / 2).max(1);
                let shape = Shape { grid: 2 * pairs.min(resident), block: 384, shared: WGMMA_SHARED };
                let maps = [self.gpu.tensor_map(a, k_64, rows_64)?, self.gpu.tensor_map(b, k_64, cols_64)?];
                ("gemm_s8_wgmma", shape, maps.map(Argument::Map))
            }
        };
        let [rows, cols, k] = sizes;
        self.gpu.launch(kernel, shape, &[a, b, c, rows, cols, k])
    }

    /// The chaining value of each chunk of rows that have `per_row` chunks of 1 KiB.
    pub fn chunk_cvs(&self, c: &Buffer, cvs: &Buffer, rows: u64, per_row: u32) -> Result<(), Fault> {
        let chunks = rows * u64::from(per_row);
        let arguments = [
            Argument::Buffer(c, chunks * 1024),
            Argument::Buffer(cvs, chunks * CV),
            Argument::U64(chunks),
            Argument::U32(per_row),
        ];
        self.gpu.launch("chunk_cvs", Shape { grid: chunks.div_ceil(128), block: 128, shared: 0 }, &arguments)
    }

    /// From the chaining values of `rows` rows up to each row's hash; says in which of the two buffers they end.
    pub fn row_hashes<'a>(
        &self,
        mut from: &'a Buffer,
        mut to: &'a Buffer,
        rows: u64,
        per_row: u32,
    ) -> Result<&'a Buffer, Fault> {
        let mut nodes = per_row;
        while nodes > 1 {
            let above = nodes.div_ceil(2);
            let out = rows * u64::from(above);
            let arguments = [
                Argument::Buffer(from, rows * u64::from(nodes) * CV),
                Argument::Buffer(to, out * CV),
                Argument::U64(rows),
                Argument::U32(nodes),
                Argument::U32(if above == 1 { ROOT } else { 0 }),
            ];
            self.gpu.launch("parents", Shape { grid: out.div_ceil(128), block: 128, shared: 0 }, &arguments)?;
            (from, to, nodes) = (to, from, above);
        }
        Ok(from)
    }
}
