// The backward pass of a convolution, inside: shared by conv_backward.c (the plan and the pieces), conv_dx.c and conv_dw.c.
#pragma once
#include "conv_plan.h"

enum {
    GROUPS = 8,          // partial sums of a weight gradient, at most
    OUTER_PIXELS = 128,  // pixels an outer product works on at a time
    LARGE_PIXELS = 512,  // the same for so many weights that going through them costs as much
    LARGE_WEIGHTS = 1 << 16,
};

struct branch {
    const struct conv_branch *b;
    struct conv c;
    struct side rows, columns;
    struct range x_across, dy_across; // columns of the panels
    struct runs forward;              // taps of outputs on the x panel, for outer()
    struct source x, dy;
    bool dy_direct;      // dy needs no panel: it is read where it stands, or where it is written for others
    size_t weights, ones; // floats of dw and dw_ones
    size_t x_panel;       // floats; then comes the panel of dy
    // Where in `work`: weights of all grids, one after the other; [groups][weights]; [groups][ones].
    size_t packed, partial, partial_ones, partial_b; // the last: [groups][out]
};

struct backward {
    const struct conv_backward *b;
    bool dx, dw; // what this pass computes
    int branches, step; // step: rows of inputs that go together, whatever the branch's stride
    struct branch branch[CONV_BRANCHES];
    int band, bands, units, pieces, splits, groups; // band: in steps
    float *work; // [pieces][2][in] doubles: totals; as many floats: sums; then the branches' own
};

// A unit's rows in a branch: of outputs, of inputs, and of its two panels.
struct band {
    int image;
    struct range out, in, x, dy;
};

// Both products read dy's panel from here: its row `row`, column 0 of dy.
static inline const float *dy_at(const struct branch *r, const struct band *b, const float *panel, int row) {
    return panel + ((ptrdiff_t)(row - b->dy.first) * r->dy_across.count - r->dy_across.first) * r->c.out;
}

// ---- dx (conv_dx.c)

// The inputs (residue_h + stride_h * i, residue_w + stride_w * j) are a grid: all have the same taps on dy.
struct grid {
    bool begun;
    int residue_h, residue_w;
    struct taps rows, columns;
    size_t packed, floats; // its weights: from where on, and how many
};
bool next_grid(const struct branch *r, struct grid *g); // the first time with {0}; false behind the last
// dx of a unit from branch number i, at the end of the products with sums (2, in) when there are to be any.
void conv_dx_unit(const struct backward *p, int i, const struct band *b, const float *dy, float *sums, struct prefetch *ahead);

// ---- dw (conv_dw.c)

// Adds what a unit's panels give to a branch's partial sums: dw (of `channels` output channels from `channel` on), db, and
// dw_ones; NULL for what is not wanted.
struct partials { float *dw, *db, *ones; };
void conv_dw_unit(const struct branch *r, const struct partials *sum, const struct band *b, const float *x, const float *dy,
                  int channel, int channels, struct prefetch *ahead);
void join_partials(float *to, const float *partial, size_t floats, int groups); // in the order of the groups
