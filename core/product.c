// Register-tiled products. A tile of ROWS pixels by VECTORS vectors of channels (NARROW_ROWS by one; in the outer product
// OUTER_ROWS weights) stays in registers while the sum runs; the left operand is broadcast float by float straight from the
// picture, so nothing is gathered into a matrix first.
#include "product.h"
#include "vec.h"

#include <string.h>

#if defined(__AVX512F__)
enum { ROWS = 12, VECTORS = 2, NARROW_ROWS = 8, OUTER_ROWS = 12 };
#elif defined(__AVX2__)
enum { ROWS = 6, VECTORS = 2, NARROW_ROWS = 6, OUTER_ROWS = 6 };
#elif defined(__aarch64__)
enum { ROWS = 6, VECTORS = 4, NARROW_ROWS = 6, OUTER_ROWS = 6 };
#else
enum { ROWS = 4, VECTORS = 2, NARROW_ROWS = 4, OUTER_ROWS = 4 };
#endif
enum { BLOCK = VECTORS * VL };

// ---- packing

static int min(int a, int b) { return a < b ? a : b; }
int product_blocks(int channels) { return (channels + BLOCK - 1) / BLOCK; }

// The last block is one vector wide when that is enough.
static int block_width(int channels, int block) { return channels - block * BLOCK <= VL ? VL : BLOCK; }

size_t product_packed_size(int rows, int channels) { return (size_t)rows * (size_t)product_blocks(channels) * BLOCK; }

void product_pack(const struct packing *p, int block) {
    int first = block * BLOCK, width = block_width(p->channels, block), have = min(p->channels - first, width);
    float *out = p->packed + (size_t)first * (size_t)(p->taps * p->inner);
    for (int t = 0; t < p->taps; t++)
        for (int k = 0; k < p->inner; k++, out += width) {
            const float *from = p->w + p->tap_at[t] + k * (ptrdiff_t)p->inner_stride + first * (ptrdiff_t)p->column_stride;
            for (int n = 0; n < have; n++) out[n] = from[n * (ptrdiff_t)p->column_stride];
            for (int n = have; n < width; n++) out[n] = 0;
        }
}

// ---- product

enum { CHUNK = 64 }; // pixels that go through all channels together, so that they stay in the first-level cache

struct chunk {
    int pixels;
    ptrdiff_t a[CHUNK], y[CHUNK]; // where each pixel stands
};

// Pixels are counted through the rows, so that narrow pictures fill whole tiles too.
static void find_pixels(struct chunk *c, const struct product *p, int first) {
    c->pixels = min(CHUNK, p->height * p->width - first);
    int i = first / p->width, j = first % p->width;
    ptrdiff_t a = i * p->a_row + j * (ptrdiff_t)p->a_pixel, next_a = p->a_row - (p->width - 1) * (ptrdiff_t)p->a_pixel;
    ptrdiff_t y = i * p->y_row + j * (ptrdiff_t)p->y_pixel, next_y = p->y_row - (p->width - 1) * (ptrdiff_t)p->y_pixel;
    for (int m = 0; m < c->pixels; m++) {
        c->a[m] = a, c->y[m] = y;
        bool at_end = ++j == p->width;
        a += at_end ? next_a : p->a_pixel;
        y += at_end ? next_y : p->y_pixel;
        if (at_end) j = 0;
    }
}

INLINE void add_part(float *sum, vec v, int count) {
    if (count >= VL) store(sum, load(sum) + v);
    else for (int i = 0; i < count; i++) sum[i] += v[i];
}

// Sums of a block of channels, while its tiles go by.
struct sums { vec s1[VECTORS], s2[VECTORS]; };

// The end of the sums of one pixel for `count` channels from n on; `at`: the pixel in y. Of pictures it reads those channels
// only: what lies behind them may be another thread's, or no one's. What is given by channel is padded to whole vectors.
INLINE vec finish(const struct product *p, vec v, int n, int count, ptrdiff_t at, vec *s1, vec *s2, const enum product_end end) {
    if (p->add) v += load_part(p->add + at + n, count);
    if (end == PRODUCT_RELU) v = positive(v);
    if (end == PRODUCT_MOMENTS) {
        vec d = v - load(p->shift + n);
        *s1 += d;
        *s2 += d * d;
    }
    if (end == PRODUCT_GRADIENT) {
        const struct norm_coefficients *k = p->norm;
        vec d = load_part(p->x + at + n, count) - load(k->mean + n);
        if (k->relu) v = where_positive(norm_value(d, load(k->scale + n), load(k->offset + n)), v);
        *s1 += v;
        *s2 += v * d;
    }
    return v;
}

typedef vec tile[12][VECTORS]; // sums: pixels by vectors of channels

// sum += a(k) * b(k), for pixels `row` and all k of a run. Whole tiles, and short ones that split their sum over `split`
// values of k at a time, so that as many additions are under way as in a whole one.
INLINE const float *add_run(tile sum, const float *const row[12], const float *b, int length, const int rows, const int vectors) {
    for (int k = 0; k < length; k++, b += vectors * VL) {
        vec w[VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) {
            w[v] = load(b + v * VL);
            PIN(w[v]);
            if (rows >= 8) __builtin_prefetch(b + (8 * vectors + v) * VL);
        }
        UNROLL for (int m = 0; m < rows; m++) {
            vec a = splat(row[m][k]);
            UNROLL for (int v = 0; v < vectors; v++) sum[m][v] += a * w[v];
        }
    }
    return b;
}

INLINE const float *add_run_split(tile sum, const float *const row[12], const float *b, int length, const int rows,
                                  const int vectors, const int split) {
    const float *left[12];
    int k = 0;
    for (; k + split <= length; k += split, b += split * vectors * VL)
        UNROLL for (int t = 0; t < split; t++) UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++)
            sum[t * rows + m][v] += splat(row[m][k + t]) * load(b + (t * vectors + v) * VL);
    UNROLL for (int m = 0; m < rows; m++) left[m] = row[m] + k;
    return add_run(sum, left, b, length - k, rows, vectors);
}

// The last channels, fewer than the vectors hold; seldom, so it need not be fast.
static __attribute__((noinline)) void end_part(const struct product *p, const struct chunk *c, int first, int n, struct sums *s,
                                               const vec *sum, int rows, int vectors) {
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < vectors; v++) {
            const ptrdiff_t at = c->y[first + m];
            const int from = n + v * VL, count = p->channels - from;
            vec y = finish(p, sum[m * VECTORS + v], from, count, at, &s->s1[v], &s->s2[v], p->end);
            store_part(p->y + at + from, y, count);
        }
}

INLINE void end_tile(const struct product *p, const struct chunk *c, int first, int n, struct sums *s, tile sum, const int rows,
                     const int vectors, const enum product_end end) {
    if (p->channels - n < vectors * VL) {
        tile copy;
        UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) copy[m][v] = sum[m][v];
        end_part(p, c, first, n, s, &copy[0][0], rows, vectors);
        return;
    }
    // Pinned: with the ends in sight the compiler would run out of registers in the loop above.
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) PIN(sum[m][v]);
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) {
        float *y = p->y + c->y[first + m] + n + v * VL;
        store(y, finish(p, sum[m][v], n + v * VL, VL, c->y[first + m], &s->s1[v], &s->s2[v], end));
    }
}

// One tile: `rows` pixels from number `first` on, `vectors` vectors of channels from channel n on, whose packed block is b.
INLINE void product_tile(const struct product *p, const struct chunk *c, int first, const float *b, int n, struct sums *s,
                         const int rows, const int vectors, const enum product_end end) {
    const int split = rows == 1 ? 4 : rows == 2 ? 2 : 1;
    tile sum;
    if (p->ahead) prefetch_step(p->ahead);
    UNROLL for (int v = 0; v < vectors; v++) {
        vec start = p->bias ? load(p->bias + n + v * VL) : (vec){0};
        UNROLL for (int m = 0; m < rows * split; m++) sum[m][v] = m < rows ? start : (vec){0};
    }
    for (int r = 0; r < p->runs; r++) {
        const float *row[12];
        UNROLL for (int m = 0; m < rows; m++) row[m] = p->a + p->offset[r] + c->a[first + m];
        if (split > 1) b = add_run_split(sum, row, b, p->length, rows, vectors, split);
        else b = add_run(sum, row, b, p->length, rows, vectors);
    }
    UNROLL for (int t = 1; t < split; t++)
        UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) sum[m][v] += sum[t * rows + m][v];
    end_tile(p, c, first, n, s, sum, rows, vectors, end);
}

// All pixels of a chunk against one block of channels: whole tiles, then ever smaller ones.
INLINE void product_block(const struct product *given, const struct chunk *c, const float *b, int n, const int vectors,
                          const enum product_end end) {
    const struct product copy = *given, *p = &copy; // its own: no store to y can change it, as far as the compiler knows
    struct sums s = {0};
    int m = 0;
#define TILES(rows) \
    for (; m + (rows) <= c->pixels && !((rows) > 8 && c->pixels - m == 16); m += (rows)) \
        product_tile(p, c, m, b, n, &s, rows, vectors, end)
    const int most = vectors == VECTORS ? ROWS : NARROW_ROWS;
    TILES(most); // but of 16 pixels two tiles of 8: one of 4 has too few sums to keep the multipliers busy
    if (most > 8) TILES(8);
    if (most > 4) TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
    if (end != PRODUCT_MOMENTS && end != PRODUCT_GRADIENT) return;
    UNROLL for (int v = 0; v < vectors; v++) {
        add_part(p->s1 + n + v * VL, s.s1[v], p->channels - n - v * VL);
        add_part(p->s2 + n + v * VL, s.s2[v], p->channels - n - v * VL);
    }
}

// One function for each end and block width, so that its tiles stay in registers.
typedef void block_kernel(const struct product *p, const struct chunk *c, const float *b, int n);
#define KERNEL(name, end) \
    static __attribute__((noinline)) void wide_##name(const struct product *p, const struct chunk *c, const float *b, int n) { \
        product_block(p, c, b, n, VECTORS, end); \
    } \
    static __attribute__((noinline)) void narrow_##name(const struct product *p, const struct chunk *c, const float *b, int n) { \
        product_block(p, c, b, n, 1, end); \
    }
KERNEL(store, PRODUCT_STORE)
KERNEL(relu, PRODUCT_RELU)
KERNEL(moments, PRODUCT_MOMENTS)
KERNEL(gradient, PRODUCT_GRADIENT)
#undef KERNEL
static block_kernel *const wide[] = {wide_store, wide_relu, wide_moments, wide_gradient};
static block_kernel *const narrow[] = {narrow_store, narrow_relu, narrow_moments, narrow_gradient};

void product(const struct product *p) {
    const size_t rows = (size_t)p->runs * (size_t)p->length;
    struct chunk c;
    for (int first = 0; first < p->height * p->width; first += CHUNK) {
        find_pixels(&c, p, first);
        for (int n = 0; n < p->channels; n += BLOCK)
            (block_width(p->channels, n / BLOCK) == VL ? narrow : wide)[p->end](p, &c, p->b + (size_t)n * rows, n);
    }
}

// ---- outer

// The last channels, fewer than the vectors hold.
static __attribute__((noinline)) void add_tile_part(float *w, int w_row, int left, const vec *sum, int rows, int vectors) {
    for (int m = 0; m < rows; m++)
        for (int v = 0; v < vectors; v++) {
            float *out = w + m * (ptrdiff_t)w_row + v * VL;
            store_part(out, load_part(out, left - v * VL) + sum[m * VECTORS + v], left - v * VL);
        }
}

// One tile of the weight gradient: `rows` weights of a run by `vectors` vectors of channels, summed over all pixels. What is
// loaded behind the last channel is the next pixel's (or slack) and never stored.
INLINE void outer_tile(const struct outer *o, const float *a, const float *d, float *w, int left, const int rows,
                       const int vectors) {
    tile sum;
    if (o->ahead) prefetch_step(o->ahead);
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) sum[m][v] = (vec){0};
    for (int i = 0; i < o->height; i++) {
        const float *pixel = a + i * o->a_row, *e = d + i * o->d_row;
        for (int j = 0; j < o->width; j++, pixel += o->a_pixel, e += o->d_pixel) {
            vec u[VECTORS];
            UNROLL for (int v = 0; v < vectors; v++) {
                u[v] = load(e + v * VL);
                PIN(u[v]);
            }
            UNROLL for (int m = 0; m < rows; m++) {
                vec s = splat(pixel[m]);
                UNROLL for (int v = 0; v < vectors; v++) sum[m][v] += s * u[v];
            }
        }
    }
    if (left < vectors * VL) {
        tile copy;
        UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) copy[m][v] = sum[m][v];
        add_tile_part(w, o->w_row, left, &copy[0][0], rows, vectors);
        return;
    }
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) PIN(sum[m][v]);
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) {
        float *out = w + m * (ptrdiff_t)o->w_row + v * VL;
        store(out, load(out) + sum[m][v]);
    }
}

INLINE void outer_run(const struct outer *o, const float *a, const float *d, float *w, int left, const int vectors) {
    int k = 0;
#define TILES(rows) \
    for (; k + (rows) <= o->length; k += (rows)) outer_tile(o, a + k, d, w + k * (ptrdiff_t)o->w_row, left, rows, vectors)
    if (OUTER_ROWS <= 8 || o->length % OUTER_ROWS == 0) TILES(OUTER_ROWS); // short tiles at the end would cost more
    if (OUTER_ROWS > 8) TILES(8);
    if (OUTER_ROWS > 4) TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
}

static __attribute__((noinline)) void outer_wide(const struct outer *o, const float *a, const float *d, float *w, int left) {
    outer_run(o, a, d, w, left, VECTORS);
}
static __attribute__((noinline)) void outer_narrow(const struct outer *o, const float *a, const float *d, float *w, int left) {
    outer_run(o, a, d, w, left, 1);
}

void outer(const struct outer *o) {
    for (int n = 0; n < o->channels; n += BLOCK) {
        int left = o->channels - n;
        for (int r = 0; r < o->runs; r++) {
            float *w = o->w + (size_t)r * (size_t)o->length * (size_t)o->w_row + n;
            if (left > VL) outer_wide(o, o->a + o->offset[r], o->d + n, w, left);
            else outer_narrow(o, o->a + o->offset[r], o->d + n, w, left);
        }
    }
}

double product_tiles(double pixels, int channels) { return (pixels / ROWS + 1) * product_blocks(channels); }
double outer_tiles(double rows, int channels) { return (rows / OUTER_ROWS + 1) * product_blocks(channels); }
