// The affine map of data augmentation. A row of the output is done in spans: first all coordinates
// (double, as scipy: row * M0 + column * M1 + M2, not incremental, so the same for every span),
// mapped into the picture by the fill mode and split into two tap indices and a fraction; then all
// pixels. Compiled without fused multiply-add (Makefile): a coordinate that should be a whole
// number is one, and "constant" fills exactly what scipy fills.
#include "affine.h"

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
static double clamp(double c, int n) { return c > 0 ? (c < n - 1 ? c : n - 1) : 0; }

// NaN and coordinates without a meaning land at 0 or n-1: never outside.
static struct taps clamped_taps(double c, int n) {
    if (n == 1) return (struct taps){0, 0, 0};
    int first = (int)clamp(c, n - 1); // at most n-2: second exists, and has all the weight at n-1
    return (struct taps){first, first + 1, (float)(clamp(c, n) - first)};
}

// abc|cba|abc: period 2n, each border pixel twice.
static int reflected_index(double floor_of_c, int n) {
    double i = fmod(floor_of_c, 2.0 * n);
    if (i < 0) i += 2.0 * n;
    return (int)clamp(i < n ? i : 2.0 * n - 1 - i, n);
}

static struct taps reflected_taps(double c, int n) {
    double below = floor(c);
    return (struct taps){reflected_index(below, n), reflected_index(below + 1, n),
                         (float)(c - below)};
}

// scipy's "wrap" has period n-1, not n.
static struct taps wrapped_taps(double c, int n) {
    double period = n - 1;
    if (n > 1 && (c < 0 || c > period)) c -= period * floor(c / period);
    return clamped_taps(c, n);
}

// ---- spans

enum { SPAN = 64 };

// For SPAN columns of one output row: float offsets of the four taps' rows and columns.
struct span {
    ptrdiff_t row_first[SPAN], row_second[SPAN], column_first[SPAN], column_second[SPAN];
    float row_fraction[SPAN], column_fraction[SPAN];
    bool outside[SPAN]; // FILL_CONSTANT: this pixel is cval
};

static struct taps taps_of(double c, int n, enum fill_mode fill) {
    switch (fill) {
    case FILL_REFLECT: return reflected_taps(c, n);
    case FILL_WRAP: return wrapped_taps(c, n);
    default: return clamped_taps(c, n);
    }
}

// fill is a constant at each call, so each mode has its own loop.
static inline __attribute__((always_inline)) void
locate(struct span *s, const double M[2][3], int row, int column, int count, int height, int width,
       int channels, enum fill_mode fill) {
    ptrdiff_t line = (ptrdiff_t)width * channels;
    for (int i = 0; i < count; i++) {
        double y = row * M[0][0] + (column + i) * M[0][1] + M[0][2];
        double x = row * M[1][0] + (column + i) * M[1][1] + M[1][2];
        struct taps down = taps_of(y, height, fill), across = taps_of(x, width, fill);
        s->row_first[i] = down.first * line;
        s->row_second[i] = down.second * line;
        s->row_fraction[i] = down.fraction;
        s->column_first[i] = (ptrdiff_t)across.first * channels;
        s->column_second[i] = (ptrdiff_t)across.second * channels;
        s->column_fraction[i] = across.fraction;
        s->outside[i] =
            fill == FILL_CONSTANT && !(y >= 0 && y <= height - 1 && x >= 0 && x <= width - 1);
    }
}

static void locate_by_mode(struct span *s, const double M[2][3], int row, int column, int count,
                           int height, int width, int channels, enum fill_mode fill) {
    switch (fill) {
    case FILL_NEAREST:
        locate(s, M, row, column, count, height, width, channels, FILL_NEAREST);
        break;
    case FILL_CONSTANT:
        locate(s, M, row, column, count, height, width, channels, FILL_CONSTANT);
        break;
    case FILL_REFLECT:
        locate(s, M, row, column, count, height, width, channels, FILL_REFLECT);
        break;
    case FILL_WRAP: locate(s, M, row, column, count, height, width, channels, FILL_WRAP); break;
    }
}

// The pixels of a span, written `step` floats apart (negative: mirrored).
static inline __attribute__((always_inline)) void
blend(float *out, ptrdiff_t step, const float *in, const struct span *s, int count, int channels) {
    for (int i = 0; i < count; i++, out += step) {
        const float *p = in + s->row_first[i], *q = in + s->row_second[i];
        ptrdiff_t l = s->column_first[i], r = s->column_second[i];
        float fy = s->row_fraction[i], fx = s->column_fraction[i], gy = 1 - fy, gx = 1 - fx;
        for (int c = 0; c < channels; c++)
            out[c] = (p[l + c] * gx + p[r + c] * fx) * gy + (q[l + c] * gx + q[r + c] * fx) * fy;
    }
}

static void fill_outside(float *out, ptrdiff_t step, const struct span *s, int count, int channels,
                         float cval) {
    for (int i = 0; i < count; i++, out += step)
        for (int c = 0; c < channels && s->outside[i]; c++) out[c] = cval;
}

// As affine_apply, with the output's rows or columns mirrored (the flips come after the map).
static void apply(float *out, const float *in, const double M[2][3], int height, int width,
                  int channels, enum fill_mode fill, float cval, bool mirror_columns,
                  bool mirror_rows) {
    struct span s;
    ptrdiff_t step = mirror_columns ? -channels : channels;
    for (int row = 0; row < height; row++) {
        int to_row = mirror_rows ? height - 1 - row : row;
        for (int column = 0; column < width; column += SPAN) {
            int count = width - column < SPAN ? width - column : SPAN;
            int to_column = mirror_columns ? width - 1 - column : column;
            float *to = out + ((ptrdiff_t)to_row * width + to_column) * channels;
            locate_by_mode(&s, M, row, column, count, height, width, channels, fill);
            if (channels == 3) blend(to, step, in, &s, count, 3);
            else if (channels == 1) blend(to, step, in, &s, count, 1);
            else blend(to, step, in, &s, count, channels);
            if (fill == FILL_CONSTANT) fill_outside(to, step, &s, count, channels, cval);
        }
    }
}

void affine_apply(float *out, const float *in, const double M[2][3], int height, int width,
                  int channels, enum fill_mode fill, float cval) {
    apply(out, in, M, height, width, channels, fill, cval, false, false);
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
    double M[2][3];
    size_t n = (size_t)height * (size_t)width * (size_t)channels;
    if (n == 0) return;
    if (transform_matrix(M, t, height, width))
        apply(out, in, M, height, width, channels, fill, cval, t->flip_horizontal,
              t->flip_vertical);
    else copy_mirrored(out, in, height, width, channels, t->flip_horizontal, t->flip_vertical);
    if (t->channel_shift != 0) shift_channels(out, n, (float)t->channel_shift);
    if (t->brightness != 1) scale_brightness(out, n, (float)t->brightness);
}
