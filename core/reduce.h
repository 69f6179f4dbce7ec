// Reductions over the middle of (outer, middle, inner), one dimension or several neighbouring ones.
// Sums are taken in double over fixed pieces that are added in order, so a sum of millions is as
// good as float32 can say and is the same on any number of threads. Results come as doubles (outer,
// inner); the caller rounds once.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct reduction {
    size_t outer, middle, inner;
    size_t parts; // the middle is cut in so many pieces; a function of the sizes alone
};
struct reduction reduce_plan(size_t outer, size_t middle, size_t inner);

// Doubles of scratch that the functions below need.
size_t reduce_scratch(const struct reduction *r);

// y[o][i] = sum over m of x[o][m][i]; with centre (outer, inner): sum of (x - centre)^2. Empty: 0.
void reduce_sum(double *y, const float *x, const struct reduction *r, const double *centre,
                double *scratch);
// The largest (or smallest); NaN when there is one. middle > 0.
void reduce_extreme(double *y, const float *x, const struct reduction *r, bool largest,
                    double *scratch);
// The place 0..middle-1 of the first largest (smallest); of the first NaN when there is one. middle
// > 0.
void reduce_place(double *y, const float *x, const struct reduction *r, bool largest,
                  double *scratch);
