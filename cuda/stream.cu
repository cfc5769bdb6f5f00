// Making the matrices and hashing the product's rows: everything around the matrix product itself.
#include "gpu.cuh"
#include "hash.cuh"

DEV void keystream(uint4* out, const ChaChaKey& key, uint64_t block, uint64_t stream) {
    uint32_t w[16];
    chacha8_block(key, block, stream, w);
#pragma unroll
    for (int q = 0; q < 4; q++) out[q] = make_uint4(w[4 * q], w[4 * q + 1], w[4 * q + 2], w[4 * q + 3]);
}

// One thread, one 64-byte block: the first `blocks` of the keystream of (key, stream). Byte r * n + c is element (r, c).
KERNEL void __launch_bounds__(256) expand(uint4* out, uint64_t blocks, ChaChaKey key, uint64_t stream) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < blocks) keystream(out + i * 4, key, i, stream);
}

// The same of `count` listed rows, each of `blocks_per_row` blocks, one behind another: what an opening needs of A.
KERNEL void __launch_bounds__(256)
expand_rows(uint4* out, const uint32_t* rows, uint32_t count, uint64_t blocks_per_row, ChaChaKey key, uint64_t stream) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count * blocks_per_row) return;
    uint64_t row = rows[i / blocks_per_row];
    keystream(out + i * 4, key, row * blocks_per_row + i % blocks_per_row, stream);
}

// One thread, one 1 KiB chunk of a row (256 elements): its BLAKE3 chaining value, or the row's hash where the row is
// this one chunk.
KERNEL void __launch_bounds__(128) chunk_cvs(const uint4* c, uint4* cvs, uint64_t chunks, uint32_t per_row) {
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= chunks) return;
    const uint32_t last = B3_CHUNK_END | (per_row == 1 ? B3_ROOT : 0);
    uint32_t cv[8];
    blake3_iv(cv);
    const uint4* p = c + i * 64;
#pragma unroll 1
    for (int b = 0; b < 16; b++) {
        uint32_t m[16];
#pragma unroll
        for (int q = 0; q < 4; q++) {
            uint4 x = p[b * 4 + q];
            m[4 * q] = x.x; m[4 * q + 1] = x.y; m[4 * q + 2] = x.z; m[4 * q + 3] = x.w;
        }
        blake3_compress(cv, m, i % per_row, 64, (b == 0 ? B3_CHUNK_START : 0) | (b == 15 ? last : 0));
    }
    cvs[i * 2] = make_uint4(cv[0], cv[1], cv[2], cv[3]);
    cvs[i * 2 + 1] = make_uint4(cv[4], cv[5], cv[6], cv[7]);
}

// One level of every row's tree: ceil(nodes / 2) parents of `nodes` nodes a row. A last odd node is carried up as it is:
// level by level that is BLAKE3's tree, whose left part is the largest power of two below the whole.
KERNEL void __launch_bounds__(128) parents(const uint4* in, uint4* out, uint64_t rows, uint32_t nodes, uint32_t flags) {
    const uint32_t half = nodes / 2 + nodes % 2;
    uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * half) return;
    const uint32_t left = (uint32_t)(i % half) * 2;
    const uint4* from = in + (i / half * nodes + left) * 2;
    if (left + 1 == nodes) {
        out[i * 2] = from[0];
        out[i * 2 + 1] = from[1];
        return;
    }
    uint32_t cv[8], m[16];
    blake3_iv(cv);
#pragma unroll
    for (int q = 0; q < 4; q++) {
        uint4 x = from[q];
        m[4 * q] = x.x; m[4 * q + 1] = x.y; m[4 * q + 2] = x.z; m[4 * q + 3] = x.w;
    }
    blake3_compress(cv, m, 0, 64, B3_PARENT | flags);
    out[i * 2] = make_uint4(cv[0], cv[1], cv[2], cv[3]);
    out[i * 2 + 1] = make_uint4(cv[4], cv[5], cv[6], cv[7]);
}
