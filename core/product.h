// The two inner kernels of every convolution. Both read their left operand with a row and a pixel stride and a list of
// runs (stretches of consecutive floats at a fixed offset from a pixel), so that one kernel serves any window.
#pragma once
#include <stddef.h>

#include "norm.h"
#include "prefetch.h"

// What becomes of a sum on its way from the registers to memory.
enum product_end {
    PRODUCT_STORE,    // y = v
    PRODUCT_RELU,     // y = max(v, 0)
    PRODUCT_MOMENTS,  // y = v;  s1 += v - shift, s2 += (v - shift)^2
    PRODUCT_GRADIENT, // y = v, or 0 where norm's relu cut x off;  s1 += y, s2 += y * (x - mean)
};

// v = bias[n] + sum_r sum_k a[i][j](offset[r] + k) * b[r * length + k][n] + add[i][j][n],  i < height, j < width, n < channels,
// where a[i][j](o) = a[i * a_row + j * a_pixel + o]; y[i][j][n] = y[i * y_row + j * y_pixel + n], and so are add and x.
struct product {
    const float *a;
    ptrdiff_t a_row;
    int a_pixel;
    const int *offset;
    int runs, length;
    const float *b; // packed by product_pack
    float *y;
    ptrdiff_t y_row;
    int y_pixel;
    int height, width, channels;
    const float *bias, *add; // NULL: none
    enum product_end end;
    const float *shift;                   // PRODUCT_MOMENTS: (channels)
    const float *x;                       // PRODUCT_GRADIENT
    const struct norm_coefficients *norm; // PRODUCT_GRADIENT
    float *s1, *s2;                       // (channels), added to
    struct prefetch *ahead;               // NULL: none
};
void product(const struct product *p);

// Packed weights: blocks of columns, each block [rows][block width], short blocks filled up with zeros.
size_t product_packed_size(int rows, int channels);
int product_blocks(int channels);
// Packs block number `block` of the matrix with rows (tap, k) and columns n, where element (t, k, n) is
// w[tap_at[t] + k * inner_stride + n * column_stride], times scale[n] if there is one.
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
    struct prefetch *ahead; // NULL: none
};
void outer(const struct outer *o);

// Tiles that a product of so many pixels, or an outer product of so many rows, by channels takes, to spread prefetches over.
double product_tiles(double pixels, int channels);
double outer_tiles(double rows, int channels);
