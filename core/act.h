// Activations: softmax and dropout, and the gradients of relu, sigmoid and tanh (whose values are
// in elementwise.h). Gradients are written with the result y, so that the input need not be kept.
#pragma once
#include <stddef.h>
#include <stdint.h>

// dx = dy where y > 0, else 0 (also at 0);  dx = dy y (1 - y);  dx = dy (1 - y^2).
void act_relu_dx(float *dx, const float *dy, const float *y, size_t n);
void act_sigmoid_dx(float *dx, const float *dy, const float *y, size_t n);
void act_tanh_dx(float *dx, const float *dy, const float *y, size_t n);

// Over each row of (rows, classes): y = exp(x - max x) / sum exp(x - max x), and
// dx = y (dy - sum dy y).
void act_softmax(float *y, const float *x, size_t rows, int classes);
void act_softmax_dx(float *dx, const float *dy, const float *y, size_t rows, int classes);

// y = x / (1 - rate), or 0 with probability rate. Which ones depends on the stream (a, b, c) of the
// seed and the place in x alone, so the gradient is the same call on dy and no mask is kept.
struct dropout_key {
    uint64_t seed;
    uint32_t a, b, c;
};
void act_dropout(float *y, const float *x, size_t n, double rate, struct dropout_key key);
