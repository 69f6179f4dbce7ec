// Depthwise convolution, NHWC: no sum over channels; channel c of x has m = out / in kernels of its own:
//   y[b][i][j][c * m + q] = bias[c * m + q]
//     + sum_uv x[b][i * stride_h + u * dilation_h - pad_top][j * stride_w + v * dilation_w - pad_left][c] * w[u][v][c][q]
// with zeros outside the picture. The geometry is conv.h's, with w (kernel_h, kernel_w, in, m) and out a multiple of in.
#pragma once
#include "conv.h"

// Floats that the weight gradient wants as `work`, and floats of threads_reserve that the three need for every thread.
size_t depthwise_workspace(const struct conv *c);
size_t depthwise_scratch(const struct conv *c);

void depthwise_forward(float *y, const float *x, const float *w, const float *bias, const struct conv *c);
void depthwise_data_gradient(float *dx, const float *dy, const float *w, const struct conv *c);
void depthwise_weight_gradient(float *dw, const float *x, const float *dy, const struct conv *c, float *work);
