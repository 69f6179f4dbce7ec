// Register-tiled products. A tile of ROWS pixels by VECTORS vectors of channels stays in registers while the sum runs; the
// left operand is broadcast float by float straight from the picture, so nothing is gathered into a matrix first.
#include "product.h"
#include "vec.h"

#include <string.h>

#if defined(__AVX512F__)
enum { ROWS = 8, VECTORS = 2 };
#elif defined(__AVX2__)
enum { ROWS = 6, VECTORS = 2 };
#elif defined(__aarch64__)
enum { ROWS = 6, VECTORS = 4 };
#else
enum { ROWS = 4, VECTORS = 2 };
#endif
enum { BLOCK = VECTORS * VL };

// Keeps a value in a register: gcc would otherwise load it again for each use.
#define PIN(v) __asm__("" : "+" REGISTER(v))
#if defined(__aarch64__)
#define REGISTER(v) "w"(v)
#elif defined(__x86_64__)
#define REGISTER(v) "v"(v)
#else
#define REGISTER(v) "m"(v)
#endif

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

INLINE void store_part(float *out, vec v, int count) {
    if (count >= VL) store(out, v);
    else if (count > 0) memcpy(out, &v, (size_t)count * sizeof(float));
}

// One tile: `rows` pixels from a on, `vectors` vectors of channels from the packed block b on; `left` channels remain.
INLINE void product_tile(const struct product *p, const float *a, const float *b, const float *bias, float *y, int left, const int rows,
                         const int vectors) {
    vec sum[8][4];
    UNROLL for (int v = 0; v < vectors; v++) {
        vec start = bias ? load(bias + v * VL) : (vec){0};
        UNROLL for (int m = 0; m < rows; m++) sum[m][v] = start;
    }
    for (int r = 0; r < p->runs; r++) {
        const float *row[8];
        UNROLL for (int m = 0; m < rows; m++) row[m] = a + p->offset[r] + m * (ptrdiff_t)p->a_pixel;
        for (int k = 0; k < p->length; k++, b += vectors * VL) {
            vec w[4];
            UNROLL for (int v = 0; v < vectors; v++) {
                w[v] = load(b + v * VL);
                PIN(w[v]);
            }
            UNROLL for (int m = 0; m < rows; m++) {
                vec s = splat(row[m][k]);
                UNROLL for (int v = 0; v < vectors; v++) sum[m][v] += s * w[v];
            }
        }
    }
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++)
        store_part(y + m * (ptrdiff_t)p->y_pixel + v * VL, sum[m][v], left - v * VL);
}

// All pixels of a row against one block of channels: whole tiles, then ever smaller ones.
INLINE void product_row(const struct product *p, const float *a, const float *b, const float *bias, float *y, int left, const int vectors) {
    int j = 0;
#define TILES(rows) \
    for (; j + (rows) <= p->width; j += (rows)) \
        product_tile(p, a + j * (ptrdiff_t)p->a_pixel, b, bias, y + j * (ptrdiff_t)p->y_pixel, left, rows, vectors)
    TILES(ROWS);
    if (ROWS > 4) TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
}

static __attribute__((noinline)) void product_wide(const struct product *p, const float *a, const float *b, const float *bias, float *y, int left) {
    product_row(p, a, b, bias, y, left, VECTORS);
}
static __attribute__((noinline)) void product_narrow(const struct product *p, const float *a, const float *b, const float *bias, float *y, int left) {
    product_row(p, a, b, bias, y, left, 1);
}

void product(const struct product *p) {
    size_t rows = (size_t)p->runs * (size_t)p->length;
    for (int n = 0; n < p->channels; n += BLOCK) {
        const float *b = p->b + (size_t)n * rows, *bias = p->bias ? p->bias + n : NULL;
        int left = p->channels - n;
        for (int i = 0; i < p->height; i++) {
            const float *a = p->a + i * p->a_row;
            float *y = p->y + i * p->y_row + n;
            if (left > VL) product_wide(p, a, b, bias, y, left);
            else product_narrow(p, a, b, bias, y, left);
        }
    }
}

// ---- outer

// One tile of the weight gradient: `rows` weights of a run by `vectors` vectors of channels, summed over all pixels. What is
// loaded behind the last channel is the next pixel's (or slack) and never stored.
INLINE void outer_tile(const struct outer *o, const float *a, const float *d, float *w, int left, const int rows, const int vectors) {
    vec sum[8][4];
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) sum[m][v] = (vec){0};
    for (int i = 0; i < o->height; i++) {
        const float *pixel = a + i * o->a_row, *e = d + i * o->d_row;
        for (int j = 0; j < o->width; j++, pixel += o->a_pixel, e += o->d_pixel) {
            vec u[4];
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
    UNROLL for (int m = 0; m < rows; m++) UNROLL for (int v = 0; v < vectors; v++) {
        float *out = w + m * (ptrdiff_t)o->w_row + v * VL;
        vec old = {0};
        int count = min(left - v * VL, VL);
        if (count == VL) old = load(out);
        else if (count > 0) memcpy(&old, out, (size_t)count * sizeof(float));
        store_part(out, old + sum[m][v], count);
    }
}

INLINE void outer_run(const struct outer *o, const float *a, const float *d, float *w, int left, const int vectors) {
    int k = 0;
#define TILES(rows) \
    for (; k + (rows) <= o->length; k += (rows)) outer_tile(o, a + k, d, w + k * (ptrdiff_t)o->w_row, left, rows, vectors)
    TILES(ROWS);
    if (ROWS > 4) TILES(4);
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
