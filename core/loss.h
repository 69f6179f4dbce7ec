// Losses of predictions a (rows, n) against what is right, y (rows, n). Each row has a loss; the
// batch's loss is the mean over its rows.
//
//   kind                  p           loss of a row                     gradient da
//   SOFTMAX_CATEGORICAL   softmax(a)  -sum y log p                      p sum(y) - y
//   SOFTMAX_BINARY        softmax(a)  -mean(y log p + (1-y) log(1-p))   see loss.c
//   SIGMOID_BINARY        sigmoid(a)  -mean(y log p + (1-y) log(1-p))   (p - y) / n
//   CATEGORICAL           a / sum(a)  -sum y log p                      (sum(y) - y/p) / sum(a)
//   BINARY                a           -mean(y log p + (1-y) log(1-p))   ((1-y)/(1-p) - y/p) / n
//   SQUARED               a           mean((p - y)^2)                   2 (p - y) / n
//
// p is clipped to [1e-7, 1 - 1e-7] inside logarithms, as Keras does; the gradients of the first
// three are those without the clip, since p - y is largest, not zero, where the net is most wrong.
#pragma once
#include <stddef.h>

enum loss_kind {
    LOSS_SOFTMAX_CATEGORICAL,
    LOSS_SOFTMAX_BINARY,
    LOSS_SIGMOID_BINARY,
    LOSS_CATEGORICAL,
    LOSS_BINARY,
    LOSS_SQUARED
};

size_t loss_scratch(size_t rows, int n); // doubles
// The mean over rows, in double.
double loss_value(enum loss_kind kind, const float *a, const float *y, size_t rows, int n,
                  double *scratch);
// da = scale times the gradient of the mean over rows.
void loss_da(enum loss_kind kind, float *da, const float *a, const float *y, size_t rows, int n,
             double scale);

double loss_sum_squares(const float *w, size_t n); // in double; the L2 term is factor * this
