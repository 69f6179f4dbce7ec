// The backward pass. A unit is a band of rows of an image: rows of outputs, and the rows of inputs that belong to them. Its
// two panels hold x (normalised again, where it is) and dy with the rows around it that taps reach. From these come
//   dx: one product() for each residue of the stride, an input row or column of which all have the same taps;
//   dw: outer() of the panels, added to the piece's own partial sum; partial sums are added in the order of the pieces.
// So each picture is read once. When a partial sum is so large that there cannot be several, dx and dw are two passes, and
// the pieces of dw share out the output channels instead.
#include "conv.h"
#include "conv_plan.h"
#include "threads.h"

#include <string.h>

enum {
    GROUPS = 8,            // partial sums of a weight gradient, at most
    OUTER_PIXELS = 128,    // pixels an outer product works on at a time
    SPLIT_CHANNELS = 64,   // output channels of a piece when pieces share them out
    ADD_PIECE = 4096,      // weights of a piece when partial sums are added
};
static const size_t PARTIAL_FLOATS = (size_t)1 << 20; // of all partial sums together, unless one alone is larger

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

struct backward {
    const struct conv_backward *b;
    struct conv c;
    struct side rows, columns;
    struct range x_across, dy_across; // columns of the panels
    struct runs forward;              // taps of outputs on the x panel, for outer()
    struct source x, dy;
    bool dx, dw;                      // what this pass computes
    bool dy_direct;                   // dy needs no panel
    int band, bands, units, pieces, splits, groups;
    size_t weights, x_panel; // floats
    float *packed;           // weights of all grids, one after the other
    double *totals;          // [pieces][2][in]
    float *sums;             // [pieces][2][in]
    float *partial;          // [groups][weights]
};

// A unit's rows: of outputs, of inputs, and of its two panels.
struct band {
    int image;
    struct range out, in, x, dy;
};

static struct band band_of(const struct backward *p, int unit) {
    const struct side *s = &p->rows;
    struct band b = {.image = unit / p->bands};
    int first = unit % p->bands * p->band, count = min(p->band, s->outputs - first);
    bool last = first + count == s->outputs;
    int in = min(first * s->stride, s->inputs), in_end = last ? s->inputs : min((first + count) * s->stride, s->inputs);
    b.out = (struct range){first, count, 1};
    b.in = (struct range){in, in_end - in, 1};
    b.x = side_inputs(s, first, count);
    b.dy = p->dx ? side_outputs(s, in, in_end - in, first, count) : b.out;
    return b;
}

// ---- dx

// Both products read dy's panel from here: its row `row`, column 0 of dy.
static const float *dy_at(const struct backward *p, const struct band *b, const float *panel, int row) {
    return panel + ((ptrdiff_t)(row - b->dy.first) * p->dy_across.count - p->dy_across.first) * p->c.out;
}

// The inputs (residue_h + stride_h * i, residue_w + stride_w * j) are a grid: all have the same taps on dy.
struct grid {
    bool begun;
    int residue_h, residue_w;
    struct taps rows, columns;
    size_t packed, floats; // its weights: from where on, and how many
};

static bool next_grid(const struct backward *p, struct grid *g) {
    const struct conv *c = &p->c;
    if (g->begun && ++g->residue_w == min(c->stride_w, c->width)) g->residue_w = 0, g->residue_h++;
    g->begun = true;
    g->packed += g->floats;
    if (g->residue_h == min(c->stride_h, c->height)) return false;
    g->rows = side_gradient_taps(&p->rows, g->residue_h), g->columns = side_gradient_taps(&p->columns, g->residue_w);
    g->floats = packed_floats(&g->rows, &g->columns, c->out, c->in);
    return true;
}

static void run_grid(const struct backward *p, const struct grid *g, const struct band *b, const float *dy, float *s1, float *s2,
                     struct prefetch *ahead) {
    const struct conv *c = &p->c;
    // Grid rows i stand for inputs residue + stride * i; the band begins at a multiple of the stride.
    int first = b->in.first / c->stride_h, row = first * c->stride_h + g->residue_h;
    int rows = (b->in.first + b->in.count - row + c->stride_h - 1) / c->stride_h;
    int columns = (c->width - g->residue_w + c->stride_w - 1) / c->stride_w;
    if (b->in.count == 0 || row >= b->in.first + b->in.count) return;
    struct runs r;
    find_runs(&r, &g->rows, &g->columns, p->dy_across.count, c->out);
    size_t at = (((size_t)b->image * (size_t)c->height + (size_t)row) * (size_t)c->width + (size_t)g->residue_w) * (size_t)c->in;
    struct product q = {.a = dy_at(p, b, dy, first), .a_row = (ptrdiff_t)p->dy_across.count * c->out, .a_pixel = c->out,
                        .offset = r.offset, .runs = r.runs, .length = r.length, .b = p->packed + g->packed,
                        .y = p->b->dx + at, .y_row = (ptrdiff_t)c->stride_h * c->width * c->in, .y_pixel = c->stride_w * c->in,
                        .height = rows, .width = columns, .channels = c->in, .add = p->b->before ? p->b->before + at : NULL, .ahead = ahead};
    if (p->b->sum_g) q.end = PRODUCT_GRADIENT, q.norm = p->b->norm, q.x = p->b->x + at, q.s1 = s1, q.s2 = s2;
    product(&q);
}

static void run_grids(const struct backward *p, int piece, const struct band *b, const float *dy, struct prefetch *ahead) {
    const int in = p->c.in;
    float *sums = p->sums + (size_t)piece * 2 * (size_t)in;
    double *totals = p->totals + (size_t)piece * 2 * (size_t)in;
    for (struct grid g = {0}; next_grid(p, &g);) run_grid(p, &g, b, dy, sums, sums + in, ahead);
    if (!p->b->sum_g) return;
    for (int i = 0; i < 2 * in; i++) totals[i] += sums[i];
    memset(sums, 0, sizeof(float) * 2 * (size_t)in);
}

// ---- dw

static void add_outer(const struct backward *p, float *sum, const struct band *b, const float *x, const float *dy, int channel,
                      int channels, struct prefetch *ahead) {
    const struct conv *c = &p->c;
    int x_row = c->stride_h / b->x.step * p->x_across.count * c->in, step = max(1, OUTER_PIXELS / c->out_w);
    for (int i = 0; i < b->out.count; i += step) {
        struct outer o = {.a = x + (ptrdiff_t)i * x_row, .a_row = x_row, .a_pixel = c->stride_w / p->x_across.step * c->in,
                          .offset = p->forward.offset, .runs = p->forward.runs, .length = p->forward.length,
                          .d = dy_at(p, b, dy, b->out.first + i) + channel, .d_row = (ptrdiff_t)p->dy_across.count * c->out,
                          .d_pixel = c->out, .w = sum + channel, .w_row = c->out, .height = min(step, b->out.count - i),
                          .width = c->out_w, .channels = channels, .ahead = ahead};
        outer(&o);
    }
}

static void add_partials(void *arg, int piece, int thread) {
    const struct backward *p = arg;
    size_t first = (size_t)piece * ADD_PIECE, last = first + ADD_PIECE < p->weights ? first + ADD_PIECE : p->weights;
    float *dw = p->b->dw;
    (void)thread;
    memcpy(dw + first, p->partial + first, (last - first) * sizeof(float));
    for (int group = 1; group < p->groups; group++) {
        const float *from = p->partial + (size_t)group * p->weights;
        for (size_t i = first; i < last; i++) dw[i] += from[i];
    }
}

// ---- a piece

// dy's panel; dy itself where that does as well. `own`: whether this piece is the one to write dy down for others.
static const float *dy_panel(const struct backward *p, const struct band *b, float *panel, bool own) {
    if (p->dy_direct) {
        size_t row = (size_t)b->image * (size_t)p->c.out_h + (size_t)b->dy.first;
        return p->b->dy + row * (size_t)p->c.out_w * (size_t)p->c.out;
    }
    struct source from = p->dy;
    if (!own) from.dense = NULL;
    panel_fill(panel, &from, b->image, &(struct panel){b->dy.first, b->dy.count, 1, p->dy_across.first, p->dy_across.count, 1},
               b->out.first, b->out.count);
    return panel;
}

// The unit after this one: what it reads and writes.
static void look_ahead(struct prefetch *ahead, const struct backward *p, int unit) {
    const struct conv *c = &p->c;
    const struct conv_backward *b = p->b;
    struct band next = band_of(p, unit);
    size_t in_row = (size_t)c->width * (size_t)c->in, out_row = (size_t)c->out_w * (size_t)c->out;
    size_t in = ((size_t)next.image * (size_t)c->height + (size_t)next.in.first) * in_row, in_floats = (size_t)next.in.count * in_row;
    size_t out = ((size_t)next.image * (size_t)c->out_h + (size_t)next.out.first) * out_row, out_floats = (size_t)next.out.count * out_row;
    if (p->dx) {
        prefetch_add(ahead, b->dx + in, in_floats, true);
        if (b->before) prefetch_add(ahead, b->before + in, in_floats, false);
    }
    if (b->dy_dense) prefetch_add(ahead, b->dy_dense + out, out_floats, true);
    if (b->dy_norm && b->dy_add) prefetch_add(ahead, b->dy_add + out, out_floats, false);
    if (b->dy_norm) prefetch_add(ahead, b->dy_x + out, out_floats, false);
    prefetch_add(ahead, b->dy + out, out_floats, false);
    if (b->x) prefetch_add(ahead, b->x + in, in_floats, false);
    double pixels = (double)next.in.count * c->width, rows = (double)p->forward.runs * p->forward.length;
    prefetch_spread(ahead, (p->dx ? product_tiles(pixels, c->in) : 0) +
                               (p->dw ? outer_tiles(rows, c->out) * max(1, (int)((double)next.out.count * c->out_w / OUTER_PIXELS)) : 0));
}

// A piece is group number piece / splits of the units, and share number piece % splits of the output channels.

static void run_piece(void *arg, int piece, int thread) {
    const struct backward *p = arg;
    const struct conv *c = &p->c;
    const int groups = p->pieces / p->splits, group = piece / p->splits;
    const int channel = piece % p->splits * SPLIT_CHANNELS, channels = p->splits > 1 ? min(SPLIT_CHANNELS, c->out - channel) : c->out;
    float *x = threads_scratch(thread), *sum = p->partial + (size_t)group * p->weights;
    if (p->dx) {
        memset(p->sums + (size_t)piece * 2 * (size_t)c->in, 0, sizeof(float) * 2 * (size_t)c->in);
        memset(p->totals + (size_t)piece * 2 * (size_t)c->in, 0, sizeof(double) * 2 * (size_t)c->in);
    }
    if (p->dw)
        for (size_t row = 0; row < p->weights; row += (size_t)c->out) memset(sum + row + channel, 0, sizeof(float) * (size_t)channels);
    const int end = first_unit(group + 1, groups, p->units);
    for (int unit = first_unit(group, groups, p->units); unit < end; unit++) {
        struct band b = band_of(p, unit);
        struct prefetch ahead = {0};
        if (unit + 1 < end) look_ahead(&ahead, p, unit + 1);
        const float *dy = dy_panel(p, &b, x + p->x_panel, channel == 0);
        // x first: the end of the product for dx reads it too, then from the cache.
        if (p->dw) panel_fill(x, &p->x, b.image, &(struct panel){b.x.first, b.x.count, b.x.step, p->x_across.first, p->x_across.count, p->x_across.step}, 0, 0);
        if (p->dx) run_grids(p, piece, &b, dy, &ahead);
        if (p->dw) add_outer(p, sum, &b, x, dy, channel, channels, &ahead);
    }
}

// ---- planning

static bool in_one_pass(const struct conv_backward *b, size_t weights) {
    return !b->dx || !b->dw || weights <= PARTIAL_FLOATS / 4;
}

static struct backward plan(const struct conv_backward *b, bool dx, bool dw) {
    struct backward p = {.b = b, .c = conv_flattened(b->shape), .dx = dx, .dw = dw};
    const struct conv *c = &p.c;
    p.rows = conv_rows(c), p.columns = conv_columns(c);
    struct range down = side_inputs(&p.rows, 0, 1);
    p.x_across = side_inputs(&p.columns, 0, c->out_w);
    p.dy_across = dx ? side_outputs(&p.columns, 0, c->width, 0, c->out_w) : (struct range){0, c->out_w, 1};
    struct taps rows = side_taps(&p.rows, &down), columns = side_taps(&p.columns, &p.x_across);
    find_runs(&p.forward, &rows, &columns, p.x_across.count, c->in);
    p.x = (struct source){.kind = b->norm ? SOURCE_NORM : SOURCE_PLAIN, .height = c->height, .width = c->width, .channels = c->in,
                          .x = b->x, .k = b->norm};
    p.dy = (struct source){.kind = b->dy_norm ? SOURCE_GRADIENT : SOURCE_PLAIN, .height = c->out_h, .width = c->out_w,
                           .channels = c->out, .x = b->dy_norm ? b->dy_x : b->dy, .g = b->dy, .add = b->dy_add, .k = b->dy_norm,
                           .dense = b->dy_dense};
    struct range dy_rows = side_outputs(&p.rows, 0, c->height, 0, c->out_h);
    p.dy_direct = !b->dy_norm && (!dx || (p.dy_across.count == c->out_w && p.dy_across.first == 0 && dy_rows.first == 0 && dy_rows.count == c->out_h));
    double x_row = dw ? (double)p.x_across.count * c->in * (c->kernel_h == 1 ? 1 : c->stride_h) : 0;
    p.band = band_rows(c, x_row + (double)p.dy_across.count * c->out);
    p.bands = (c->out_h + p.band - 1) / p.band;
    p.units = c->batch * p.bands;
    p.weights = (size_t)(c->kernel_h * c->kernel_w) * (size_t)c->in * (size_t)c->out;
    size_t fits = p.weights ? PARTIAL_FLOATS / p.weights : GROUPS;
    p.groups = min(p.units, fits < 1 ? 1 : fits > GROUPS ? GROUPS : (int)fits);
    p.splits = dw && !dx && p.groups < GROUPS ? (c->out + SPLIT_CHANNELS - 1) / SPLIT_CHANNELS : 1;
    p.pieces = dw ? p.groups * p.splits : min(p.units, PIECES);
    p.x_panel = dw ? (size_t)side_inputs(&p.rows, 0, p.band).count * (size_t)p.x_across.count * (size_t)c->in : 0;
    return p;
}

static size_t dy_panel_floats(const struct backward *p) {
    if (p->dy_direct) return 0;
    int rows = 0;
    for (int unit = 0; unit < p->bands; unit++) rows = max(rows, band_of(p, unit).dy.count);
    return (size_t)rows * (size_t)p->dy_across.count * (size_t)p->c.out;
}

static size_t grids_floats(const struct backward *p) {
    struct grid g = {0};
    while (p->dx && next_grid(p, &g)) {}
    return g.packed;
}

static size_t sums_floats(const struct backward *p) { return p->dx ? (size_t)p->pieces * 6 * (size_t)p->c.in : 0; }

static void join_sums(const struct backward *p) {
    const int in = p->c.in;
    memset(p->b->sum_g, 0, sizeof(double) * (size_t)in);
    memset(p->b->sum_gx, 0, sizeof(double) * (size_t)in);
    for (int piece = 0; piece < p->pieces; piece++)
        for (int c = 0; c < in; c++) {
            p->b->sum_g[c] += p->totals[(size_t)piece * 2 * (size_t)in + (size_t)c];
            p->b->sum_gx[c] += p->totals[((size_t)piece * 2 + 1) * (size_t)in + (size_t)c];
        }
}

static void run_pass(const struct conv_backward *b, bool dx, bool dw, float *work) {
    struct backward p = plan(b, dx, dw);
    p.totals = (double *)work;
    p.sums = work + (dx ? (size_t)p.pieces * 4 * (size_t)p.c.in : 0);
    p.packed = work + sums_floats(&p);
    if (dx)
        for (struct grid g = {0}; next_grid(&p, &g);)
            pack_weights(p.packed + g.packed, b->w, &p.c, &g.rows, &g.columns, true);
    p.partial = dw && p.groups == 1 ? b->dw : p.packed + grids_floats(&p);
    threads_run(run_piece, &p, p.pieces);
    if (dw && p.groups > 1) threads_run(add_partials, &p, (int)((p.weights + ADD_PIECE - 1) / ADD_PIECE));
    if (dx && b->sum_g) join_sums(&p);
}

void conv_backward(const struct conv_backward *b, float *work) {
    size_t weights = (size_t)(b->shape.kernel_h * b->shape.kernel_w) * (size_t)b->shape.in * (size_t)b->shape.out;
    if (in_one_pass(b, weights)) {
        run_pass(b, b->dx, b->dw, work);
        return;
    }
    run_pass(b, true, false, work);
    struct conv_backward rest = *b;
    if (b->dy_dense) rest.dy = b->dy_dense, rest.dy_norm = NULL, rest.dy_dense = NULL;
    run_pass(&rest, false, true, work);
}

static size_t pass_work(const struct conv_backward *b, bool dx, bool dw) {
    struct backward p = plan(b, dx, dw);
    return sums_floats(&p) + grids_floats(&p) + (dw && p.groups > 1 ? p.weights * (size_t)p.groups : 0);
}

static size_t pass_scratch(const struct conv_backward *b, bool dx, bool dw) {
    struct backward p = plan(b, dx, dw);
    return p.x_panel + dy_panel_floats(&p);
}

static size_t over_passes(const struct conv_backward *b, size_t size(const struct conv_backward *, bool, bool)) {
    size_t weights = (size_t)(b->shape.kernel_h * b->shape.kernel_w) * (size_t)b->shape.in * (size_t)b->shape.out;
    if (in_one_pass(b, weights)) return size(b, b->dx, b->dw);
    size_t first = size(b, true, false), second = size(b, false, true);
    return first > second ? first : second;
}

size_t conv_backward_work(const struct conv_backward *b) { return over_passes(b, pass_work); }
size_t conv_backward_scratch(const struct conv_backward *b) { return over_passes(b, pass_scratch); }
