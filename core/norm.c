// Batch normalisation. Short rows are joined, so that vectors stay full whatever the number of channels: with 3 channels,
// 64 rows are one row of 192 columns, and column j belongs to channel j % 3. Rows of 64 channels and more stand alone.
// A matrix is cut in pieces of whole rows; a piece is small enough to be read twice from the cache.
#include "norm.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum { PIECE = 1 << 14, COLUMNS = 1024, WIDE = 4 * VL }; // floats of a piece; columns done at a time; of a block

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

// Up to two blocks make a piece: rows joined as far as they go, and the few left at the very end.
struct block {
    size_t start, rows, step; // in floats, rows, floats
    int columns, join;
};

static int blocks_of(struct block out[2], const struct layout *l, int piece) {
    size_t first = (size_t)piece * l->piece_rows, rows = l->rows - first < l->piece_rows ? l->rows - first : l->piece_rows;
    size_t channels = (size_t)l->channels, joined = rows / (size_t)l->join, rest = rows % (size_t)l->join;
    int n = 0;
    if (joined)
        out[n++] = (struct block){first * channels, joined, channels * (size_t)l->join, l->channels * l->join, l->join};
    if (rest) out[n++] = (struct block){(first + rows - rest) * channels, rest, channels, l->channels, 1};
    return n;
}

static size_t rows_of(const struct layout *l, int piece) {
    size_t first = (size_t)piece * l->piece_rows;
    return l->rows - first < l->piece_rows ? l->rows - first : l->piece_rows;
}

static int smaller(int a, int b) { return a < b ? a : b; }

// ---- coefficients, once for every column of a joined row

struct expanded {
    float table[6][COLUMNS + VL];
    struct norm_coefficients k;
};

static const float *expand(float *table, const float *k, int channels, int join) {
    if (!k) return NULL;
    if (join == 1) return k;
    for (int i = 0; i < join; i++) memcpy(table + i * channels, k, sizeof(float) * (size_t)channels);
    return table;
}

static void expand_all(struct expanded *e, const struct norm_coefficients *k, const struct layout *l) {
    const float *from[6] = {k->mean, k->scale, k->offset, k->a, k->b, k->c}, *to[6];
    for (int i = 0; i < 6; i++) to[i] = expand(e->table[i], from[i], l->channels, l->join);
    e->k = (struct norm_coefficients){to[0], to[1], to[2], to[3], to[4], to[5], k->relu};
}

// ---- sums down the columns
// A block's last vector may reach past its columns; those lanes are computed and never used.

INLINE void sum_block(float *sum, const float *x, size_t rows, size_t step, const int n) {
    vec s[4] = {0};
    for (size_t r = 0; r < rows; r++, x += step) {
        UNROLL for (int i = 0; i < n; i++) s[i] += load(x + i * VL);
    }
    UNROLL for (int i = 0; i < n; i++) store(sum + i * VL, s[i]);
}

// s1 = sum (x - shift), s2 = sum (x - shift)^2
INLINE void deviation_block(float *s1, float *s2, const float *x, const float *shift, size_t rows, size_t step, const int n) {
    vec a[4] = {0}, b[4] = {0}, m[4];
    UNROLL for (int i = 0; i < n; i++) m[i] = load(shift + i * VL);
    for (size_t r = 0; r < rows; r++, x += step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + i * VL) - m[i];
            a[i] += d;
            b[i] += d * d;
        }
    }
    UNROLL for (int i = 0; i < n; i++) store(s1 + i * VL, a[i]), store(s2 + i * VL, b[i]);
}

static void sum_columns(float *sum, const float *x, size_t rows, size_t step, int columns) {
    int j = 0;
    for (; j + WIDE <= columns; j += WIDE) sum_block(sum + j, x + j, rows, step, 4);
    for (; j < columns; j += VL) sum_block(sum + j, x + j, rows, step, 1);
}

static void deviation_columns(float *s1, float *s2, const float *x, const float *shift, size_t rows, size_t step, int columns) {
    int j = 0;
    for (; j + WIDE <= columns; j += WIDE) deviation_block(s1 + j, s2 + j, x + j, shift + j, rows, step, 4);
    for (; j < columns; j += VL) deviation_block(s1 + j, s2 + j, x + j, shift + j, rows, step, 1);
}

// total[channel] += the sums of its columns
static void fold(double *total, const float *sum, int channels, int join) {
    for (int i = 0; i < join; i++)
        for (int c = 0; c < channels; c++) total[c] += sum[i * channels + c];
}

// ---- moments: each piece about its own mean, then all pieces together (Chan, Golub and LeVeque 1979)

struct sums_job {
    struct layout layout;
    const float *x, *dy;
    const struct norm_coefficients *k;
    double *parts; // (pieces, 2, channels)
};

static void moments_of_channels(double *mean, double *m2, const struct sums_job *job, int piece, int first, int channels) {
    float s1[COLUMNS + VL], s2[COLUMNS + VL], shift[COLUMNS + VL] = {0};
    double t1[COLUMNS] = {0}, t2[COLUMNS] = {0};
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece);
    double n = (double)rows_of(&job->layout, piece);
    for (int i = 0; i < blocks; i++) {
        const struct block *b = &block[i];
        sum_columns(s1, job->x + b->start + first, b->rows, b->step, channels * b->join);
        fold(t1, s1, channels, b->join);
    }
    for (int i = 0; i < job->layout.join; i++)
        for (int c = 0; c < channels; c++) shift[i * channels + c] = (float)(t1[c] / n);
    memset(t1, 0, sizeof t1);
    for (int i = 0; i < blocks; i++) {
        const struct block *b = &block[i];
        deviation_columns(s1, s2, job->x + b->start + first, shift, b->rows, b->step, channels * b->join);
        fold(t1, s1, channels, b->join);
        fold(t2, s2, channels, b->join);
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

void norm_moments(double *mean, double *variance, const float *x, size_t rows, int channels, double *scratch) {
    struct sums_job job = {.layout = layout_of(rows, channels), .x = x, .parts = scratch};
    const size_t part = 2 * (size_t)channels;
    threads_run(moments_piece, &job, job.layout.pieces);
    memset(mean, 0, sizeof(double) * (size_t)channels);
    memset(variance, 0, sizeof(double) * (size_t)channels);
    for (int p = 0; p < job.layout.pieces; p++) {
        double share = (double)rows_of(&job.layout, p) / (double)rows;
        for (int c = 0; c < channels; c++) mean[c] += share * scratch[(size_t)p * part + (size_t)c];
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

// ---- y = (x - mean) * scale + offset

struct apply_job {
    struct layout layout;
    float *out;
    const float *dy, *x;
    struct expanded e;
};

// One rule for forward and for the mask in backward: both must see the same bits.
INLINE vec normalised(vec d, vec scale, vec offset) { return d * scale + offset; }
INLINE float normalised1(float d, float scale, float offset) { return d * scale + offset; }

INLINE void forward_block(float *y, const float *x, const struct norm_coefficients *k, int j, size_t rows, size_t step,
                          const bool relu, const int n) {
    vec mean[4], scale[4], offset[4];
    UNROLL for (int i = 0; i < n; i++) {
        int at = j + i * VL;
        mean[i] = load(k->mean + at), scale[i] = load(k->scale + at), offset[i] = load(k->offset + at);
    }
    for (size_t r = 0; r < rows; r++, x += step, y += step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec v = normalised(load(x + j + i * VL) - mean[i], scale[i], offset[i]);
            store(y + j + i * VL, relu ? select(v < 0, (vec){0}, v) : v); // NaN stays NaN
        }
    }
}

static void forward_last(float *y, const float *x, const struct norm_coefficients *k, int j, int columns, size_t rows, size_t step) {
    for (size_t r = 0; r < rows; r++, x += step, y += step)
        for (int i = j; i < columns; i++) {
            float v = normalised1(x[i] - k->mean[i], k->scale[i], k->offset[i]);
            y[i] = k->relu && v < 0 ? 0 : v;
        }
}

INLINE void forward_columns(float *y, const float *x, const struct norm_coefficients *k, const struct block *b, const bool relu) {
    int j = 0;
    for (; j + WIDE <= b->columns; j += WIDE) forward_block(y, x, k, j, b->rows, b->step, relu, 4);
    for (; j + VL <= b->columns; j += VL) forward_block(y, x, k, j, b->rows, b->step, relu, 1);
    if (j < b->columns) forward_last(y, x, k, j, b->columns, b->rows, b->step);
}

static void forward_piece(void *arg, int piece, int thread) {
    const struct apply_job *job = arg;
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece);
    (void)thread;
    for (int i = 0; i < blocks; i++) {
        float *y = job->out + block[i].start;
        const float *x = job->x + block[i].start;
        if (job->e.k.relu) forward_columns(y, x, &job->e.k, &block[i], true);
        else forward_columns(y, x, &job->e.k, &block[i], false);
    }
}

void norm_forward(float *y, const float *x, size_t rows, int channels, const struct norm_coefficients *k) {
    struct apply_job job = {.layout = layout_of(rows, channels), .out = y, .x = x};
    expand_all(&job.e, k, &job.layout);
    threads_run(forward_piece, &job, job.layout.pieces);
}

// ---- sum g, sum g * (x - mean)

INLINE void gradient_block(float *s0, float *s1, const float *dy, const float *x, const struct norm_coefficients *k, int j,
                           size_t rows, size_t step, const bool relu, const int n) {
    vec a[4] = {0}, b[4] = {0}, mean[4], scale[4], offset[4];
    UNROLL for (int i = 0; i < n; i++) {
        int at = j + i * VL;
        mean[i] = load(k->mean + at), scale[i] = load(k->scale + at), offset[i] = load(k->offset + at);
    }
    for (size_t r = 0; r < rows; r++, x += step, dy += step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + i * VL) - mean[i], g = load(dy + i * VL);
            if (relu) g = select(normalised(d, scale[i], offset[i]) > 0, g, (vec){0});
            a[i] += g;
            b[i] += g * d;
        }
    }
    UNROLL for (int i = 0; i < n; i++) store(s0 + i * VL, a[i]), store(s1 + i * VL, b[i]);
}

// Columns first .. first + columns - 1 of the coefficients; x and dy begin at that column.
INLINE void gradient_columns(float *s0, float *s1, const float *dy, const float *x, const struct norm_coefficients *k,
                             int first, size_t rows, size_t step, int columns, const bool relu) {
    int j = 0;
    for (; j + WIDE <= columns; j += WIDE) gradient_block(s0 + j, s1 + j, dy + j, x + j, k, first + j, rows, step, relu, 4);
    for (; j < columns; j += VL) gradient_block(s0 + j, s1 + j, dy + j, x + j, k, first + j, rows, step, relu, 1);
}

static void sums_of_channels(double *t0, double *t1, const struct sums_job *job, int piece, int first, int channels) {
    float s0[COLUMNS + VL], s1[COLUMNS + VL];
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece);
    memset(t0, 0, sizeof(double) * (size_t)channels);
    memset(t1, 0, sizeof(double) * (size_t)channels);
    for (int i = 0; i < blocks; i++) {
        const struct block *b = &block[i];
        size_t start = b->start + (size_t)first;
        const float *dy = job->dy + start, *x = job->x + start;
        int columns = channels * b->join;
        if (job->k->relu) gradient_columns(s0, s1, dy, x, job->k, first, b->rows, b->step, columns, true);
        else gradient_columns(s0, s1, dy, x, job->k, first, b->rows, b->step, columns, false);
        fold(t0, s0, channels, b->join);
        fold(t1, s1, channels, b->join);
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

void norm_sums(double *sum_g, double *sum_gx, const float *dy, const float *x, size_t rows, int channels,
               const struct norm_coefficients *k, double *scratch) {
    struct expanded e;
    struct sums_job job = {.layout = layout_of(rows, channels), .x = x, .dy = dy, .k = &e.k, .parts = scratch};
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

INLINE void backward_block(float *dx, const float *dy, const float *x, const struct norm_coefficients *k, int j,
                           size_t rows, size_t step, const bool relu, const int n) {
    vec mean[4], scale[4], offset[4], ka[4], kb[4], kc[4];
    UNROLL for (int i = 0; i < n; i++) {
        int at = j + i * VL;
        mean[i] = load(k->mean + at), scale[i] = load(k->scale + at), offset[i] = load(k->offset + at);
        ka[i] = load(k->a + at), kb[i] = load(k->b + at), kc[i] = load(k->c + at);
    }
    for (size_t r = 0; r < rows; r++, x += step, dy += step, dx += step) {
        UNROLL for (int i = 0; i < n; i++) {
            vec d = load(x + j + i * VL) - mean[i], g = load(dy + j + i * VL);
            if (relu) g = select(normalised(d, scale[i], offset[i]) > 0, g, (vec){0});
            store(dx + j + i * VL, ka[i] * g + (kb[i] * d + kc[i]));
        }
    }
}

static void backward_last(float *dx, const float *dy, const float *x, const struct norm_coefficients *k, int j, int columns,
                          size_t rows, size_t step) {
    for (size_t r = 0; r < rows; r++, x += step, dy += step, dx += step)
        for (int i = j; i < columns; i++) {
            float d = x[i] - k->mean[i], g = dy[i];
            if (k->relu && !(normalised1(d, k->scale[i], k->offset[i]) > 0)) g = 0;
            dx[i] = k->a[i] * g + (k->b[i] * d + k->c[i]);
        }
}

INLINE void backward_columns(float *dx, const float *dy, const float *x, const struct norm_coefficients *k,
                             const struct block *b, const bool relu) {
    int j = 0;
    for (; j + 2 * VL <= b->columns; j += 2 * VL) backward_block(dx, dy, x, k, j, b->rows, b->step, relu, 2);
    for (; j + VL <= b->columns; j += VL) backward_block(dx, dy, x, k, j, b->rows, b->step, relu, 1);
    if (j < b->columns) backward_last(dx, dy, x, k, j, b->columns, b->rows, b->step);
}

static void backward_piece(void *arg, int piece, int thread) {
    const struct apply_job *job = arg;
    struct block block[2];
    int blocks = blocks_of(block, &job->layout, piece);
    (void)thread;
    for (int i = 0; i < blocks; i++) {
        size_t start = block[i].start;
        float *dx = job->out + start;
        const float *dy = job->dy + start, *x = job->x + start;
        if (job->e.k.relu) backward_columns(dx, dy, x, &job->e.k, &block[i], true);
        else backward_columns(dx, dy, x, &job->e.k, &block[i], false);
    }
}

void norm_backward(float *dx, const float *dy, const float *x, size_t rows, int channels,
                   const struct norm_coefficients *k) {
    struct apply_job job = {.layout = layout_of(rows, channels), .out = dx, .dy = dy, .x = x};
    expand_all(&job.e, k, &job.layout);
    threads_run(backward_piece, &job, job.layout.pieces);
}
