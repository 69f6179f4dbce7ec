// Number by number, in parallel when large. An output may be the very array of an input (in place);
// it must not overlap an input otherwise. Broadcasting is NumPy's: shapes are lined up at their
// last dimension, and where one of the two has 1 (or nothing) its only value is used again. NaN
// goes through everything, max, min, relu and clip included.
#pragma once
#include <stddef.h>

#include "tensor.h"

enum binary_op { // EQ to GE give 1 or 0; with NaN 0, but NE 1
    BINARY_ADD, BINARY_SUB, BINARY_MUL, BINARY_DIV, BINARY_POW, BINARY_MAX, BINARY_MIN, BINARY_EQ,
    BINARY_NE, BINARY_LT, BINARY_LE, BINARY_GT, BINARY_GE
};

enum unary_op { // ROUND: halves to the even number
    UNARY_NEG, UNARY_EXP, UNARY_LOG, UNARY_SQRT, UNARY_ABS, UNARY_SQUARE, UNARY_TANH, UNARY_SIGMOID,
    UNARY_RELU, UNARY_SIGN, UNARY_ROUND, UNARY_FLOOR
};

// One input of a broadcast: a contiguous array and its shape.
struct operand {
    const float *data;
    int ndim;
    int shape[TENSOR_MAX_DIMS];
};

// The shape of two shapes broadcast together; returns its ndim, or -1 when they do not fit. shape
// may be a or b.
int broadcast_shape(int shape[TENSOR_MAX_DIMS], int a_ndim, const int a[], int b_ndim,
                    const int b[]);

// y = a op b; y has the broadcast shape.
void elementwise_binary(enum binary_op op, float *y, int ndim, const int shape[],
                        const struct operand *a, const struct operand *b);
// y = c != 0 ? a : b; y has the broadcast shape.
void elementwise_where(float *y, int ndim, const int shape[], const struct operand *c,
                       const struct operand *a, const struct operand *b);
void elementwise_unary(enum unary_op op, float *y, const float *x, size_t n);
// y = min(max(x, low), high)
void elementwise_clip(float *y, const float *x, float low, float high, size_t n);
void elementwise_fill(float *y, float value, size_t n);
void elementwise_copy(float *y, const float *x, size_t n);
void elementwise_axpy(float *y, float alpha, const float *x, size_t n); // y += alpha x
