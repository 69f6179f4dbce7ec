// 2-d convolution (cross-correlation, as every deep-learning library means it), NHWC:
//   y[b][i][j][o] = bias[o] + sum_uvc x[b][i*stride_h + u*dilation_h - pad_top][j*stride_w + v*dilation_w - pad_left][c] * w[u][v][c][o]
// with zeros outside the picture.
#pragma once
#include <stddef.h>

enum { CONV_KERNEL_MAX = 64 }; // largest kernel side

struct conv {
    int batch, height, width, in; // x
    int kernel_h, kernel_w;       // w (kernel_h, kernel_w, in, out)
    int out_h, out_w, out;        // y
    int stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
};

// Memory the three need: `conv_workspace` floats that the caller passes as `work` (packed weights or partial sums), and
// `conv_scratch` floats of threads_reserve for every thread.
size_t conv_workspace(const struct conv *c);
size_t conv_scratch(const struct conv *c);

void conv_forward(float *y, const float *x, const float *w, const float *bias, const struct conv *c, float *work);
void conv_data_gradient(float *dx, const float *dy, const float *w, const struct conv *c, float *work);
void conv_weight_gradient(float *dw, const float *x, const float *dy, const struct conv *c, float *work);
