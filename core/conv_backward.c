// The backward pass. A unit is a band of rows of inputs of an image, with the rows of outputs that belong to them. Its
// panels hold x (normalised again, where it is) and dy with the rows around it that taps reach. From these come
//   dx: one product() for each residue of the stride, an input row or column of which all have the same taps;
//   dw: outer() of the panels, added to the piece's own partial sum; partial sums are added in the order of the pieces.
// So each picture is read once. Branches of one x take turns in each unit: the first writes dx, the last adds to it and cuts.
// When a partial sum is so large that there cannot be several, dx and dw are two passes, and the pieces of dw share out the
// output channels instead.
#include "conv_gradients.h"
#include "mem.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum { SPLIT_CHANNELS = 128 }; // output channels of a piece when pieces share them out
static const size_t PARTIAL_FLOATS = (size_t)1 << 20; // of all partial sums together, unless one alone is larger

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

static double *totals_of(const struct backward *p, int piece) {
    return (double *)p->work + (size_t)piece * 2 * (size_t)p->branch[0].c.in;
}
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
    struct panel inputs = {b.x.first, b.x.count, b.x.step, r->x_across.first, r->x_across.count, r->x_across.step};
    if (dw) panel_fill(scratch, &r->x, b.image, &inputs, 0, 0);
    if (p->dx) conv_dx_unit(p, i, &b, dy, sums_of(p, piece), ahead);
    struct partials sum = {.dw = dw ? partial_of(p, r, group) : NULL,
                           .db = r->b->db && channel == 0 ? partial_b_of(p, r, group) : NULL,
                           .ones = r->b->dw_ones && channel == 0 ? partial_ones_of(p, r, group) : NULL};
    if (dw) conv_dw_unit(r, &sum, &b, scratch, dy, channel, channels, ahead);
}

static void add_to_totals(const struct backward *p, int piece) {
    const int in = p->branch[0].c.in;
    float *sums = sums_of(p, piece);
    double *totals = totals_of(p, piece);
    for (int c = 0; c < 2 * in; c++) totals[c] += sums[c];
    memset(sums, 0, sizeof(float) * 2 * (size_t)in);
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
    for (int unit = first_unit(group, groups, p->units); unit < end && !threads_stopped(); unit++) {
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
                           .channels = c.out, .x = b->dy_norm ? b->dy_x : b->dy, .g = b->dy, .add = b->dy_add, .k = b->dy_norm,
                           .pool = b->dy_pool,
                           .dense = b->dy_dense};
    bool reaches_out = dy_rows.first < 0 || dy_rows.count > c.out_h || r.dy_across.first < 0 || r.dy_across.count > c.out_w;
    // outer() loads whole vectors: behind the last pixel of a band stands what another thread may be writing.
    bool in_place = !b->dy_norm || (dx && b->dy_dense && c.kernel_h == 1 && c.out % VL == 0);
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
        struct conv c = rows_count ? b->branch[i].shape : conv_flattened(b->branch[i].shape, false);
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
    p.band = band_rows(&(struct banding){c->batch, steps, p.step * c->width, row_floats * p.step, pointwise, least, false});
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

// Of dy written down in `work`, with the slack behind it that outer() reads.
static size_t dy_floats(const struct conv_branch *b) {
    const struct conv *c = &b->shape;
    size_t floats = (size_t)c->batch * (size_t)c->out_h * (size_t)c->out_w * (size_t)c->out + MEM_SLACK / sizeof(float);
    return (floats + 15) / 16 * 16;
}

static size_t dense_floats(const struct conv_backward *b) {
    size_t floats = 0;
    for (int i = 0; !in_one_pass(b) && i < b->branches; i++)
        if (b->branch[i].dy_norm && !b->branch[i].dy_dense) floats += dy_floats(&b->branch[i]);
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
        if (dense) dense += dy_floats(r);
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
