// A net that only answers: steps over buffers, with the weights in the order that the kernels read, and no memory asked for
// while it runs. A few images go through the steps together, each step on all threads; more of them go image by image, each
// through the whole net on one thread, so that what is in between stays in that thread's cache.
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "conv.h"
#include "pool2d.h"

enum step_kind { STEP_CONV, STEP_MAX_POOL, STEP_MEAN_POOL, STEP_NORM, STEP_ADD, STEP_RELU, STEP_SOFTMAX, STEP_SIGMOID };

// Buffers are numbered from 0: 0 is the input, the last one the output. Sizes are those of one image.
struct step {
    enum step_kind kind;
    int input, other, output; // other: what is added; -1: nothing
    struct conv conv;         // STEP_CONV (a dense layer is one of 1x1 pictures)
    float *packed, *bias;     // bias may be NULL
    float *norm;              // STEP_NORM, and STEP_CONV whose input is normalised on the way: rows as in norm.h; NULL: none
    bool norm_relu, relu;     // of the input (or STEP_NORM's result); of the output
    struct pool_shape pool;
    size_t rows, size;        // of the input: (rows, size / rows)
};

struct program {
    int steps, buffers;
    struct step *step;
    size_t *buffer_floats, *buffer_at; // of one image; the input's and the output's stand elsewhere
    size_t image_floats, scratch_floats;
    float *memory; // of the buffers
    size_t memory_floats;
};

// For n images: how many floats of memory the buffers need (at p->memory). Threads' scratch: p->scratch_floats.
size_t program_memory(const struct program *p, int n);
void program_run(const struct program *p, float *y, const float *x, int n);
// Called once, when all steps are filled in.
void program_finish(struct program *p);
