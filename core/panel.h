// Panels: a band of a picture copied to a thread's scratch, with zeros where taps leave the picture. What is copied may be
// put through a map on the way, so that neither a normalised picture nor the gradient that comes out of a batch
// normalisation need ever stand in memory.
#pragma once
#include "norm.h"
#include "pool2d.h"

enum source_kind {
    SOURCE_PLAIN,    // x
    SOURCE_NORM,     // (x - mean) * scale + offset, or the larger of that and 0
    SOURCE_GRADIENT, // a * g + b * (x - mean) + c (+ add): the gradient of a batch normalisation, see norm.h
};

// A gradient that comes out of a max pool: its numbers still stand at the outputs.
struct pool_source {
    const float *dy;
    const void *taps;
    struct pool_shape shape;
};

struct source {
    enum source_kind kind;
    int height, width, channels; // of one picture
    const float *x, *g, *add;    // (batch, height, width, channels)
    const struct norm_coefficients *k;
    const struct pool_source *pool; // SOURCE_GRADIENT: where g comes from instead; NULL: g is as x
    float *dense; // SOURCE_GRADIENT: where the rows of panel_fill's `own` are written too; NULL: nowhere
};

// Rows top, top + step_h, ... and columns left, left + step_w, ... of a picture, rows * columns pixels in all.
struct panel {
    int top, rows, step_h, left, columns, step_w;
};

void panel_fill(float *to, const struct source *s, int image, const struct panel *p, int own_top, int own_rows);
