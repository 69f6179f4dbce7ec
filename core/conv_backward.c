// The backward pass. A unit is a band of rows of inputs of an image, with the rows of outputs that belong to them. Its
// panels hold x (normalised again, where it is) and dy with the rows around it that taps reach. From these come
//   dx: one product() for each residue of the stride, an input row or column of which all have the same taps;
//   dw: outer() of the panels, added to the piece's own partial sum; partial sums are added in the order of the pieces.
// So each picture is read once. Branches of one x take turns in each unit: the first writes dx, the last adds to it and cuts.
// When a partial sum is so large that there cannot be several, dx and dw are two passes, and the pieces of dw share out the
// output channels instead.
#include "conv.h"
#include "conv_plan.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum {
    GROUPS = 8,          // partial sums of a weight gradient, at most
    OUTER_PIXELS = 128,  // pixels an outer product works on at a time
    LARGE_PIXELS = 512,  // the same for so many weights that going through them costs as much
    LARGE_WEIGHTS = 1 << 16,
    SPLIT_CHANNELS = 128, // output channels of a piece when pieces share them out
    ADD_PIECE = 4096,    // weights of a piece when partial sums are added
};
static const size_t PARTIAL_FLOATS = (size_t)1 << 20; // of all partial sums together, unless one alone is larger

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

struct branch {
    const struct conv_branch *b;
    struct conv c;
    struct side rows, columns;
    struct range x_across, dy_across; // columns of the panels
    struct runs forward;              // taps of outputs on the x panel, for outer()
    struct source x, dy;
    bool dy_direct;      // dy needs no panel: it is read where it stands, or where it is written for others
    size_t weights, ones; // floats of dw and dw_ones
    size_t x_panel;       // floats; then comes the panel of dy
    // Where in `work`: weights of all grids, one after the other; [groups][weights]; [groups][ones].
    size_t packed, partial, partial_ones, partial_b; // the last: [groups][out]
};

struct backward {
    const struct conv_backward *b;
    bool dx, dw; // what this pass computes
    int branches, step; // step: rows of inputs that go together, whatever the branch's stride
    struct branch branch[CONV_BRANCHES];
    int band, bands, units, pieces, splits, groups; // band: in steps
    float *work; // [pieces][2][in] doubles: totals; as many floats: sums; then the branches' own
};

static double *totals_of(const struct backward *p, int piece) { return (double *)p->work + (size_t)piece * 2 * (size_t)p->branch[0].c.in; }
static float *sums_of(const struct backward *p, int piece) {
    return p->work + ((size_t)p->pieces * 4 + (size_t)piece * 2) * (size_t)p->branch[0].c.in;
}

// A group's partial sum; with one group only, that is dw itself.
static float *partial_of(const struct backward *p, const struct branch *r, int group) {
    return p->groups == 1 ? r->b->dw : p->work + r->partial + (size_t)group * r->weights;
}
static float *partial_b_of(const struct backward *p, const struct branch *r, int group) {
    return p->work + r->partial_b + (size_t)group * (size_t)r->c.out;
}
static float *partial_ones_of(const struct backward *p, const struct branch *r, int group) {
    return p->work + r->partial_ones + (size_t)group * r->ones;
}

// A unit's rows in a branch: of outputs, of inputs, and of its two panels.
struct band {
    int image;
    struct range out, in, x, dy;
};

static struct band band_of(const struct backward *p, const struct branch *r, int unit) {
    const struct side *s = &r->rows;
    struct band b = {.image = unit / p->bands};
    int number = unit % p->bands, first = number * p->band * p->step;
    bool last = number == p->bands - 1;
    int end = last ? s->inputs : first + p->band * p->step;
    int out = min(first / s->stride, s->outputs), out_end = last ? s->outputs : min(end / s->stride, s->outputs);
    b.in = (struct range){first, end - first, 1};
    b.out = (struct range){out, out_end - out, 1};
    b.x = side_inputs(s, out, out_end - out);
    if (out == out_end) b.x.count = 0;
    b.dy = p->dx ? side_outputs(s, first, end - first, out, out_end - out) : b.out;
    return b;
}

// ---- dx

// Both products read dy's panel from here: its row `row`, column 0 of dy.
static const float *dy_at(const struct branch *r, const struct band *b, const float *panel, int row) {
    return panel + ((ptrdiff_t)(row - b->dy.first) * r->dy_across.count - r->dy_across.first) * r->c.out;
}

// The inputs (residue_h + stride_h * i, residue_w + stride_w * j) are a grid: all have the same taps on dy.
struct grid {
    bool begun;
    int residue_h, residue_w;
    struct taps rows, columns;
    size_t packed, floats; // its weights: from where on, and how many
};

static bool next_grid(const struct branch *r, struct grid *g) {
    const struct conv *c = &r->c;
    if (g->begun && ++g->residue_w == min(c->stride_w, c->width)) g->residue_w = 0, g->residue_h++;
    g->begun = true;
    g->packed += g->floats;
    if (g->residue_h == min(c->stride_h, c->height)) return false;
    g->rows = side_gradient_taps(&r->rows, g->residue_h), g->columns = side_gradient_taps(&r->columns, g->residue_w);
    g->floats = packed_floats(&g->rows, &g->columns, c->out, c->in);
    return true;
}

// `end`: how the product is to end, with all of it but what belongs to this grid.
static void run_grid(const struct branch *r, const struct grid *g, const struct band *b, const float *dy, const float *packed,
                     const struct product *end) {
    const struct conv *c = &r->c;
    // Grid rows i stand for inputs residue + stride * i; the band begins at a multiple of the stride.
    int first = b->in.first / c->stride_h, row = b->in.first + g->residue_h;
    if (row >= b->in.first + b->in.count) return;
    struct runs runs;
    find_runs(&runs, &g->rows, &g->columns, r->dy_across.count, c->out);
    size_t at = (((size_t)b->image * (size_t)c->height + (size_t)row) * (size_t)c->width + (size_t)g->residue_w) * (size_t)c->in;
    struct product q = *end;
    q.a = dy_at(r, b, dy, first), q.a_row = (ptrdiff_t)r->dy_across.count * c->out, q.a_pixel = c->out;
    q.offset = runs.offset, q.runs = runs.runs, q.length = runs.length, q.b = packed + g->packed;
    q.y += at, q.y_row = (ptrdiff_t)c->stride_h * c->width * c->in, q.y_pixel = c->stride_w * c->in;
    q.height = ceil_div(b->in.first + b->in.count - row, c->stride_h), q.width = ceil_div(c->width - g->residue_w, c->stride_w);
    q.channels = c->in;
    if (q.add) q.add += at;
    if (q.x) q.x += at;
    product(&q);
}

// dx of a unit from branch number i: the sum so far, and behind the last branch cut off and summed.
static void run_grids(const struct backward *p, int piece, int i, const struct band *b, const float *dy, struct prefetch *ahead) {
    const struct conv_backward *all = p->b;
    const struct branch *r = &p->branch[i];
    const int in = r->c.in;
    float *sums = sums_of(p, piece);
    bool finish = all->sum_g && i == p->branches - 1;
    struct product end = {.y = all->dx, .add = i > 0 ? all->dx : all->before, .ahead = ahead};
    if (finish) end.end = PRODUCT_GRADIENT, end.norm = all->norm, end.x = all->x, end.s1 = sums, end.s2 = sums + in;
    for (struct grid g = {0}; next_grid(r, &g);) run_grid(r, &g, b, dy, p->work + r->packed, &end);
}

static void add_to_totals(const struct backward *p, int piece) {
    const int in = p->branch[0].c.in;
    float *sums = sums_of(p, piece);
    double *totals = totals_of(p, piece);
    for (int c = 0; c < 2 * in; c++) totals[c] += sums[c];
    memset(sums, 0, sizeof(float) * 2 * (size_t)in);
}

// ---- dw

static void add_outer(const struct branch *r, float *sum, const struct band *b, const float *x, const float *dy, int channel,
                      int channels, struct prefetch *ahead) {
    const struct conv *c = &r->c;
    int pixels = r->weights > LARGE_WEIGHTS ? LARGE_PIXELS : OUTER_PIXELS;
    int x_row = c->stride_h / b->x.step * r->x_across.count * c->in, step = max(1, pixels / c->out_w);
    for (int i = 0; i < b->out.count; i += step) {
        struct outer o = {.a = x + (ptrdiff_t)i * x_row, .a_row = x_row, .a_pixel = c->stride_w / r->x_across.step * c->in,
                          .offset = r->forward.offset, .runs = r->forward.runs, .length = r->forward.length,
                          .d = dy_at(r, b, dy, b->out.first + i) + channel, .d_row = (ptrdiff_t)r->dy_across.count * c->out,
                          .d_pixel = c->out, .w = sum + channel, .w_row = c->out, .height = min(step, b->out.count - i),
                          .width = c->out_w, .channels = channels, .ahead = ahead};
        outer(&o);
    }
}

// The outputs along one side whose tap number `tap` reads inside the picture.
static struct range inside_outputs(const struct side *s, int tap) {
    int shift = tap * s->dilation - s->pad; // of the input that output 0 reads
    int first = shift >= 0 ? 0 : ceil_div(-shift, s->stride);
    int end = s->inputs - 1 - shift < 0 ? 0 : min(s->outputs, (s->inputs - 1 - shift) / s->stride + 1);
    return (struct range){first, max(0, end - first), 1};
}

static void add_pixels(float *sum, const float *pixels, int count, int channels) {
    for (int c = 0; count > 0 && c < channels; c += VL) {
        vec s = {0};
        for (int p = 0; p < count; p++) s += load(pixels + (ptrdiff_t)p * channels + c);
        store_part(sum + c, load_part(sum + c, channels - c) + s, channels - c);
    }
}

// The weight gradient of a channel of ones: at each kernel place the sum of dy over the outputs that read the picture there.
// Places of a kernel row share the columns in their middle.
static void add_ones(const struct branch *r, float *sum, const struct band *b, const float *dy) {
    const struct conv *c = &r->c;
    const int n = c->out;
    struct range middle = {0, c->out_w, 1};
    for (int v = 0; v < c->kernel_w; v++) {
        struct range in = inside_outputs(&r->columns, v);
        int first = max(middle.first, in.first), end = min(middle.first + middle.count, in.first + in.count);
        middle = (struct range){first, max(0, end - first), 1};
    }
    float *row_sums = (float *)dy_at(r, b, dy, b->dy.first + b->dy.count) + r->dy_across.first * n; // behind the panel
    for (int i = b->out.first; i < b->out.first + b->out.count; i++) {
        const float *row = dy_at(r, b, dy, i);
        memset(row_sums, 0, sizeof(float) * (size_t)(c->kernel_w + 1) * (size_t)n);
        float *shared = row_sums + c->kernel_w * n;
        add_pixels(shared, row + middle.first * n, middle.count, n);
        for (int v = 0; v < c->kernel_w; v++) {
            struct range in = inside_outputs(&r->columns, v);
            float *own = row_sums + v * n;
            if (in.count == 0) continue;
            add_pixels(own, row + in.first * n, min(middle.first, in.first + in.count) - in.first, n);
            add_pixels(own, shared, middle.count > 0, n);
            int behind = max(in.first, middle.first + middle.count);
            add_pixels(own, row + behind * n, in.first + in.count - behind, n);
        }
        for (int u = 0; u < c->kernel_h; u++) {
            struct range in = inside_outputs(&r->rows, u);
            if (i < in.first || i >= in.first + in.count) continue;
            add_pixels(sum + u * c->kernel_w * n, row_sums, 1, c->kernel_w * n);
        }
    }
}

struct adding { float *to; const float *partial; size_t floats; int groups; };

static void add_partials(void *arg, int piece, int thread) {
    const struct adding *a = arg;
    size_t first = (size_t)piece * ADD_PIECE, last = first + ADD_PIECE < a->floats ? first + ADD_PIECE : a->floats;
    (void)thread;
    memcpy(a->to + first, a->partial + first, (last - first) * sizeof(float));
    for (int group = 1; group < a->groups; group++) {
        const float *from = a->partial + (size_t)group * a->floats;
        for (size_t i = first; i < last; i++) a->to[i] += from[i];
    }
}

static void join_partials(float *to, const float *partial, size_t floats, int groups) {
    struct adding a = {to, partial, floats, groups};
    threads_run(add_partials, &a, (int)((floats + ADD_PIECE - 1) / ADD_PIECE));
}

// ---- a piece

// dy's panel. `own`: whether this piece is the one to write dy down for others.
static const float *dy_panel(const struct branch *r, const struct band *b, float *panel, bool own) {
    struct source from = r->dy;
    struct panel rows = {b->dy.first, b->dy.count, 1, r->dy_across.first, r->dy_across.count, 1};
    if (r->dy_direct) {
        size_t at = ((size_t)b->image * (size_t)r->c.out_h + (size_t)b->dy.first) * (size_t)r->c.out_w * (size_t)r->c.out;
        if (!r->b->dy_norm) return r->b->dy + at;
        panel = r->b->dy_dense + at;
        from.dense = NULL;
    }
    if (!own) from.dense = NULL;
    panel_fill(panel, &from, b->image, &rows, b->out.first, b->out.count);
    return panel;
}

// The unit after this one: what it reads and writes.
static void look_ahead(struct prefetch *ahead, const struct backward *p, int unit) {
    const struct conv_backward *b = p->b;
    double tiles = 0;
    for (int i = p->branches - 1; i >= 0; i--) {
        const struct branch *r = &p->branch[i];
        const struct conv *c = &r->c;
        struct band next = band_of(p, r, unit);
        size_t out_row = (size_t)c->out_w * (size_t)c->out, out_floats = (size_t)next.out.count * out_row;
        size_t out = ((size_t)next.image * (size_t)c->out_h + (size_t)next.out.first) * out_row;
        if (r->b->dy_dense) prefetch_add(ahead, r->b->dy_dense + out, out_floats, true);
        if (r->b->dy_norm && r->b->dy_add) prefetch_add(ahead, r->b->dy_add + out, out_floats, false);
        if (r->b->dy_norm) prefetch_add(ahead, r->b->dy_x + out, out_floats, false);
        if (!r->b->dy_pool) prefetch_add(ahead, r->b->dy + out, out_floats, false);
        if (p->dx) tiles += product_tiles((double)next.in.count * c->width, c->in);
        if (p->dw) tiles += outer_tiles((double)r->forward.runs * r->forward.length, c->out) *
                            max(1, (int)((double)next.out.count * c->out_w / OUTER_PIXELS));
        if (i > 0) continue;
        size_t in_row = (size_t)c->width * (size_t)c->in, in_floats = (size_t)next.in.count * in_row;
        size_t in = ((size_t)next.image * (size_t)c->height + (size_t)next.in.first) * in_row;
        if (p->dx) prefetch_add(ahead, b->dx + in, in_floats, true);
        if (p->dx && b->before) prefetch_add(ahead, b->before + in, in_floats, false);
        if (b->x) prefetch_add(ahead, b->x + in, in_floats, false);
    }
    prefetch_spread(ahead, tiles);
}

static void run_branch(const struct backward *p, int piece, int i, int unit, float *scratch, struct prefetch *ahead) {
    const struct branch *r = &p->branch[i];
    const struct conv *c = &r->c;
    const int group = piece / p->splits, channel = piece % p->splits * SPLIT_CHANNELS;
    const int channels = p->splits > 1 ? min(SPLIT_CHANNELS, c->out - channel) : c->out;
    struct band b = band_of(p, r, unit);
    const float *dy = dy_panel(r, &b, scratch + r->x_panel, channel == 0);
    const bool dw = p->dw && r->b->dw && b.out.count > 0;
    // x first: the end of the product for dx reads it too, then from the cache.
    if (dw) panel_fill(scratch, &r->x, b.image, &(struct panel){b.x.first, b.x.count, b.x.step, r->x_across.first, r->x_across.count, r->x_across.step}, 0, 0);
    if (p->dx) run_grids(p, piece, i, &b, dy, ahead);
    if (dw) add_outer(r, partial_of(p, r, group), &b, scratch, dy, channel, channels, ahead);
    for (int i = b.out.first; dw && r->b->db && channel == 0 && i < b.out.first + b.out.count; i++)
        add_pixels(partial_b_of(p, r, group), dy_at(r, &b, dy, i), c->out_w, c->out);
    if (dw && r->b->dw_ones && channel == 0)
        add_ones(r, partial_ones_of(p, r, group), &b, dy);
}

static void clear_sums(const struct backward *p, int piece) {
    const int in = p->branch[0].c.in, group = piece / p->splits, channel = piece % p->splits * SPLIT_CHANNELS;
    if (p->dx) {
        memset(sums_of(p, piece), 0, sizeof(float) * 2 * (size_t)in);
        memset(totals_of(p, piece), 0, sizeof(double) * 2 * (size_t)in);
    }
    for (int i = 0; p->dw && i < p->branches; i++) {
        const struct branch *r = &p->branch[i];
        const int out = r->c.out, channels = p->splits > 1 ? min(SPLIT_CHANNELS, out - channel) : out;
        if (!r->b->dw) continue;
        float *sum = partial_of(p, r, group) + channel;
        for (size_t row = 0; row < r->weights; row += (size_t)out) memset(sum + row, 0, sizeof(float) * (size_t)channels);
        if (r->b->db && channel == 0) memset(partial_b_of(p, r, group), 0, sizeof(float) * (size_t)out);
        if (r->b->dw_ones && channel == 0) memset(partial_ones_of(p, r, group), 0, sizeof(float) * r->ones);
    }
}

// A piece is group number piece / splits of the units, and share number piece % splits of the output channels.
static void run_piece(void *arg, int piece, int thread) {
    const struct backward *p = arg;
    const int groups = p->pieces / p->splits, group = piece / p->splits, end = first_unit(group + 1, groups, p->units);
    int pixels = 0; // in the piece's sums
    clear_sums(p, piece);
    for (int unit = first_unit(group, groups, p->units); unit < end; unit++) {
        struct prefetch ahead = {0};
        if (unit + 1 < end) look_ahead(&ahead, p, unit + 1);
        for (int i = 0; i < p->branches; i++) run_branch(p, piece, i, unit, threads_scratch(thread), &ahead);
        pixels += p->band * p->step * p->branch[0].c.width;
        if (p->b->sum_g && p->dx && (pixels >= SUM_PIXELS || unit + 1 == end)) {
            add_to_totals(p, piece);
            pixels = 0;
        }
    }
}

// ---- planning

static size_t weights_of(const struct conv_branch *b) {
    return (size_t)(b->shape.kernel_h * b->shape.kernel_w) * (size_t)b->shape.in * (size_t)b->shape.out;
}

static size_t largest_weights(const struct conv_backward *b) {
    size_t most = 0;
    for (int i = 0; i < b->branches; i++) most = weights_of(&b->branch[i]) > most ? weights_of(&b->branch[i]) : most;
    return most;
}

static bool wants_dw(const struct conv_backward *b) { return b->branch[0].dw || (b->branches > 1 && b->branch[1].dw); }

static bool in_one_pass(const struct conv_backward *b) {
    return !b->dx || !wants_dw(b) || largest_weights(b) <= PARTIAL_FLOATS / 4;
}

static struct branch plan_branch(const struct conv_backward *all, const struct conv_branch *b, struct conv c, bool dx) {
    struct branch r = {.b = b, .c = c, .rows = conv_rows(&c), .columns = conv_columns(&c), .weights = weights_of(b),
                       .ones = (size_t)(c.kernel_h * c.kernel_w * c.out)};
    struct range down = side_inputs(&r.rows, 0, 1), dy_rows = side_outputs(&r.rows, 0, c.height, 0, c.out_h);
    r.x_across = side_inputs(&r.columns, 0, c.out_w);
    r.dy_across = dx ? side_outputs(&r.columns, 0, c.width, 0, c.out_w) : (struct range){0, c.out_w, 1};
    struct taps rows = side_taps(&r.rows, &down), columns = side_taps(&r.columns, &r.x_across);
    find_runs(&r.forward, &rows, &columns, r.x_across.count, c.in);
    r.x = (struct source){.kind = all->norm ? SOURCE_NORM : SOURCE_PLAIN, .height = c.height, .width = c.width, .channels = c.in,
                          .x = all->x, .k = all->norm};
    r.dy = (struct source){.kind = b->dy_norm ? SOURCE_GRADIENT : SOURCE_PLAIN, .height = c.out_h, .width = c.out_w,
                           .channels = c.out, .x = b->dy_norm ? b->dy_x : b->dy, .g = b->dy, .add = b->dy_add, .k = b->dy_norm, .pool = b->dy_pool,
                           .dense = b->dy_dense};
    bool reaches_out = dy_rows.first < 0 || dy_rows.count > c.out_h || r.dy_across.first < 0 || r.dy_across.count > c.out_w;
    bool in_place = !b->dy_norm || (dx && b->dy_dense && c.kernel_h == 1);
    r.dy_direct = in_place && !b->dw_ones && (!dx || !reaches_out);
    return r;
}

static struct backward plan(const struct conv_backward *b, bool dx, bool dw) {
    struct backward p = {.b = b, .dx = dx, .dw = dw, .branches = b->branches, .step = 1};
    double row_floats = 0; // of the panels for one row of inputs
    bool pointwise = true;
    for (int i = 0; i < b->branches; i++) {
        // Rows count where branches or a pool must find theirs.
        bool rows_count = b->branches > 1 || b->branch[i].dy_pool;
        struct conv c = rows_count ? b->branch[i].shape : conv_flattened(b->branch[i].shape);
        struct branch *r = &p.branch[i];
        *r = plan_branch(b, &b->branch[i], c, dx);
        int step = p.step;
        pointwise = pointwise && c.kernel_h == 1;
        while (p.step % c.stride_h) p.step += step;
        double x_row = (double)r->x_across.count * c.in, dy_row = (double)r->dy_across.count * c.out / c.stride_h;
        row_floats = max((int)row_floats, (int)(x_row + dy_row));
    }
    const struct conv *c = &p.branch[0].c;
    int steps = max(1, ceil_div(c->height, p.step));
    int least = dw && largest_weights(b) > LARGE_WEIGHTS ? LARGE_PIXELS : 0;
    p.band = band_rows(&(struct banding){c->batch, steps, p.step * c->width, row_floats * p.step, pointwise, least});
    p.bands = ceil_div(steps, p.band);
    p.units = c->batch * p.bands;
    size_t most = largest_weights(b), fits = most ? PARTIAL_FLOATS / most : GROUPS;
    p.groups = min(p.units, fits < 1 ? 1 : fits > GROUPS ? GROUPS : (int)fits);
    p.splits = dw && !dx && b->branches == 1 && p.groups < GROUPS ? ceil_div(c->out, SPLIT_CHANNELS) : 1;
    p.pieces = dw ? p.groups * p.splits : min(p.units, PIECES);
    for (int i = 0; i < p.branches; i++) {
        struct branch *r = &p.branch[i];
        int rows = 0;
        for (int unit = 0; unit < p.bands; unit++) rows = max(rows, band_of(&p, r, unit).x.count);
        r->x_panel = dw && r->b->dw ? (size_t)rows * (size_t)r->x_across.count * (size_t)r->c.in : 0;
    }
    return p;
}

// ---- memory

static size_t grids_floats(const struct backward *p, const struct branch *r) {
    struct grid g = {0};
    while (p->dx && next_grid(r, &g)) {}
    return g.packed;
}

// Finds a place in `work` for everything; returns the floats.
static size_t place(struct backward *p) {
    size_t used = p->dx ? (size_t)p->pieces * 6 * (size_t)p->branch[0].c.in : 0;
    for (int i = 0; i < p->branches; i++) {
        struct branch *r = &p->branch[i];
        r->packed = used;
        r->partial = used += grids_floats(p, r);
        if (p->dw && r->b->dw && p->groups > 1) used += r->weights * (size_t)p->groups;
        r->partial_b = used;
        if (p->dw && r->b->db) used += (size_t)r->c.out * (size_t)p->groups;
        r->partial_ones = used;
        if (p->dw && r->b->dw_ones) used += r->ones * (size_t)p->groups;
    }
    return used;
}

static size_t scratch_floats(const struct backward *p) {
    size_t most = 0;
    for (int i = 0; i < p->branches; i++) {
        const struct branch *r = &p->branch[i];
        int rows = 0;
        for (int unit = 0; unit < p->bands; unit++) rows = max(rows, band_of(p, r, unit).dy.count);
        size_t dy = r->dy_direct ? 0 : (size_t)rows * (size_t)r->dy_across.count * (size_t)r->c.out;
        size_t ones = r->b->dw_ones ? (size_t)((r->c.kernel_w + 1) * r->c.out) : 0;
        most = r->x_panel + dy + ones > most ? r->x_panel + dy + ones : most;
    }
    return most;
}

// ---- all of it

static void join_sums(const struct backward *p) {
    const size_t in = (size_t)p->branch[0].c.in;
    memset(p->b->sum_g, 0, sizeof(double) * in);
    memset(p->b->sum_gx, 0, sizeof(double) * in);
    for (size_t piece = 0; piece < (size_t)p->pieces; piece++)
        for (size_t c = 0; c < in; c++) {
            p->b->sum_g[c] += totals_of(p, (int)piece)[c];
            p->b->sum_gx[c] += totals_of(p, (int)piece)[in + c];
        }
}

static void run_pass(const struct conv_backward *b, bool dx, bool dw, float *work) {
    struct backward p = plan(b, dx, dw);
    p.work = work;
    place(&p);
    for (int i = 0; dx && i < p.branches; i++) {
        const struct branch *r = &p.branch[i];
        for (struct grid g = {0}; next_grid(r, &g);)
            pack_weights(work + r->packed + g.packed, r->b->w, &r->c, &g.rows, &g.columns, true);
    }
    threads_run(run_piece, &p, p.pieces);
    for (int i = 0; dw && i < p.branches; i++) {
        const struct branch *r = &p.branch[i];
        if (r->b->dw && p.groups > 1) join_partials(r->b->dw, partial_of(&p, r, 0), r->weights, p.groups);
        if (r->b->db) join_partials(r->b->db, partial_b_of(&p, r, 0), (size_t)r->c.out, p.groups);
        if (r->b->dw_ones) join_partials(r->b->dw_ones, partial_ones_of(&p, r, 0), r->ones, p.groups);
    }
    if (dx && b->sum_g) join_sums(&p);
}

static size_t dy_floats(const struct conv_branch *b) {
    return (size_t)b->shape.batch * (size_t)b->shape.out_h * (size_t)b->shape.out_w * (size_t)b->shape.out;
}

static size_t dense_floats(const struct conv_backward *b) {
    size_t floats = 0;
    for (int i = 0; !in_one_pass(b) && i < b->branches; i++)
        if (b->branch[i].dy_norm && !b->branch[i].dy_dense) floats += (dy_floats(&b->branch[i]) + 15) / 16 * 16;
    return floats;
}

// The passes: both gradients at once, or dx and then dw of each branch by itself. Calls each in turn.
typedef void pass(const struct conv_backward *b, bool dx, bool dw, void *arg);

// `dense`: memory for the gradients that the first pass maps and the others read; NULL when only sizes are asked for.
static void each_pass(const struct conv_backward *b, float *dense, pass *run, void *arg) {
    if (in_one_pass(b)) {
        run(b, b->dx, wants_dw(b), arg);
        return;
    }
    struct conv_backward first = *b;
    for (int i = 0; i < b->branches; i++) {
        struct conv_branch *r = &first.branch[i];
        if (!r->dy_norm || r->dy_dense) continue;
        r->dy_dense = dense;
        if (dense) dense += (dy_floats(r) + 15) / 16 * 16;
    }
    run(&first, true, false, arg);
    for (int i = 0; i < b->branches; i++) {
        struct conv_backward one = {.branches = 1, .branch = {first.branch[i]}, .x = b->x, .norm = b->norm};
        struct conv_branch *r = &one.branch[0];
        if (r->dy_dense || r->dy_norm) r->dy = r->dy_dense, r->dy_norm = NULL, r->dy_dense = NULL, r->dy_pool = NULL;
        if (r->dw) run(&one, false, true, arg);
    }
}

static void do_pass(const struct conv_backward *b, bool dx, bool dw, void *work) { run_pass(b, dx, dw, work); }

static void measure_work(const struct conv_backward *b, bool dx, bool dw, void *most) {
    struct backward p = plan(b, dx, dw);
    size_t floats = place(&p);
    if (floats > *(size_t *)most) *(size_t *)most = floats;
}

static void measure_scratch(const struct conv_backward *b, bool dx, bool dw, void *most) {
    struct backward p = plan(b, dx, dw);
    if (scratch_floats(&p) > *(size_t *)most) *(size_t *)most = scratch_floats(&p);
}

void conv_backward(const struct conv_backward *b, float *work) { each_pass(b, work, do_pass, work + dense_floats(b)); }

size_t conv_backward_work(const struct conv_backward *b) {
    size_t most = 0;
    each_pass(b, NULL, measure_work, &most);
    return most + dense_floats(b);
}

size_t conv_backward_scratch(const struct conv_backward *b) {
    size_t most = 0;
    each_pass(b, NULL, measure_scratch, &most);
    return most;
}
