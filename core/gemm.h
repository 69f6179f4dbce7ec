// Matrix products by OpenBLAS, one BLAS thread a call inside our own fixed pieces.
#pragma once
#include <stdbool.h>
#include <stddef.h>

// c (m,n) = op(a) (m,k) times op(b) (k,n), plus c when `add`. op is the transpose when ta (a stored
// (k,m)) or tb (b stored (n,k)). All contiguous.
void gemm(float *c, const float *a, const float *b, int m, int n, int k, bool ta, bool tb,
          bool add);

// The same for `batch` matrices behind one another; b is one matrix for all when b_shared.
void gemm_batch(float *c, const float *a, const float *b, int batch, int m, int n, int k, bool ta,
                bool tb, bool b_shared);

// The bare BLAS call, for kernels that are already inside a piece; leading dimensions as in
// cblas_sgemm. Call gemm_prepare() from the main thread before the pieces start.
void gemm_prepare(void);
void gemm_piece(float *c, int ldc, const float *a, int lda, const float *b, int ldb, int m, int n,
                int k, bool ta, bool tb, bool add);
