// Batch normalisation. Short rows are joined, so that vectors stay full whatever the number of
// channels: of 3 channels, 64 rows are one row of 192 columns, column j belonging to channel j % 3.
// Rows of 64 channels and more stand alone. A matrix is cut in pieces of whole rows; a piece is
// small enough to be read twice from the cache.
#include "norm.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum { PIECE = 1 << 14, COLUMNS = 1024 }; // floats of a piece; columns summed at a time
enum { WIDE = 4 * VL };                   // columns that one pass down the rows takes at most

static int smaller(int a, int b) { return a < b ? a : b; }

// ---- as rows of a tensor

void norm_moments_to_rows(float *rows, const double *mean, const double *variance, int channels) {
    for (int c = 0; c < channels; c++) {
        rows[c] = (float)mean[c];
        rows[channels + c] = (float)(mean[c] - rows[c]);
        rows[2 * channels + c] = (float)variance[c];
    }
}

struct norm_coefficients norm_from_rows(const float *rows, int channels, bool relu) {
    return (struct norm_coefficients){
        .mean = rows, .scale = rows + channels, .offset = rows + 2 * channels, .relu = relu};
}

struct norm_coefficients norm_map_from_rows(const float *rows, int channels) {
    return (struct norm_coefficients){.mean = rows, .a = rows + channels,
                                      .b = rows + 2 * channels, .c = rows + 3 * channels};
}

struct layout {
    size_t rows, piece_rows;
    int channels, join, pieces;
};

static int rows_to_join(int channels) {
    int join = 1;
    if (channels >= 64) return 1;
    while (channels * join % VL) join *= 2;
    while (channels * join % WIDE && channels * join * 2 <= COLUMNS) join *= 2;
    return join;
}

static struct layout layout_of(size_t rows, int channels) {
    struct layout l = {.rows = rows, .channels = channels, .join = rows_to_join(channels)};
    size_t unit = (size_t)channels * (size_t)l.join;
    l.piece_rows = (size_t)l.join * (unit < PIECE ? PIECE / unit : 1);
    l.pieces = (int)((rows + l.piece_rows - 1) / l.piece_rows);
    return l;
}

static size_t rows_of(const struct layout *l, int piece) {
    size_t left = l->rows - (size_t)piece * l->piece_rows;
    return left < l->piece_rows ? left : l->piece_rows;
}

// A piece is one or two blocks: rows joined as far as they go, and the few left at the very end.
struct block {
    const float *x, *dy, *add, *mask; // all but x may be NULL
    float *out;
    size_t rows, step; // of joined rows; from one to the next in floats
    int columns, join;
};

// `whole`: where the matrices begin.
static int blocks_of(struct block out[2], const struct layout *l, int piece,
                     const struct block *whole) {
    const size_t rows = rows_of(l, piece), channels = (size_t)l->channels, join = (size_t)l->join;
    size_t at = (size_t)piece * l->piece_rows * channels;
    int n = 0;
    for (int k = 0; k < 2; k++) {
        struct block b = {.join = k ? 1 : l->join, .rows = k ? rows % join : rows / join};
        b.columns = l->channels * b.join;
        b.step = (size_t)b.columns;
        b.x = whole->x + at;
        b.dy = whole->dy ? whole->dy + at : NULL;
        b.add = whole->add ? whole->add + at : NULL;
        b.mask = whole->mask ? whole->mask + at : NULL;
        b.out = whole->out ? whole->out + at : NULL;
        at += b.rows * b.step;
        if (b.rows) out[n++] = b;
    }
    return n;
}

// The same block from column `first` on, `channels` wide (of a block that is not joined).
static struct block part_of(const struct block *whole, int first, int channels) {
    struct block b = *whole;
    b.x += first;
    if (b.dy) b.dy += first;
    if (b.mask) b.mask += first;
    if (b.out) b.out += first;
    b.columns = channels * b.join;
    return b;
}

// ---- coefficients, once for every column of a joined row

struct expanded {
    float table[6][COLUMNS + VL];
    struct norm_coefficients k;
};

static const float *expand(float *table, const float *k, const struct layout *l) {
    if (!k || l->join == 1) return k;
    for (int i = 0; i < l->join; i++)
        memcpy(table + i * l->channels, k, sizeof(float) * (size_t)l->channels);
    return table;
}

static void expand_all(struct expanded *e, const struct norm_coefficients *k,
                       const struct layout *l) {
    const float *from[6] = {k->mean, k->scale, k->offset, k->a, k->b, k->c}, *to[6];
    for (int i = 0; i < 6; i++) to[i] = expand(e->table[i], from[i], l);
    e->k = (struct norm_coefficients){to[0], to[1], to[2], to[3], to[4], to[5], k->relu};
}

// The coefficients from column `first` on.
static struct norm_coefficients from_column(const struct norm_coefficients *k, int first) {
    return (struct norm_coefficients){
        .mean = k->mean + first, .scale = k->scale + first, .offset = k->offset + first};
}

// Of n vectors of columns, from column j on.
struct affine { vec mean[4], scale[4], offset[4]; };

INLINE struct affine load_affine(const struct norm_coefficients *k, int j, const int n) {
    struct affine a;
    UNROLL for (int i = 0; i < n; i++) {
        a.mean[i] = load(k->mean + j + i * VL);
        a.scale[i] = load(k->scale + j + i * VL);
        a.offset[i] = load(k->offset + j + i * VL);
    }
    return a;
}

// ---- sums down the columns
// The last vector of a block may reach past its columns; those lanes are computed and never used.

INLINE void sum_down(float *sum, const struct block *b, int j, const int n) {
    const float *x = b->x + j;
    vec s[4] = {0};
    for (size_t r = 0; r < b->rows; r++, x += b->step) {
        UNROLL for (int i = 0; i < n; i++) s[i] += load(x + i * VL);
    }
    UNROLL for (int i = 0; i < n; i++) store(sum + j + i * VL, s[i]);
}

// s1 = sum (x - shift), s2 = sum (x - shift)^2
INLINE void deviations_down(float *s1, float *s2, const struct block *b, const float *shift, int j,
                            const int n) {
    const float *x = b->x + j;
    vec sum[4] = {0}, squares[4] = {0}, m[4];
    UNROLL for (int i = 0; i < n; i++) m[i] = load(shift + j + i * VL);
    for (size_t r = 0; r < b->rows; r++, x += b->step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + i * VL) - m[i];
            sum[i] += d;
            squares[i] += d * d;
        }
    }
    UNROLL for (int i = 0; i < n; i++) {
        store(s1 + j + i * VL, sum[i]);
        store(s2 + j + i * VL, squares[i]);
    }
}

static void sum_columns(float *sum, const struct block *b) {
    int j = 0;
    for (; j + WIDE <= b->columns; j += WIDE) sum_down(sum, b, j, 4);
    for (; j < b->columns; j += VL) sum_down(sum, b, j, 1);
}

static void deviation_columns(float *s1, float *s2, const struct block *b, const float *shift) {
    int j = 0;
    for (; j + WIDE <= b->columns; j += WIDE) deviations_down(s1, s2, b, shift, j, 4);
    for (; j < b->columns; j += VL) deviations_down(s1, s2, b, shift, j, 1);
}

// total[channel] += the sums of its columns
static void fold(double *total, const float *sum, int channels, int join) {
    for (int i = 0; i < join; i++)
        for (int c = 0; c < channels; c++) total[c] += sum[i * channels + c];
}

// ---- moments: each piece about its own mean, then all together (Chan, Golub and LeVeque 1979)

struct sums_job {
    struct layout layout;
    struct block whole;
    const struct norm_coefficients *k;
    double *parts; // (pieces, 2, channels)
};

static void moments_of_channels(double *mean, double *m2, const struct sums_job *job, int piece,
                                int first, int channels) {
    float s1[COLUMNS + VL], s2[COLUMNS + VL], shift[COLUMNS + VL] = {0};
    double t1[COLUMNS] = {0}, t2[COLUMNS] = {0}, n = (double)rows_of(&job->layout, piece);
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece, &job->whole);
    for (int i = 0; i < blocks; i++) {
        struct block b = part_of(&block[i], first, channels);
        sum_columns(s1, &b);
        fold(t1, s1, channels, b.join);
    }
    for (int i = 0; i < job->layout.join; i++)
        for (int c = 0; c < channels; c++) shift[i * channels + c] = (float)(t1[c] / n);
    memset(t1, 0, sizeof t1);
    for (int i = 0; i < blocks; i++) {
        struct block b = part_of(&block[i], first, channels);
        deviation_columns(s1, s2, &b, shift);
        fold(t1, s1, channels, b.join);
        fold(t2, s2, channels, b.join);
    }
    for (int c = 0; c < channels; c++) {
        mean[c] = shift[c] + t1[c] / n;
        m2[c] = t2[c] - t1[c] * t1[c] / n;
    }
}

static void moments_piece(void *arg, int piece, int thread) {
    const struct sums_job *job = arg;
    int channels = job->layout.channels;
    double *mean = job->parts + (size_t)piece * 2 * (size_t)channels, *m2 = mean + channels;
    (void)thread;
    for (int c = 0; c < channels; c += COLUMNS)
        moments_of_channels(mean + c, m2 + c, job, piece, c, smaller(COLUMNS, channels - c));
}

size_t norm_scratch(size_t rows, int channels) {
    return (size_t)layout_of(rows, channels).pieces * 2 * (size_t)channels;
}

void norm_moments(double *mean, double *variance, const float *x, size_t rows, int channels,
                  double *scratch) {
    struct sums_job job = {.layout = layout_of(rows, channels), .whole = {.x = x}, .parts = scratch};
    const size_t part = 2 * (size_t)channels;
    threads_run(moments_piece, &job, job.layout.pieces);
    memset(mean, 0, sizeof(double) * (size_t)channels);
    memset(variance, 0, sizeof(double) * (size_t)channels);
    for (int p = 0; p < job.layout.pieces; p++) {
        const double *means = scratch + (size_t)p * part;
        double share = (double)rows_of(&job.layout, p) / (double)rows;
        for (int c = 0; c < channels; c++) mean[c] += share * means[c];
    }
    for (int p = 0; p < job.layout.pieces; p++) {
        const double *means = scratch + (size_t)p * part, *m2 = means + channels;
        double n = (double)rows_of(&job.layout, p);
        for (int c = 0; c < channels; c++) {
            double d = means[c] - mean[c];
            variance[c] += (m2[c] + n * d * d) / (double)rows;
        }
    }
}

// ---- y = (x - mean) * scale + offset (+ add)

struct apply_job {
    struct layout layout;
    struct block whole;
    struct expanded e;
};

// As norm_value.
INLINE float normalised1(float d, float scale, float offset) { return d * scale + offset; }

INLINE void forward_down(const struct block *b, const struct norm_coefficients *k, int j,
                         const bool relu, const bool more, const int n) {
    const struct affine a = load_affine(k, j, n);
    const float *x = b->x + j, *add = more ? b->add + j : NULL;
    float *y = b->out + j;
    for (size_t r = 0; r < b->rows; r++, x += b->step, y += b->step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec v = norm_value(load(x + i * VL) - a.mean[i], a.scale[i], a.offset[i]);
            if (more) v += load(add + i * VL);
            store(y + i * VL, relu ? positive(v) : v);
        }
        if (more) add += b->step;
    }
}

static void forward_last(const struct block *b, const struct norm_coefficients *k, int first) {
    for (size_t r = 0; r < b->rows; r++) {
        const float *x = b->x + r * b->step;
        float *y = b->out + r * b->step;
        for (int j = first; j < b->columns; j++) {
            float v = normalised1(x[j] - k->mean[j], k->scale[j], k->offset[j]);
            if (b->add) v += b->add[r * b->step + (size_t)j];
            y[j] = k->relu && v < 0 ? 0 : v;
        }
    }
}

INLINE void forward_block(const struct block *b, const struct norm_coefficients *k,
                          const bool relu, const bool more) {
    int j = 0;
    for (; j + WIDE <= b->columns; j += WIDE) forward_down(b, k, j, relu, more, 4);
    for (; j + VL <= b->columns; j += VL) forward_down(b, k, j, relu, more, 1);
    if (j < b->columns) forward_last(b, k, j);
}

static void forward_piece(void *arg, int piece, int thread) {
    const struct apply_job *job = arg;
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece, &job->whole);
    const struct norm_coefficients *k = &job->e.k;
    (void)thread;
    for (int i = 0; i < blocks; i++) {
        const bool more = block[i].add != NULL;
        if (k->relu && more) forward_block(&block[i], k, true, true);
        else if (k->relu) forward_block(&block[i], k, true, false);
        else if (more) forward_block(&block[i], k, false, true);
        else forward_block(&block[i], k, false, false);
    }
}

void norm_forward_add(float *y, const float *x, const float *add, size_t rows, int channels,
                      const struct norm_coefficients *k) {
    struct apply_job job = {.layout = layout_of(rows, channels),
                            .whole = {.x = x, .add = add, .out = y}};
    expand_all(&job.e, k, &job.layout);
    threads_run(forward_piece, &job, job.layout.pieces);
}

void norm_forward(float *y, const float *x, size_t rows, int channels,
                  const struct norm_coefficients *k) {
    norm_forward_add(y, x, NULL, rows, channels, k);
}

// ---- sum g, sum g * (x - mean)

// What decides where relu cut off: nothing did, the normalised x itself, or a mask that is not
// positive there; with a mask, g is written down too.
enum cut { CUT_NOTHING, CUT_BY_X, CUT_BY_MASK };

INLINE void gradient_down(float *s0, float *s1, const struct block *b,
                          const struct norm_coefficients *k, int j, const enum cut cut,
                          const int n) {
    const struct affine a = load_affine(k, j, n);
    const float *x = b->x + j, *dy = b->dy + j, *mask = cut == CUT_BY_MASK ? b->mask + j : NULL;
    float *out = cut == CUT_BY_MASK ? b->out + j : NULL;
    const int left = b->columns - j;
    vec sum[4] = {0}, product[4] = {0};
    for (size_t r = 0; r < b->rows; r++, x += b->step, dy += b->step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + i * VL) - a.mean[i], g = load(dy + i * VL);
            if (cut == CUT_BY_X) g = where_positive(norm_value(d, a.scale[i], a.offset[i]), g);
            if (cut == CUT_BY_MASK) {
                g = where_positive(load(mask + i * VL), g);
                store_part(out + i * VL, g, n > 1 ? VL : left);
            }
            sum[i] += g;
            product[i] += g * d;
        }
        if (cut == CUT_BY_MASK) mask += b->step, out += b->step;
    }
    UNROLL for (int i = 0; i < n; i++) {
        store(s0 + j + i * VL, sum[i]);
        store(s1 + j + i * VL, product[i]);
    }
}

INLINE void gradient_columns(float *s0, float *s1, const struct block *b,
                             const struct norm_coefficients *k, const enum cut cut) {
    int j = 0;
    for (; j + WIDE <= b->columns; j += WIDE) gradient_down(s0, s1, b, k, j, cut, 4);
    for (; j < b->columns; j += VL) gradient_down(s0, s1, b, k, j, cut, 1);
}

static void sums_of_channels(double *t0, double *t1, const struct sums_job *job, int piece,
                             int first, int channels) {
    const struct norm_coefficients k = from_column(job->k, first);
    float s0[COLUMNS + VL], s1[COLUMNS + VL];
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece, &job->whole);
    memset(t0, 0, sizeof(double) * (size_t)channels);
    memset(t1, 0, sizeof(double) * (size_t)channels);
    for (int i = 0; i < blocks; i++) {
        struct block b = part_of(&block[i], first, channels);
        if (b.mask) gradient_columns(s0, s1, &b, &k, CUT_BY_MASK);
        else if (job->k->relu) gradient_columns(s0, s1, &b, &k, CUT_BY_X);
        else gradient_columns(s0, s1, &b, &k, CUT_NOTHING);
        fold(t0, s0, channels, b.join);
        fold(t1, s1, channels, b.join);
    }
}

static void sums_piece(void *arg, int piece, int thread) {
    const struct sums_job *job = arg;
    int channels = job->layout.channels;
    double *t0 = job->parts + (size_t)piece * 2 * (size_t)channels, *t1 = t0 + channels;
    (void)thread;
    for (int c = 0; c < channels; c += COLUMNS)
        sums_of_channels(t0 + c, t1 + c, job, piece, c, smaller(COLUMNS, channels - c));
}

void norm_sums(double *sum_g, double *sum_gx, float *g, const float *dy, const float *y,
               const float *x, size_t rows, int channels, const struct norm_coefficients *k,
               double *scratch) {
    struct expanded e;
    struct sums_job job = {layout_of(rows, channels), {.x = x, .dy = dy, .mask = y, .out = g},
                           &e.k, scratch};
    expand_all(&e, k, &job.layout);
    threads_run(sums_piece, &job, job.layout.pieces);
    memset(sum_g, 0, sizeof(double) * (size_t)channels);
    memset(sum_gx, 0, sizeof(double) * (size_t)channels);
    for (int p = 0; p < job.layout.pieces; p++) {
        const double *part = scratch + (size_t)p * 2 * (size_t)channels;
        for (int c = 0; c < channels; c++) sum_g[c] += part[c], sum_gx[c] += part[channels + c];
    }
}

// ---- dx = a * g + b * (x - mean) + c

INLINE void backward_down(const struct block *b, const struct norm_coefficients *k, int j,
                          const bool relu, const int n) {
    const struct affine f = load_affine(k, j, n);
    const float *x = b->x + j, *dy = b->dy + j;
    float *dx = b->out + j;
    vec ka[4], kb[4], kc[4];
    UNROLL for (int i = 0; i < n; i++) {
        ka[i] = load(k->a + j + i * VL);
        kb[i] = load(k->b + j + i * VL);
        kc[i] = load(k->c + j + i * VL);
    }
    for (size_t r = 0; r < b->rows; r++, x += b->step, dy += b->step, dx += b->step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + i * VL) - f.mean[i], g = load(dy + i * VL);
            if (relu) g = where_positive(norm_value(d, f.scale[i], f.offset[i]), g);
            store(dx + i * VL, ka[i] * g + (kb[i] * d + kc[i]));
        }
    }
}

static void backward_last(const struct block *b, const struct norm_coefficients *k, int first) {
    for (size_t r = 0; r < b->rows; r++) {
        const float *x = b->x + r * b->step, *dy = b->dy + r * b->step;
        float *dx = b->out + r * b->step;
        for (int j = first; j < b->columns; j++) {
            float d = x[j] - k->mean[j], g = dy[j];
            if (k->relu && !(normalised1(d, k->scale[j], k->offset[j]) > 0)) g = 0;
            dx[j] = k->a[j] * g + (k->b[j] * d + k->c[j]);
        }
    }
}

INLINE void backward_block(const struct block *b, const struct norm_coefficients *k,
                           const bool relu) {
    int j = 0;
    for (; j + 2 * VL <= b->columns; j += 2 * VL) backward_down(b, k, j, relu, 2);
    for (; j + VL <= b->columns; j += VL) backward_down(b, k, j, relu, 1);
    if (j < b->columns) backward_last(b, k, j);
}

static void backward_piece(void *arg, int piece, int thread) {
    const struct apply_job *job = arg;
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece, &job->whole);
    (void)thread;
    for (int i = 0; i < blocks; i++) {
        if (job->e.k.relu) backward_block(&block[i], &job->e.k, true);
        else backward_block(&block[i], &job->e.k, false);
    }
}

void norm_backward(float *dx, const float *dy, const float *x, size_t rows, int channels,
                   const struct norm_coefficients *k) {
    struct apply_job job = {.layout = layout_of(rows, channels),
                            .whole = {.x = x, .dy = dy, .out = dx}};
    expand_all(&job.e, k, &job.layout);
    threads_run(backward_piece, &job, job.layout.pieces);
}
