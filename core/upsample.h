// Making maps larger by whole factors, NHWC: x (n,h,w,c) -> y (n, h*fy, w*fx, c).
#pragma once

struct upsample_shape {
    int n, h, w, c, fy, fx;
};

// y[oy][ox] = x[oy / fy][ox / fx]; the gradient is the sum over the block.
void upsample_nearest(float *y, const float *x, const struct upsample_shape *s);
void upsample_nearest_dx(float *dx, const float *dy, const struct upsample_shape *s);

// Between the four nearest pixel centres: output o stands at input (o + 1/2) / f - 1/2; beyond the
// first and last centre the edge pixel is repeated (tf.image.resize of TF 2, OpenCV's INTER_LINEAR,
// torch with align_corners = false).
void upsample_bilinear(float *y, const float *x, const struct upsample_shape *s);
void upsample_bilinear_dx(float *dx, const float *dy, const struct upsample_shape *s);
