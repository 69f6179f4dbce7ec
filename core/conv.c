// Convolution as products over taps. The forward pass and the data gradient are the same walk: every output pixel (i, j) of a
// grid sums over a set of taps (rows x columns) of a source picture. A band of source rows with its zero border is copied
// into the thread's scratch (the panel) unless no tap leaves the picture; then product() runs over the band. The data
// gradient of a strided convolution is one such grid for each residue of the stride. The weight gradient walks the
// forward grid with outer(), in groups of bands whose partial sums are added in order.
#include "conv.h"
#include "product.h"
#include "threads.h"

#include <stdbool.h>
#include <string.h>

enum {
    TAPS_MAX = CONV_KERNEL_MAX,
    PANEL_FLOATS = 32 << 10, // aim: a panel stays in the second-level cache
    BAND_PIXELS = 64,        // pixels a product() works on at a time, so that they stay in the first-level cache
    OUTER_PIXELS = 128,      // the same for outer()
    PIECES = 32,             // pieces of work wanted, for any number of threads
    GROUPS = 8,              // partial sums of a weight gradient, at most
    GROUP_CHANNELS = 64,     // output channels of a piece of a weight gradient
};
static const size_t PARTIAL_FLOATS = (size_t)1 << 20; // of all partial sums together, unless one alone is larger

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

// One axis of a tap set: tap t reads source position i * stride + at[t] and uses kernel position kernel[t].
struct axis {
    int count;
    int at[TAPS_MAX], kernel[TAPS_MAX]; // `at` ascending
    int stride;
    int outputs; // grid positions
    int source;  // source positions
};

static int span(const struct axis *a) { return a->at[a->count - 1] - a->at[0]; }
static bool stays_inside(const struct axis *a) {
    return a->at[0] >= 0 && (a->outputs - 1) * a->stride + a->at[a->count - 1] < a->source;
}

static struct axis forward_axis(int kernel, int dilation, int stride, int pad, int outputs, int source) {
    struct axis a = {.count = kernel, .stride = stride, .outputs = outputs, .source = source};
    for (int t = 0; t < kernel; t++) a.at[t] = t * dilation - pad, a.kernel[t] = t;
    return a;
}

// Input positions residue, residue + stride, ... get dy at (position + pad - t * dilation) / stride where that is whole.
static struct axis gradient_axis(int residue, int kernel, int dilation, int stride, int pad, int inputs, int outputs) {
    struct axis a = {.stride = 1, .outputs = max(0, ceil_div(inputs - residue, stride)), .source = outputs};
    for (int t = kernel - 1; t >= 0; t--) {
        int distance = residue + pad - t * dilation;
        if (distance % stride != 0) continue;
        a.at[a.count] = distance / stride;
        a.kernel[a.count++] = t;
    }
    return a;
}

static bool consecutive(const struct axis *a) { return a->count > 0 && span(a) == a->count - 1; }

// A walk: the grid, its source, and where its outputs stand.
struct walk {
    struct axis rows, columns;
    const float *source;
    int batch, channels; // of the source
    float *out;          // the pixel of grid position (0, 0) of image 0
    ptrdiff_t out_row, out_image;
    int out_pixel, out_channels;
    const float *packed, *bias;
    bool direct; // no panel needed
    int runs, length, offset[TAPS_MAX * TAPS_MAX];
    int band, bands; // grid rows in a band, bands in an image
};

static int panel_width(const struct walk *k) { return (k->columns.outputs - 1) * k->columns.stride + span(&k->columns) + 1; }
static int panel_rows(const struct walk *k, int rows) { return (rows - 1) * k->rows.stride + span(&k->rows) + 1; }

// Consecutive columns of one kernel row are one run: in the panel their channels lie side by side.
static void find_runs(struct walk *k) {
    bool merge = consecutive(&k->columns);
    int width = k->direct ? k->columns.source : panel_width(k);
    k->length = merge ? k->columns.count * k->channels : k->channels;
    k->runs = 0;
    for (int u = 0; u < k->rows.count; u++)
        for (int v = 0; v < (merge ? 1 : k->columns.count); v++)
            k->offset[k->runs++] = ((k->rows.at[u] - k->rows.at[0]) * width + k->columns.at[v] - k->columns.at[0]) * k->channels;
}

// Bands depend on shapes alone: small enough for the cache, and some dozens of pieces of work when there is enough of it.
static void find_bands(struct walk *k) {
    int rows = k->rows.outputs, fits = rows;
    int row_floats = panel_width(k) * k->channels;
    if (!k->direct) fits = max(1, (PANEL_FLOATS / row_floats - span(&k->rows) - 1) / k->rows.stride + 1);
    int wanted = ceil_div(rows, max(1, PIECES / k->batch));
    k->band = max(1, min(rows, min(fits, max(wanted, ceil_div(BAND_PIXELS, max(1, k->columns.outputs))))));
    k->bands = ceil_div(rows, k->band);
}

static bool is_empty(const struct axis *a) { return a->count == 0 || a->outputs <= 0; }

static void plan(struct walk *k) {
    if (is_empty(&k->rows) || is_empty(&k->columns)) return;
    k->direct = stays_inside(&k->rows) && stays_inside(&k->columns);
    find_runs(k);
    find_bands(k);
}

// ---- the panel

static const float *copy_row(float *to, const float *row, const struct axis *columns, int width, int channels) {
    int before = min(width, max(0, -columns->at[0])), first = max(0, columns->at[0]);
    int have = max(0, min(width - before, columns->source - first));
    memset(to, 0, sizeof(float) * (size_t)(before * channels));
    memcpy(to + before * channels, row + first * channels, sizeof(float) * (size_t)(have * channels));
    memset(to + (before + have) * channels, 0, sizeof(float) * (size_t)((width - before - have) * channels));
    return to;
}

// Where the taps of grid rows [first, first + rows) of an image start, and the distance between source rows there.
static const float *band_source(const struct walk *k, int image, int first, int rows, float *panel, ptrdiff_t *row_floats) {
    int width = k->direct ? k->columns.source : panel_width(k), top = first * k->rows.stride + k->rows.at[0];
    const float *picture = k->source + (size_t)image * (size_t)k->rows.source * (size_t)k->columns.source * (size_t)k->channels;
    *row_floats = (ptrdiff_t)width * k->channels;
    if (k->direct) return picture + (ptrdiff_t)top * *row_floats + k->columns.at[0] * k->channels;
    for (int r = 0; r < panel_rows(k, rows); r++) {
        float *to = panel + r * *row_floats;
        int from = top + r;
        if (from < 0 || from >= k->rows.source) memset(to, 0, sizeof(float) * (size_t)*row_floats);
        else copy_row(to, picture + (ptrdiff_t)from * k->columns.source * k->channels, &k->columns, width, k->channels);
    }
    return panel;
}

// ---- forward and data gradient

static void clear_grid(const struct walk *k, int image) {
    for (int i = 0; i < k->rows.outputs; i++)
        for (int j = 0; j < k->columns.outputs; j++)
            memset(k->out + image * k->out_image + i * k->out_row + (ptrdiff_t)j * k->out_pixel, 0, sizeof(float) * (size_t)k->out_channels);
}

static void walk_band(void *arg, int piece, int thread) {
    const struct walk *k = arg;
    int image = piece / k->bands, first = piece % k->bands * k->band, rows = min(k->band, k->rows.outputs - first);
    ptrdiff_t row_floats;
    const float *a = band_source(k, image, first, rows, threads_scratch(thread), &row_floats);
    int step = max(1, BAND_PIXELS / k->columns.outputs);
    for (int i = 0; i < rows; i += step) {
        struct product p = {.a = a + (ptrdiff_t)i * k->rows.stride * row_floats, .a_row = k->rows.stride * row_floats,
                            .a_pixel = k->columns.stride * k->channels, .offset = k->offset, .runs = k->runs, .length = k->length,
                            .b = k->packed, .bias = k->bias, .y = k->out + image * k->out_image + (first + i) * k->out_row,
                            .y_row = k->out_row, .y_pixel = k->out_pixel, .height = min(step, rows - i), .width = k->columns.outputs,
                            .channels = k->out_channels};
        product(&p);
    }
}

static void walk_all(struct walk *k) {
    if (!is_empty(&k->rows) && !is_empty(&k->columns)) threads_run(walk_band, k, k->batch * k->bands);
    else for (int image = 0; image < k->batch; image++) clear_grid(k, image);
}

// ---- packing

static void pack_block(void *arg, int piece, int thread) {
    (void)thread;
    product_pack(arg, piece);
}

static void pack(struct packing *p) { threads_run(pack_block, p, product_blocks(p->channels)); }

// The taps of a walk as offsets into w, in the order of its runs.
static int tap_offsets(int tap_at[], const struct walk *k, const struct conv *c) {
    int taps = 0;
    for (int u = 0; u < k->rows.count; u++)
        for (int v = 0; v < k->columns.count; v++)
            tap_at[taps++] = (k->rows.kernel[u] * c->kernel_w + k->columns.kernel[v]) * c->in * c->out;
    return taps;
}

// ---- the three passes

// A 1x1 convolution without stride or padding sees no rows: the batch is one picture of rows as long as a band.
static struct conv flattened(struct conv c) {
    bool pointwise = c.kernel_h == 1 && c.kernel_w == 1 && c.stride_h == 1 && c.stride_w == 1 && c.pad_top == 0 && c.pad_left == 0 &&
                     c.out_h == c.height && c.out_w == c.width;
    if (!pointwise) return c;
    int pixels = c.batch * c.height * c.width, row = pixels % BAND_PIXELS == 0 ? BAND_PIXELS : c.width;
    c.batch = 1;
    c.height = c.out_h = pixels / row;
    c.width = c.out_w = row;
    return c;
}

static struct walk forward_walk(const struct conv *c, const float *x) {
    struct walk k = {.rows = forward_axis(c->kernel_h, c->dilation_h, c->stride_h, c->pad_top, c->out_h, c->height),
                     .columns = forward_axis(c->kernel_w, c->dilation_w, c->stride_w, c->pad_left, c->out_w, c->width),
                     .source = x, .batch = c->batch, .channels = c->in};
    plan(&k);
    return k;
}

void conv_forward(float *y, const float *x, const float *w, const float *bias, const struct conv *original, float *work) {
    struct conv c = flattened(*original);
    struct walk k = forward_walk(&c, x);
    int tap_at[TAPS_MAX * TAPS_MAX], taps = tap_offsets(tap_at, &k, &c), none = 0;
    pack(&(struct packing){work, w, tap_at, taps, c.in, c.out, c.out, 1});
    k.packed = work;
    if (bias) {
        float *packed_bias = work + product_packed_size(taps * c.in, c.out);
        pack(&(struct packing){packed_bias, bias, &none, 1, 1, 0, c.out, 1});
        k.bias = packed_bias;
    }
    k.out = y;
    k.out_pixel = k.out_channels = c.out;
    k.out_row = (ptrdiff_t)c.out_w * c.out;
    k.out_image = c.out_h * k.out_row;
    walk_all(&k);
}

static struct walk gradient_walk(const struct conv *c, const float *dy, int row, int column) {
    struct walk k = {.rows = gradient_axis(row, c->kernel_h, c->dilation_h, c->stride_h, c->pad_top, c->height, c->out_h),
                     .columns = gradient_axis(column, c->kernel_w, c->dilation_w, c->stride_w, c->pad_left, c->width, c->out_w),
                     .source = dy, .batch = c->batch, .channels = c->out};
    plan(&k);
    return k;
}

void conv_data_gradient(float *dx, const float *dy, const float *w, const struct conv *original, float *work) {
    struct conv c = flattened(*original);
    for (int row = 0; row < c.stride_h; row++)
        for (int column = 0; column < c.stride_w; column++) {
            struct walk k = gradient_walk(&c, dy, row, column);
            int tap_at[TAPS_MAX * TAPS_MAX], taps = tap_offsets(tap_at, &k, &c);
            pack(&(struct packing){work, w, tap_at, taps, c.out, 1, c.in, c.out});
            k.packed = work;
            k.out = dx + ((ptrdiff_t)row * c.width + column) * c.in;
            k.out_channels = c.in;
            k.out_pixel = c.stride_w * c.in;
            k.out_row = (ptrdiff_t)c.stride_h * c.width * c.in;
            k.out_image = (ptrdiff_t)c.height * c.width * c.in;
            walk_all(&k);
        }
}

struct weight_sum {
    const struct walk *walk;
    const float *dy;
    float *partial; // [groups][weights]
    size_t weights;
    int groups, splits; // splits: of the output channels
    float *dw;
};

static int group_count(const struct conv *c) {
    size_t weights = (size_t)(c->kernel_h * c->kernel_w) * (size_t)c->in * (size_t)c->out;
    size_t fits = weights ? PARTIAL_FLOATS / weights : GROUPS;
    return fits < 1 ? 1 : fits > GROUPS ? GROUPS : (int)fits;
}

// Adds the outer products of one band of one image to `sum`.
static void add_band(const struct weight_sum *s, float *sum, int unit, int first_channel, int channels, float *panel) {
    const struct walk *k = s->walk;
    int image = unit / k->bands, first = unit % k->bands * k->band, rows = min(k->band, k->rows.outputs - first);
    ptrdiff_t row_floats;
    const float *a = band_source(k, image, first, rows, panel, &row_floats);
    int step = max(1, OUTER_PIXELS / k->columns.outputs);
    for (int i = 0; i < rows; i += step) {
        struct outer o = {.a = a + (ptrdiff_t)i * k->rows.stride * row_floats, .a_row = k->rows.stride * row_floats,
                          .a_pixel = k->columns.stride * k->channels, .offset = k->offset, .runs = k->runs, .length = k->length,
                          .d = s->dy + image * k->out_image + (first + i) * k->out_row + first_channel, .d_row = k->out_row,
                          .d_pixel = k->out_pixel, .w = sum + first_channel, .w_row = k->out_channels, .height = min(step, rows - i),
                          .width = k->columns.outputs, .channels = channels};
        outer(&o);
    }
}

static void sum_group(void *arg, int piece, int thread) {
    const struct weight_sum *s = arg;
    const struct walk *k = s->walk;
    int group = piece / s->splits, units = k->batch * k->bands;
    int first_channel = piece % s->splits * GROUP_CHANNELS, channels = min(GROUP_CHANNELS, k->out_channels - first_channel);
    float *sum = s->partial + (size_t)group * s->weights;
    for (size_t row = 0; row < s->weights; row += (size_t)k->out_channels)
        memset(sum + row + first_channel, 0, sizeof(float) * (size_t)channels);
    for (int unit = group * units / s->groups; unit < (group + 1) * units / s->groups; unit++)
        add_band(s, sum, unit, first_channel, channels, threads_scratch(thread));
}

enum { ADD_PIECE = 4096 };

static void add_groups(void *arg, int piece, int thread) {
    const struct weight_sum *s = arg;
    (void)thread;
    size_t first = (size_t)piece * ADD_PIECE, last = first + ADD_PIECE < s->weights ? first + ADD_PIECE : s->weights;
    memcpy(s->dw + first, s->partial + first, (last - first) * sizeof(float));
    for (int group = 1; group < s->groups; group++) {
        const float *from = s->partial + (size_t)group * s->weights;
        for (size_t i = first; i < last; i++) s->dw[i] += from[i];
    }
}

void conv_weight_gradient(float *dw, const float *x, const float *dy, const struct conv *original, float *work) {
    struct conv c = flattened(*original);
    struct walk k = forward_walk(&c, x);
    k.out_pixel = k.out_channels = c.out;
    k.out_row = (ptrdiff_t)c.out_w * c.out;
    k.out_image = c.out_h * k.out_row;
    struct weight_sum s = {.walk = &k, .dy = dy, .partial = work, .groups = group_count(&c), .splits = ceil_div(c.out, GROUP_CHANNELS), .dw = dw,
                           .weights = (size_t)(c.kernel_h * c.kernel_w) * (size_t)c.in * (size_t)c.out};
    threads_run(sum_group, &s, s.groups * s.splits);
    threads_run(add_groups, &s, (int)((s.weights + ADD_PIECE - 1) / ADD_PIECE));
}

// ---- memory

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t conv_workspace(const struct conv *c) {
    int taps = c->kernel_h * c->kernel_w;
    size_t forward = product_packed_size(taps * c->in, c->out) + product_packed_size(1, c->out);
    size_t weights = (size_t)taps * (size_t)c->in * (size_t)c->out * (size_t)group_count(c);
    return larger(larger(forward, product_packed_size(taps * c->out, c->in)), weights);
}

static size_t panel_size(const struct walk *k) {
    if (k->direct || is_empty(&k->rows) || is_empty(&k->columns)) return 0;
    return (size_t)panel_rows(k, k->band) * (size_t)panel_width(k) * (size_t)k->channels;
}

size_t conv_scratch(const struct conv *original) {
    struct conv c = flattened(*original);
    struct walk forward = forward_walk(&c, NULL);
    size_t size = panel_size(&forward);
    for (int row = 0; row < c.stride_h; row++)
        for (int column = 0; column < c.stride_w; column++) {
            struct walk gradient = gradient_walk(&c, NULL, row, column);
            size = larger(size, panel_size(&gradient));
        }
    return size;
}
