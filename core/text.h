// UTF-8 text on pictures: ASCII with the stroke font, as OpenCV's putText with its Hershey letters;
// anything else with a font of this machine; what no font has, as a box.
#pragma once
#include "image.h"

struct text_style {
    double scale;     // pixels a unit of the stroke font: capitals are 21 * scale pixels high
    double thickness; // of the pen, as OpenCV counts it: 1 is one pixel, 2 is three, 3 is four
    const unsigned char *color; // one byte a channel
};

enum { TEXT_MAX_SCALE = 1000 }; // 0 < scale <= TEXT_MAX_SCALE, 0 < thickness

// Draws with the left end of the baseline at (x, y); "\n" starts a line below. Returns the number
// of boxes drawn for letters that no font has, or -1: no memory.
int text_draw(struct image *im, double x, double y, const char *utf8, size_t size,
              const struct text_style *style);

// The room that text_draw takes, pixels: right of x, above y, and below y. Returns as text_draw.
int text_measure(const char *utf8, size_t size, const struct text_style *style, double *width,
                 double *above, double *below);
