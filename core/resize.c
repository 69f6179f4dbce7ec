// Resizing of 8-bit pictures. Each rule works on one axis at a time: per output index the tap(s) in
// the input and their weights, found once and kept in scratch; then rows. Compiled without fused
// multiply-add (Makefile): the taps are equal to the reference's to the bit.
#include "resize.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// ---- nearest (Pillow): index = (int)s, s starts at half a step and accumulates

static void nearest_index(int *index, int in, int out) {
    double step = (double)in / out, s = 0.5 * step;
    for (int i = 0; i < out; i++, s += step) index[i] = (int)s < in ? (int)s : in - 1;
}

static void resize_nearest(struct image *out, const struct image *in, int *scratch) {
    int *column = scratch, *row = scratch + out->width, channels = in->channels;
    nearest_index(column, in->width, out->width);
    nearest_index(row, in->height, out->height);
    unsigned char *to = out->pixels;
    for (int y = 0; y < out->height; y++) {
        const unsigned char *line =
            in->pixels + (size_t)row[y] * (size_t)in->width * (size_t)channels;
        for (int x = 0; x < out->width; x++) {
            const unsigned char *from = line + (size_t)column[x] * (size_t)channels;
            for (int c = 0; c < channels; c++) *to++ = from[c];
        }
    }
}

// ---- bilinear (OpenCV): weights in 1/2048, the row sum keeps 7 bits of them

enum { WEIGHT_ONE = 2048 };

struct tap {
    int first, second; // input indices
    int a, b;          // their weights, a + b about WEIGHT_ONE
};

// The float position of output i and its split in index and fraction, as OpenCV rounds them.
static float split_position(int *index, int i, double scale) {
    float position = (float)((i + 0.5) * scale - 0.5);
    *index = (int)floorf(position);
    return position - (float)*index;
}

static struct tap make_tap(int first, int second, float fraction) {
    return (struct tap){first, second, (int)lrintf((1.f - fraction) * WEIGHT_ONE),
                        (int)lrintf(fraction * WEIGHT_ONE)};
}

static double linear_scale(int in, int out) { return 1.0 / ((double)out / in); }

// Columns: at the border the whole weight goes to the last pixel.
static void column_taps(struct tap *taps, int in, int out) {
    for (int i = 0; i < out; i++) {
        int s;
        float fraction = split_position(&s, i, linear_scale(in, out));
        if (s < 0) s = 0, fraction = 0;
        if (s >= in - 1) s = in - 1, fraction = 0;
        taps[i] = make_tap(s, s < in - 1 ? s + 1 : s, fraction);
    }
}

static int clamp(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

// Rows: both taps are clamped, the weights stay.
static void row_taps(struct tap *taps, int in, int out) {
    for (int i = 0; i < out; i++) {
        int s;
        float fraction = split_position(&s, i, linear_scale(in, out));
        taps[i] = make_tap(clamp(s, in), clamp(s + 1, in), fraction);
    }
}

// sums[x * channels + c] = one input row at the output's columns, in 1/2048.
static void sum_columns(int *sums, const unsigned char *line, const struct tap *taps, int width,
                        int channels) {
    for (int x = 0; x < width; x++) {
        const unsigned char *p = line + (size_t)taps[x].first * (size_t)channels;
        const unsigned char *q = line + (size_t)taps[x].second * (size_t)channels;
        for (int c = 0; c < channels; c++) *sums++ = taps[x].a * p[c] + taps[x].b * q[c];
    }
}

// Exactly half the size: the mean of four.
static void resize_half(struct image *out, const struct image *in) {
    size_t channels = (size_t)in->channels, line = (size_t)in->width * channels;
    unsigned char *to = out->pixels;
    for (int y = 0; y < out->height; y++) {
        const unsigned char *p = in->pixels + 2 * (size_t)y * line, *q = p + line;
        for (int x = 0; x < out->width; x++, p += 2 * channels, q += 2 * channels)
            for (size_t c = 0; c < channels; c++)
                *to++ = (unsigned char)((p[c] + p[c + channels] + q[c] + q[c + channels] + 2) >> 2);
    }
}

static void resize_bilinear(struct image *out, const struct image *in, void *scratch) {
    if (in->height == 2 * out->height && in->width == 2 * out->width) {
        resize_half(out, in);
        return;
    }
    size_t line = (size_t)in->width * (size_t)in->channels,
           n = (size_t)out->width * (size_t)out->channels;
    struct tap *columns = scratch, *rows = columns + out->width;
    int *sums[2] = {(int *)(rows + out->height), (int *)(rows + out->height) + n};
    int held[2] = {-1, -1}; // which input row each holds
    column_taps(columns, in->width, out->width);
    row_taps(rows, in->height, out->height);
    unsigned char *to = out->pixels;
    for (int y = 0; y < out->height; y++) {
        int wanted[2] = {rows[y].first, rows[y].second};
        if (held[1] == wanted[0]) { // the last line's lower row is often this one's upper row
            int *moved = sums[0];
            sums[0] = sums[1], sums[1] = moved;
            held[1] = held[0], held[0] = wanted[0];
        }
        for (int k = 0; k < 2; k++) {
            if (held[k] == wanted[k]) continue;
            sum_columns(sums[k], in->pixels + (size_t)wanted[k] * line, columns, out->width,
                        in->channels);
            held[k] = wanted[k];
        }
        int a = rows[y].a, b = rows[y].b;
        for (size_t i = 0; i < n; i++) {
            int v = (((a * (sums[0][i] >> 4)) >> 16) + ((b * (sums[1][i] >> 4)) >> 16) + 2) >> 2;
            *to++ = (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}

// ---- area: output i is the mean of the input over [i, i + 1) * in/out

// The input pixels first..last that output i covers and the share of the first and last one.
struct cover {
    int first, last;
    float first_share, last_share;
};

static struct cover cover_of(int i, int in, int out) {
    double scale = (double)in / out, from = i * scale, to = (i + 1) * scale;
    struct cover c = {.first = clamp((int)from, in)};
    c.last = clamp((int)ceil(to - 1e-9) - 1, in); // no share of 1e-15 of the next pixel
    if (c.last <= c.first) return (struct cover){c.first, c.first, (float)scale, 0};
    c.first_share = (float)(c.first + 1 - from);
    c.last_share = (float)(to - c.last);
    return c;
}

static float cover_share(struct cover c, int i) {
    return i == c.first ? c.first_share : i == c.last ? c.last_share : 1.f;
}

// sums += share * (one input row gathered over the output's columns)
static void add_covered(float *sums, const unsigned char *line, const struct cover *columns,
                        int width, int channels, float share) {
    for (int x = 0; x < width; x++, sums += channels)
        for (int i = columns[x].first; i <= columns[x].last; i++) {
            float weight = share * cover_share(columns[x], i);
            const unsigned char *p = line + (size_t)i * (size_t)channels;
            for (int c = 0; c < channels; c++) sums[c] += weight * p[c];
        }
}

static void resize_area(struct image *out, const struct image *in, void *scratch) {
    size_t line = (size_t)in->width * (size_t)in->channels,
           n = (size_t)out->width * (size_t)out->channels;
    struct cover *columns = scratch;
    float *sums = (float *)(columns + out->width);
    for (int x = 0; x < out->width; x++) columns[x] = cover_of(x, in->width, out->width);
    double area = (double)in->width / out->width * ((double)in->height / out->height);
    unsigned char *to = out->pixels;
    for (int y = 0; y < out->height; y++) {
        struct cover rows = cover_of(y, in->height, out->height);
        memset(sums, 0, n * sizeof *sums);
        for (int i = rows.first; i <= rows.last; i++)
            add_covered(sums, in->pixels + (size_t)i * line, columns, out->width, in->channels,
                        cover_share(rows, i));
        for (size_t i = 0; i < n; i++) {
            int v = (int)(sums[i] / (float)area + 0.5f);
            *to++ = (unsigned char)(v > 255 ? 255 : v);
        }
    }
}

size_t resize_scratch_bytes(int in_height, int in_width, int out_height, int out_width,
                            int channels) {
    (void)in_height, (void)in_width;
    size_t taps = ((size_t)out_height + (size_t)out_width) * sizeof(struct tap);
    return taps + 2 * (size_t)out_width * (size_t)channels * sizeof(int);
}

void resize(struct image *out, const struct image *in, enum resize_rule rule, void *scratch) {
    if (out->height == in->height && out->width == in->width)
        memcpy(out->pixels, in->pixels,
               (size_t)in->height * (size_t)in->width * (size_t)in->channels);
    else if (rule == RESIZE_NEAREST) resize_nearest(out, in, scratch);
    else if (rule == RESIZE_BILINEAR) resize_bilinear(out, in, scratch);
    else resize_area(out, in, scratch);
}
