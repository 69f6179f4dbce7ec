// The forward pass. A band of the picture is copied to the thread's panel, with its zero border and through batch norm
// where there is one; when it needs neither, the picture itself serves. Then product() runs over the band, a few rows at a
// time. Moments of the result are summed on the way, each piece about its own first pixel (so that a mean far larger than
// the deviation costs no digits), and put together in the order of the pieces (Chan, Golub and LeVeque 1979).
#include "conv.h"
#include "conv_plan.h"
#include "threads.h"

#include <string.h>

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

struct forward {
    const struct conv_forward *f;
    struct conv c;
    struct side rows, columns;
    struct range across; // of the panel's columns
    struct taps row_taps, column_taps;
    struct runs runs;
    struct source source;
    bool direct; // no panel
    int band, bands, units, pieces;
    const float *packed;
    double *totals; // [pieces][2][out]
    float *sums;    // [pieces][3][out]: shift, s1, s2
};

// May taps of all outputs be read from the picture itself?
static bool stays_inside(const struct side *s) {
    struct range r = side_inputs(s, 0, s->outputs);
    return r.first >= 0 && r.first + (r.count - 1) * r.step < s->inputs;
}

static struct forward plan(const struct conv_forward *f) {
    struct forward p = {.f = f, .c = conv_flattened(f->shape, f->shared_out)};
    const struct conv *c = &p.c;
    p.rows = conv_rows(c), p.columns = conv_columns(c);
    p.direct = !f->norm && stays_inside(&p.rows) && stays_inside(&p.columns);
    p.across = side_inputs(&p.columns, 0, c->out_w);
    struct range down = side_inputs(&p.rows, 0, 1);
    if (p.direct) p.across.step = down.step = 1;
    p.row_taps = side_taps(&p.rows, &down), p.column_taps = side_taps(&p.columns, &p.across);
    find_runs(&p.runs, &p.row_taps, &p.column_taps, p.direct ? c->width : p.across.count, c->in);
    p.source = (struct source){.kind = f->norm ? SOURCE_NORM : SOURCE_PLAIN, .height = c->height, .width = c->width,
                               .channels = c->in, .x = f->x, .k = f->norm};
    double row_floats = (double)p.across.count * (c->in + c->out) * (c->kernel_h == 1 ? 1 : c->stride_h);
    p.band = band_rows(&(struct banding){.batch = c->batch, .rows = c->out_h, .pixels = c->out_w, .floats = row_floats,
                                         .pointwise = c->kernel_h == 1, .shared_out = f->shared_out});
    p.bands = (c->out_h + p.band - 1) / p.band;
    p.units = c->batch * p.bands;
    p.pieces = min(p.units, PIECES);
    return p;
}

// ---- one band

// The product over rows [first, first + rows) of an image's outputs, whose first tap stands at a.
static struct product product_of(const struct forward *p, int image, int first, const float *a, ptrdiff_t a_row, int a_pixel) {
    const struct conv *c = &p->c;
    size_t at = ((size_t)image * (size_t)c->out_h + (size_t)first) * (size_t)c->out_w * (size_t)c->out;
    return (struct product){.a = a, .a_row = a_row, .a_pixel = a_pixel, .offset = p->runs.offset, .runs = p->runs.runs,
                            .length = p->runs.length, .b = p->packed, .y = p->f->y + at, .y_row = (ptrdiff_t)c->out_w * c->out,
                            .y_pixel = c->out, .width = c->out_w, .channels = c->out, .bias = p->f->bias,
                            .add = p->f->add ? p->f->add + at : NULL,
                            .end = p->f->mean ? PRODUCT_MOMENTS : p->f->relu ? PRODUCT_RELU : PRODUCT_STORE};
}

static struct product band_product(const struct forward *p, int image, int first, int rows, float *panel) {
    const struct conv *c = &p->c;
    struct range down = side_inputs(&p->rows, first, rows);
    if (p->direct) {
        size_t at = ((size_t)image * (size_t)c->height + (size_t)down.first) * (size_t)c->width + (size_t)p->across.first;
        return product_of(p, image, first, p->f->x + at * (size_t)c->in, (ptrdiff_t)c->stride_h * c->width * c->in,
                          c->stride_w * c->in);
    }
    struct panel band = {down.first, down.count, down.step, p->across.first, p->across.count, p->across.step};
    panel_fill(panel, &p->source, image, &band, 0, 0);
    return product_of(p, image, first, panel, (ptrdiff_t)(c->stride_h / down.step) * p->across.count * c->in,
                      c->stride_w / p->across.step * c->in);
}

// ---- a piece

// The values of a piece's first pixel.
static void find_shift(float *shift, struct product first) {
    first.y = shift;
    first.height = first.width = 1;
    first.end = PRODUCT_STORE;
    product(&first);
}

// The band after this one: what it reads and writes.
static void look_ahead(struct prefetch *ahead, const struct forward *p, int unit) {
    const struct conv *c = &p->c;
    int image = unit / p->bands, first = unit % p->bands * p->band, rows = min(p->band, c->out_h - first);
    int top = max(0, min(first * c->stride_h, c->height)), down = min(rows * c->stride_h, c->height - top);
    size_t in_row = (size_t)c->width * (size_t)c->in, out_row = (size_t)c->out_w * (size_t)c->out;
    size_t at = ((size_t)image * (size_t)c->out_h + (size_t)first) * out_row;
    prefetch_add(ahead, p->f->y + at, (size_t)rows * out_row, true);
    if (p->f->add) prefetch_add(ahead, p->f->add + at, (size_t)rows * out_row, false);
    prefetch_add(ahead, p->f->x + ((size_t)image * (size_t)c->height + (size_t)top) * in_row, (size_t)down * in_row, false);
    prefetch_spread(ahead, product_tiles((double)rows * c->out_w, c->out));
}

static void add_to_totals(double *totals, float *sums, int n) {
    for (int i = 0; i < n; i++) totals[i] += sums[i];
    memset(sums, 0, sizeof(float) * (size_t)n);
}

static void run_piece(void *arg, int piece, int thread) {
    const struct forward *p = arg;
    const int out = p->c.out, first_of_piece = first_unit(piece, p->pieces, p->units);
    double *totals = p->totals + (size_t)piece * 2 * (size_t)out;
    float *shift = p->sums + (size_t)piece * 3 * (size_t)out, *sums = shift + out;
    if (p->f->mean) {
        memset(totals, 0, sizeof(double) * 2 * (size_t)out);
        memset(sums, 0, sizeof(float) * 2 * (size_t)out);
    }
    const int end = first_unit(piece + 1, p->pieces, p->units);
    int pixels = 0; // in `sums`
    for (int unit = first_of_piece; unit < end && !threads_stopped(); unit++) {
        int image = unit / p->bands, first = unit % p->bands * p->band, rows = min(p->band, p->c.out_h - first);
        struct product q = band_product(p, image, first, rows, threads_scratch(thread));
        q.height = rows;
        if (p->f->mean) {
            if (unit == first_of_piece) find_shift(shift, q);
            q.shift = shift, q.s1 = sums, q.s2 = sums + out;
        }
        struct prefetch ahead = {0};
        if (unit + 1 < end) look_ahead(&ahead, p, unit + 1);
        q.ahead = &ahead;
        product(&q);
        pixels += rows * p->c.out_w;
        if (p->f->mean && (pixels >= SUM_PIXELS || unit + 1 == end)) {
            add_to_totals(totals, sums, 2 * out);
            pixels = 0;
        }
    }
}

// ---- moments of the pieces together

static double pixels_of(const struct forward *p, int piece) {
    double pixels = 0;
    for (int unit = first_unit(piece, p->pieces, p->units); unit < first_unit(piece + 1, p->pieces, p->units); unit++)
        pixels += (double)min(p->band, p->c.out_h - unit % p->bands * p->band) * p->c.out_w;
    return pixels;
}

static void join_moments(const struct forward *p) {
    const int out = p->c.out;
    const double all = (double)p->c.batch * p->c.out_h * p->c.out_w;
    double *mean = p->f->mean, *variance = p->f->variance;
    memset(mean, 0, sizeof(double) * (size_t)out);
    memset(variance, 0, sizeof(double) * (size_t)out);
    for (int piece = 0; piece < p->pieces; piece++) { // s1 becomes the piece's mean, s2 its sum of squares about that
        double n = pixels_of(p, piece), *s1 = p->totals + (size_t)piece * 2 * (size_t)out, *s2 = s1 + out;
        const float *shift = p->sums + (size_t)piece * 3 * (size_t)out;
        for (int c = 0; c < out; c++) {
            s2[c] -= s1[c] * s1[c] / n;
            s1[c] = shift[c] + s1[c] / n;
            mean[c] += s1[c] * (n / all);
        }
    }
    for (int piece = 0; piece < p->pieces; piece++) {
        double n = pixels_of(p, piece);
        const double *means = p->totals + (size_t)piece * 2 * (size_t)out, *squares = means + out;
        for (int c = 0; c < out; c++) {
            double d = means[c] - mean[c];
            variance[c] += (squares[c] + n * d * d) / all;
        }
    }
    for (int c = 0; c < out; c++) variance[c] = variance[c] > 0 || variance[c] != variance[c] ? variance[c] : 0;
}

// ---- all of it

static size_t moments_floats(const struct forward *p) { return p->f->mean ? (size_t)p->pieces * 7 * (size_t)p->c.out : 0; }

void conv_forward(const struct conv_forward *f, float *work) {
    struct forward p = plan(f);
    p.totals = (double *)work;
    p.sums = work + (f->mean ? (size_t)p.pieces * 4 * (size_t)p.c.out : 0);
    p.packed = f->packed;
    if (!f->packed) {
        p.packed = work + moments_floats(&p);
        pack_weights(work + moments_floats(&p), f->w, &p.c, &p.row_taps, &p.column_taps, false);
    }
    threads_run(run_piece, &p, p.pieces);
    if (f->mean) join_moments(&p);
}

size_t conv_packed_floats(const struct conv_forward *f) {
    struct forward p = plan(f);
    return packed_floats(&p.row_taps, &p.column_taps, p.c.in, p.c.out);
}

void conv_pack(float *packed, const struct conv_forward *f) {
    struct forward p = plan(f);
    pack_weights(packed, f->w, &p.c, &p.row_taps, &p.column_taps, false);
}

size_t conv_forward_work(const struct conv_forward *f) {
    struct forward p = plan(f);
    return moments_floats(&p) + (f->packed ? 0 : conv_packed_floats(f));
}

size_t conv_forward_scratch(const struct conv_forward *f) {
    struct forward p = plan(f);
    return p.direct ? 0 : (size_t)side_inputs(&p.rows, 0, max(1, p.band)).count * (size_t)p.across.count * (size_t)p.c.in;
}
