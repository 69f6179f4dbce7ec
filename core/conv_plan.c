// Where taps stand in panels, how many rows a band has, weights packed for the product.
#include "conv_plan.h"
#include "threads.h"

#include <math.h>

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }
static int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// Of a single small picture, less: then several threads have something to do.
static int band_pixels(double all) { return max(BAND_PIXELS / 4, (int)fmin(BAND_PIXELS, all / 4)); }

struct conv conv_flattened(struct conv c, bool shared_out) {
    bool pointwise = c.kernel_h == 1 && c.kernel_w == 1 && c.stride_h == 1 && c.stride_w == 1 && c.pad_top == 0 && c.pad_left == 0 &&
                     c.out_h == c.height && c.out_w == c.width;
    if (!pointwise) return c;
    int pixels = c.batch * c.height * c.width, whole = shared_out ? BAND_PIXELS : band_pixels(pixels), row = pixels % whole == 0 ? whole : c.width;
    c.batch = 1;
    c.height = c.out_h = pixels / row;
    c.width = c.out_w = row;
    return c;
}

struct side conv_rows(const struct conv *c) {
    return (struct side){c->kernel_h, c->stride_h, c->dilation_h, c->pad_top, c->height, c->out_h};
}
struct side conv_columns(const struct conv *c) {
    return (struct side){c->kernel_w, c->stride_w, c->dilation_w, c->pad_left, c->width, c->out_w};
}

// ---- panels

struct range side_inputs(const struct side *s, int first, int count) {
    int start = first * s->stride - s->pad;
    if (s->kernel == 1) return (struct range){start, count, s->stride};
    return (struct range){start, (count - 1) * s->stride + (s->kernel - 1) * s->dilation + 1, 1};
}

struct range side_outputs(const struct side *s, int first, int count, int own, int own_count) {
    int low = floor_div(first + s->pad - (s->kernel - 1) * s->dilation, s->stride);
    int high = floor_div(first + count - 1 + s->pad, s->stride);
    if (own_count > 0) {
        low = min(low, own);
        high = max(high, own + own_count - 1);
    }
    return (struct range){low, high - low + 1, 1};
}

// ---- taps

struct taps side_taps(const struct side *s, const struct range *panel) {
    struct taps t = {.count = s->kernel};
    for (int i = 0; i < s->kernel; i++) t.at[i] = i * s->dilation / panel->step, t.kernel[i] = i;
    return t;
}

// Inputs residue, residue + stride, ... get the output (input + pad - tap * dilation) / stride where that is whole; `at` is
// counted from the output whose number is input / stride.
struct taps side_gradient_taps(const struct side *s, int residue) {
    struct taps t = {0};
    for (int i = s->kernel - 1; i >= 0; i--) {
        int shifted = residue + s->pad - i * s->dilation;
        if (floor_div(shifted, s->stride) * s->stride != shifted) continue;
        t.at[t.count] = floor_div(shifted, s->stride);
        t.kernel[t.count++] = i;
    }
    return t;
}

void find_runs(struct runs *r, const struct taps *rows, const struct taps *columns, int panel_width, int channels) {
    bool together = columns->count > 0 && columns->at[columns->count - 1] - columns->at[0] == columns->count - 1;
    r->length = together ? columns->count * channels : channels;
    r->runs = 0;
    for (int u = 0; u < rows->count; u++)
        for (int v = 0; v < (together ? 1 : columns->count); v++)
            r->offset[r->runs++] = (rows->at[u] * panel_width + columns->at[v]) * channels;
}

// ---- bands and pieces

int band_rows(const struct banding *b) {
    double all = (double)b->batch * b->rows * b->pixels;
    int fits = b->floats * b->rows > PANEL_FLOATS ? max(1, (int)(PANEL_FLOATS / b->floats)) : b->rows;
    int wanted = b->pointwise ? 1 : b->shared_out ? b->rows : ceil_div(b->rows, max(1, PIECES / b->batch));
    int least = b->shared_out ? BAND_PIXELS : max(band_pixels(all), (int)fmin(b->least, all / PIECES));
    return max(1, min(b->rows, min(max(fits, least / max(1, b->pixels)), max(wanted, ceil_div(least, max(1, b->pixels))))));
}

int first_unit(int piece, int pieces, int units) { return (int)((long long)piece * units / pieces); }

// ---- packing

size_t packed_floats(const struct taps *rows, const struct taps *columns, int inner, int outer) {
    return product_packed_size(rows->count * columns->count * inner, outer);
}

static void pack_block(void *arg, int piece, int thread) {
    (void)thread;
    product_pack(arg, piece);
}

void pack_weights(float *packed, const float *w, const struct conv *c, const struct taps *rows, const struct taps *columns,
                  bool transposed) {
    int tap_at[CONV_KERNEL_MAX * CONV_KERNEL_MAX], taps = 0;
    for (int u = 0; u < rows->count; u++)
        for (int v = 0; v < columns->count; v++)
            tap_at[taps++] = (rows->kernel[u] * c->kernel_w + columns->kernel[v]) * c->in * c->out;
    struct packing p = {.packed = packed, .w = w, .tap_at = tap_at, .taps = taps, .inner = transposed ? c->out : c->in,
                        .inner_stride = transposed ? 1 : c->out, .channels = transposed ? c->in : c->out,
                        .column_stride = transposed ? c->out : 1};
    int blocks = product_blocks(p.channels);
    if ((size_t)taps * (size_t)p.inner * (size_t)p.channels < 16384) // not worth waking anybody
        for (int block = 0; block < blocks; block++) product_pack(&p, block);
    else threads_run(pack_block, &p, blocks);
}
