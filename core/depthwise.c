// Depthwise convolution. As in conv.c the forward pass and the data gradient are one walk: every position of a grid
// sums over taps of a source picture; the data gradient of a strided convolution has a set of taps for each residue of
// the stride. A piece of work is a band of grid rows of one image and a block of channels: the source rows under it are
// copied with their zero border into the thread's scratch (the panel), a pixel being whole vectors there. Sums are over
// the output's channels throughout: with several kernels a channel, the panel has each channel so many times, and the
// data gradient adds the sums of a channel up again.
#include "depthwise.h"
#include "threads.h"
#include "vec.h"

#include <stdbool.h>
#include <string.h>

enum {
    BLOCK = 4 * VL,           // channels of a piece
    PANEL_FLOATS = 32 << 10,  // aim: a panel and the rows it came from stay in the second-level cache
    PIXELS = 8,               // pixels of a tile: sums in registers
    TAPS = 9, SOME_TAPS = 3,  // the same for the weight gradient
    PIECES = 32,              // pieces of a weight gradient wanted, for any number of threads
};
enum { TAPS_MAX = CONV_KERNEL_MAX * CONV_KERNEL_MAX };

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int floor_div(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); } // b > 0
static int ceil_div(int a, int b) { return floor_div(a + b - 1, b); }

// ---- one direction

// Output position g * write + residue, 0 <= residue < write, reads source position
//   g * read + (residue + shift + tap * step) / write
// for the taps that make it whole. A forward pass has write 1, a gradient read 1.
struct axis {
    int kernel, shift, step, read, write;
    int source, outputs;
};

static struct axis forward_axis(int kernel, int dilation, int stride, int pad, int source, int outputs) {
    return (struct axis){kernel, -pad, dilation, stride, 1, source, outputs};
}
static struct axis gradient_axis(int kernel, int dilation, int stride, int pad, int source, int outputs) {
    return (struct axis){kernel, pad, -dilation, 1, stride, source, outputs};
}

static int grid(const struct axis *a, int residue) { return ceil_div(a->outputs - residue, a->write); }

// The source positions of grid position 0 lie between these, for any residue.
static int lowest(const struct axis *a) { return floor_div(a->shift + min(0, (a->kernel - 1) * a->step), a->write); }
static int highest(const struct axis *a) {
    return floor_div(a->write - 1 + a->shift + max(0, (a->kernel - 1) * a->step), a->write);
}
// From the lowest of the first of so many grid positions to the highest of the last.
static int reach(const struct axis *a, int positions) { return (positions - 1) * a->read + highest(a) - lowest(a) + 1; }

// Whether the outputs of a residue have this tap; where it is, counted from the lowest.
static bool has_tap(const struct axis *a, int residue, int tap, int *at) {
    int distance = residue + a->shift + tap * a->step;
    *at = floor_div(distance, a->write) - lowest(a);
    return distance % a->write == 0;
}

// ---- the walk and its pieces

struct walk {
    struct axis rows, columns;
    int batch, channels;      // of the sums: the source has channels / repeat, the result channels / fold
    int repeat, fold;
    int block, lanes, blocks; // channels of a piece, their place in whole vectors, pieces side by side
    int band, bands;          // grid rows of a piece, pieces of an image
    int width;                // pixels of a row of the panel
    const float *source, *w, *bias;
    float *out;
};

static size_t panel_row(const struct walk *k) { return (size_t)k->width * (size_t)k->lanes; }

// Depends on shapes alone.
static void plan(struct walk *k) {
    const int together = max(k->repeat, k->fold);
    k->block = min(k->channels, max(1, BLOCK / together) * together);
    k->lanes = ceil_div(k->block, VL) * VL;
    k->blocks = ceil_div(k->channels, k->block);
    k->width = reach(&k->columns, grid(&k->columns, 0));
    int fits = (int)(PANEL_FLOATS / panel_row(k)) - reach(&k->rows, 1);
    k->band = min(grid(&k->rows, 0), max(0, fits) / k->rows.read + 1);
    k->bands = ceil_div(grid(&k->rows, 0), k->band);
}

struct piece {
    int image, first, rows; // grid rows
    int channel, channels;
};

static struct piece piece_of(const struct walk *k, int unit, int block) {
    struct piece p = {.image = unit / k->bands, .first = unit % k->bands * k->band, .channel = block * k->block};
    p.rows = min(k->band, grid(&k->rows, 0) - p.first);
    p.channels = min(k->block, k->channels - p.channel);
    return p;
}

// ---- the panel

static void copy_pixel(float *to, const float *from, int channels, int repeat) {
    if (repeat == 1)
        for (int c = 0; c < channels; c += VL) store(to + c, load(from + c)); // behind the last channel: never used
    else
        for (int c = 0; c < channels; c++) to[c] = from[c / repeat];
}

static float *clear(float *to, int pixels, int lanes) {
    memset(to, 0, sizeof(float) * (size_t)pixels * (size_t)lanes);
    return to + (ptrdiff_t)pixels * lanes;
}

static void copy_row(const struct walk *k, const struct piece *p, float *to, const float *row) {
    const int left = lowest(&k->columns), first = max(0, left), channels = k->channels / k->repeat;
    const int before = min(k->width, max(0, -left));
    const int have = max(0, min(k->width - before, k->columns.source - first));
    const float *from = row + (ptrdiff_t)first * channels + p->channel / k->repeat;
    to = clear(to, before, k->lanes);
    for (int i = 0; i < have; i++, to += k->lanes, from += channels) copy_pixel(to, from, p->channels, k->repeat);
    clear(to, k->width - before - have, k->lanes);
}

static void fill_panel(const struct walk *k, const struct piece *p, float *panel) {
    const int top = p->first * k->rows.read + lowest(&k->rows), rows = reach(&k->rows, p->rows);
    const ptrdiff_t row = (ptrdiff_t)k->columns.source * (k->channels / k->repeat);
    const float *image = k->source + (ptrdiff_t)p->image * k->rows.source * row;
    for (int i = top; i < top + rows; i++, panel += panel_row(k)) {
        if (i < 0 || i >= k->rows.source) clear(panel, k->width, k->lanes);
        else copy_row(k, p, panel, image + i * row);
    }
}

// ---- sums over taps: forward and data gradient

// The taps of a residue of both directions: where they are in the panel, and which of the kernel's places they have. So
// many (at most 3) from each on lie side by side, and tiles can share what they load for them.
struct taps {
    int count, offset[TAPS_MAX + SOME_TAPS], place[TAPS_MAX], together[TAPS_MAX];
};

// Those of kernel row u, from left to right; it is row y of the panel.
static void add_row(struct taps *t, const struct walk *k, int u, int y, int column) {
    const struct axis *a = &k->columns;
    for (int i = 0, x; i < a->kernel; i++) {
        int v = a->step > 0 ? i : a->kernel - 1 - i;
        if (!has_tap(a, column, v, &x)) continue;
        t->offset[t->count] = (y * k->width + x) * k->lanes;
        t->place[t->count++] = u * a->kernel + v;
    }
}

static void find_taps(struct taps *t, const struct walk *k, int row, int column) {
    t->count = 0;
    for (int u = 0, y; u < k->rows.kernel; u++)
        if (has_tap(&k->rows, row, u, &y)) add_row(t, k, u, y, column);
    for (int i = t->count - 1, next = 0; i >= 0; i--) {
        bool beside = k->columns.read == 1 && i + 1 < t->count && t->offset[i + 1] == t->offset[i] + k->lanes;
        next = t->together[i] = beside ? min(3, next + 1) : 1;
    }
}

static void pack(float *packed, const struct taps *t, const struct walk *k, const struct piece *p) {
    for (int i = 0; i < t->count; i++)
        copy_pixel(packed + i * k->lanes, k->w + (ptrdiff_t)t->place[i] * k->channels + p->channel, p->channels, 1);
}

// A row of pixels, x and y being the first one's.
struct line {
    const float *x, *w, *bias;
    float *y;
    ptrdiff_t x_pixel, y_pixel;
    int pixels, channels, lanes;
};

// sum[p] += what n taps side by side have of pixel p.
INLINE void sum_together(vec sum[], const struct line *l, const float *x, const float *w, const int pixels,
                         const int n) {
    vec weight[3];
    UNROLL for (int i = 0; i < n; i++) weight[i] = load(w + i * l->lanes);
    UNROLL for (int q = 0; q < pixels + n - 1; q++) {
        vec v = load(x + q * l->x_pixel);
        UNROLL for (int i = 0; i < n; i++)
            if (q >= i && q - i < pixels) sum[q - i] += v * weight[i];
    }
}

// One vector of channels of `pixels` pixels from j on.
INLINE void sum_tile(const struct line *l, const struct taps *t, int j, int c, vec start, const int pixels) {
    const float *x = l->x + j * l->x_pixel + c, *w = l->w + c;
    vec sum[PIXELS];
    UNROLL for (int p = 0; p < pixels; p++) sum[p] = start;
    for (int i = 0, n; i < t->count; i += n, w += n * l->lanes) {
        const float *tap = x + t->offset[i];
        n = t->together[i];
        if (n == 3) sum_together(sum, l, tap, w, pixels, 3);
        else if (n == 2) sum_together(sum, l, tap, w, pixels, 2);
        else sum_together(sum, l, tap, w, pixels, 1);
    }
    float *y = l->y + j * l->y_pixel + c;
    UNROLL for (int p = 0; p < pixels; p++) store_part(y + p * l->y_pixel, sum[p], l->channels - c);
}

// All channels of `pixels` pixels from j on.
INLINE void sum_pixels(const struct line *l, const struct taps *t, int j, const int pixels) {
    for (int c = 0; c < l->channels; c += VL) sum_tile(l, t, j, c, l->bias ? load(l->bias + c) : (vec){0}, pixels);
}

static void sum_line(const struct line *l, const struct taps *t) {
    int j = 0;
    for (; j + PIXELS <= l->pixels; j += PIXELS) sum_pixels(l, t, j, PIXELS);
    switch (l->pixels - j) {
    case 7: sum_pixels(l, t, j, 7); break;
    case 6: sum_pixels(l, t, j, 6); break;
    case 5: sum_pixels(l, t, j, 5); break;
    case 4: sum_pixels(l, t, j, 4); break;
    case 3: sum_pixels(l, t, j, 3); break;
    case 2: sum_pixels(l, t, j, 2); break;
    case 1: sum_pixels(l, t, j, 1); break;
    }
}

// out[channel] = the sum of its `fold` sums, for every pixel.
static void fold_line(float *out, ptrdiff_t out_pixel, const struct line *sums, int fold) {
    const float *from = sums->y;
    for (int j = 0; j < sums->pixels; j++, out += out_pixel, from += sums->y_pixel)
        for (int c = 0; c < sums->channels / fold; c++) {
            out[c] = from[c * fold];
            for (int q = 1; q < fold; q++) out[c] += from[c * fold + q];
        }
}

// What a thread's scratch holds.
struct scratch { float *panel, *weights, *line; };

static size_t panel_size(const struct walk *k) { return (size_t)reach(&k->rows, k->band) * panel_row(k); }
static size_t weights_size(const struct walk *k) {
    return (size_t)(k->rows.kernel * k->columns.kernel + SOME_TAPS) * (size_t)k->lanes;
}
static size_t line_size(const struct walk *k) { return (size_t)grid(&k->columns, 0) * (size_t)k->lanes; }

static struct scratch scratch_of(const struct walk *k, int thread) {
    float *memory = threads_scratch(thread);
    return (struct scratch){memory, memory + panel_size(k), memory + panel_size(k) + weights_size(k)};
}

// The outputs of one residue of a piece.
static void walk_residue(const struct walk *k, const struct piece *p, int row, int column, struct scratch s) {
    const int channels = k->channels / k->fold;
    struct taps t;
    find_taps(&t, k, row, column);
    pack(s.weights, &t, k, p);
    struct line l = {.w = s.weights, .bias = k->bias ? k->bias + p->channel : NULL, .channels = p->channels,
                     .lanes = k->lanes, .x_pixel = k->columns.read * k->lanes, .pixels = grid(&k->columns, column)};
    const ptrdiff_t out_pixel = (ptrdiff_t)k->columns.write * channels;
    for (int i = 0; i < p->rows; i++) {
        const int at = (p->first + i) * k->rows.write + row;
        if (at >= k->rows.outputs) break;
        const ptrdiff_t pixel = ((ptrdiff_t)p->image * k->rows.outputs + at) * k->columns.outputs + column;
        float *out = k->out + pixel * channels + p->channel / k->fold;
        l.x = s.panel + (size_t)(i * k->rows.read) * panel_row(k);
        l.y = k->fold == 1 ? out : s.line;
        l.y_pixel = k->fold == 1 ? out_pixel : k->lanes;
        sum_line(&l, &t);
        if (k->fold > 1) fold_line(out, out_pixel, &l, k->fold);
    }
}

static void walk_piece(void *arg, int index, int thread) {
    const struct walk *k = arg;
    const struct piece p = piece_of(k, index / k->blocks, index % k->blocks);
    const struct scratch s = scratch_of(k, thread);
    fill_panel(k, &p, s.panel);
    const int residues = min(k->rows.write, k->rows.outputs), of_columns = min(k->columns.write, k->columns.outputs);
    for (int row = 0; row < residues; row++)
        for (int column = 0; column < of_columns; column++) walk_residue(k, &p, row, column, s);
}

static struct walk forward_walk(const struct conv *c) {
    struct walk k = {.rows = forward_axis(c->kernel_h, c->dilation_h, c->stride_h, c->pad_top, c->height, c->out_h),
                     .columns = forward_axis(c->kernel_w, c->dilation_w, c->stride_w, c->pad_left, c->width, c->out_w),
                     .batch = c->batch, .channels = c->out, .repeat = c->out / c->in, .fold = 1};
    plan(&k);
    return k;
}

static struct walk gradient_walk(const struct conv *c) {
    struct walk k = {.rows = gradient_axis(c->kernel_h, c->dilation_h, c->stride_h, c->pad_top, c->out_h, c->height),
                     .columns = gradient_axis(c->kernel_w, c->dilation_w, c->stride_w, c->pad_left, c->out_w, c->width),
                     .batch = c->batch, .channels = c->out, .repeat = 1, .fold = c->out / c->in};
    plan(&k);
    return k;
}

static void walk_all(struct walk *k, float *out, const float *source, const float *w, const float *bias) {
    k->out = out, k->source = source, k->w = w, k->bias = bias;
    threads_run(walk_piece, k, k->batch * k->bands * k->blocks);
}

void depthwise_forward(float *y, const float *x, const float *w, const float *bias, const struct conv *c) {
    struct walk k = forward_walk(c);
    walk_all(&k, y, x, w, bias);
}

void depthwise_data_gradient(float *dx, const float *dy, const float *w, const struct conv *c) {
    struct walk k = gradient_walk(c);
    walk_all(&k, dx, dy, w, NULL);
}

// ---- weight gradient: the forward walk's pieces in groups, whose partial sums are added in order

struct weight_sum {
    const struct walk *walk;
    const float *dy;
    float *dw, *partial; // [groups][weights]
    size_t weights;
    int groups;
};

// sum[t] += what `taps` taps have of one vector of channels, over all pixels of a piece.
INLINE void add_tile(float *sum, const struct walk *k, int rows, const float *x, const float *dy, const int *offset,
                     const int taps) {
    const ptrdiff_t lanes = k->lanes, x_pixel = k->columns.read * lanes, x_row = k->rows.read * k->width * lanes;
    const ptrdiff_t channels = k->channels, dy_row = k->columns.outputs * channels;
    vec s[TAPS];
    UNROLL for (int t = 0; t < taps; t++) s[t] = load(sum + t * lanes);
    for (int i = 0; i < rows; i++, x += x_row, dy += dy_row) {
        const float *pixel = x, *d = dy;
        for (int j = 0; j < k->columns.outputs; j++, pixel += x_pixel, d += channels) {
            vec g = load(d);
            UNROLL for (int t = 0; t < taps; t++) s[t] += load(pixel + offset[t]) * g;
        }
    }
    UNROLL for (int t = 0; t < taps; t++) store(sum + t * lanes, s[t]);
}

static void add_piece(float *sum, const struct walk *k, const struct piece *p, const float *panel, const float *dy,
                      const struct taps *t) {
    const ptrdiff_t row = (ptrdiff_t)p->image * k->rows.outputs + p->first;
    const float *d = dy + row * k->columns.outputs * k->channels + p->channel;
    for (int c = 0; c < p->channels; c += VL) {
        const float *x = panel + c;
        float *s = sum + c;
        int i = 0;
        for (; i + TAPS <= t->count; i += TAPS) add_tile(s + i * k->lanes, k, p->rows, x, d + c, t->offset + i, TAPS);
        for (; i < t->count; i += SOME_TAPS) add_tile(s + i * k->lanes, k, p->rows, x, d + c, t->offset + i, SOME_TAPS);
    }
}

static void sum_group(void *arg, int index, int thread) {
    const struct weight_sum *s = arg;
    const struct walk *k = s->walk;
    const struct scratch memory = scratch_of(k, thread);
    const int group = index / k->blocks, units = k->batch * k->bands;
    struct piece p = piece_of(k, 0, index % k->blocks);
    struct taps t;
    find_taps(&t, k, 0, 0);
    for (int i = 0; i < SOME_TAPS; i++) t.offset[t.count + i] = 0; // fills the last tile; what it sums up is not used
    memset(memory.weights, 0, weights_size(k) * sizeof(float));
    for (int unit = group * units / s->groups; unit < (group + 1) * units / s->groups && !threads_stopped(); unit++) {
        p = piece_of(k, unit, index % k->blocks);
        fill_panel(k, &p, memory.panel);
        add_piece(memory.weights, k, &p, memory.panel, s->dy, &t);
    }
    float *out = s->partial + (size_t)group * s->weights + p.channel;
    for (int i = 0; i < t.count; i++, out += k->channels)
        memcpy(out, memory.weights + i * k->lanes, (size_t)p.channels * sizeof(float));
}

enum { ADD_PIECE = 4096 };

static void add_groups(void *arg, int piece, int thread) {
    const struct weight_sum *s = arg;
    (void)thread;
    const size_t first = (size_t)piece * ADD_PIECE;
    const size_t end = first + ADD_PIECE < s->weights ? first + ADD_PIECE : s->weights;
    memcpy(s->dw + first, s->partial + first, (end - first) * sizeof(float));
    for (int group = 1; group < s->groups; group++) {
        const float *from = s->partial + (size_t)group * s->weights;
        for (size_t i = first; i < end; i++) s->dw[i] += from[i];
    }
}

static size_t weight_count(const struct conv *c) { return (size_t)(c->kernel_h * c->kernel_w) * (size_t)c->out; }
static int group_count(const struct walk *k) { return min(ceil_div(PIECES, k->blocks), k->batch * k->bands); }

void depthwise_weight_gradient(float *dw, const float *x, const float *dy, const struct conv *c, float *work) {
    struct walk k = forward_walk(c);
    k.source = x;
    struct weight_sum s = {.walk = &k, .dy = dy, .dw = dw, .partial = work,
                           .weights = weight_count(c), .groups = group_count(&k)};
    threads_run(sum_group, &s, s.groups * k.blocks);
    threads_run(add_groups, &s, (int)((s.weights + ADD_PIECE - 1) / ADD_PIECE));
}

// ---- memory

size_t depthwise_workspace(const struct conv *c) {
    struct walk k = forward_walk(c);
    return (size_t)group_count(&k) * weight_count(c);
}

static size_t scratch_size(const struct walk *k) { return panel_size(k) + weights_size(k) + line_size(k); }

size_t depthwise_scratch(const struct conv *c) {
    struct walk forward = forward_walk(c), gradient = gradient_walk(c);
    size_t a = scratch_size(&forward), b = scratch_size(&gradient);
    return a > b ? a : b;
}
