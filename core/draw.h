// Drawing on pictures, without anti-aliasing. Positions are (x, y) in pixels from the centre of the
// top left pixel, which is (0, 0), as in OpenCV; whatever lies outside is cut off. A colour has one
// byte a channel.
#pragma once
#include "image.h"

// All pixels whose centre is at most thickness/2 away from the segment: a round pen.
void draw_line(struct image *im, double x0, double y0, double x1, double y1, double thickness,
               const unsigned char color[]);

// The rectangle with these corner pixels, both included. thickness > 0: its outline, that many
// pixels wide, inside;
// <= 0: filled.
void draw_rectangle(struct image *im, int x0, int y0, int x1, int y1, int thickness,
                    const unsigned char color[]);

// Mixes the colour in: pixel += (color - pixel) * coverage / 255, over a width x height block of
// coverage bytes.
void draw_coverage(struct image *im, int x, int y, const unsigned char *coverage, int width,
                   int height, const unsigned char color[]);

// Copies all of `from` to (x, y); channels must be equal.
void draw_image(struct image *im, int x, int y, const struct image *from);
