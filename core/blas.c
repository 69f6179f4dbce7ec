// OpenBLAS in a library of its own, which gemm.c loads when a large product is asked for: loading
// it takes longer than loading all else, and the course's training and predictions need none of it.
// Not a Lua module.
#include "gemm.h"

#include <cblas.h>

__attribute__((visibility("default"))) void giemsa_blas_product(float *c, int ldc, const float *a,
                                                                int lda, const float *b, int ldb,
                                                                int m, int n, int k, bool ta,
                                                                bool tb, bool add) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n,
                k, 1, a, lda, b, ldb, add, c, ldc);
}
