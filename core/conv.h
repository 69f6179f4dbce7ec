// 2-d convolution (cross-correlation, as every deep-learning library means it), NHWC:
//   y[b][i][j][o] = bias[o] + sum_uvc x[b][i*stride_h + u*dilation_h - pad_top][j*stride_w + v*dilation_w - pad_left][c] * w[u][v][c][o]
// with zeros outside the picture.
//
// Both passes take their pictures through the maps of panel.h: what is convolved may be relu(batch norm(x)), and the gradient
// that comes in may be that of a batch normalisation, and neither is ever written to memory.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "norm.h"
#include "panel.h"

enum { CONV_KERNEL_MAX = 64 }; // largest kernel side

struct conv {
    int batch, height, width, in; // x
    int kernel_h, kernel_w;       // w (kernel_h, kernel_w, in, out)
    int out_h, out_w, out;        // y
    int stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
};

// y = conv(x) + bias + add, or the larger of that and 0
struct conv_forward {
    struct conv shape;
    float *y;
    const float *x;
    const struct norm_coefficients *norm; // NULL: x as it is; else x is normalised (and rectified) first
    const float *w;
    const float *packed;     // what conv_pack made of w; NULL: not made yet
    const float *bias, *add; // (out) and as y; NULL: none
    bool relu;
    bool shared_out;         // the caller runs other images on the other threads: bands need only suit the caches
    double *mean, *variance; // (out) each, of y over all its pixels (population); NULL: not wanted
};

// What comes back from one convolution of x.
struct conv_branch {
    struct conv shape;
    const float *dy; // with dy_norm: dy is a * (this) + b * (dy_x - mean) + c + dy_add
    const struct norm_coefficients *dy_norm;
    const float *dy_x, *dy_add; // as y; dy_add may be NULL
    const struct pool_source *dy_pool; // with dy_norm: instead of dy, what comes out of a max pool over y; NULL: none
    float *dy_dense;            // dy as it then is, for others; NULL: not wanted
    const float *w;             // NULL: when dx is not wanted
    float *dw;                  // NULL: not wanted
    float *db;                  // (out): the sum of dy, with dw; NULL: not wanted
    float *dw_ones;             // (kernel_h, kernel_w, out): the dw of a channel of ones beside x; NULL: not wanted
};

// dx, and dw of each branch. With `norm`, dx is the gradient of the normalised x. With sum_g and sum_gx it is 0 where norm's
// relu cut off, and sum_g = sum dx, sum_gx = sum dx * (x - mean) are what the gradient of the batch normalisation needs.
enum { CONV_BRANCHES = 2 };
struct conv_backward {
    int branches; // that read the same x: their batch, height, width and in are equal
    struct conv_branch branch[CONV_BRANCHES];
    const float *x;
    const struct norm_coefficients *norm;
    float *dx;              // NULL: not wanted
    const float *before;    // as x: added to dx before relu cuts; NULL: none
    double *sum_g, *sum_gx; // (in); NULL: not wanted
};

// Floats that the caller passes as `work`, and floats of threads_reserve for every thread.
size_t conv_forward_work(const struct conv_forward *f);
size_t conv_backward_work(const struct conv_backward *b);
size_t conv_forward_scratch(const struct conv_forward *f);
size_t conv_backward_scratch(const struct conv_backward *b);

void conv_forward(const struct conv_forward *f, float *work);
// Weights in the order in which the forward pass reads them, for those who use them often.
size_t conv_packed_floats(const struct conv_forward *f);
void conv_pack(float *packed, const struct conv_forward *f);
void conv_backward(const struct conv_backward *b, float *work);
