// How a convolution is cut up; shared by its two passes. A unit of work is a band of rows of one image; a piece (see
// threads.h) is a run of units. All of it depends on shapes alone.
#pragma once
#include <stdbool.h>

#include "conv.h"
#include "panel.h"
#include "product.h"

enum {
    BAND_PIXELS = 64,        // pixels a product works on at a time; a 1x1 convolution's unit
    PANEL_FLOATS = 48 << 10, // aim: the panels of a band stay in the second-level cache
    SUM_PIXELS = 256,        // pixels summed in single precision before they are added to the totals
    PIECES = 16,             // pieces of work wanted, for any number of threads
};

// One direction of the convolution.
struct side {
    int kernel, stride, dilation, pad, inputs, outputs;
};

// A batch of 1x1 convolutions without stride or padding sees no rows: it is one picture with rows of BAND_PIXELS (or less).
struct conv conv_flattened(struct conv c, bool shared_out);
struct side conv_rows(const struct conv *c);
struct side conv_columns(const struct conv *c);

// The inputs that outputs [first, first + count) read. A kernel of one place skips what it does not read.
struct range { int first, count, step; };
struct range side_inputs(const struct side *s, int first, int count);
// The outputs that inputs [first, first + count) feed, and at least [own, own + own_count).
struct range side_outputs(const struct side *s, int first, int count, int own, int own_count);

// Taps of a product as places in a panel: runs of channels that lie side by side.
struct taps {
    int count, at[CONV_KERNEL_MAX], kernel[CONV_KERNEL_MAX]; // ascending places, and which place of the kernel each is
};
struct taps side_taps(const struct side *s, const struct range *panel);                // of outputs on their inputs
struct taps side_gradient_taps(const struct side *s, int residue);                     // of inputs on their outputs
struct runs { int runs, length, offset[CONV_KERNEL_MAX * CONV_KERNEL_MAX]; };
void find_runs(struct runs *r, const struct taps *rows, const struct taps *columns, int panel_width, int channels);

// How many of an image's rows are a band. Without rows around a band that taps reach (`pointwise`) it may be small.
struct banding {
    int batch, rows, pixels; // images; rows of one; pixels of a row
    double floats;           // of the panels for a row (or of what is read), not 0
    bool pointwise;
    int least;       // pixels wanted in a band, if there are enough
    bool shared_out; // threads have other work: only the caches matter
};
int band_rows(const struct banding *b);

int first_unit(int piece, int pieces, int units);

// Packs w for a product: taps (rows x columns) by inner channels, one column for each outer channel.
size_t packed_floats(const struct taps *rows, const struct taps *columns, int inner, int outer);
void pack_weights(float *packed, const float *w, const struct conv *c, const struct taps *rows, const struct taps *columns,
                  bool transposed);
