// Panels are filled row by row: zeros, the pixels inside the picture, zeros. Channels go in groups of up to four vectors,
// whose coefficients stay in registers while the pixels of the row go by.
#include "panel.h"
#include "vec.h"

#include <string.h>

enum { GROUP = 4 };

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

// Some pixels of a row, `step` floats apart in the picture and side by side in the panel.
struct run {
    float *to;
    const float *x, *g, *add;
    int pixels, channels, step;
};

// `count`: channels that are left; the lanes behind the last are computed and not stored.
INLINE void norm_group(const struct run *r, const struct norm_coefficients *k, int c, const int vectors, const bool relu) {
    const int left = r->channels - c;
    vec mean[GROUP], scale[GROUP], offset[GROUP];
    UNROLL for (int v = 0; v < vectors; v++) {
        mean[v] = load(k->mean + c + v * VL);
        scale[v] = load(k->scale + c + v * VL);
        offset[v] = load(k->offset + c + v * VL);
    }
    const float *x = r->x + c;
    float *to = r->to + c;
    for (int p = 0; p < r->pixels; p++, x += r->step, to += r->channels) {
        UNROLL for (int v = 0; v < vectors; v++) {
            vec y = norm_value(load(x + v * VL) - mean[v], scale[v], offset[v]);
            if (relu) y = positive(y);
            store_part(to + v * VL, y, vectors > 1 ? VL : left);
        }
    }
}

INLINE void gradient_group(const struct run *r, const struct norm_coefficients *k, int c, const int vectors, const bool more) {
    const int left = r->channels - c;
    vec mean[GROUP], ka[GROUP], kb[GROUP], kc[GROUP];
    UNROLL for (int v = 0; v < vectors; v++) {
        mean[v] = load(k->mean + c + v * VL);
        ka[v] = load(k->a + c + v * VL);
        kb[v] = load(k->b + c + v * VL);
        kc[v] = load(k->c + c + v * VL);
    }
    const float *x = r->x + c, *g = r->g + c, *add = more ? r->add + c : NULL;
    float *to = r->to + c;
    for (int p = 0; p < r->pixels; p++, x += r->step, g += r->step, to += r->channels) {
        UNROLL for (int v = 0; v < vectors; v++) {
            vec d = load(x + v * VL) - mean[v];
            vec y = ka[v] * load(g + v * VL) + (kb[v] * d + kc[v]);
            if (more) y += load(add + v * VL);
            store_part(to + v * VL, y, vectors > 1 ? VL : left);
        }
        if (more) add += r->step;
    }
}

// Few channels: the coefficients are repeated until they fill whole vectors, and pixels go by as one long row.
static void narrow_norm_run(const struct run *r, const struct norm_coefficients *k) {
    float mean[VL * VL], scale[VL * VL], offset[VL * VL];
    const int period = r->channels * VL, floats = r->pixels * r->channels;
    for (int i = 0, c = 0; i < period; i++, c = c + 1 == r->channels ? 0 : c + 1)
        mean[i] = k->mean[c], scale[i] = k->scale[c], offset[i] = k->offset[c];
    for (int i = 0, j = 0; i < floats; i += VL, j = j + VL == period ? 0 : j + VL) {
        vec y = norm_value(load(r->x + i) - load(mean + j), load(scale + j), load(offset + j));
        store_part(r->to + i, k->relu ? positive(y) : y, floats - i);
    }
}

// All channels of a run, by 4, 2 and 1 vectors, the last one perhaps short; the flag is constant in each copy.
#define GROUPS(group, n, flag) \
    for (; c + ((n) > 1 ? (n) * VL : 1) <= r->channels; c += (n) * VL) group(r, k, c, n, flag)
#define EACH_GROUP(group, flag) \
    do { \
        GROUPS(group, 4, flag); \
        GROUPS(group, 2, flag); \
        GROUPS(group, 1, flag); \
    } while (0)

static void norm_run(const struct run *r, const struct norm_coefficients *k) {
    int c = 0;
    if (r->channels < VL && r->step == r->channels) {
        narrow_norm_run(r, k);
        return;
    }
    if (k->relu)
        EACH_GROUP(norm_group, true);
    else
        EACH_GROUP(norm_group, false);
}

static void gradient_run(const struct run *r, const struct norm_coefficients *k) {
    int c = 0;
    if (r->add)
        EACH_GROUP(gradient_group, true);
    else
        EACH_GROUP(gradient_group, false);
}

static void plain_run(const struct run *r) {
    const size_t pixel = (size_t)r->channels;
    if (r->step == r->channels) {
        memcpy(r->to, r->x, sizeof(float) * pixel * (size_t)r->pixels);
        return;
    }
    for (int p = 0; p < r->pixels; p++) memcpy(r->to + p * r->channels, r->x + (ptrdiff_t)p * r->step, sizeof(float) * pixel);
}

// The pixels of one row that lie inside the picture, from its column `first` on.
static void fill_inside(float *to, const struct source *s, int image, int row, int first, int pixels, int step) {
    size_t at = (((size_t)image * (size_t)s->height + (size_t)row) * (size_t)s->width + (size_t)first) * (size_t)s->channels;
    struct run r = {.to = to, .x = s->x + at, .pixels = pixels, .channels = s->channels, .step = step * s->channels};
    if (s->kind == SOURCE_PLAIN) plain_run(&r);
    if (s->kind == SOURCE_NORM) norm_run(&r, s->k);
    if (s->kind == SOURCE_GRADIENT) {
        if (s->pool) pool_max_dx_row(to, s->pool->dy, s->pool->taps, &s->pool->shape, image, row); // whole rows only
        r.g = s->pool ? to : s->g + at;
        r.add = s->add ? s->add + at : NULL;
        gradient_run(&r, s->k);
    }
}

static void clear(float *to, int floats) { memset(to, 0, sizeof(float) * (size_t)floats); }

void panel_fill(float *to, const struct source *s, int image, const struct panel *p, int own_top, int own_rows) {
    // Columns before, inside and after the picture.
    const int before = min(p->columns, max(0, (-p->left + p->step_w - 1) / p->step_w));
    const int first = p->left + before * p->step_w;
    const int inside = min(p->columns - before, max(0, (s->width - first + p->step_w - 1) / p->step_w));
    const int c = s->channels, after = p->columns - before - inside;
    for (int r = 0; r < p->rows; r++, to += (size_t)p->columns * (size_t)c) {
        const int row = p->top + r * p->step_h;
        if (row < 0 || row >= s->height) {
            clear(to, p->columns * c);
            continue;
        }
        clear(to, before * c);
        if (inside > 0) fill_inside(to + before * c, s, image, row, first, inside, p->step_w);
        clear(to + (before + inside) * c, after * c);
        if (s->dense && row >= own_top && row < own_top + own_rows) {
            size_t at = ((size_t)image * (size_t)s->height + (size_t)row) * (size_t)s->width * (size_t)c;
            memcpy(s->dense + at, to + before * c, sizeof(float) * (size_t)s->width * (size_t)c);
        }
    }
}
