// A stand-in for libcublasLt.so over the fake driver, whose device memory is the host's: it answers what src/cuda calls,
// looks whether each argument is what the real one asks of an int8 product (types, TN form, sizes, alignment, workspace),
// and multiplies in three loops. It times nothing. FAKE_CUBLASLT_NO_WAY=1: it proposes no way to multiply.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {
enum Status { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum Type { R_8I = 3, R_32I = 10, COMPUTE_32I = 72 };

struct Handle { uint32_t magic; };
struct Operation { uint32_t compute, scale; int32_t transposed[2]; };
struct Layout { uint32_t type; uint64_t rows, cols; int64_t ld; };
struct Preference { uint64_t workspace; };
struct Algorithm { uint64_t data[8]; };
struct Proposal { Algorithm algorithm; size_t workspace; int32_t state; float waves; int32_t reserved[4]; };
static_assert(sizeof(Proposal) == 96, "as cublasLt.h has it");
const uint64_t NEEDED = 1 << 20;

int wrong(const char* what) {
    fprintf(stderr, "fake cuBLASLt: %s\n", what);
    return INVALID_VALUE;
}

// Whether D (m x n) = A' (m x k) B (k x n) is an int8 product that the real library has.
int check(const Operation& o, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
    if (o.compute != COMPUTE_32I || o.scale != R_32I) return wrong("the computation is not int32");
    if (o.transposed[0] != 1 || o.transposed[1] != 0) return wrong("int8 is multiplied as TN alone");
    if (a.type != R_8I || b.type != R_8I || c.type != R_32I || d.type != R_32I) return wrong("types");
    if (a.rows != b.rows || a.cols != d.rows || b.cols != d.cols || c.rows != d.rows || c.cols != d.cols) return wrong("sizes");
    if (a.ld < (int64_t)a.rows || b.ld < (int64_t)b.rows || d.ld < (int64_t)d.rows) return wrong("leading dimensions");
    if (a.rows % 16 || d.rows % 16 || a.ld % 16 || b.ld % 16 || d.ld % 4) return wrong("alignment of sizes");
    return SUCCESS;
}
}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API size_t cublasLtGetVersion() { return 999999; }
API int cublasLtCreate(Handle** h) { *h = new Handle{0xB1A5}; return SUCCESS; }
API int cublasLtDestroy(Handle* h) { if (!h || h->magic != 0xB1A5) return wrong("no handle"); delete h; return SUCCESS; }
API int cublasLtMatmulDescCreate(Operation** o, uint32_t compute, uint32_t scale) { *o = new Operation{compute, scale, {0, 0}}; return SUCCESS; }
API int cublasLtMatmulDescDestroy(Operation* o) { delete o; return SUCCESS; }
API int cublasLtMatmulDescSetAttribute(Operation* o, uint32_t which, const void* value, size_t size) {
    if ((which != 3 && which != 4) || size != 4) return wrong("an attribute of the operation");
    memcpy(&o->transposed[which - 3], value, 4);
    return SUCCESS;
}
API int cublasLtMatrixLayoutCreate(Layout** l, uint32_t type, uint64_t rows, uint64_t cols, int64_t ld) { *l = new Layout{type, rows, cols, ld}; return SUCCESS; }
API int cublasLtMatrixLayoutDestroy(Layout* l) { delete l; return SUCCESS; }
API int cublasLtMatmulPreferenceCreate(Preference** p) { *p = new Preference{0}; return SUCCESS; }
API int cublasLtMatmulPreferenceDestroy(Preference* p) { delete p; return SUCCESS; }
API int cublasLtMatmulPreferenceSetAttribute(Preference* p, uint32_t which, const void* value, size_t size) {
    if (which != 1 || size != 8) return wrong("an attribute of the preference");
    memcpy(&p->workspace, value, 8);
    return SUCCESS;
}
API int cublasLtMatmulAlgoGetHeuristic(Handle* h, Operation* o, Layout* a, Layout* b, Layout* c, Layout* d, Preference* p, int asked, Proposal* out, int* count) {
    *count = 0;
    if (!h || h->magic != 0xB1A5) return wrong("no handle");
    if (int status = check(*o, *a, *b, *c, *d)) return status;
    if (getenv("FAKE_CUBLASLT_NO_WAY") || p->workspace < NEEDED) return NOT_SUPPORTED;
    // the first is good, the second says that it is none
    for (; *count < asked && *count < 2; ++*count) out[*count] = Proposal{{{0xA160}}, NEEDED, *count ? NOT_SUPPORTED : SUCCESS, 1.0f, {}};
    return SUCCESS;
}
API int cublasLtMatmul(Handle* h, Operation* o, const int32_t* alpha, const int8_t* A, Layout* a, const int8_t* B, Layout* b, const int32_t* beta,
                       const int32_t* C, Layout* c, int32_t* D, Layout* d, const Algorithm* algorithm, void* workspace, size_t bytes, void* stream) {
    if (!h || h->magic != 0xB1A5 || !stream) return wrong("no handle or no stream of the caller's");
    if (int status = check(*o, *a, *b, *c, *d)) return status;
    if (*alpha != 1 || *beta != 0 || C != D) return wrong("alpha, beta or C");
    if (!algorithm || algorithm->data[0] != 0xA160) return wrong("an algorithm that was not proposed");
    if (!workspace || bytes < NEEDED || (uintptr_t)workspace % 256) return wrong("the workspace");
    if ((uintptr_t)A % 16 || (uintptr_t)B % 16 || (uintptr_t)D % 16) return wrong("alignment of matrices");
    memset(workspace, 0x5A, NEEDED);
    for (uint64_t j = 0; j < d->cols; j++)
        for (uint64_t i = 0; i < d->rows; i++) {
            const int8_t *x = A + i * a->ld, *y = B + j * b->ld;
            int32_t sum = 0;
            for (uint64_t q = 0; q < a->rows; q++) sum += x[q] * y[q];
            D[j * d->ld + i] = sum;
        }
    return SUCCESS;
}
