// Pooling, NHWC. Output (oy, ox) looks at the window whose first row and column are
// oy * stride_h - top and ox * stride_w - left; taps are numbered in row-major order. Taps outside
// the picture are left out, or count as zeros with `zeros`. Gradients are gathered by input pixel,
// so each is written by one thread, in a fixed order, whatever the overlap.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct pool_shape {
    int n, h, w, c;   // input
    int out_h, out_w; // output (n, out_h, out_w, c)
    int pool_h, pool_w, stride_h, stride_w, top, left;
    bool zeros;
};

// Bytes of `taps` below: 1 a number for windows of up to 256 taps, else 4.
size_t pool_taps_bytes(const struct pool_shape *s);

// y = the largest of the window, taps = which one (the first of equals; a NaN wins), or NULL. With `slope` (c), of a map that will
// be applied to y: where that is negative, the smallest.
void pool_max(float *y, void *taps, const float *x, const float *slope, const struct pool_shape *s);
void pool_max_dx(float *dx, const float *dy, const void *taps, const struct pool_shape *s);
void pool_max_dx_row(float *dx, const float *dy, const void *taps, const struct pool_shape *s, int image, int row);

// y = the mean of the taps that count.
void pool_mean(float *y, const float *x, const struct pool_shape *s);
void pool_mean_dx(float *dx, const float *dy, const struct pool_shape *s);
