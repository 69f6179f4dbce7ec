// Moving numbers without changing them: transposing, cutting, joining, padding, gathering.
#pragma once
#include <stddef.h>

#include "tensor.h"

// y (a,j,m,i,k) = x (a,i,m,j,k) with its second and fourth dimension swapped.
struct swap_sizes {
    size_t a, i, m, j, k;
};
void move_swap(float *y, const float *x, struct swap_sizes s);

// Copies `rows` runs of `count` floats; the runs start y_step and x_step floats apart.
void move_runs(float *y, size_t y_step, const float *x, size_t x_step, size_t rows, size_t count);

// y = x set into a larger tensor filled with value: dimension d begins at before[d] of y.
// y_shape[d] >= before[d] + x's.
void move_pad(float *y, const int y_shape[TENSOR_MAX_DIMS], const float *x,
              const int x_shape[TENSOR_MAX_DIMS], const int before[TENSOR_MAX_DIMS], float value);

// y (n, count): row i is row rows[i] (from 0) of x (any, count). move_add_rows: y's row rows[i] +=
// x's row i, in order.
void move_take(float *y, const float *x, const int *rows, size_t n, size_t count);
void move_add_rows(float *y, const float *x, const int *rows, size_t n, size_t count);
