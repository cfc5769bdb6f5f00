// The kernels in the CPU emulation, held against references of another shape: ChaCha8 and BLAKE3 as their papers write
// them, the product as three loops. One line a check; the last line counts them. usage: kernels [PART [first]]
#include "gemm_mma.cu"
#include "gemm_wgmma.cu"
#include "stream.cu"
#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <string>

namespace {
int passed = 0, failed = 0;
bool first_only = false;  // end with the first failure
std::mt19937 rng(7);

void check(const std::string& what, uint64_t wrong) {
    (wrong ? failed : passed)++;
    if (wrong) printf("FAILED %s: %llu wrong\n", what.c_str(), (unsigned long long)wrong);
    else printf("ok     %s\n", what.c_str());
    if (wrong && first_only) exit(1);
}

template <class T> uint64_t differing(const std::vector<T>& a, const std::vector<T>& b) {
    uint64_t wrong = a.size() != b.size();
    for (size_t i = 0; i < std::min(a.size(), b.size()); i++) wrong += a[i] != b[i];
    return wrong;
}

template <class T> std::vector<T> noise(size_t n) {
    std::vector<T> v(n);
    for (auto& x : v) x = (T)rng();
    return v;
}

// ---- references ----
uint32_t turn(uint32_t x, int by) { return x << by | x >> (32 - by); }

std::array<uint32_t, 16> chacha8(const std::vector<uint32_t>& key, uint64_t counter, uint64_t stream) {
    std::array<uint32_t, 16> start{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, x;
    std::copy(key.begin(), key.end(), start.begin() + 4);
    const uint64_t tail[2] = {counter, stream};
    for (int i = 0; i < 4; i++) start[12 + i] = (uint32_t)(tail[i / 2] >> i % 2 * 32);
    x = start;
    auto quarter = [&](int a, int b, int c, int d) {
        const int by[4] = {16, 12, 8, 7};
        for (int i = 0; i < 4; i++) {
            int p = i % 2 ? c : a, q = i % 2 ? d : b, r = i % 2 ? b : d;
            x[p] += x[q];
            x[r] = turn(x[r] ^ x[p], by[i]);
        }
    };
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < 4; i++) quarter(i, 4 + (i + round % 2) % 4, 8 + (i + round % 2 * 2) % 4, 12 + (i + round % 2 * 3) % 4);
    for (int i = 0; i < 16; i++) x[i] += start[i];
    return x;
}

std::vector<uint8_t> keystream_of(const std::vector<uint32_t>& key, uint64_t stream, uint64_t from, uint64_t bytes) {
    std::vector<uint8_t> out(bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        static uint64_t at = ~0ull; static std::array<uint32_t, 16> block;
        if (i == 0 || (from + i) / 64 != at) block = chacha8(key, at = (from + i) / 64, stream);
        out[i] = (uint8_t)(block[(from + i) % 64 / 4] >> (from + i) % 4 * 8);
    }
    return out;
}

using Cv = std::array<uint32_t, 8>;
const Cv IV{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

Cv compress(const Cv& cv, const uint8_t* block, uint64_t counter, uint32_t flags) {
    static const int order[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    std::array<uint32_t, 16> m, next, v;
    memcpy(m.data(), block, 64);
    for (int i = 0; i < 8; i++) v[i] = cv[i], v[8 + i] = IV[i];
    v[12] = (uint32_t)counter; v[13] = (uint32_t)(counter >> 32); v[14] = 64; v[15] = flags;
    for (int round = 0; round < 7; round++) {
        for (int i = 0; i < 8; i++) {
            int a = i % 4, b = 4 + (i + i / 4) % 4, c = 8 + (i + i / 4 * 2) % 4, d = 12 + (i + i / 4 * 3) % 4;
            for (int half = 0; half < 2; half++) {
                v[a] += v[b] + m[2 * i + half];
                v[d] = turn(v[d] ^ v[a], half ? 24 : 16);
                v[c] += v[d];
                v[b] = turn(v[b] ^ v[c], half ? 25 : 20);
            }
        }
        for (int i = 0; i < 16; i++) next[i] = m[order[i]];
        m = next;
    }
    Cv out;
    for (int i = 0; i < 8; i++) out[i] = v[i] ^ v[i + 8];
    return out;
}

// Of the chunks [first, first + count) of a row; top-down, as the paper has it.
Cv blake3(const uint8_t* row, uint64_t first, uint64_t count, bool root) {
    if (count == 1) {
        Cv cv = IV;
        for (int b = 0; b < 16; b++) cv = compress(cv, row + first * 1024 + b * 64, first, (b == 0) | (b == 15) << 1 | (b == 15 && root) << 3);
        return cv;
    }
    uint64_t left = 1;
    while (left * 2 < count) left *= 2;
    Cv both[2] = {blake3(row, first, left, false), blake3(row, first + left, count - left, false)};
    return compress(IV, (const uint8_t*)both, 0, 4 | root << 3);
}

// ---- checks ----
void matrices() {
    auto key = noise<uint32_t>(8);
    ChaChaKey k;
    std::copy(key.begin(), key.end(), k.w);
    const uint64_t blocks = 300;
    std::vector<uint8_t> out(blocks * 64);
    emu::launch(2, 256, 1, 0, [&] { expand((uint4*)out.data(), blocks, k, 1); });
    check("expand, 300 blocks", differing(out, keystream_of(key, 1, 0, blocks * 64)));
    std::vector<uint32_t> rows{5, 0, 5, 767, 3000000};
    const uint64_t per_row = 12;  // n = 768
    std::vector<uint8_t> some(rows.size() * per_row * 64), expected;
    for (uint64_t row : rows) {
        auto one = keystream_of(key, 0, row * per_row * 64, per_row * 64);
        expected.insert(expected.end(), one.begin(), one.end());
    }
    emu::launch(1, 256, 1, 0, [&] { expand_rows((uint4*)some.data(), rows.data(), (uint32_t)rows.size(), per_row, k, 0); });
    check("expand_rows, far rows and a row twice", differing(some, expected));
    std::vector<uint8_t> far(64);
    emu::launch(1, 256, 1, 0, [&] { uint32_t row[1] = {0xFFFFFFF0u}; expand_rows((uint4*)far.data(), row, 1, 1, k, 0); });
    check("expand_rows, a block counter of 32 bits", differing(far, keystream_of(key, 0, 0xFFFFFFF0ull * 64, 64)));
}

void hashes() {
    const uint32_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 31, 33, 255, 256};
    for (uint32_t per_row : sizes) {
        const uint64_t rows = per_row > 100 ? 2 : 3, chunks = rows * per_row;
        auto c = noise<uint32_t>(chunks * 256);
        std::vector<uint32_t> a(chunks * 8), b(chunks * 8);
        emu::launch((unsigned)(chunks + 127) / 128, 128, 1, 0, [&] { chunk_cvs((uint4*)c.data(), (uint4*)a.data(), chunks, per_row); });
        for (uint32_t nodes = per_row; nodes > 1; nodes = (nodes + 1) / 2) {
            const uint32_t flags = nodes == 2 ? B3_ROOT : 0;
            emu::launch((unsigned)(rows * ((nodes + 1) / 2) + 127) / 128, 128, 1, 0, [&] { parents((uint4*)a.data(), (uint4*)b.data(), rows, nodes, flags); });
            std::swap(a, b);
        }
        uint64_t wrong = 0;
        for (uint64_t row = 0; row < rows; row++) {
            Cv expected = blake3((const uint8_t*)c.data() + row * per_row * 1024, 0, per_row, true);
            wrong += !std::equal(expected.begin(), expected.end(), a.begin() + row * 8);
        }
        check("row hashes of " + std::to_string(per_row) + " chunks", wrong);
    }
}

std::vector<int32_t> product(const std::vector<int8_t>& a, const std::vector<int8_t>& bt, uint32_t m, uint32_t n, uint32_t k) {
    std::vector<int32_t> c((size_t)m * n);
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) c[(size_t)i * n + j] = std::inner_product(&a[(size_t)i * k], &a[(size_t)i * k] + k, &bt[(size_t)j * k], 0);
    return c;
}

struct Shape { uint32_t m, n, k, blocks; };

void portable_product() {
    for (Shape s : {Shape{128, 256, 64, 0}, {256, 256, 256, 0}, {384, 512, 448, 0}, {1280, 256, 128, 0}, {1152, 768, 64, 0}}) {
        auto a = noise<int8_t>((size_t)s.m * s.k), bt = noise<int8_t>((size_t)s.n * s.k);
        a[0] = bt[0] = -128;
        std::vector<int32_t> c((size_t)s.m * s.n, 0x7777);
        emu::launch(s.m / 128 * (s.n / 256), 256, 1, mma_gemm::SMEM_BYTES, [&] { gemm_s8_mma(a.data(), bt.data(), c.data(), s.m, s.n, s.k); });
        check("gemm_s8_mma " + std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k), differing(c, product(a, bt, s.m, s.n, s.k)));
    }
}

void hopper_product() {
    // with one pair of blocks every tile runs through the same pipeline; with several, each has its share; more than
    // eight rows of pairs are walked in groups, of which the last is lower
    for (Shape s : {Shape{256, 256, 128, 2}, {256, 768, 256, 2}, {512, 768, 768, 2}, {768, 512, 384, 4}, {2304, 512, 128, 10}}) {
        auto a = noise<int8_t>((size_t)s.m * s.k), bt = noise<int8_t>((size_t)s.n * s.k);
        a[0] = bt[0] = -128;
        std::vector<int32_t> c((size_t)s.m * s.n, 0x7777);
        TensorMap ma{(uint8_t*)a.data(), s.k, s.m, 128, 128}, mb{(uint8_t*)bt.data(), s.k, s.n, 128, 128};
        emu::launch(s.blocks, 384, 2, wgmma_gemm::SMEM_BYTES, [&] { gemm_s8_wgmma(ma, mb, c.data(), s.m, s.n, s.k); });
        check("gemm_s8_wgmma " + std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k) + ", " + std::to_string(s.blocks) + " blocks", differing(c, product(a, bt, s.m, s.n, s.k)));
    }
}
}  // namespace

int main(int argc, char** argv) {
    const std::string only = argc > 1 ? argv[1] : "";
    first_only = argc > 2 && std::string(argv[2]) == "first";
    const std::pair<std::string, void (*)()> all[] = {{"matrices", matrices}, {"hashes", hashes}, {"mma", portable_product}, {"wgmma", hopper_product}};
    for (auto& part : all)
        if (only.empty() || only == part.first) part.second();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
