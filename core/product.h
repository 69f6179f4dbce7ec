// The two inner kernels of every convolution. Both read their left operand with a row and a pixel stride and a list of
// runs (stretches of consecutive floats at a fixed offset from a pixel), so that one kernel serves any window.
#pragma once
#include <stddef.h>

// y[i][j][n] = bias[n] + sum_r sum_k a[i][j](offset[r] + k) * b[r * length + k][n],  i < height, j < width, n < channels,
// where a[i][j](o) = a[i * a_row + j * a_pixel + o] and y[i][j][n] = y[i * y_row + j * y_pixel + n].
struct product {
    const float *a;
    ptrdiff_t a_row;
    int a_pixel;
    const int *offset;
    int runs, length;
    const float *b;    // packed by product_pack
    const float *bias; // NULL: none; else packed as one row of b
    float *y;
    ptrdiff_t y_row;
    int y_pixel;
    int height, width, channels;
};
void product(const struct product *p);

// Packed weights: blocks of columns, each block [rows][block width], short blocks filled up with zeros.
size_t product_packed_size(int rows, int channels);
int product_blocks(int channels);
// Packs block number `block` of the matrix with rows (tap, k) and columns n, where element (t, k, n) is
// w[tap_at[t] + k * inner_stride + n * column_stride].
struct packing {
    float *packed;
    const float *w;
    const int *tap_at;
    int taps, inner, inner_stride, channels, column_stride;
};
void product_pack(const struct packing *p, int block);

// w[r * length + k][n] += sum_ij a[i][j](offset[r] + k) * d[i * d_row + j * d_pixel + n]: the weight gradient.
struct outer {
    const float *a;
    ptrdiff_t a_row;
    int a_pixel;
    const int *offset;
    int runs, length;
    const float *d;
    ptrdiff_t d_row;
    int d_pixel;
    float *w; // (runs * length, channels), rows w_row floats apart
    int w_row;
    int height, width, channels;
};
void outer(const struct outer *o);
