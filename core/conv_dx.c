// The gradient of a convolution's input: one product() for each residue of the stride, since the inputs of one residue all
// have the same taps on dy.
#include "conv_gradients.h"

static int min(int a, int b) { return a < b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

bool next_grid(const struct branch *r, struct grid *g) {
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

void conv_dx_unit(const struct backward *p, int i, const struct band *b, const float *dy, float *sums, struct prefetch *ahead) {
    const struct conv_backward *all = p->b;
    const struct branch *r = &p->branch[i];
    // The first branch writes dx, the others add to it; behind the last it is cut off and summed.
    struct product end = {.y = all->dx, .add = i > 0 ? all->dx : all->before, .ahead = ahead};
    if (all->sum_g && i == p->branches - 1)
        end.end = PRODUCT_GRADIENT, end.norm = all->norm, end.x = all->x, end.s1 = sums, end.s2 = sums + r->c.in;
    for (struct grid g = {0}; next_grid(r, &g);) run_grid(r, &g, b, dy, p->work + r->packed, &end);
}
