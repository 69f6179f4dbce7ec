// Making maps larger: a piece is one row, of y forward and of dx backward (gathered, so nothing is
// written twice).
#include "upsample.h"
#include "threads.h"

#include <math.h>
#include <string.h>

struct job {
    struct upsample_shape s;
    float *out;
    const float *in;
};

static size_t in_row(const struct upsample_shape *s) { return (size_t)s->w * (size_t)s->c; }
static size_t out_row(const struct upsample_shape *s) { return in_row(s) * (size_t)s->fx; }

static void add(float *y, float weight, const float *x, int n) {
    for (int i = 0; i < n; i++) y[i] += weight * x[i];
}

// ---- nearest

static void nearest_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct upsample_shape *s = &job->s;
    const float *x = job->in + (size_t)(piece / s->fy) * in_row(s); // images follow one another
    float *y = job->out + (size_t)piece * out_row(s);
    (void)thread;
    for (int ix = 0; ix < s->w; ix++, x += s->c)
        for (int f = 0; f < s->fx; f++, y += s->c) memcpy(y, x, sizeof(float) * (size_t)s->c);
}

static void nearest_dx_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct upsample_shape *s = &job->s;
    float *dx = job->out + (size_t)piece * in_row(s);
    (void)thread;
    memset(dx, 0, sizeof(float) * in_row(s));
    for (int f = 0; f < s->fy; f++) {
        const float *dy = job->in + ((size_t)piece * (size_t)s->fy + (size_t)f) * out_row(s);
        for (int ox = 0; ox < s->w * s->fx; ox++, dy += s->c)
            add(dx + (size_t)(ox / s->fx) * (size_t)s->c, 1, dy, s->c);
    }
}

// ---- bilinear

struct between { // (1 - weight) * x[low] + weight * x[high]
    int low, high;
    float weight;
};

static struct between place(int o, int factor, int size) {
    float at = ((float)o + 0.5f) / (float)factor - 0.5f, floor_at = floorf(at);
    int low = (int)floor_at;
    return (struct between){low < 0 ? 0 : low, low + 1 < size ? low + 1 : size - 1, at - floor_at};
}

// How much output o takes from input i.
static float share(int o, int i, int factor, int size) {
    struct between b = place(o, factor, size);
    return (b.low == i ? 1 - b.weight : 0) + (b.high == i ? b.weight : 0);
}

static void blend_row(float *y, float weight, const float *x, const struct upsample_shape *s) {
    for (int ox = 0; ox < s->w * s->fx; ox++, y += s->c) {
        struct between b = place(ox, s->fx, s->w);
        add(y, weight * (1 - b.weight), x + (size_t)b.low * (size_t)s->c, s->c);
        add(y, weight * b.weight, x + (size_t)b.high * (size_t)s->c, s->c);
    }
}

static void bilinear_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct upsample_shape *s = &job->s;
    int rows = s->h * s->fy;
    const float *image = job->in + (size_t)(piece / rows) * (size_t)s->h * in_row(s);
    float *y = job->out + (size_t)piece * out_row(s);
    struct between b = place(piece % rows, s->fy, s->h);
    (void)thread;
    memset(y, 0, sizeof(float) * out_row(s));
    blend_row(y, 1 - b.weight, image + (size_t)b.low * in_row(s), s);
    blend_row(y, b.weight, image + (size_t)b.high * in_row(s), s);
}

static int largest(int a, int b) { return a > b ? a : b; }
static int smallest(int a, int b) { return a < b ? a : b; }

static void gather_row(float *dx, float weight, const float *dy, const struct upsample_shape *s) {
    for (int ix = 0; ix < s->w; ix++, dx += s->c) {
        int end = smallest((ix + 2) * s->fx, s->w * s->fx);
        for (int ox = largest((ix - 1) * s->fx, 0); ox < end; ox++) {
            float part = share(ox, ix, s->fx, s->w);
            if (part != 0) add(dx, weight * part, dy + (size_t)ox * (size_t)s->c, s->c);
        }
    }
}

static void bilinear_dx_piece(void *arg, int piece, int thread) {
    const struct job *job = arg;
    const struct upsample_shape *s = &job->s;
    int iy = piece % s->h, rows = s->h * s->fy, end = smallest((iy + 2) * s->fy, rows);
    const float *image = job->in + (size_t)(piece / s->h) * (size_t)rows * out_row(s);
    float *dx = job->out + (size_t)piece * in_row(s);
    (void)thread;
    memset(dx, 0, sizeof(float) * in_row(s));
    for (int oy = largest((iy - 1) * s->fy, 0); oy < end; oy++) {
        float weight = share(oy, iy, s->fy, s->h);
        if (weight != 0) gather_row(dx, weight, image + (size_t)oy * out_row(s), s);
    }
}

// ---- all rows of all images

static void run(threads_job *piece, float *out, const float *in, const struct upsample_shape *s,
                int rows) {
    struct job job = {.s = *s, .out = out, .in = in};
    threads_run(piece, &job, s->n * rows);
}

void upsample_nearest(float *y, const float *x, const struct upsample_shape *s) {
    run(nearest_piece, y, x, s, s->h * s->fy);
}
void upsample_nearest_dx(float *dx, const float *dy, const struct upsample_shape *s) {
    run(nearest_dx_piece, dx, dy, s, s->h);
}
void upsample_bilinear(float *y, const float *x, const struct upsample_shape *s) {
    run(bilinear_piece, y, x, s, s->h * s->fy);
}
void upsample_bilinear_dx(float *dx, const float *dy, const struct upsample_shape *s) {
    run(bilinear_dx_piece, dx, dy, s, s->h);
}
