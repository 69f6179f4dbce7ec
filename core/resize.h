// Resizing of 8-bit pictures by the rules of the libraries the course uses, to the byte.
#pragma once
#include "image.h"

enum resize_rule {
    RESIZE_NEAREST,  // Pillow: the index accumulates in double steps of in/out
    RESIZE_BILINEAR, // OpenCV INTER_LINEAR on bytes: 11-bit fixed point, no anti-aliasing
    RESIZE_AREA,     // mean over the covered area: for shrinking photographs
};

// out has its size set and its pixels allocated; same channels. scratch: resize_scratch_bytes()
// bytes.
void resize(struct image *out, const struct image *in, enum resize_rule rule, void *scratch);
size_t resize_scratch_bytes(int in_height, int in_width, int out_height, int out_width,
                            int channels);
