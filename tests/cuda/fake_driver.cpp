// A stand-in for libcuda.so.1 that runs the project's kernels in the CPU emulation: the executor's whole host path can
// be tested where there is no GPU. It answers what src/cuda calls and nothing else; every other entry is absent, as in
// an old driver. It is a test double: nothing that it times means anything.
//
// The environment says what is wrong with the machine:
//   FAKE_CUDA_DEVICES=N            devices (1)
//   FAKE_CUDA_INIT=CODE            what cuInit answers (0)
//   FAKE_CUDA_CC=80                their compute capability
//   FAKE_CUDA_MEMORY=BYTES         memory of each (1 GiB); more is answered with out of memory
//   FAKE_CUDA_FAIL=ENTRY:NTH:CODE[:sticky][,…]   the NTH call of ENTRY answers CODE; sticky: so does every later call
//   FAKE_CUDA_HANG_AT=NTH          the NTH wait for a stream does not end
//   FAKE_CUDA_CORRUPT=KERNEL       one bit of what this product gives is wrong, each time
//   FAKE_CUDA_LOAD_AFTER=PATH      no image is loaded before this file is there, as one that takes long to compile
//   FAKE_CUDA_VANISH_AFTER=ENTRY:NTH   from then on the devices are gone (code 46)
#include "gemm_mma.cu"
#include "gemm_wgmma.cu"
#include "stream.cu"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>

namespace {
enum Code { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, DEVICE_GONE = 46, NO_DEVICE = 100, INVALID_DEVICE = 101,
            INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NO_BINARY = 209, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };

const char* setting(const char* name) { return getenv(name); }
uint64_t number(const char* name, uint64_t otherwise) { const char* s = setting(name); return s ? strtoull(s, nullptr, 10) : otherwise; }
int devices() { return (int)number("FAKE_CUDA_DEVICES", 1); }
int cc() { return (int)number("FAKE_CUDA_CC", 80); }
uint64_t memory() { return number("FAKE_CUDA_MEMORY", (uint64_t)1 << 30); }

// One lock for all: the emulation has one set of fibers.
std::recursive_mutex lock;
std::map<std::string, int> calls;
int poison = 0;

struct Fault { std::string entry; int nth, code; bool sticky; };

std::vector<Fault> faults() {
    std::vector<Fault> all;
    std::string text = setting("FAKE_CUDA_FAIL") ? setting("FAKE_CUDA_FAIL") : "";
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find(',', at), text.size());
        std::string one = text.substr(at, end - at);
        char entry[64] = "", sticky[16] = "";
        int nth = 0, code = 0, found = sscanf(one.c_str(), "%63[^:]:%d:%d:%15s", entry, &nth, &code, sticky);
        if (found < 3) { fprintf(stderr, "fake driver: FAKE_CUDA_FAIL has no ENTRY:NTH:CODE in %s\n", one.c_str()); abort(); }
        all.push_back({entry, nth, code, found == 4});
        at = end + 1;
    }
    if (const char* s = setting("FAKE_CUDA_VANISH_AFTER")) {
        char entry[64] = ""; int nth = 0;
        if (sscanf(s, "%63[^:]:%d", entry, &nth) != 2) { fprintf(stderr, "fake driver: FAKE_CUDA_VANISH_AFTER is no ENTRY:NTH\n"); abort(); }
        all.push_back({entry, nth + 1, DEVICE_GONE, true});
    }
    return all;
}

// What this call answers before it does anything.
int gate(const char* entry) {
    static const std::vector<Fault> all = faults();
    int nth = ++calls[entry];
    for (const auto& fault : all)
        if (fault.entry == entry && fault.nth == nth) {
            if (fault.sticky) poison = fault.code;
            return fault.code;
        }
    return poison;
}

struct Context { int device; };
struct Event { std::chrono::steady_clock::time_point at; bool recorded = false; };
struct Block { uint64_t size; int device; };
std::map<int, Context> primary;
std::map<uint64_t, Block> blocks;  // by their first address
thread_local Context* current = nullptr;

uint64_t used(int device) { uint64_t sum = 0; for (auto& b : blocks) if (b.second.device == device) sum += b.second.size; return sum; }

// Whether these bytes are in a block of the current device.
bool owned(uint64_t p, uint64_t n) {
    auto next = blocks.upper_bound(p);
    if (next == blocks.begin()) return false;
    auto b = std::prev(next);
    return current && b->second.device == current->device && p - b->first <= b->second.size && n <= b->second.size - (p - b->first);
}

// ---- images: a module knows its kernels by what the image holds ----
struct Module { std::vector<std::string> kernels; };

template <class T> T field(const uint8_t* at) { T value; memcpy(&value, at, sizeof value); return value; }

std::vector<std::string> kernels_of_cubin(const uint8_t* image) {
    const uint8_t* sections = image + field<uint64_t>(image + 0x28);
    const uint16_t size = field<uint16_t>(image + 0x3A), count = field<uint16_t>(image + 0x3C), names = field<uint16_t>(image + 0x3E);
    const char* text = (const char*)image + field<uint64_t>(sections + names * size + 0x18);
    std::vector<std::string> kernels;
    for (int i = 0; i < count; i++) {
        std::string name = text + field<uint32_t>(sections + i * size);
        if (name.rfind(".text.", 0) == 0) kernels.push_back(name.substr(6));
    }
    return kernels;
}

std::vector<std::string> kernels_of_ptx(std::string text) {
    std::vector<std::string> kernels;
    for (size_t at = 0; (at = text.find(".entry ", at)) != std::string::npos; at += 7)
        kernels.push_back(text.substr(at + 7, text.find_first_of("( \n", at + 7) - at - 7));
    return kernels;
}

// Machine code runs on its chip and on later ones of the same generation; with an `a`, on its chip alone.
int architecture(const uint8_t* image) {
    const uint32_t flags = field<uint32_t>(image + 0x30);
    return image[8] < 8 ? flags & 0xFF : flags >> 8 & 0xFF;
}

struct Launch { unsigned grid, block; size_t shared; void** p; };
template <class T> T arg(const Launch& l, int i) { return *(T*)l.p[i]; }
struct Kernel { int shared_max; bool (*fits)(const Launch&); void (*run)(const Launch&); };

#define RUN(cluster, ...) [](const Launch& l) { emu::launch(l.grid, l.block, cluster, l.shared, [&] { __VA_ARGS__; }); }
#define ARGS3(T0, T1, T2) arg<T0>(l, 0), arg<T1>(l, 1), arg<T2>(l, 2)
const std::map<std::string, Kernel> KERNELS = {
    {"expand", {0, [](const Launch& l) { return owned(arg<uint64_t>(l, 0), arg<uint64_t>(l, 1) * 64); },
                RUN(1, expand(ARGS3(uint4*, uint64_t, ChaChaKey), arg<uint64_t>(l, 3)))}},
    {"expand_rows", {0, [](const Launch& l) { return owned(arg<uint64_t>(l, 1), arg<uint32_t>(l, 2) * 4ull) && owned(arg<uint64_t>(l, 0), arg<uint32_t>(l, 2) * arg<uint64_t>(l, 3) * 64); },
                     RUN(1, expand_rows(ARGS3(uint4*, uint32_t*, uint32_t), arg<uint64_t>(l, 3), arg<ChaChaKey>(l, 4), arg<uint64_t>(l, 5)))}},
    {"gemm_s8_mma", {mma_gemm::SMEM_BYTES, [](const Launch& l) { uint64_t r = arg<uint32_t>(l, 3), c = arg<uint32_t>(l, 4), k = arg<uint32_t>(l, 5); return l.block == 256 && l.grid == r / 128 * (c / 256) && owned(arg<uint64_t>(l, 0), r * k) && owned(arg<uint64_t>(l, 1), c * k) && owned(arg<uint64_t>(l, 2), r * c * 4); },
                     RUN(1, gemm_s8_mma(ARGS3(int8_t*, int8_t*, int32_t*), arg<uint32_t>(l, 3), arg<uint32_t>(l, 4), arg<uint32_t>(l, 5)))}},
    {"gemm_s8_wgmma", {wgmma_gemm::SMEM_BYTES, [](const Launch& l) { uint64_t r = arg<uint32_t>(l, 3), c = arg<uint32_t>(l, 4); return l.block == 384 && l.grid % 2 == 0 && owned(arg<uint64_t>(l, 2), r * c * 4); },
                       RUN(2, gemm_s8_wgmma(ARGS3(TensorMap, TensorMap, int32_t*), arg<uint32_t>(l, 3), arg<uint32_t>(l, 4), arg<uint32_t>(l, 5)))}},
    {"chunk_cvs", {0, [](const Launch& l) { uint64_t n = arg<uint64_t>(l, 2); return owned(arg<uint64_t>(l, 0), n * 1024) && owned(arg<uint64_t>(l, 1), n * 32); },
                   RUN(1, chunk_cvs(ARGS3(uint4*, uint4*, uint64_t), arg<uint32_t>(l, 3)))}},
    {"parents", {0, [](const Launch& l) { uint64_t r = arg<uint64_t>(l, 2), n = arg<uint32_t>(l, 3); return owned(arg<uint64_t>(l, 0), r * n * 32) && owned(arg<uint64_t>(l, 1), r * ((n + 1) / 2) * 32); },
                 RUN(1, parents(ARGS3(uint4*, uint4*, uint64_t), arg<uint32_t>(l, 3), arg<uint32_t>(l, 4)))}},
};
struct Function { const Kernel* kernel; int shared; };

int attribute(int which) {
    switch (which) {
        case 1: return 1024;            // threads a block
        case 16: return 2;              // multiprocessors
        case 13: return 1000000;        // clock, kHz
        case 33: return 1;              // PCI bus
        case 34: return 0;              // PCI device
        case 75: return cc() / 10;
        case 76: return cc() % 10;
        case 97: return cc() == 90 ? 232448 : 101376;  // shared memory a block may opt into
        default: return 0;
    }
}
}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int
#define ENTER std::lock_guard<std::recursive_mutex> hold(lock); if (int code = gate(__func__)) return code
#define ENTER_DEVICE ENTER; if (!current) return INVALID_CONTEXT

API cuInit(unsigned) { ENTER; int code = (int)number("FAKE_CUDA_INIT", 0); return code ? code : devices() > 0 ? SUCCESS : NO_DEVICE; }
API cuDriverGetVersion(int* v) { ENTER; *v = 13000; return 0; }
API cuGetErrorString(int e, const char** s) {
    static std::map<int, std::string> texts;
    std::lock_guard<std::recursive_mutex> hold(lock);
    *s = texts.emplace(e, "fake driver's error " + std::to_string(e)).first->second.c_str();
    return 0;
}
API cuGetErrorName(int e, const char** s) { return cuGetErrorString(e, s); }

API cuDeviceGetCount(int* n) { ENTER; *n = devices(); return 0; }
API cuDeviceGet(int* d, int ordinal) { ENTER; if (ordinal < 0 || ordinal >= devices()) return INVALID_DEVICE; *d = ordinal; return 0; }
API cuDeviceGetName(char* n, int len, int) { ENTER; snprintf(n, len, "CPU emulation (cc %d)", cc()); return 0; }
API cuDeviceGetUuid_v2(uint8_t* uuid, int d) {
    ENTER;
    const uint8_t first[16] = {0xfa, 0x4e};
    memcpy(uuid, first, 16);
    uuid[15] = (uint8_t)d;
    return 0;
}
API cuDeviceGetUuid(uint8_t* uuid, int d) { return cuDeviceGetUuid_v2(uuid, d); }
API cuDeviceGetPCIBusId(char* id, int len, int d) { ENTER; snprintf(id, len, "0000:%02x:00.0", d + 1); return 0; }
API cuDeviceTotalMem_v2(size_t* b, int) { ENTER; *b = memory(); return 0; }
API cuDeviceGetAttribute(int* v, int a, int d) { ENTER; *v = a == 33 ? d + 1 : attribute(a); return 0; }

API cuDevicePrimaryCtxRetain(void** c, int d) { ENTER; auto& context = primary[d]; context.device = d; *c = &context; return 0; }
API cuDevicePrimaryCtxRelease_v2(int) { ENTER; return 0; }
API cuDevicePrimaryCtxReset_v2(int) { ENTER; return 0; }
API cuDevicePrimaryCtxSetFlags_v2(int, unsigned) { ENTER; return 0; }
API cuCtxSetCurrent(void* c) { ENTER; current = (Context*)c; return 0; }
API cuCtxGetCurrent(void** c) { ENTER; *c = current; return 0; }
API cuCtxGetDevice(int* d) { ENTER_DEVICE; *d = current->device; return 0; }
API cuCtxGetApiVersion(void*, unsigned* v) { ENTER; *v = 13000; return 0; }
API cuCtxGetStreamPriorityRange(int* least, int* greatest) { ENTER_DEVICE; *least = *greatest = 0; return 0; }
API cuCtxSynchronize() { ENTER_DEVICE; return 0; }

API cuModuleLoadDataEx(void** m, const void* image, unsigned, int*, void**) {
    if (const char* path = setting("FAKE_CUDA_LOAD_AFTER"))
        while (access(path, F_OK) != 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ENTER_DEVICE;
    const uint8_t* bytes = (const uint8_t*)image;
    if (memcmp(bytes, "\x7f" "ELF", 4) == 0) {
        auto kernels = kernels_of_cubin(bytes);
        const int sm = architecture(bytes);
        const bool exact = std::find(kernels.begin(), kernels.end(), "gemm_s8_wgmma") != kernels.end();
        if (exact ? sm != cc() : sm / 10 != cc() / 10 || sm > cc()) return NO_BINARY;
        *m = new Module{kernels};
        return 0;
    }
    auto kernels = kernels_of_ptx((const char*)image);
    if (kernels.empty()) return INVALID_IMAGE;
    *m = new Module{kernels};
    return 0;
}
API cuModuleLoadData(void** m, const void* image) { return cuModuleLoadDataEx(m, image, 0, nullptr, nullptr); }
API cuModuleUnload(void* m) { ENTER; delete (Module*)m; return 0; }
API cuModuleGetFunction(void** f, void* m, const char* name) {
    ENTER_DEVICE;
    auto& held = ((Module*)m)->kernels;
    auto kernel = KERNELS.find(name);
    if (kernel == KERNELS.end() || std::find(held.begin(), held.end(), name) == held.end()) return NOT_FOUND;
    *f = new Function{&kernel->second, 48 << 10};
    return 0;
}
API cuFuncSetAttribute(void* f, int a, int value) {
    ENTER_DEVICE;
    if (a == 8 && value > attribute(97)) return INVALID_VALUE;
    if (a == 8) ((Function*)f)->shared = std::max(48 << 10, value);
    return 0;
}
API cuFuncGetAttribute(int* v, int, void*) { ENTER_DEVICE; *v = 0; return 0; }

API cuMemGetInfo_v2(size_t* free, size_t* total) { ENTER_DEVICE; *total = memory(); *free = memory() - used(current->device); return 0; }
API cuMemAlloc_v2(uint64_t* p, size_t n) {
    ENTER_DEVICE;
    if (n == 0) return INVALID_VALUE;
    if (used(current->device) + n > memory()) return OUT_OF_MEMORY;
    void* block = aligned_alloc(256, (n + 255) / 256 * 256);
    if (!block) return OUT_OF_MEMORY;
    memset(block, 0xEE, n);
    blocks[*p = (uint64_t)block] = {n, current->device};
    return 0;
}
API cuMemFree_v2(uint64_t p) {
    ENTER;
    if (!blocks.erase(p)) return INVALID_VALUE;
    free((void*)p);
    return 0;
}
API cuMemAllocHost_v2(void** p, size_t n) { ENTER_DEVICE; *p = malloc(n); return *p ? 0 : OUT_OF_MEMORY; }
API cuMemFreeHost(void* p) { ENTER; free(p); return 0; }
API cuMemcpyHtoD_v2(uint64_t d, const void* s, size_t n) { ENTER_DEVICE; if (!owned(d, n)) return INVALID_VALUE; memcpy((void*)d, s, n); return 0; }
API cuMemcpyDtoH_v2(void* d, uint64_t s, size_t n) { ENTER_DEVICE; if (!owned(s, n)) return INVALID_VALUE; memcpy(d, (void*)s, n); return 0; }
API cuMemcpyHtoDAsync_v2(uint64_t d, const void* s, size_t n, void*) { return cuMemcpyHtoD_v2(d, s, n); }
API cuMemcpyDtoHAsync_v2(void* d, uint64_t s, size_t n, void*) { return cuMemcpyDtoH_v2(d, s, n); }
API cuMemsetD8_v2(uint64_t d, uint8_t x, size_t n) { ENTER_DEVICE; if (!owned(d, n)) return INVALID_VALUE; memset((void*)d, x, n); return 0; }

API cuStreamCreateWithPriority(void** s, unsigned, int) { ENTER_DEVICE; *s = current; return 0; }
API cuStreamSynchronize(void*) {
    static std::atomic<uint64_t> waits{0};
    if (++waits == number("FAKE_CUDA_HANG_AT", 0)) for (;;) std::this_thread::sleep_for(std::chrono::seconds(1));
    ENTER_DEVICE;
    return 0;
}
API cuStreamDestroy_v2(void*) { ENTER; return 0; }
API cuEventCreate(void** e, unsigned) { ENTER_DEVICE; *e = new Event; return 0; }
API cuEventDestroy_v2(void* e) { ENTER; delete (Event*)e; return 0; }
API cuEventRecord(void* e, void*) { ENTER_DEVICE; auto& event = *(Event*)e; event.at = std::chrono::steady_clock::now(); event.recorded = true; return 0; }
API cuEventSynchronize(void*) { ENTER_DEVICE; return 0; }
API cuEventElapsedTime(float* ms, void* from, void* to) {
    ENTER_DEVICE;
    auto &a = *(Event*)from, &b = *(Event*)to;
    if (!a.recorded || !b.recorded) return INVALID_VALUE;
    *ms = std::chrono::duration<float, std::milli>(b.at - a.at).count();
    return 0;
}

API cuLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void*, void** params, void**) {
    ENTER_DEVICE;
    auto& function = *(Function*)f;
    if (gy != 1 || gz != 1 || by != 1 || bz != 1 || gx == 0 || bx == 0 || bx > 1024) return INVALID_VALUE;
    if ((int)shared > function.shared || (int)shared < function.kernel->shared_max) return INVALID_VALUE;
    Launch launch{gx, bx, shared, params};
    // what a real device would notice only later, and with it end the context
    if (!function.kernel->fits(launch)) return poison = ILLEGAL_ADDRESS;
    function.kernel->run(launch);
    const char* corrupt = setting("FAKE_CUDA_CORRUPT");
    if (corrupt && function.kernel == &KERNELS.at(corrupt)) *arg<int32_t*>(launch, 2) ^= 1;
    return 0;
}
API cuTensorMapEncodeTiled(void* map, int type, uint32_t rank, void* addr, const uint64_t* dims, const uint64_t* strides,
                           const uint32_t* box, const uint32_t* steps, int interleave, int swizzle, int, int) {
    ENTER;
    if (type != 0 || rank != 2 || interleave != 0 || swizzle != 3 || strides[0] != dims[0] || steps[0] != 1 || steps[1] != 1) return INVALID_VALUE;
    if ((uint64_t)map % 64 != 0 || (uint64_t)addr % 16 != 0 || !owned((uint64_t)addr, dims[0] * dims[1])) return INVALID_VALUE;
    TensorMap t{(const uint8_t*)addr, (uint32_t)dims[0], (uint32_t)dims[1], box[0], box[1]};
    memset(map, 0, 128);
    memcpy(map, &t, sizeof t);
    return 0;
}
