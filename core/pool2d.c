// Pooling: one piece is a few rows of the output (or, for a gradient, of the input); channels go through vectors, and the
// last few channels through a vector that is stored only in part.
#include "pool2d.h"
#include "threads.h"
#include "vec.h"

#include <stdint.h>
#include <string.h>

typedef uint8_t bytes __attribute__((vector_size(VL), aligned(1), may_alias));

struct job {
    struct pool_shape s;
    float *out;
    const float *in;
    uint8_t *taps; // NULL for means
    bool wide;     // a tap has 4 bytes
    int rows, piece_rows;
};

struct range { int begin, end; };

static int largest(int a, int b) { return a > b ? a : b; }
static int smallest(int a, int b) { return a < b ? a : b; }

// The taps of a window that are inside 0..size-1.
static struct range inside(int start, int pool, int size) {
    return (struct range){largest(0, -start), smallest(pool, size - start)};
}

// The outputs whose window covers input position i (already counted from the padded edge).
static struct range windows_over(int i, int pool, int stride, int outputs) {
    int first = i - pool + 1;
    return (struct range){first > 0 ? (first + stride - 1) / stride : 0, smallest(outputs, i / stride + 1)};
}

// Vectors may be loaded whole past the channels (memory has slack) but are stored only as far as these go.
INLINE void store_part(float *p, vec v, int lanes) {
    if (lanes >= VL) store(p, v);
    else memcpy(p, &v, sizeof(float) * (size_t)lanes);
}

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
    return __builtin_convertvector(*(const bytes *)(taps + at), veci);
}

// ---- maximum

static void max_pixel(const struct job *job, const float *image, int oy, int ox, size_t out) {
    const struct pool_shape *s = &job->s;
    int y0 = oy * s->stride_h - s->top, x0 = ox * s->stride_w - s->left;
    struct range in_y = inside(y0, s->pool_h, s->h), in_x = inside(x0, s->pool_w, s->w);
    struct range ky = s->zeros ? (struct range){0, s->pool_h} : in_y, kx = s->zeros ? (struct range){0, s->pool_w} : in_x;
    for (int c = 0; c < s->c; c += VL) {
        vec best = splat(-__builtin_inff());
        veci tap = (veci){0} + (ky.begin * s->pool_w + kx.begin);
        for (int i = ky.begin; i < ky.end; i++)
            for (int j = kx.begin; j < kx.end; j++) {
                bool in = i >= in_y.begin && i < in_y.end && j >= in_x.begin && j < in_x.end;
                vec v = in ? load(image + ((size_t)(y0 + i) * (size_t)s->w + (size_t)(x0 + j)) * (size_t)s->c + c) : (vec){0};
                veci better = (v > best) | (v != v);
                best = select(better, v, best);
                tap = (better & (i * s->pool_w + j)) | (~better & tap);
            }
        store_part(job->out + out + c, best, s->c - c);
        store_taps(job->taps, job->wide, out + (size_t)c, tap, s->c - c);
    }
}

// The first row of a piece and where it stands: image and row in it.
static struct range rows_of(const struct job *job, int piece) {
    return (struct range){piece * job->piece_rows, smallest((piece + 1) * job->piece_rows, job->rows)};
}

static size_t image_size(const struct pool_shape *s) { return (size_t)s->h * (size_t)s->w * (size_t)s->c; }

static void max_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++) {
        const float *image = job->in + (size_t)(r / s->out_h) * image_size(s);
        for (int ox = 0; ox < s->out_w; ox++)
            max_pixel(job, image, r % s->out_h, ox, ((size_t)r * (size_t)s->out_w + (size_t)ox) * (size_t)s->c);
    }
}

// dx of one input pixel: from each window over it, dy where it was the chosen tap.
static void max_dx_pixel(const struct job *job, int image, int iy, int ix, float *dx) {
    const struct pool_shape *s = &job->s;
    int py = iy + s->top, px = ix + s->left;
    struct range oy = windows_over(py, s->pool_h, s->stride_h, s->out_h), ox = windows_over(px, s->pool_w, s->stride_w, s->out_w);
    for (int c = 0; c < s->c; c += VL) {
        vec sum = {0};
        for (int i = oy.begin; i < oy.end; i++)
            for (int j = ox.begin; j < ox.end; j++) {
                size_t at = (((size_t)image * (size_t)s->out_h + (size_t)i) * (size_t)s->out_w + (size_t)j) * (size_t)s->c + (size_t)c;
                int tap = (py - i * s->stride_h) * s->pool_w + (px - j * s->stride_w);
                sum += select(load_taps(job->taps, job->wide, at) == tap, load(job->in + at), (vec){0});
            }
        store_part(dx + c, sum, s->c - c);
    }
}

static void max_dx_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++)
        for (int ix = 0; ix < s->w; ix++)
            max_dx_pixel(job, r / s->h, r % s->h, ix, job->out + ((size_t)r * (size_t)s->w + (size_t)ix) * (size_t)s->c);
}

// ---- mean

static int count_of(const struct pool_shape *s, struct range ky, struct range kx) {
    return s->zeros ? s->pool_h * s->pool_w : (ky.end - ky.begin) * (kx.end - kx.begin);
}

// Sums by rows of the window first: the error of a sum over a whole picture stays small.
static void mean_pixel(const struct job *job, const float *image, int oy, int ox, float *y) {
    const struct pool_shape *s = &job->s;
    int y0 = oy * s->stride_h - s->top, x0 = ox * s->stride_w - s->left;
    struct range ky = inside(y0, s->pool_h, s->h), kx = inside(x0, s->pool_w, s->w);
    vec count = splat((float)count_of(s, ky, kx));
    for (int c = 0; c < s->c; c += VL) {
        vec sum = {0};
        for (int i = ky.begin; i < ky.end; i++) {
            const float *x = image + ((size_t)(y0 + i) * (size_t)s->w + (size_t)(x0 + kx.begin)) * (size_t)s->c + c;
            vec row = {0};
            for (int j = kx.begin; j < kx.end; j++, x += s->c) row += load(x);
            sum += row;
        }
        store_part(y + c, sum / count, s->c - c);
    }
}

static void mean_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++) {
        const float *image = job->in + (size_t)(r / s->out_h) * image_size(s);
        for (int ox = 0; ox < s->out_w; ox++)
            mean_pixel(job, image, r % s->out_h, ox, job->out + ((size_t)r * (size_t)s->out_w + (size_t)ox) * (size_t)s->c);
    }
}

static void mean_dx_pixel(const struct job *job, int image, int iy, int ix, float *dx) {
    const struct pool_shape *s = &job->s;
    int py = iy + s->top, px = ix + s->left;
    struct range oy = windows_over(py, s->pool_h, s->stride_h, s->out_h), ox = windows_over(px, s->pool_w, s->stride_w, s->out_w);
    for (int c = 0; c < s->c; c += VL) {
        vec sum = {0};
        for (int i = oy.begin; i < oy.end; i++)
            for (int j = ox.begin; j < ox.end; j++) {
                struct range ky = inside(i * s->stride_h - s->top, s->pool_h, s->h);
                struct range kx = inside(j * s->stride_w - s->left, s->pool_w, s->w);
                size_t at = (((size_t)image * (size_t)s->out_h + (size_t)i) * (size_t)s->out_w + (size_t)j) * (size_t)s->c + (size_t)c;
                sum += load(job->in + at) / splat((float)count_of(s, ky, kx));
            }
        store_part(dx + c, sum, s->c - c);
    }
}

static void mean_dx_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct pool_shape *s = &job->s;
    struct range rows = rows_of(job, piece);
    (void)thread;
    for (int r = rows.begin; r < rows.end; r++)
        for (int ix = 0; ix < s->w; ix++)
            mean_dx_pixel(job, r / s->h, r % s->h, ix, job->out + ((size_t)r * (size_t)s->w + (size_t)ix) * (size_t)s->c);
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

static double out_work(const struct pool_shape *s) { return (double)s->out_w * s->c * s->pool_h * s->pool_w; }

static double in_work(const struct pool_shape *s) {
    return (double)s->w * s->c * divide_up(s->pool_h, s->stride_h) * divide_up(s->pool_w, s->stride_w);
}

void pool_max(float *y, void *taps, const float *x, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = y, .in = x, .taps = taps};
    run(max_piece, &job, s->out_h, out_work(s));
}

void pool_max_dx(float *dx, const float *dy, const void *taps, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = dx, .in = dy, .taps = (uint8_t *)taps};
    run(max_dx_piece, &job, s->h, in_work(s));
}

void pool_mean(float *y, const float *x, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = y, .in = x};
    run(mean_piece, &job, s->out_h, out_work(s));
}

void pool_mean_dx(float *dx, const float *dy, const struct pool_shape *s) {
    struct job job = {.s = *s, .out = dx, .in = dy};
    run(mean_dx_piece, &job, s->h, in_work(s));
}
