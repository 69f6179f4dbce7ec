// Batch normalisation of x (rows, channels), each channel by its own mean and variance; of pictures
// every pixel is a row.
//   v = (x - mean) * scale + offset,   y = v, or max(v, 0) with relu
// with scale = gamma / sqrt(variance + epsilon) and offset = beta. The mean is subtracted first and
// is kept as two floats (mean = high + low, low folded into offset), so a mean far larger than the
// deviation costs no digits. Backward, with g = dy, or 0 where relu cut v off:
//   dbeta = sum g,   dgamma = sum g * (x - mean) / sqrt(variance + epsilon),
//   dx = a * g + b * (x - high) + c
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct norm_coefficients { // (channels) each
    const float *mean, *scale, *offset; // as above; mean is the high part
    const float *a, *b, *c;             // of dx only
    bool relu;
};

// As rows of a tensor: what a batch tells, what normalises, and what maps a gradient back.
enum { NORM_MOMENTS_ROWS = 3 }; // mean (high, low), variance
enum { NORM_ROWS = 5 };         // mean, scale, offset, low part of the mean, 1 / sqrt(variance + epsilon)
enum { NORM_MAP_ROWS = 4 };     // mean, a, b, c
void norm_moments_to_rows(float *rows, const double *mean, const double *variance, int channels);
struct norm_coefficients norm_from_rows(const float *rows, int channels, bool relu);
struct norm_coefficients norm_map_from_rows(const float *rows, int channels);

// Doubles of scratch for norm_moments and norm_sums.
size_t norm_scratch(size_t rows, int channels);

// Mean and population variance (channels), from float sums about a value near the mean. rows > 0.
void norm_moments(double *mean, double *variance, const float *x, size_t rows, int channels,
                  double *scratch);

void norm_forward(float *y, const float *x, size_t rows, int channels,
                  const struct norm_coefficients *k);

// max(v + add, 0) or v + add; add as x, NULL: none.
void norm_forward_add(float *y, const float *x, const float *add, size_t rows, int channels,
                      const struct norm_coefficients *k);

// sum_g = sum g, sum_gx = sum g * (x - high), both (channels). With y, the result of
// norm_forward_add with relu, g is 0 where that is not positive, and is written; it may be dy. Both
// are NULL else.
void norm_sums(double *sum_g, double *sum_gx, float *g, const float *dy, const float *y,
               const float *x, size_t rows, int channels, const struct norm_coefficients *k,
               double *scratch);

// dx may be dy.
void norm_backward(float *dx, const float *dy, const float *x, size_t rows, int channels,
                   const struct norm_coefficients *k);
