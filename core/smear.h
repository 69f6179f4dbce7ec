// A stained blood smear as light through dyes (Beer-Lambert): each dye has a plane of densities, strokes add to the
// planes, and a pixel shows  light[c] * exp(-sum over dyes of density * absorbance[dye][c]).
// Everything is in double, so the same seed gives the same bytes on every processor.
#pragma once
#include <stdbool.h>

#include "image.h"
#include "rng.h"

enum { SMEAR_MAX_DYES = 8, SMEAR_MAX_SIDE = 1024 };

// Plane 0 is no dye: where it is above 1/2 the segmentation kept the pixel; the rest of the picture is black.
struct smear {
    int width, height, planes;
    double *density; // planes x height x width
};
int smear_create(struct smear *s, int width, int height, int planes); // all zero; -1: no memory
void smear_free(struct smear *s);

// Strokes add `amount` inside a shape, fading to nothing over its edge; negative amounts bleach.
// An ellipse with half axes rx, ry turned by angle (radians). soft 0..1: the edge as a share of the
// radius on either side.
void smear_blob(struct smear *s, int plane, double amount, double x, double y, double rx, double ry,
                double angle, double soft);
// A brush along n points (x, y, half width), widths in between interpolated; `soft` pixels of edge.
void smear_curve(struct smear *s, int plane, double amount, double soft, int n, const double points[][3]);
// The inside of the outline given by n radii at equal angles around (x, y), moved out by `margin`;
// `soft` pixels of edge.
void smear_outline(struct smear *s, int plane, double amount, double soft, double x, double y,
                   double margin, int n, const double radii[]);
// Smooth noise of mean 0: uniform values in +-amplitude on a lattice of `scale` pixels. Multiplies by 1 + noise when
// `relative`, else adds.
void smear_grain(struct smear *s, int plane, double amplitude, double scale, bool relative, struct rng *rng);

struct film {
    double light[3];                      // colour where there is no dye, 0..255
    double absorbance[SMEAR_MAX_DYES][3]; // row 0 unused
    double slope[2];                      // light falls off across and down the picture: 1 + slope * (-0.5..0.5)
    double blur;                          // Gaussian, in pixels
    double noise;                         // of the sensor, in grey levels
    int step;                             // the segmentation's own coarse pixel
};
// The photograph, cut out along plane 0 and cropped to it. -1: no memory, or plane 0 is empty.
int smear_develop(struct image *out, const struct smear *s, const struct film *film, struct rng *rng);
