// Random numbers. Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3")
// is a pure function of a key and a counter: whoever needs numbers names what they are for, so
// nothing depends on the order or the threads of drawing. MT19937 is there to repeat Python's and
// NumPy's legacy streams exactly.
#pragma once
#include <stddef.h>
#include <stdint.h>

// A stream of draws: the key is the seed, the counter's upper words say for whom (consumer, epoch, sample, purpose).
struct rng {
    uint64_t seed;
    uint32_t stream[3];
    uint32_t block;   // the next counter value
    int used;         // words of `words` already drawn
    uint32_t words[4];
};
void rng_start(struct rng *r, uint64_t seed, uint32_t a, uint32_t b, uint32_t c);
uint64_t rng_position(const struct rng *r);        // words drawn since rng_start
void rng_seek(struct rng *r, uint64_t position);   // as if so many had been drawn
uint32_t rng_u32(struct rng *r);
// The next RNG_BLOCKS blocks at once, many times faster: words[i] is what the i-th call of rng_u32
// on a fresh block gives.
enum { RNG_BLOCKS = 32 };
void rng_blocks(struct rng *r, uint32_t words[4 * RNG_BLOCKS]);
double rng_uniform(struct rng *r);                 // [0, 1), 53 bits
double rng_normal(struct rng *r);                  // mean 0, deviation 1 (Box-Muller, one of the pair)
uint32_t rng_below(struct rng *r, uint32_t n);     // 0..n-1, unbiased; n > 0
void rng_shuffle(struct rng *r, uint32_t *items, size_t n); // Fisher-Yates from the end

// x[i] = low + (high - low) u or mean + deviation z, from word i of the stream's counter (4 words a block): parallel,
// and the same for any thread count. Uniform numbers have 24 random bits and stay below high (when low < high).
void rng_fill_uniform(float *x, size_t n, const struct rng *stream, double low, double high);
void rng_fill_normal(float *x, size_t n, const struct rng *stream, double mean, double deviation);

// Python's random.Random(seed) for a seed below 2^32, and numpy.random.RandomState(seed).
struct mt19937 { uint32_t state[624]; int position; };
void mt_seed_numpy(struct mt19937 *m, uint32_t seed);            // init_genrand
void mt_seed_python(struct mt19937 *m, uint32_t seed);           // init_by_array({seed})
uint32_t mt_u32(struct mt19937 *m);
double mt_uniform(struct mt19937 *m);                            // random() and random_sample(): 53 bits
uint32_t mt_python_below(struct mt19937 *m, uint32_t n);         // _randbelow: getrandbits(bit_length(n)), redrawn
uint32_t mt_numpy_below(struct mt19937 *m, uint32_t n);         // legacy random_interval: masked bits, redrawn; n > 0
void mt_numpy_shuffle(struct mt19937 *m, uint32_t *items, size_t n);
void mt_python_shuffle(struct mt19937 *m, uint32_t *items, size_t n);
