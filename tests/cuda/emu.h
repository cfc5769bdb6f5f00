// Runs one cluster of thread blocks on a CPU, one fiber a thread, so that index and pipeline logic can be
// tested where there is no GPU. Slow; for small shapes.
#pragma once
#include <ucontext.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>
#define KERNEL static
#define DEV static inline
#define __launch_bounds__(...)
#define __grid_constant__
struct U3 { unsigned x, y, z; };
struct int2 { int x, y; };
struct uint4 { uint32_t x, y, z, w; };
static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
static inline uint32_t __byte_perm(uint32_t a, uint32_t, uint32_t) { return __builtin_bswap32(a); }  // only the 0x0123 use
namespace emu {
constexpr int MAX_CTAS = 2;
constexpr uint64_t IDLE_MAX = 200;  // rounds in which no gate opens and no copy lands, until threads are taken for stuck
constexpr size_t WINDOW = 256 * 1024;  // shared-memory window of one block
struct Copy { uint32_t dst; const void* src; };
struct Fiber { std::vector<std::vector<Copy>> copies{{}}; std::vector<std::vector<std::function<void()>>> mmas{{}}; ucontext_t ctx; std::unique_ptr<char[]> stack; bool done = false; U3 tid, bid; unsigned rank; };
struct Gate { unsigned need = 0, have = 0, gen = 0; };
struct Warp { Gate gate; const uint8_t* row[32]; uint32_t a[32][4], b[32][2]; };
struct Cta { std::vector<uint8_t> smem; std::vector<Warp> warps; Gate block; std::vector<Gate> named; };
static std::vector<Cta> ctas;
static std::vector<Fiber> fibers;
static Gate cluster_gate;
static Fiber* cur;
static ucontext_t sched;
static std::function<void()> body;
static unsigned grid_x, block_x;
static uint64_t idle;
inline void yield() { Fiber* f = cur; swapcontext(&f->ctx, &sched); }
inline void wait(Gate& g) { unsigned gen = g.gen; if (++g.have == g.need) { g.have = 0; g.gen++; idle = 0; } else while (g.gen == gen) yield(); }
inline Cta& cta() { return ctas[cur->rank]; }
inline Warp& warp() { return cta().warps[cur->tid.x / 32]; }
// a shared address is rank * WINDOW + offset, as in the shared::cluster space
inline uint8_t* at(uint32_t addr) { return &ctas[addr / WINDOW].smem[addr % WINDOW]; }
struct Bar { unsigned count = 0, pending = 0, phase = 0; int64_t tx = 0; };
static std::vector<std::pair<uint32_t, Bar>> bars;
inline Bar& bar(uint32_t a) { for (auto& b : bars) if (b.first == a) return b.second; bars.push_back({a, {}}); return bars.back().second; }
inline void settle(Bar& b) { if (b.pending == 0 && b.tx == 0) { b.phase++; b.pending = b.count; idle = 0; } }
static std::vector<std::function<void()>> dma;  // copies in flight; finished in random order, some rounds later
inline void run_dma(bool) {
    for (size_t n = dma.size(); n; n--) {
        size_t i = rand() % dma.size();
        if (rand() % 3) continue;
        auto f = dma[i]; dma.erase(dma.begin() + i); f(); idle = 0;
    }
}
inline void entry() { body(); cur->done = true; swapcontext(&cur->ctx, &sched); }
inline void launch(unsigned blocks, unsigned threads, unsigned cluster, size_t smem_bytes, std::function<void()> f) {
    body = f; grid_x = blocks; block_x = threads;
    for (unsigned first = 0; first < blocks; first += cluster) {
        bars.clear(); dma.clear(); ctas.clear(); ctas.resize(cluster); fibers.clear(); fibers.resize(cluster * threads);
        cluster_gate = Gate{cluster * threads, 0, 0};
        for (unsigned r = 0; r < cluster; r++) {
            ctas[r].smem.assign(smem_bytes + 1024, 0xEE);  // poison
            ctas[r].warps.resize(threads / 32);
            for (auto& w : ctas[r].warps) w.gate.need = 32;
            ctas[r].block.need = threads; ctas[r].named.resize(16);
            for (unsigned t = 0; t < threads; t++) {
                Fiber& fb = fibers[r * threads + t];
                fb.tid = {t, 0, 0}; fb.bid = {first + r, 0, 0}; fb.rank = r; fb.stack.reset(new char[65536]);
                getcontext(&fb.ctx); fb.ctx.uc_stack.ss_sp = fb.stack.get(); fb.ctx.uc_stack.ss_size = 65536; fb.ctx.uc_link = &sched;
                makecontext(&fb.ctx, entry, 0);
            }
        }
        size_t left = fibers.size(); idle = 0;
        while (left) {
            run_dma(false);
            for (auto& fb : fibers) if (!fb.done) { cur = &fb; swapcontext(&sched, &fb.ctx); if (fb.done) { left--; idle = 0; } }
            if (++idle > IDLE_MAX) { fprintf(stderr, "emu: no progress, %zu threads stuck\n", left); exit(1); }
        }
    }
}
}  // namespace emu
#define threadIdx (emu::cur->tid)
#define blockIdx (emu::cur->bid)
#define gridDim (U3{emu::grid_x, 1, 1})
#define blockDim (U3{emu::block_x, 1, 1})
#define SMEM(name) uint8_t* name = emu::cta().smem.data()
DEV uint32_t smem_addr(const void* p) { return emu::cur->rank * (uint32_t)emu::WINDOW + (uint32_t)((const uint8_t*)p - emu::cta().smem.data()); }
// asynchronous work is done as late as the waits allow, so that a missing wait shows
DEV void cp_async16(uint32_t d, const void* s) { emu::cur->copies.back().push_back({d, s}); }
DEV void cp_async_commit() { emu::cur->copies.push_back({}); }
template <int N> void cp_async_wait() {
    auto& g = emu::cur->copies;
    while ((int)g.size() - 1 > N) { for (auto& c : g.front()) memcpy(emu::at(c.dst), c.src, 16); g.erase(g.begin()); }
}
DEV void block_sync() { emu::wait(emu::cta().block); }
DEV void ldmatrix_x4(uint32_t (&r)[4], uint32_t addr) {
    auto& w = emu::warp(); unsigned lane = emu::cur->tid.x % 32;
    w.row[lane] = emu::at(addr); emu::wait(w.gate);
    for (int i = 0; i < 4; i++) memcpy(&r[i], w.row[i * 8 + lane / 4] + (lane % 4) * 4, 4);
    emu::wait(w.gate);
}
DEV void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    auto& w = emu::warp(); unsigned lane = emu::cur->tid.x % 32, g = lane / 4, t = lane % 4;
    memcpy(w.a[lane], a, 16); w.b[lane][0] = b0; w.b[lane][1] = b1; emu::wait(w.gate);
    for (int e = 0; e < 4; e++) {
        unsigned row = g + (e / 2) * 8, col = t * 2 + e % 2; int32_t s = d[e];
        for (unsigned k = 0; k < 32; k++) {  // PTX ISA, mma.m16n8k32 fragment layout
            int8_t x = (int8_t)(w.a[(row % 8) * 4 + (k % 16) / 4][(row / 8) + 2 * (k / 16)] >> 8 * (k % 4));
            int8_t y = (int8_t)(w.b[col * 4 + (k % 16) / 4][k / 16] >> 8 * (k % 4));
            s += (int32_t)x * y;
        }
        d[e] = s;
    }
    emu::wait(w.gate);
}

// ---- Hopper ----
struct TensorMap { const uint8_t* data; uint32_t width, height, box_x, box_y; };  // bytes, rows
DEV uint32_t cluster_rank() { return emu::cur->rank; }
DEV void cluster_sync() { emu::wait(emu::cluster_gate); }
DEV void mbar_init(uint32_t b, uint32_t n) { auto& x = emu::bar(b); x = {n, n, 0, 0}; }
DEV void mbar_init_fence() {}
DEV void mbar_expect(uint32_t b, uint32_t bytes) { auto& x = emu::bar(b); x.tx += bytes; if (x.pending == 0) { fprintf(stderr, "emu: arrival beyond the count\n"); exit(1); } x.pending--; emu::settle(x); }
DEV void mbar_wait(uint32_t b, uint32_t parity) { while ((emu::bar(b).phase & 1) == parity) emu::yield(); }
DEV void mbar_arrive_in(uint32_t b, uint32_t cta) {
    auto& x = emu::bar(cta * (uint32_t)emu::WINDOW + b % (uint32_t)emu::WINDOW);
    if (x.pending == 0) { fprintf(stderr, "emu: arrival beyond the count\n"); exit(1); }
    x.pending--; emu::settle(x);
}
DEV void emu_tma(uint32_t dst, const TensorMap* m, uint32_t x, uint32_t y, uint32_t b) {
    const TensorMap map = *m;
    emu::dma.push_back([=] {
        for (uint32_t r = 0; r < map.box_y; r++)
            for (uint32_t q = 0; q < map.box_x / 16; q++) {
                uint32_t a = dst + r * 128 + q * 16;
                a ^= (a >> 7 & 7) << 4;  // 128-byte swizzle
                if (x + q * 16 + 16 > map.width || y + r >= map.height) { fprintf(stderr, "emu: box outside the tensor\n"); exit(1); }
                memcpy(emu::at(a), map.data + (uint64_t)(y + r) * map.width + x + q * 16, 16);
            }
        auto& z = emu::bar(b); z.tx -= map.box_x * map.box_y; emu::settle(z);
    });
}
DEV void tma_load(uint32_t dst, const TensorMap* m, uint32_t x, uint32_t y, uint32_t b) { emu_tma(dst, m, x, y, b); }
DEV void tma_load_both(uint32_t dst, const TensorMap* m, uint32_t x, uint32_t y, uint32_t b) {
    const uint32_t W = (uint32_t)emu::WINDOW;
    for (uint32_t r = 0; r < 2; r++) emu_tma(r * W + dst % W, m, x, y, r * W + b % W);
}
DEV void wgmma_fence() {}
DEV void wgmma_commit() { emu::cur->mmas.push_back({}); }
template <int N> void wgmma_wait() {
    auto& g = emu::cur->mmas;
    while ((int)g.size() - 1 > N) { for (auto& f : g.front()) f(); g.erase(g.begin()); }
}
template <int R> void regs_less() {}
template <int R> void regs_more() {}
DEV int8_t emu_operand(uint64_t desc, uint32_t rank, uint32_t row, uint32_t k) {
    uint32_t a = (uint32_t)(desc & 0x3FFF) << 4, group = (uint32_t)(desc >> 32 & 0x3FFF) << 4;
    if (desc >> 62 != 1) { fprintf(stderr, "emu: only the 128-byte swizzle\n"); exit(1); }
    a += row / 8 * group + row % 8 * 128 + k;
    a ^= (a >> 7 & 7) << 4;
    return (int8_t)*emu::at(rank * (uint32_t)emu::WINDOW + a);
}
DEV void wgmma_s8(int32_t (&d)[128], uint64_t da, uint64_t db, uint32_t accumulate) {
    int32_t* acc = d; const unsigned t = emu::cur->tid.x % 128, rank = emu::cur->rank;
    emu::cur->mmas.back().push_back([=] {
        for (unsigned i = 0; i < 128; i++) {  // PTX ISA, wgmma D fragment layout for m64nNk32
            unsigned row = t / 32 * 16 + (t % 32) / 4 + (i / 2 % 2) * 8, col = i / 4 * 8 + (t % 4) * 2 + i % 2;
            int32_t s = accumulate ? acc[i] : 0;
            for (unsigned k = 0; k < 32; k++) s += (int32_t)emu_operand(da, rank, row, k) * emu_operand(db, rank, col, k);
            acc[i] = s;
        }
    });
}
