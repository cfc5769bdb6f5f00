// ChaCha8 and BLAKE3, as the challenge defines them: the same text is compiled for the device and, in the emulation,
// for the host.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#define FN __device__ __forceinline__
#else
#define FN static inline
#endif

FN uint32_t rotl(uint32_t x, int r) { return (x << r) | (x >> (32 - r)); }
FN uint32_t rotr(uint32_t x, int r) { return (x >> r) | (x << (32 - r)); }

// ---- ChaCha with 8 rounds, 64-bit block counter, 64-bit stream number (rand_chacha's ChaCha8Rng) ----
struct ChaChaKey { uint32_t w[8]; };

#define CHACHA_QR(a, b, c, d)        \
    a += b; d ^= a; d = rotl(d, 16); \
    c += d; b ^= c; b = rotl(b, 12); \
    a += b; d ^= a; d = rotl(d, 8);  \
    c += d; b ^= c; b = rotl(b, 7);

FN void chacha8_block(const ChaChaKey& key, uint64_t counter, uint64_t stream, uint32_t out[16]) {
    uint32_t s[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u,
                      key.w[0], key.w[1], key.w[2], key.w[3], key.w[4], key.w[5], key.w[6], key.w[7],
                      (uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    uint32_t x[16];
#pragma unroll
    for (int i = 0; i < 16; i++) x[i] = s[i];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        CHACHA_QR(x[0], x[4], x[8], x[12]) CHACHA_QR(x[1], x[5], x[9], x[13])
        CHACHA_QR(x[2], x[6], x[10], x[14]) CHACHA_QR(x[3], x[7], x[11], x[15])
        CHACHA_QR(x[0], x[5], x[10], x[15]) CHACHA_QR(x[1], x[6], x[11], x[12])
        CHACHA_QR(x[2], x[7], x[8], x[13]) CHACHA_QR(x[3], x[4], x[9], x[14])
    }
#pragma unroll
    for (int i = 0; i < 16; i++) out[i] = x[i] + s[i];
}

// ---- BLAKE3's compression, first eight output words (the chaining value) ----
enum { B3_CHUNK_START = 1, B3_CHUNK_END = 2, B3_PARENT = 4, B3_ROOT = 8 };
#define B3_IV0 0x6A09E667u
#define B3_IV1 0xBB67AE85u
#define B3_IV2 0x3C6EF372u
#define B3_IV3 0xA54FF53Au
#define B3_IV4 0x510E527Fu
#define B3_IV5 0x9B05688Cu
#define B3_IV6 0x1F83D9ABu
#define B3_IV7 0x5BE0CD19u

#define B3_G(a, b, c, d, mx, my)           \
    a = a + b + (mx); d = rotr(d ^ a, 16); \
    c = c + d; b = rotr(b ^ c, 12);        \
    a = a + b + (my); d = rotr(d ^ a, 8);  \
    c = c + d; b = rotr(b ^ c, 7);

// The message schedule is written out, so that every index is a constant and the words stay in registers.
#define B3_ROUND(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15)            \
    B3_G(v[0], v[4], v[8], v[12], m[m0], m[m1])    B3_G(v[1], v[5], v[9], v[13], m[m2], m[m3])    \
    B3_G(v[2], v[6], v[10], v[14], m[m4], m[m5])   B3_G(v[3], v[7], v[11], v[15], m[m6], m[m7])   \
    B3_G(v[0], v[5], v[10], v[15], m[m8], m[m9])   B3_G(v[1], v[6], v[11], v[12], m[m10], m[m11]) \
    B3_G(v[2], v[7], v[8], v[13], m[m12], m[m13])  B3_G(v[3], v[4], v[9], v[14], m[m14], m[m15])

FN void blake3_compress(uint32_t cv[8], const uint32_t m[16], uint64_t counter, uint32_t len, uint32_t flags) {
    uint32_t v[16] = {cv[0], cv[1], cv[2], cv[3], cv[4], cv[5], cv[6], cv[7], B3_IV0, B3_IV1, B3_IV2, B3_IV3,
                      (uint32_t)counter, (uint32_t)(counter >> 32), len, flags};
    B3_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    B3_ROUND(2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
    B3_ROUND(3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1)
    B3_ROUND(10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6)
    B3_ROUND(12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4)
    B3_ROUND(9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7)
    B3_ROUND(11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13)
#pragma unroll
    for (int i = 0; i < 8; i++) cv[i] = v[i] ^ v[i + 8];
}

FN void blake3_iv(uint32_t cv[8]) {
    cv[0] = B3_IV0; cv[1] = B3_IV1; cv[2] = B3_IV2; cv[3] = B3_IV3;
    cv[4] = B3_IV4; cv[5] = B3_IV5; cv[6] = B3_IV6; cv[7] = B3_IV7;
}
