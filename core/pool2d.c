// Pooling: one piece is a few rows of the output (or, for a gradient, of the input); channels go
// through vectors, and the last few channels through a vector that is stored only in part.
#include "pool2d.h"
#include "threads.h"
#include "vec.h"

#include <stdint.h>
#include <string.h>

typedef uint8_t bytes __attribute__((vector_size(VL), aligned(1), may_alias));
typedef uint16_t shorts __attribute__((vector_size(2 * VL), aligned(2), may_alias));

struct job {
    struct pool_shape s;
    float *out;
    const float *in;
    const float *slope; // NULL: as if positive
    uint8_t *taps; // NULL for means
    bool wide; // a tap has 4 bytes
    int rows, piece_rows;
};

struct range {
    int begin, end;
};

static int largest(int a, int b) { return a > b ? a : b; }
static int smallest(int a, int b) { return a < b ? a : b; }

// The taps of a window that are inside 0..size-1.
static struct range inside(int start, int pool, int size) {
    return (struct range){largest(0, -start), smallest(pool, size - start)};
}

// The outputs whose window covers input position i (already counted from the padded edge).
static struct range windows_over(int i, int pool, int stride, int outputs) {
    int first = i - pool + 1;
    return (struct range){first > 0 ? (first + stride - 1) / stride : 0,
                          smallest(outputs, i / stride + 1)};
}

// Inputs may be loaded whole past the channels (memory has slack); an output only as far as its
// channels go, since what follows may be another thread's.

// ---- taps in memory

size_t pool_taps_bytes(const struct pool_shape *s) {
    size_t numbers = (size_t)s->n * (size_t)s->out_h * (size_t)s->out_w * (size_t)s->c;
    return numbers * (s->pool_h * s->pool_w > 256 ? 4 : 1);
}

INLINE void store_taps(uint8_t *taps, bool wide, size_t at, veci tap, int lanes) {
    size_t count = (size_t)smallest(lanes, VL);
    if (wide) {
        memcpy(taps + 4 * at, &tap, 4 * count);
        return;
    }
    bytes narrow = __builtin_convertvector(tap, bytes);
    memcpy(taps + at, &narrow, count);
}

INLINE veci load_taps(const uint8_t *taps, bool wide, size_t at) {
    if (wide) return *(const veci *)(taps + 4 * at);
    // In two steps, since gcc 12 converts lane by lane when it is to do both at once.
    shorts half_way = __builtin_convertvector(*(const bytes *)(taps + at), shorts);
    return __builtin_convertvector(half_way, veci);
}

// ---- maximum

// What lies outside counts as 0: it takes over from `best` when larger, or when equal and earlier
// (tap `outside` is the first of them).
INLINE void meet_zeros(vec *best, veci *tap, int outside) {
    veci earlier = (*best == 0) & (*tap > outside), better = (*best < 0) | earlier;
    *best = choose(better, (vec){0}, *best);
    *tap = (better & outside) | (~better & *tap);
}

// The first tap outside the picture, in row-major order; -1 when there is none.
static int first_outside(const struct pool_shape *s, struct range ky, struct range kx) {
    if (ky.begin > 0 || kx.begin > 0) return 0;
    if (kx.end < s->pool_w) return kx.end;
    return ky.end < s->pool_h ? ky.end * s->pool_w : -1;
}

static void max_pixel(const struct job *job, const float *image, int y0, struct range ky, int ox,
                      size_t out) {
    const struct pool_shape *s = &job->s;
    const int x0 = ox * s->stride_w - s->left, channels = s->c;
    const struct range kx = inside(x0, s->pool_w, s->w);
    const int outside = s->zeros ? first_outside(s, ky, kx) : -1;
    const size_t row = (size_t)s->w * (size_t)channels;
    const float *first = image + (size_t)(y0 + ky.begin) * row +
                         (size_t)(x0 + kx.begin) * (size_t)channels;
    for (int c = 0; c < channels; c += VL) {
        vec best = splat(-__builtin_inff());
        veci tap = (veci){0} + (ky.begin * s->pool_w + kx.begin);
        const vec sign = job->slope ? choose(load(job->slope + c) < 0, splat(-1), splat(1)) : splat(1);
        const float *line = first + c;
        for (int i = ky.begin; i < ky.end; i++, line += row) {
            const float *x = line;
            for (int j = kx.begin; j < kx.end; j++, x += channels) {
                vec v = load(x) * sign;
                veci better = (v > best) | (v != v);
                best = choose(better, v, best);
                tap = (better & (i * s->pool_w + j)) | (~better & tap);
            }
        }
        if (outside >= 0) meet_zeros(&best, &tap, outside);
        store_part(job->out + out + c, best * sign, channels - c);
        if (job->taps) store_taps(job->taps, job->wide, out + (size_t)c, tap, channels - c);
    }
}

static struct range rows_of(const struct job *job, int piece) {
    return (struct range){piece * job->piece_rows,
                          smallest((piece + 1) * job->piece_rows, job->rows)};
}

static size_t image_size(const struct pool_shape *s) {
    return (size_t)s->h * (size_t)s->w * (size_t)s->c;
}

static void max_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++) {
        const float *image = job->in + (size_t)(r / s->out_h) * image_size(s);
        int y0 = r % s->out_h * s->stride_h - s->top;
        struct range ky = inside(y0, s->pool_h, s->h);
        for (int ox = 0; ox < s->out_w; ox++)
            max_pixel(job, image, y0, ky, ox,
                      ((size_t)r * (size_t)s->out_w + (size_t)ox) * (size_t)s->c);
    }
}

// ---- mean

static float share_of(const struct pool_shape *s, struct range ky, struct range kx) {
    int taps = s->zeros ? s->pool_h * s->pool_w : (ky.end - ky.begin) * (kx.end - kx.begin);
    return 1 / (float)taps;
}

// Sums by rows of the window first: the error of a sum over a whole picture stays small.
static void mean_pixel(const struct job *job, const float *image, int y0, struct range ky, int ox,
                       float *y) {
    const struct pool_shape *s = &job->s;
    const int x0 = ox * s->stride_w - s->left, channels = s->c;
    const struct range kx = inside(x0, s->pool_w, s->w);
    const vec share = splat(share_of(s, ky, kx));
    const size_t row = (size_t)s->w * (size_t)channels;
    const float *first = image + (size_t)(y0 + ky.begin) * row +
                         (size_t)(x0 + kx.begin) * (size_t)channels;
    for (int c = 0; c < channels; c += VL) {
        const float *line = first + c;
        vec sum = {0};
        for (int i = ky.begin; i < ky.end; i++, line += row) {
            const float *x = line;
            vec row_sum = {0};
            for (int j = kx.begin; j < kx.end; j++, x += channels) row_sum += load(x);
            sum += row_sum;
        }
        store_part(y + c, sum * share, channels - c);
    }
}

static void mean_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++) {
        const float *image = job->in + (size_t)(r / s->out_h) * image_size(s);
        int y0 = r % s->out_h * s->stride_h - s->top;
        struct range ky = inside(y0, s->pool_h, s->h);
        for (int ox = 0; ox < s->out_w; ox++)
            mean_pixel(job, image, y0, ky, ox,
                       job->out + ((size_t)r * (size_t)s->out_w + (size_t)ox) * (size_t)s->c);
    }
}

// ---- gradients, a row of inputs at a time: it sums over the windows that cover it, in their order

// The part of one window's gradient that falls into the row: dx[px] += dy where px was the chosen tap. `first`: the number
// of the window's first tap in this row.
INLINE void add_chosen(float *dx, const struct job *job, size_t at, int x0, struct range kx, int first, bool wide) {
    const int channels = job->s.c;
    for (int c = 0; c < channels; c += VL) {
        const vec dy = load(job->in + at + c);
        const veci tap = load_taps(job->taps, wide, at + (size_t)c);
        for (int j = kx.begin; j < kx.end; j++) {
            float *to = dx + (ptrdiff_t)(x0 + j) * channels + c;
            vec more = where_equal(tap, (veci){0} + (first + j), dy);
            store_part(to, load_part(to, channels - c) + more, channels - c);
        }
    }
}

static void add_shares(float *dx, const struct job *job, size_t at, int x0, struct range kx, float share) {
    const float *dy = job->in + at;
    for (int j = kx.begin; j < kx.end; j++) {
        float *to = dx + (ptrdiff_t)(x0 + j) * job->s.c;
        INDEPENDENT for (int c = 0; c < job->s.c; c++) to[c] += dy[c] * share;
    }
}

static void gradient_row(float *dx, const struct job *job, int image, int row) {
    const struct pool_shape *s = &job->s;
    const struct range oy = windows_over(row + s->top, s->pool_h, s->stride_h, s->out_h);
    memset(dx, 0, sizeof(float) * (size_t)s->w * (size_t)s->c);
    for (int i = oy.begin; i < oy.end; i++) {
        const int y0 = i * s->stride_h - s->top;
        const struct range ky = inside(y0, s->pool_h, s->h);
        size_t at = ((size_t)image * (size_t)s->out_h + (size_t)i) * (size_t)s->out_w * (size_t)s->c;
        for (int j = 0; j < s->out_w; j++, at += (size_t)s->c) {
            const int x0 = j * s->stride_w - s->left, first = (row - y0) * s->pool_w;
            const struct range kx = inside(x0, s->pool_w, s->w);
            if (!job->taps) add_shares(dx, job, at, x0, kx, share_of(s, ky, kx));
            else if (job->wide) add_chosen(dx, job, at, x0, kx, first, true);
            else add_chosen(dx, job, at, x0, kx, first, false);
        }
    }
}

void pool_max_dx_row(float *dx, const float *dy, const void *taps, const struct pool_shape *s, int image, int row) {
    struct job job = {.s = *s, .in = dy, .taps = (uint8_t *)taps, .wide = s->pool_h * s->pool_w > 256};
    gradient_row(dx, &job, image, row);
}

static void gradient_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    struct range rows = rows_of(job, piece);
    (void)thread;
    const size_t row_floats = (size_t)job->s.w * (size_t)job->s.c;
    for (int r = rows.begin; r < rows.end; r++) gradient_row(job->out + (size_t)r * row_floats, job, r / job->s.h, r % job->s.h);
}

// ---- in pieces of rows

static int divide_up(int a, int b) { return (a + b - 1) / b; }

// `work` is the number of taps looked at for one row.
static void run(threads_job *piece, struct job *job, int rows_per_image, double work) {
    const struct pool_shape *s = &job->s;
    job->rows = s->n * rows_per_image;
    job->piece_rows = work < 32768 ? (int)(32768 / (work + 1)) + 1 : 1;
    job->wide = s->pool_h * s->pool_w > 256;
    threads_run(piece, job, divide_up(job->rows, job->piece_rows));
}

static double out_work(const struct pool_shape *s) {
    return (double)s->out_w * s->c * s->pool_h * s->pool_w;
}

static double in_work(const struct pool_shape *s) {
    return (double)s->w * s->c * divide_up(s->pool_h, s->stride_h) *
           divide_up(s->pool_w, s->stride_w);
}

void pool_max(float *y, void *taps, const float *x, const float *slope, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = y, .in = x, .slope = slope, .taps = taps};
    run(max_piece, &job, s->out_h, out_work(s));
}

void pool_max_dx(float *dx, const float *dy, const void *taps, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = dx, .in = dy, .taps = (uint8_t *)taps};
    run(gradient_piece, &job, s->h, in_work(s));
}

void pool_mean(float *y, const float *x, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = y, .in = x};
    run(mean_piece, &job, s->out_h, out_work(s));
}

void pool_mean_dx(float *dx, const float *dy, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = dx, .in = dy};
    run(gradient_piece, &job, s->h, in_work(s));
}
