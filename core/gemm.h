// Matrix products: large ones by OpenBLAS, one BLAS thread a call inside our own fixed pieces.
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

// One product inside a piece, with leading dimensions as in cblas_sgemm: what blas.c offers.
typedef void gemm_product(float *c, int ldc, const float *a, int lda, const float *b, int ldb,
                          int m, int n, int k, bool ta, bool tb, bool add);
gemm_product giemsa_blas_product;
