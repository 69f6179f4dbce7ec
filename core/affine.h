// The affine map of data augmentation: out(row, column) = in(M (row, column, 1)), bilinear, as
// scipy.ndimage.affine_transform with order 1 and keras-preprocessing 1.1.2's matrices.
#pragma once
#include <stdbool.h>

enum fill_mode { FILL_NEAREST, FILL_CONSTANT, FILL_REFLECT, FILL_WRAP };

// One draw of the random parameters. Angles in degrees; tx rows and ty columns in pixels.
struct transform {
    double theta, tx, ty, shear, zx, zy;
    bool flip_horizontal, flip_vertical;
    double brightness;    // 1: unchanged (multiplies, clipped to 0..255)
    double channel_shift; // 0: unchanged (added, clipped to the picture's own range)
};

// M[2][3] of the output->input map: A = R T S Z about (h/2 + 0.5, w/2 + 0.5). Returns false when A
// is the identity.
bool transform_matrix(double M[2][3], const struct transform *t, int height, int width);

// out, in: height x width x channels floats (not the same memory); three floats behind `in` are read
// too (mem.h has them there). Coordinates in double.
void affine_apply(float *out, const float *in, const double M[2][3], int height, int width,
                  int channels, enum fill_mode fill, float cval);
// The whole augmentation of one picture as keras-preprocessing orders it: affine, channel shift,
// flips, brightness. scratch: as large as in.
void transform_apply(float *out, const float *in, const struct transform *t, int height, int width,
                     int channels, enum fill_mode fill, float cval, float *scratch);
