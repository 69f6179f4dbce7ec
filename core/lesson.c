#include "lesson.h"
#include "vec.h"

#include <stddef.h>

// ---- naive: for every multiply-add two numbers come from memory

void lesson_naive(float *y, const float *x, const float *w, const struct lesson *s) {
    int out_h = s->height - s->kernel_h + 1, out_w = s->width - s->kernel_w + 1;
    for (int b = 0; b < s->batch; b++)
        for (int i = 0; i < out_h; i++)
            for (int j = 0; j < out_w; j++)
                for (int o = 0; o < s->out; o++) {
                    float sum = 0;
                    for (int u = 0; u < s->kernel_h; u++)
                        for (int v = 0; v < s->kernel_w; v++)
                            for (int c = 0; c < s->in; c++) {
                                ptrdiff_t pixel = ((ptrdiff_t)b * s->height + i + u) * s->width + j + v;
                                ptrdiff_t row = (ptrdiff_t)(u * s->kernel_w + v) * s->in + c;
                                sum += x[pixel * s->in + c] * w[row * s->out + o];
                            }
                    *y++ = sum;
                }
}

// ---- blocked: PIXELS x CHANNELS sums at once, so every number that comes from memory is used several times

enum { PIXELS = 4, CHANNELS = 3 };

// `pixels` neighbours by `channels` channels. x: the first pixel of the window, w: the first of these channels.
INLINE void block_of_numbers(float *y, const float *x, const float *w, const struct lesson *s, const int pixels,
                             const int channels) {
    float sum[PIXELS][CHANNELS] = {{0}};
    for (int u = 0; u < s->kernel_h; u++)
        for (int k = 0; k < s->kernel_w * s->in; k++, w += s->out) {
            const float *from = x + (ptrdiff_t)u * s->width * s->in + k;
            UNROLL for (int n = 0; n < channels; n++) {
                float weight = w[n];
                UNROLL for (int m = 0; m < pixels; m++) {
                    sum[m][n] += from[m * s->in] * weight;
                    PIN(sum[m][n]);
                }
            }
        }
    UNROLL for (int m = 0; m < pixels; m++)
        UNROLL for (int n = 0; n < channels; n++) y[m * s->out + n] = sum[m][n];
}

// ---- vectorised: the same block, but of vectors: VL numbers by one instruction

enum { TALL = 6, WIDE = 2 };

INLINE void block_of_vectors(float *y, const float *x, const float *w, const struct lesson *s, const int pixels,
                             const int vectors) {
    vec sum[TALL][WIDE] = {{{0}}};
    for (int u = 0; u < s->kernel_h; u++)
        for (int k = 0; k < s->kernel_w * s->in; k++, w += s->out) {
            const float *from = x + (ptrdiff_t)u * s->width * s->in + k;
            vec weight[WIDE];
            UNROLL for (int n = 0; n < vectors; n++) weight[n] = load(w + n * VL);
            UNROLL for (int n = 0; n < vectors; n++) PIN(weight[n]);
            UNROLL for (int m = 0; m < pixels; m++) {
                vec value = splat(from[m * s->in]);
                UNROLL for (int n = 0; n < vectors; n++) sum[m][n] += value * weight[n];
            }
        }
    UNROLL for (int m = 0; m < pixels; m++)
        UNROLL for (int n = 0; n < vectors; n++) store(y + m * s->out + n * VL, sum[m][n]);
}

// ---- all blocks of a picture: whole ones, and smaller ones at the ends

// The pixels of one row, from channel o on.
#define ROW(block, most, channels)                                                                    \
    do {                                                                                              \
        int j = 0;                                                                                    \
        for (; j + (most) <= out_w; j += (most))                                                      \
            block(y + (ptrdiff_t)j * s->out + o, x + (ptrdiff_t)j * s->in, w + o, s, most, channels); \
        for (; j < out_w; j++)                                                                        \
            block(y + (ptrdiff_t)j * s->out + o, x + (ptrdiff_t)j * s->in, w + o, s, 1, channels);    \
    } while (0)

static void blocked_row(float *y, const float *x, const float *w, const struct lesson *s, int o) {
    int out_w = s->width - s->kernel_w + 1;
    for (; o + CHANNELS <= s->out; o += CHANNELS) ROW(block_of_numbers, PIXELS, CHANNELS);
    for (; o < s->out; o++) ROW(block_of_numbers, PIXELS, 1);
}

static void vectorised_row(float *y, const float *x, const float *w, const struct lesson *s, int o) {
    int out_w = s->width - s->kernel_w + 1;
    for (; o + WIDE * VL <= s->out; o += WIDE * VL) ROW(block_of_vectors, TALL, WIDE);
    for (; o + VL <= s->out; o += VL) ROW(block_of_vectors, TALL, 1);
    if (o < s->out) blocked_row(y, x, w, s, o);
}

typedef void row_kernel(float *y, const float *x, const float *w, const struct lesson *s, int o);

static void every_row(row_kernel *row, float *y, const float *x, const float *w, const struct lesson *s) {
    int out_h = s->height - s->kernel_h + 1, out_w = s->width - s->kernel_w + 1;
    for (int b = 0; b < s->batch; b++)
        for (int i = 0; i < out_h; i++, y += (ptrdiff_t)out_w * s->out)
            row(y, x + ((ptrdiff_t)b * s->height + i) * s->width * s->in, w, s, 0);
}

void lesson_blocked(float *y, const float *x, const float *w, const struct lesson *s) {
    every_row(blocked_row, y, x, w, s);
}
void lesson_vectorised(float *y, const float *x, const float *w, const struct lesson *s) {
    every_row(vectorised_row, y, x, w, s);
}
