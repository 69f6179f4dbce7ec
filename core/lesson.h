// Kernels to be read: one convolution written three times, each time with one idea more. Lesson 08 measures them. The
// product's own (conv.c, product.c) have the same ideas and all the edges.
//   y[b][i][j][o] = sum_uvc x[b][i + u][j + v][c] * w[u][v][c][o]
// No padding, stride 1, one thread. x (batch, height, width, in), w (kernel_h, kernel_w, in, out),
// y (batch, height - kernel_h + 1, width - kernel_w + 1, out).
#pragma once

struct lesson {
    int batch, height, width, in, kernel_h, kernel_w, out;
};

// As the formula stands; with a block of sums in registers; the same with a vector in the place of a number.
void lesson_naive(float *y, const float *x, const float *w, const struct lesson *s);
void lesson_blocked(float *y, const float *x, const float *w, const struct lesson *s);
void lesson_vectorised(float *y, const float *x, const float *w, const struct lesson *s);
