// The affine map of data augmentation. The coordinates of a pixel (double, as scipy: row * M0 +
// column * M1 + M2, not incremental, so each is the same in any order of work) only grow, or only
// fall, along a row of the output. So the pixels strictly inside the picture are one run, the same
// for every fill mode, and done several at a time; those on either side of it are done one by one.
// Compiled without fused multiply-add (Makefile): a coordinate that should be a whole number is
// one, and "constant" fills exactly what scipy fills.
#include "affine.h"
#include "vec.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

// ---- matrices: [2][3], the third row is (0, 0, 1)

static void multiply(double out[2][3], const double a[2][3], const double b[2][3]) {
    double product[2][3];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            product[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + (j == 2 ? a[i][2] : 0);
    memcpy(out, product, sizeof product);
}

bool transform_matrix(double M[2][3], const struct transform *t, int height, int width) {
    const double degree = 3.14159265358979323846 / 180;
    double theta = t->theta * degree, shear = t->shear * degree;
    double row = height / 2.0 + 0.5, column = width / 2.0 + 0.5;
    const double rotation[2][3] = {{cos(theta), -sin(theta), 0}, {sin(theta), cos(theta), 0}};
    const double shift[2][3] = {{1, 0, t->tx}, {0, 1, t->ty}};
    const double slant[2][3] = {{1, -sin(shear), 0}, {0, cos(shear), 0}};
    const double zoom[2][3] = {{t->zx, 0, 0}, {0, t->zy, 0}};
    const double to_centre[2][3] = {{1, 0, row}, {0, 1, column}},
                 from_centre[2][3] = {{1, 0, -row}, {0, 1, -column}};
    double A[2][3] = {{1, 0, 0}, {0, 1, 0}};
    bool any = false;
    if (t->theta != 0) multiply(A, A, rotation), any = true;
    if (t->tx != 0 || t->ty != 0) multiply(A, A, shift), any = true;
    if (t->shear != 0) multiply(A, A, slant), any = true;
    if (t->zx != 1 || t->zy != 1) multiply(A, A, zoom), any = true;
    multiply(M, to_centre, A);
    multiply(M, M, from_centre);
    return any;
}

// ---- one axis: a coordinate in a picture of n pixels -> taps and fraction

struct taps {
    int first, second;
    float fraction; // of second
};

// NaN: 0.
INLINE double clamp(double c, int n) {
    c = c > 0 ? c : 0;
    return c < n - 1 ? c : n - 1;
}

// NaN and coordinates without a meaning land at 0 or n-1: never outside.
INLINE struct taps clamped_taps(double c, int n) {
    if (n == 1) return (struct taps){0, 0, 0};
    int first = (int)clamp(c, n - 1); // at most n-2: second exists, and has all the weight at n-1
    return (struct taps){first, first + 1, (float)(clamp(c, n) - first)};
}

// abc|cba|abc: period 2n, each border pixel twice.
INLINE int reflected_index(double floor_of_c, int n) {
    double i = fmod(floor_of_c, 2.0 * n);
    if (i < 0) i += 2.0 * n;
    return (int)clamp(i < n ? i : 2.0 * n - 1 - i, n);
}

INLINE struct taps reflected_taps(double c, int n) {
    double below = floor(c);
    return (struct taps){reflected_index(below, n), reflected_index(below + 1, n),
                         (float)(c - below)};
}

// scipy's "wrap" has period n-1, not n.
INLINE struct taps wrapped_taps(double c, int n) {
    double period = n - 1;
    if (n > 1 && (c < 0 || c > period)) c -= period * floor(c / period);
    return clamped_taps(c, n);
}

INLINE struct taps taps_of(double c, int n, enum fill_mode fill) {
    switch (fill) {
    case FILL_REFLECT: return reflected_taps(c, n);
    case FILL_WRAP: return wrapped_taps(c, n);
    default: return clamped_taps(c, n);
    }
}

// ---- one row of the output

struct map {
    double M[2][3];
    int height, width, channels;
    enum fill_mode fill;
    float cval;
    bool mirror_columns, mirror_rows; // of the output: the flips come after the map
};

// Where a pixel of the output comes from.
struct point {
    double y, x;
};

INLINE struct point source(const struct map *m, int row, int column) {
    if (m->mirror_columns) column = m->width - 1 - column;
    return (struct point){row * m->M[0][0] + column * m->M[0][1] + m->M[0][2],
                          row * m->M[1][0] + column * m->M[1][1] + m->M[1][2]};
}

// Between four pixels, so that no fill mode has a say.
INLINE bool is_inside(const struct map *m, struct point p) {
    return p.y >= 0 && p.y < m->height - 1 && p.x >= 0 && p.x < m->width - 1;
}

INLINE bool is_outside(const struct map *m, struct point p) {
    return !(p.y >= 0 && p.y <= m->height - 1 && p.x >= 0 && p.x <= m->width - 1);
}

// The floats of four pixels of the input, and how much the right and the lower ones weigh.
struct corners {
    const float *top, *bottom;
    ptrdiff_t left, right;
    float down, across;
};

// Four channels at once: those beyond the pixel's last are read and written for nothing.
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
INLINE quad quad_at(const float *p) { return *(const quad *)p; }

// Spoils up to three floats behind the pixel.
INLINE void blend(float *out, struct corners k, int channels) {
    const float *top = k.top + k.left, *bottom = k.bottom + k.left;
    ptrdiff_t right = k.right - k.left;
    float fy = k.down, fx = k.across, gy = 1 - fy, gx = 1 - fx;
    for (int c = 0; c < channels; c += 4)
        *(quad *)(out + c) = (quad_at(top + c) * gx + quad_at(top + right + c) * fx) * gy +
                             (quad_at(bottom + c) * gx + quad_at(bottom + right + c) * fx) * fy;
}

static void blend_alone(float *out, struct corners k, int channels) {
    float fy = k.down, fx = k.across, gy = 1 - fy, gx = 1 - fx;
    for (int c = 0; c < channels; c++)
        out[c] = (k.top[k.left + c] * gx + k.top[k.right + c] * fx) * gy +
                 (k.bottom[k.left + c] * gx + k.bottom[k.right + c] * fx) * fy;
}

// Pixels from..to of a row, wherever they come from; from `end` on they spoil nothing behind them.
INLINE void any_pixels(float *out, const float *in, const struct map *m, int row, int from, int to,
                       int end, enum fill_mode fill) {
    int channels = m->channels;
    ptrdiff_t line = (ptrdiff_t)m->width * channels;
    for (int column = from; column < to; column++) {
        float *pixel = out + (ptrdiff_t)column * channels;
        struct point p = source(m, row, column);
        struct taps y = taps_of(p.y, m->height, fill), x = taps_of(p.x, m->width, fill);
        struct corners k = {in + y.first * line, in + y.second * line,
                            (ptrdiff_t)x.first * channels, (ptrdiff_t)x.second * channels,
                            y.fraction, x.fraction};
        if (fill == FILL_CONSTANT && is_outside(m, p))
            for (int c = 0; c < channels; c++) pixel[c] = m->cval;
        else if (column < end) blend(pixel, k, channels);
        else blend_alone(pixel, k, channels);
    }
}

// Each mode has a loop of its own.
static void border_pixels(float *out, const float *in, const struct map *m, int row, int from,
                          int to, int end) {
    switch (m->fill) {
    case FILL_NEAREST: any_pixels(out, in, m, row, from, to, end, FILL_NEAREST); break;
    case FILL_CONSTANT: any_pixels(out, in, m, row, from, to, end, FILL_CONSTANT); break;
    case FILL_REFLECT: any_pixels(out, in, m, row, from, to, end, FILL_REFLECT); break;
    case FILL_WRAP: any_pixels(out, in, m, row, from, to, end, FILL_WRAP); break;
    }
}

enum { SPAN = 64 };

// The same for `count` pixels that are inside.
INLINE void inside_pixels(float *out, const float *in, const struct map *m, int row, int from,
                          int count, int channels) {
    ptrdiff_t line = (ptrdiff_t)m->width * channels, first[SPAN];
    float down[SPAN], across[SPAN];
    for (int i = 0; i < count; i++) {
        struct point p = source(m, row, from + i);
        int y = (int)p.y, x = (int)p.x;
        first[i] = y * line + (ptrdiff_t)x * channels;
        down[i] = (float)(p.y - y);
        across[i] = (float)(p.x - x);
    }
    out += (ptrdiff_t)from * channels;
    for (int i = 0; i < count; i++, out += channels) {
        const float *top = in + first[i];
        blend(out, (struct corners){top, top + line, 0, channels, down[i], across[i]}, channels);
    }
}

static void inside_run(float *out, const float *in, const struct map *m, int row, int from,
                       int to) {
    for (; from < to; from += SPAN) {
        int count = to - from < SPAN ? to - from : SPAN;
        if (m->channels == 3) inside_pixels(out, in, m, row, from, count, 3);
        else if (m->channels == 1) inside_pixels(out, in, m, row, from, count, 1);
        else inside_pixels(out, in, m, row, from, count, m->channels);
    }
}

// A row of the output, from row `row` of the map; columns from `end` on are done alone.
static void map_row(float *out, const float *in, const struct map *m, int row, int end) {
    int from = 0, to = end;
    while (from < to && !is_inside(m, source(m, row, from))) from++;
    while (to > from && !is_inside(m, source(m, row, to - 1))) to--;
    border_pixels(out, in, m, row, 0, from, end);
    inside_run(out, in, m, row, from, to);
    border_pixels(out, in, m, row, to, m->width, end);
}

// Pixels are written in order, so that each mends what the one before spoilt; the last three spoil
// nothing.
static void apply(float *out, const float *in, const struct map *m) {
    ptrdiff_t line = (ptrdiff_t)m->width * m->channels;
    ptrdiff_t left = (ptrdiff_t)m->height * m->width - 3; // pixels that may spoil
    for (int y = 0; y < m->height; y++, out += line, left -= m->width) {
        int row = m->mirror_rows ? m->height - 1 - y : y;
        map_row(out, in, m, row, left < 0 ? 0 : left < m->width ? (int)left : m->width);
    }
}

void affine_apply(float *out, const float *in, const double M[2][3], int height, int width,
                  int channels, enum fill_mode fill, float cval) {
    struct map m = {.height = height, .width = width, .channels = channels, .fill = fill,
                    .cval = cval};
    memcpy(m.M, M, sizeof m.M);
    apply(out, in, &m);
}

// ---- what follows the map

static void copy_mirrored(float *out, const float *in, int height, int width, int channels,
                          bool mirror_columns, bool mirror_rows) {
    for (int row = 0; row < height; row++)
        for (int column = 0; column < width; column++) {
            int from_row = mirror_rows ? height - 1 - row : row;
            int from_column = mirror_columns ? width - 1 - column : column;
            memcpy(out, in + ((ptrdiff_t)from_row * width + from_column) * channels,
                   (size_t)channels * sizeof *out);
            out += channels;
        }
}

// Added to all channels alike, clipped to the picture's own range.
static void shift_channels(float *pixels, size_t n, float shift) {
    float low = pixels[0], high = pixels[0];
    for (size_t i = 1; i < n; i++) {
        low = pixels[i] < low ? pixels[i] : low;
        high = pixels[i] > high ? pixels[i] : high;
    }
    for (size_t i = 0; i < n; i++) {
        float v = pixels[i] + shift;
        pixels[i] = v < low ? low : v > high ? high : v;
    }
}

static float to_byte(float v) { return v > 0 ? (v < 255 ? (float)(int)v : 255) : 0; }

// On bytes, cut and not rounded, as Pillow does it. (keras-preprocessing 1.1.2 also stretches the
// contrast to 0..255 first, by mistake; Keras 2.9 and we do not.)
static void scale_brightness(float *pixels, size_t n, float factor) {
    for (size_t i = 0; i < n; i++) pixels[i] = to_byte(to_byte(pixels[i]) * factor);
}

void transform_apply(float *out, const float *in, const struct transform *t, int height, int width,
                     int channels, enum fill_mode fill, float cval, float *scratch) {
    (void)scratch; // the flips are folded into the map
    struct map m = {.height = height, .width = width, .channels = channels, .fill = fill,
                    .cval = cval, .mirror_columns = t->flip_horizontal,
                    .mirror_rows = t->flip_vertical};
    size_t n = (size_t)height * (size_t)width * (size_t)channels;
    if (n == 0) return;
    if (transform_matrix(m.M, t, height, width)) apply(out, in, &m);
    else copy_mirrored(out, in, height, width, channels, t->flip_horizontal, t->flip_vertical);
    if (t->channel_shift != 0) shift_channels(out, n, (float)t->channel_shift);
    if (t->brightness != 1) scale_brightness(out, n, (float)t->brightness);
}
