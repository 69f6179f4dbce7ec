// Matrix products. The pieces are bands of the result's rows (or of its columns when those are
// more), their number a function of the sizes alone, so every number is computed by the same BLAS
// call on any number of threads.
#include "gemm.h"
#include "threads.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BANDS = 16, BAND_STEP = 16 };
static const double BAND_WORK = 1 << 20; // multiply-adds worth a piece of their own
static const double STRIDE_WORK = 2147483648; // a fraction of a second on any machine
static const double SMALL = 1 << 16;     // multiply-adds that do not need OpenBLAS

static size_t at(int row, int line, int column) {
    return (size_t)row * (size_t)line + (size_t)column;
}

// Small products, and all where there is no OpenBLAS: row by row of b (or b's transpose).
static void plain_product(float *c, int ldc, const float *a, int lda, const float *b, int ldb,
                          int m, int n, int k, bool ta, bool tb, bool add) {
    for (int i = 0; i < m; i++, c += ldc) {
        if (!add) memset(c, 0, (size_t)n * sizeof *c);
        for (int p = 0; p < k; p++) {
            float x = a[ta ? at(p, lda, i) : at(i, lda, p)];
            for (int j = 0; j < n; j++) c[j] += x * b[tb ? at(j, ldb, p) : at(p, ldb, j)];
        }
    }
}

// OpenBLAS starts a thread for every core when it is loaded, unless told not to. Ours are enough,
// and a signal that one of those threads got would be handled beside the running Lua.
static void *open_with_one_thread(const char *path) {
    static const char name[] = "OPENBLAS_NUM_THREADS";
    const char *set = getenv(name);
    char *before = set ? strdup(set) : NULL;
    setenv(name, "1", 1);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (before) setenv(name, before, 1);
    else unsetenv(name);
    free(before);
    return library;
}

// From blas.so, which lies beside this core.
static gemm_product *load_blas(void) {
    Dl_info self;
    char path[4096];
    if (!dladdr((void *)gemm, &self)) return plain_product;
    const char *slash = strrchr(self.dli_fname, '/');
    int folder = slash ? (int)(slash - self.dli_fname) + 1 : 0;
    snprintf(path, sizeof path, "%.*sblas.so", folder, self.dli_fname);
    void *library = open_with_one_thread(path);
    gemm_product *product = NULL;
    if (library) *(void **)&product = dlsym(library, "giemsa_blas_product");
    return product ? product : plain_product;
}

static gemm_product *product_for(double work) {
    static gemm_product *large;
    if (work <= SMALL) return plain_product;
    if (!large) large = load_blas();
    return large;
}

struct gemm_job {
    gemm_product *product;
    float *c;
    const float *a, *b;
    int m, n, k, bands, band, stride; // band: rows (or columns) of one piece
    bool ta, tb, add, by_columns, b_shared;
};

// Rows `row` .. row + rows - 1 and the columns likewise, of one matrix of the batch.
static void gemm_part(const struct gemm_job *j, size_t matrix, size_t row, int rows, size_t column,
                      int columns) {
    size_t m = (size_t)j->m, n = (size_t)j->n, k = (size_t)j->k;
    const float *a = j->a + matrix * m * k + (j->ta ? row : row * k);
    const float *b = j->b + (j->b_shared ? 0 : matrix * k * n) + (j->tb ? column * k : column);
    j->product(j->c + matrix * m * n + row * n + column, j->n, a, j->ta ? j->m : j->k, b,
               j->tb ? j->k : j->n, rows, columns, j->k, j->ta, j->tb, j->add);
}

// A band goes across the whole matrix, in strides that are short enough to be broken off between.
static void gemm_band(void *arg, int piece, int thread) {
    const struct gemm_job *j = arg;
    size_t matrix = (size_t)(piece / j->bands);
    int first = piece % j->bands * j->band, whole = j->by_columns ? j->n : j->m;
    int across = j->by_columns ? j->m : j->n, count = whole - first;
    if (count > j->band) count = j->band;
    (void)thread;
    for (int at = 0, some; at < across && !threads_stopped(); at += some) {
        some = across - at < j->stride ? across - at : j->stride;
        if (j->by_columns) gemm_part(j, matrix, (size_t)at, some, (size_t)first, count);
        else gemm_part(j, matrix, (size_t)first, count, (size_t)at, some);
    }
}

static int stride_of(const struct gemm_job *j, int across) {
    double stride = STRIDE_WORK / ((double)j->band * j->k);
    if (stride >= across) return across;
    return stride < BAND_STEP ? BAND_STEP : (int)stride / BAND_STEP * BAND_STEP;
}

static void run(struct gemm_job *j, int batch) {
    size_t numbers = (size_t)batch * (size_t)j->m * (size_t)j->n;
    if (numbers == 0) return;
    if (j->k == 0) {
        if (!j->add) memset(j->c, 0, numbers * sizeof(float));
        return;
    }
    j->product = product_for((double)j->m * j->n * j->k);
    j->by_columns = j->n > 4 * j->m;
    int whole = j->by_columns ? j->n : j->m;
    double bands = (double)j->m * j->n * j->k / BAND_WORK;
    j->bands = bands < 1 ? 1 : bands > MOST_BANDS ? MOST_BANDS : (int)bands;
    j->band = ((whole + j->bands - 1) / j->bands + BAND_STEP - 1) / BAND_STEP * BAND_STEP;
    j->bands = (whole + j->band - 1) / j->band;
    j->stride = stride_of(j, j->by_columns ? j->m : j->n);
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
