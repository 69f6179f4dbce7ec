// Matrix products. The pieces are bands of the result's rows (or of its columns when those are
// more), their number a function of the sizes alone, so every number is computed by the same BLAS
// call on any number of threads.
#include "gemm.h"
#include "threads.h"

#include <cblas.h>
#include <string.h>

extern void openblas_set_num_threads(int n);

enum { MOST_BANDS = 16, BAND_STEP = 16 };
static const double BAND_WORK = 1 << 20; // multiply-adds worth a piece of their own

void gemm_prepare(void) {
    static bool done;
    if (!done) openblas_set_num_threads(1);
    done = true;
}

void gemm_piece(float *c, int ldc, const float *a, int lda, const float *b, int ldb, int m, int n,
                int k, bool ta, bool tb, bool add) {
    cblas_sgemm(CblasRowMajor, ta ? CblasTrans : CblasNoTrans, tb ? CblasTrans : CblasNoTrans, m, n,
                k, 1, a, lda, b, ldb, add, c, ldc);
}

struct gemm_job {
    float *c;
    const float *a, *b;
    int m, n, k, bands, band; // band: rows (or columns) of one piece
    bool ta, tb, add, by_columns, b_shared;
};

static void gemm_band(void *arg, int piece, int thread) {
    const struct gemm_job *j = arg;
    size_t matrix = (size_t)(piece / j->bands),
           first = (size_t)(piece % j->bands) * (size_t)j->band;
    size_t m = (size_t)j->m, n = (size_t)j->n, k = (size_t)j->k, whole = j->by_columns ? n : m;
    const float *a = j->a + matrix * m * k, *b = j->b + (j->b_shared ? 0 : matrix * k * n);
    float *c = j->c + matrix * m * n;
    int count = (int)(whole - first) < j->band ? (int)(whole - first) : j->band;
    int lda = j->ta ? j->m : j->k, ldb = j->tb ? j->k : j->n;
    (void)thread;
    if (j->by_columns)
        gemm_piece(c + first, j->n, a, lda, b + (j->tb ? first * k : first), ldb, j->m, count, j->k,
                   j->ta, j->tb, j->add);
    else
        gemm_piece(c + first * n, j->n, a + (j->ta ? first : first * k), lda, b, ldb, count, j->n,
                   j->k, j->ta, j->tb, j->add);
}

static void run(struct gemm_job *j, int batch) {
    size_t numbers = (size_t)batch * (size_t)j->m * (size_t)j->n;
    if (numbers == 0) return;
    if (j->k == 0) {
        if (!j->add) memset(j->c, 0, numbers * sizeof(float));
        return;
    }
    gemm_prepare();
    j->by_columns = j->n > 4 * j->m;
    int whole = j->by_columns ? j->n : j->m;
    double bands = (double)j->m * j->n * j->k / BAND_WORK;
    j->bands = bands < 1 ? 1 : bands > MOST_BANDS ? MOST_BANDS : (int)bands;
    j->band = ((whole + j->bands - 1) / j->bands + BAND_STEP - 1) / BAND_STEP * BAND_STEP;
    j->bands = (whole + j->band - 1) / j->band;
    threads_run(gemm_band, j, batch * j->bands);
}

void gemm(float *c, const float *a, const float *b, int m, int n, int k, bool ta, bool tb,
          bool add) {
    struct gemm_job job = {
        .c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .add = add};
    run(&job, 1);
}

void gemm_batch(float *c, const float *a, const float *b, int batch, int m, int n, int k, bool ta,
                bool tb, bool b_shared) {
    struct gemm_job job = {
        .c = c, .a = a, .b = b, .m = m, .n = n, .k = k, .ta = ta, .tb = tb, .b_shared = b_shared};
    run(&job, batch);
}
