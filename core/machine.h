// What this machine can do at most, measured: the two roofs of a roofline. Both use all threads and give the best of
// several tries, since a busy machine only ever makes it slower.
#pragma once
#include <stddef.h>

// Operations a second (a multiply-add is two) on numbers that never leave their registers, trying for `seconds`.
double machine_flops(double seconds);

// Bytes a second read and written by y[i] = a * x[i], over `floats` floats of x and y in all.
double machine_bandwidth(float *y, const float *x, size_t floats, double seconds);
