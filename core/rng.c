// Random numbers: Philox4x32-10 streams, and MT19937 as Python and NumPy use it.
#include "rng.h"
#include "threads.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

// ---- Philox4x32-10

static void philox(uint32_t out[4], const uint32_t counter[4], uint64_t seed) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53 * c0, p1 = (uint64_t)0xCD9E8D57 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void rng_start(struct rng *r, uint64_t seed, uint32_t a, uint32_t b, uint32_t c) {
    *r = (struct rng){.seed = seed, .stream = {a, b, c}, .used = 4};
}

uint32_t rng_u32(struct rng *r) {
    if (r->used == 4) {
        uint32_t counter[4] = {r->block++, r->stream[0], r->stream[1], r->stream[2]};
        philox(r->words, counter, r->seed);
        r->used = 0;
    }
    return r->words[r->used++];
}

uint64_t rng_position(const struct rng *r) { return 4 * (uint64_t)r->block + (uint64_t)r->used - 4; }

void rng_seek(struct rng *r, uint64_t position) {
    r->block = (uint32_t)(position / 4);
    r->used = 4;
    for (uint64_t rest = position % 4; rest > 0; rest--) rng_u32(r);
}

// One round on neighbouring counters side by side. A function of its own: only so do compilers make vectors of it.
__attribute__((noinline)) static void philox_round(uint32_t *restrict c0, uint32_t *restrict c1, uint32_t *restrict c2,
                                                   uint32_t *restrict c3, uint32_t k0, uint32_t k1) {
    for (int i = 0; i < RNG_BLOCKS; i++) {
        uint32_t low0 = 0xD2511F53 * c0[i], high0 = (uint32_t)(((uint64_t)0xD2511F53 * c0[i]) >> 32);
        uint32_t low1 = 0xCD9E8D57 * c2[i], high1 = (uint32_t)(((uint64_t)0xCD9E8D57 * c2[i]) >> 32);
        c0[i] = high1 ^ c1[i] ^ k0;
        c1[i] = low1;
        c2[i] = high0 ^ c3[i] ^ k1;
        c3[i] = low0;
    }
}

void rng_blocks(struct rng *r, uint32_t words[4 * RNG_BLOCKS]) {
    uint32_t c0[RNG_BLOCKS], c1[RNG_BLOCKS], c2[RNG_BLOCKS], c3[RNG_BLOCKS];
    uint32_t k0 = (uint32_t)r->seed, k1 = (uint32_t)(r->seed >> 32);
    for (int i = 0; i < RNG_BLOCKS; i++)
        c0[i] = r->block + (uint32_t)i, c1[i] = r->stream[0], c2[i] = r->stream[1], c3[i] = r->stream[2];
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9, k1 += 0xBB67AE85) philox_round(c0, c1, c2, c3, k0, k1);
    for (int i = 0; i < RNG_BLOCKS; i++)
        words[4 * i] = c0[i], words[4 * i + 1] = c1[i], words[4 * i + 2] = c2[i], words[4 * i + 3] = c3[i];
    r->block += RNG_BLOCKS;
    r->used = 4;
}

static double unit53(uint32_t high, uint32_t low) {
    return ((high >> 5) * 67108864.0 + (low >> 6)) / 9007199254740992.0;
}

double rng_uniform(struct rng *r) {
    uint32_t high = rng_u32(r);
    return unit53(high, rng_u32(r));
}

double rng_normal(struct rng *r) {
    double u = 1 - rng_uniform(r), angle = 2 * 3.14159265358979323846 * rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(angle);
}

uint32_t rng_below(struct rng *r, uint32_t n) {
    uint32_t excess = (uint32_t)(-n) % n, x; // the lowest 2^32 mod n values would be drawn too often
    do x = rng_u32(r);
    while (x < excess);
    return x % n;
}

void rng_shuffle(struct rng *r, uint32_t *items, size_t n) {
    for (size_t i = n; i-- > 1;) {
        size_t j = rng_below(r, (uint32_t)(i + 1));
        uint32_t item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

// ---- whole arrays

enum { PIECE = 1 << 13 }; // numbers a thread takes at a time, a multiple of 4

struct fill_job {
    float *x;
    size_t n;
    struct rng stream;
    double base, scale;
    float below; // the largest uniform number
    bool normal;
};

// Two numbers by Box-Muller from two words; the first is never 0, so the logarithm is finite.
static void normal_pair(double out[2], const uint32_t words[2]) {
    double radius = sqrt(-2 * log((words[0] + 1.0) / 4294967296.0)),
           angle = words[1] * (2 * 3.14159265358979323846 / 4294967296.0);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

static void four_numbers(double out[4], const uint32_t words[4], bool normal) {
    if (normal) {
        normal_pair(out, words);
        normal_pair(out + 2, words + 2);
    } else {
        for (int k = 0; k < 4; k++) out[k] = (words[k] >> 8) / 16777216.0;
    }
}

static void fill_piece(void *arg, int piece, int thread) {
    const struct fill_job *job = arg;
    const struct rng *s = &job->stream;
    size_t begin = (size_t)piece * PIECE, end = begin + PIECE < job->n ? begin + PIECE : job->n;
    (void)thread;
    for (size_t i = begin; i < end; i += 4) {
        uint32_t words[4], counter[4] = {s->block + (uint32_t)(i / 4), s->stream[0], s->stream[1], s->stream[2]};
        double numbers[4];
        philox(words, counter, s->seed);
        four_numbers(numbers, words, job->normal);
        for (size_t k = 0; k < 4 && i + k < end; k++) {
            float x = (float)(job->base + job->scale * numbers[k]);
            job->x[i + k] = !job->normal && x > job->below ? job->below : x;
        }
    }
}

static void fill(struct fill_job job) { threads_run(fill_piece, &job, (int)((job.n + PIECE - 1) / PIECE)); }

void rng_fill_uniform(float *x, size_t n, const struct rng *stream, double low, double high) {
    float below = low < high ? nextafterf((float)high, (float)low) : (float)low;
    fill((struct fill_job){.x = x, .n = n, .stream = *stream, .base = low, .scale = high - low, .below = below});
}

void rng_fill_normal(float *x, size_t n, const struct rng *stream, double mean, double deviation) {
    fill((struct fill_job){.x = x, .n = n, .stream = *stream, .base = mean, .scale = deviation, .normal = true});
}

// ---- MT19937 (Matsumoto and Nishimura 1998)

void mt_seed_numpy(struct mt19937 *m, uint32_t seed) {
    m->state[0] = seed;
    for (uint32_t i = 1; i < 624; i++) m->state[i] = 1812433253u * (m->state[i - 1] ^ (m->state[i - 1] >> 30)) + i;
    m->position = 624;
}

void mt_seed_python(struct mt19937 *m, uint32_t seed) {
    mt_seed_numpy(m, 19650218u);
    uint32_t *s = m->state;
    int i = 1;
    for (int k = 0; k < 624; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + seed;
        if (++i == 624) s[0] = s[623], i = 1;
    }
    for (int k = 0; k < 623; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - (uint32_t)i;
        if (++i == 624) s[0] = s[623], i = 1;
    }
    s[0] = 0x80000000u;
}

static void mt_refill(struct mt19937 *m) {
    uint32_t *s = m->state;
    for (int i = 0; i < 624; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
        s[i] = s[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    m->position = 0;
}

uint32_t mt_u32(struct mt19937 *m) {
    if (m->position >= 624) mt_refill(m);
    uint32_t y = m->state[m->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double mt_uniform(struct mt19937 *m) {
    uint32_t high = mt_u32(m);
    return unit53(high, mt_u32(m));
}

uint32_t mt_python_below(struct mt19937 *m, uint32_t n) {
    int bits = 32 - __builtin_clz(n);
    uint32_t x;
    do x = mt_u32(m) >> (32 - bits);
    while (x >= n);
    return x;
}

void mt_python_shuffle(struct mt19937 *m, uint32_t *items, size_t n) {
    for (size_t i = n; i-- > 1;) {
        uint32_t j = mt_python_below(m, (uint32_t)(i + 1)), item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}

uint32_t mt_numpy_below(struct mt19937 *m, uint32_t n) {
    uint32_t mask = n > 1 ? UINT32_MAX >> __builtin_clz(n - 1) : 0, x = 0;
    if (n < 2) return 0; // draws nothing
    do x = mt_u32(m) & mask;
    while (x >= n);
    return x;
}

void mt_numpy_shuffle(struct mt19937 *m, uint32_t *items, size_t n) {
    for (size_t i = n; i-- > 1;) {
        uint32_t j = mt_numpy_below(m, (uint32_t)(i + 1)), item = items[i];
        items[i] = items[j];
        items[j] = item;
    }
}
