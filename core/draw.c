// Drawing on pictures. Every shape is convex: in each row it is one run of pixels, by formula.
#include "draw.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

struct range {
    double from, to; // empty when from > to
};

static unsigned char *pixel_at(const struct image *im, int x, int y) {
    return im->pixels + ((size_t)y * (size_t)im->width + (size_t)x) * (size_t)im->channels;
}

// The pixels of row y in the range, cut to the picture.
static void fill_run(struct image *im, int y, struct range run, const unsigned char color[]) {
    double from = ceil(run.from), to = floor(run.to);
    if (from < 0) from = 0;
    if (to > im->width - 1) to = im->width - 1;
    if (!(from <= to)) return; // also NaN
    unsigned char *p = pixel_at(im, (int)from, y);
    for (int n = (int)to - (int)from + 1; n > 0; n--)
        for (int c = 0; c < im->channels; c++) *p++ = color[c];
}

// ---- lines

static struct range both(struct range a, struct range b) {
    return (struct range){fmax(a.from, b.from), fmin(a.to, b.to)};
}

// The hull of two runs of one convex shape; either may be empty.
static struct range joined(struct range a, struct range b) {
    if (a.from > a.to) return b;
    if (b.from > b.to) return a;
    return (struct range){fmin(a.from, b.from), fmax(a.to, b.to)};
}

// The x with low <= slope * x + offset <= high.
static struct range between(double slope, double offset, double low, double high) {
    if (slope == 0)
        return offset >= low && offset <= high ? (struct range){-INFINITY, INFINITY}
                                               : (struct range){1, 0};
    double a = (low - offset) / slope, b = (high - offset) / slope;
    return a < b ? (struct range){a, b} : (struct range){b, a};
}

static struct range circle_run(double x, double dy, double radius) {
    double half = radius * radius - dy * dy;
    return half < 0 ? (struct range){1, 0} : (struct range){x - sqrt(half), x + sqrt(half)};
}

// The line is shifted by a trace, so that of two pixels exactly thickness/2 off one is in: a line 2
// wide is 2 wide wherever it lies.
void draw_line(struct image *im, double x0, double y0, double x1, double y1, double thickness,
               const unsigned char color[]) {
    const double trace = 1.0 / 1024;
    x0 += trace, x1 += trace, y0 += trace, y1 += trace;
    double radius = thickness / 2, dx = x1 - x0, dy = y1 - y0, length = hypot(dx, dy);
    double top = ceil(fmin(y0, y1) - radius), bottom = floor(fmax(y0, y1) + radius);
    if (!isfinite(length) || !isfinite(radius) || thickness <= 0) return;
    if (top < 0) top = 0;
    if (bottom > im->height - 1) bottom = im->height - 1;
    if (top > bottom) return;
    for (int y = (int)top; y <= (int)bottom; y++) {
        struct range run = joined(circle_run(x0, y - y0, radius), circle_run(x1, y - y1, radius));
        if (length > 0) { // along the segment: 0..length; across: -radius..radius
            double ux = dx / length, uy = dy / length;
            struct range along = between(ux, (y - y0) * uy - x0 * ux, 0, length);
            struct range across = between(-uy, (y - y0) * ux + x0 * uy, -radius, radius);
            run = joined(run, both(along, across));
        }
        fill_run(im, y, run, color);
    }
}

// ---- rectangles

static void fill_rows(struct image *im, double x0, double y0, double x1, double y1,
                      const unsigned char color[]) {
    if (y0 < 0) y0 = 0;
    if (y1 > im->height - 1) y1 = im->height - 1;
    for (double y = y0; y <= y1; y++) fill_run(im, (int)y, (struct range){x0, x1}, color);
}

void draw_rectangle(struct image *im, int x0, int y0, int x1, int y1, int thickness,
                    const unsigned char color[]) {
    double left = x0 < x1 ? x0 : x1, right = x0 < x1 ? x1 : x0;
    double top = y0 < y1 ? y0 : y1, bottom = y0 < y1 ? y1 : y0, t = thickness;
    if (thickness <= 0 || 2 * t >= right - left + 1 || 2 * t >= bottom - top + 1) {
        fill_rows(im, left, top, right, bottom, color);
        return;
    }
    fill_rows(im, left, top, right, top + t - 1, color);
    fill_rows(im, left, bottom - t + 1, right, bottom, color);
    fill_rows(im, left, top, left + t - 1, bottom, color);
    fill_rows(im, right - t + 1, top, right, bottom, color);
}

// ---- blocks of pixels

// The part [*from, *to) of a run of `size` at `at` that lies inside 0..limit-1.
static bool overlap(int *from, int *to, int at, int size, int limit) {
    *from = at < 0 ? (at <= -size ? size : -at) : 0;
    *to = at >= limit ? 0 : size < limit - at ? size : limit - at;
    return *from < *to;
}

void draw_coverage(struct image *im, int x, int y, const unsigned char *coverage, int width,
                   int height, const unsigned char color[]) {
    int left, right, top, bottom;
    if (!overlap(&left, &right, x, width, im->width) ||
        !overlap(&top, &bottom, y, height, im->height))
        return;
    for (int row = top; row < bottom; row++)
        for (int column = left; column < right; column++) {
            int share = coverage[(size_t)row * (size_t)width + (size_t)column];
            unsigned char *p = pixel_at(im, x + column, y + row);
            for (int c = 0; c < im->channels; c++)
                p[c] = (unsigned char)((p[c] * (255 - share) + color[c] * share + 127) / 255);
        }
}

void draw_image(struct image *im, int x, int y, const struct image *from) {
    int left, right, top, bottom;
    if (!overlap(&left, &right, x, from->width, im->width) ||
        !overlap(&top, &bottom, y, from->height, im->height))
        return;
    size_t channels = (size_t)im->channels;
    for (int row = top; row < bottom; row++)
        memmove(pixel_at(im, x + left, y + row), pixel_at(from, left, row),
                (size_t)(right - left) * channels);
}
