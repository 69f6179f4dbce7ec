// The weight gradient of a convolution, as outer products of the panels of x and dy; the gradients of the bias and of a
// channel of ones are sums of dy.
#include "conv_gradients.h"
#include "threads.h"
#include "vec.h"

#include <string.h>

enum { ADD_PIECE = 4096 }; // weights of a piece when partial sums are added

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static int ceil_div(int a, int b) { return (a + b - 1) / b; }

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

void conv_dw_unit(const struct branch *r, const struct partials *sum, const struct band *b, const float *x, const float *dy,
                  int channel, int channels, struct prefetch *ahead) {
    add_outer(r, sum->dw, b, x, dy, channel, channels, ahead);
    for (int i = b->out.first; sum->db && i < b->out.first + b->out.count; i++)
        add_pixels(sum->db, dy_at(r, b, dy, i), r->c.out_w, r->c.out);
    if (sum->ones) add_ones(r, sum->ones, b, dy);
}

// ---- partial sums

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

void join_partials(float *to, const float *partial, size_t floats, int groups) {
    struct adding a = {to, partial, floats, groups};
    threads_run(add_partials, &a, (int)((floats + ADD_PIECE - 1) / ADD_PIECE));
}

