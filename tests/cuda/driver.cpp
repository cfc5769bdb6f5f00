// The fake driver by itself: it loads the artefacts that are checked in, as a real one would or would not, computes
// with them, and fails where it is told to. usage: driver LIBCUDA ARTEFACTS
#include <dlfcn.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {
std::string library, artefacts;
int passed = 0, failed = 0;

template <class... T> int call(const char* entry, T... arguments) {
    static void* handle = dlopen(library.c_str(), RTLD_NOW);
    void* f = handle ? dlsym(handle, entry) : nullptr;
    if (!f) { fprintf(stderr, "%s is not there\n", entry); exit(9); }
    return ((int (*)(T...))f)(arguments...);
}

std::vector<char> file(const std::string& name) {
    std::ifstream in(artefacts + "/" + name, std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(in), {}};
    bytes.push_back(0);
    return bytes;
}

int open_device() {
    void* context;
    if (int code = call("cuInit", 0u)) return code;
    if (int code = call("cuDevicePrimaryCtxRetain", &context, 0)) return code;
    return call("cuCtxSetCurrent", context);
}

int load(const std::string& image, void** module) {
    auto bytes = file(image);
    return call("cuModuleLoadDataEx", module, (const void*)bytes.data(), 0u, (int*)nullptr, (void**)nullptr);
}

int function(const std::string& image, const char* name) {
    void *module, *f;
    if (int code = open_device()) return code;
    if (int code = load(image, &module)) return code;
    return call("cuModuleGetFunction", &f, module, name);
}

// Allocates, expands one matrix, and gives the code of the first call that is none of success.
int work(size_t bytes) {
    void *module, *f;
    uint64_t out, stream = 0, blocks = 4;
    uint32_t key[8] = {};
    if (int code = open_device()) return code;
    if (int code = load("sm_80.cubin", &module)) return code;
    if (int code = call("cuModuleGetFunction", &f, module, "expand")) return code;
    if (int code = call("cuMemAlloc_v2", &out, bytes)) return code;
    void* parameters[] = {&out, &blocks, key, &stream};
    if (int code = call("cuLaunchKernel", f, 1u, 1u, 1u, 256u, 1u, 1u, 0u, (void*)nullptr, parameters, (void**)nullptr)) return code;
    if (int code = call("cuCtxSynchronize")) return code;
    return call("cuMemFree_v2", out);
}

// Each in a process of its own: what is set there is read once.
template <class F> void check(const std::string& what, const std::vector<std::string>& settings, int expected, F run) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (auto& s : settings) putenv((char*)s.c_str());
        _exit(run() % 256);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const int seen = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    const bool good = seen == expected % 256;
    (good ? passed : failed)++;
    printf(good ? "ok     %s\n" : "FAILED %s: %d, expected %d\n", what.c_str(), seen, expected);
}
}  // namespace

int main(int, char** argv) {
    library = argv[1];
    artefacts = argv[2];
    check("an sm_80 image on its card", {"FAKE_CUDA_CC=80"}, 0, [] { return function("sm_80.cubin", "gemm_s8_mma"); });
    check("an sm_80 image on a later card of its generation", {"FAKE_CUDA_CC=89"}, 0, [] { return function("sm_80.cubin", "parents"); });
    check("an sm_80 image on a Hopper", {"FAKE_CUDA_CC=90"}, 209, [] { return function("sm_80.cubin", "expand"); });
    check("an sm_90a image on a Hopper", {"FAKE_CUDA_CC=90"}, 0, [] { return function("sm_90a.cubin", "gemm_s8_wgmma"); });
    check("its portable product", {"FAKE_CUDA_CC=90"}, 0, [] { return function("sm_90a.cubin", "gemm_s8_mma"); });
    check("an sm_90a image on an A100", {"FAKE_CUDA_CC=80"}, 209, [] { return function("sm_90a.cubin", "expand"); });
    check("an sm_100 image on a B200", {"FAKE_CUDA_CC=100"}, 0, [] { return function("sm_100.cubin", "chunk_cvs"); });
    check("an sm_120 image on a 5090", {"FAKE_CUDA_CC=120"}, 0, [] { return function("sm_120.cubin", "expand_rows"); });
    check("an sm_100 image on a 5090", {"FAKE_CUDA_CC=120"}, 209, [] { return function("sm_100.cubin", "expand"); });
    check("PTX on any", {"FAKE_CUDA_CC=120"}, 0, [] { return function("compute_80.ptx", "gemm_s8_mma"); });
    check("the Hopper product is in no other image", {"FAKE_CUDA_CC=80"}, 500, [] { return function("sm_80.cubin", "gemm_s8_wgmma"); });
    check("work that is in order", {}, 0, [] { return work(256); });
    check("no device", {"FAKE_CUDA_DEVICES=0"}, 100, [] { return work(256); });
    check("a driver that does not start", {"FAKE_CUDA_INIT=803"}, 803, [] { return work(256); });
    check("a copy whose length runs over the address space", {}, 1, [] {
        uint64_t p; char byte;
        if (int code = open_device()) return code;
        if (int code = call("cuMemAlloc_v2", &p, (size_t)256)) return code;
        return call("cuMemcpyDtoH_v2", (void*)&byte, p + 16, (size_t)0 - 8);
    });
    check("more memory than there is", {"FAKE_CUDA_MEMORY=1000"}, 2, [] { return work(1001); });
    check("a buffer that is too small", {}, 700, [] { return work(255); });
    check("a launch that fails", {"FAKE_CUDA_FAIL=cuLaunchKernel:1:719"}, 719, [] { return work(256); });
    check("a call that fails once", {"FAKE_CUDA_FAIL=cuMemAlloc_v2:1:2"}, 0, [] { return work(256) == 2 ? work(256) : 1; });
    check("an error that stays", {"FAKE_CUDA_FAIL=cuLaunchKernel:1:719:sticky"}, 719, [] { return work(256) == 719 ? work(256) : 1; });
    check("a device that vanishes", {"FAKE_CUDA_VANISH_AFTER=cuMemAlloc_v2:1"}, 46, [] { return work(256) == 0 ? work(256) : 1; });
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
