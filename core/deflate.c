// Compression: repeated strings of the last 32 KB become (length, distance) pairs, found by a hash
// of three bytes; the pairs and the bytes that are left, a block of them at a time, get Huffman
// codes made for that block. (stb_image_write would end the process when memory does.)
#include "deflate.h"
#include "mem.h"
#include "sys.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    WINDOW = 1 << 15,
    SHORTEST = 3,
    LONGEST = 258,
    CHAIN = 24,      // candidates tried for a match
    BLOCK = 1 << 15, // tokens in a block
    LITERALS = 286,  // bytes, end of block, lengths
    DISTANCES = 30,
    END_OF_BLOCK = 256,
    LONGEST_CODE = 15,
    LENGTH_CODES = 19, // the alphabet in which code lengths are written
};

struct token { // a byte (distance 0), or a copy
    uint16_t length, distance;
};

// Of each symbol: its bits, in the order they are written, and how many (0: not used).
struct code {
    uint16_t bits[LITERALS];
    unsigned char length[LITERALS];
};

struct deflater {
    unsigned char *out;
    size_t size, capacity;
    uint64_t bits; // not yet written, the first one lowest
    int bit_count;
    bool failed; // no memory: nothing more is written
    int head[WINDOW];     // hash -> last position + 1
    int previous[WINDOW]; // position % WINDOW -> the one before with its hash + 1
    struct token tokens[BLOCK];
    int token_count;
    uint32_t literal_count[LITERALS], distance_count[DISTANCES];
};

// ---- bits

static void reserve(struct deflater *d, size_t more) {
    if (d->failed || d->size + more <= d->capacity) return;
    size_t capacity = 2 * d->capacity + more;
    unsigned char *moved = mem_resize(d->out, capacity);
    if (!moved) {
        d->failed = true;
        return;
    }
    d->out = moved;
    d->capacity = capacity;
}

static void put_bits(struct deflater *d, uint32_t bits, int count) {
    d->bits |= (uint64_t)bits << d->bit_count;
    d->bit_count += count;
    for (; d->bit_count >= 8; d->bit_count -= 8, d->bits >>= 8) {
        reserve(d, 1);
        if (!d->failed) d->out[d->size++] = (unsigned char)d->bits;
    }
}

static void put_code(struct deflater *d, const struct code *code, int symbol) {
    put_bits(d, code->bits[symbol], code->length[symbol]);
}

// ---- lengths and distances: a symbol and extra bits

// Value v (from 0) in a series whose steps double every `per` symbols after the first 2 * per.
static int symbol_of(int v, int per_bits, int *extra_bits) {
    int per = 1 << per_bits, bits = 0;
    while ((v >> bits) >= 2 * per) bits++;
    *extra_bits = bits;
    return bits * per + (v >> bits);
}

static int length_symbol(int length, int *extra_bits) {
    if (length == LONGEST) return *extra_bits = 0, LITERALS - 1;
    return END_OF_BLOCK + 1 + symbol_of(length - SHORTEST, 2, extra_bits);
}

static int distance_symbol(int distance, int *extra_bits) {
    return symbol_of(distance - 1, 1, extra_bits);
}

// ---- Huffman codes

struct leaf {
    uint32_t count;
    int symbol;
};

static int by_count(const void *a, const void *b) {
    const struct leaf *p = a, *q = b;
    return p->count != q->count ? (p->count < q->count ? -1 : 1) : p->symbol - q->symbol;
}

// depth_count[l] = how many of n >= 2 leaves (sorted by count) lie at depth l in the tree that
// joins the two rarest again and again. Both leaves and joined nodes come in ascending order, so
// the rarest is at the front of one of two queues.
static void tree_depths(int depth_count[], const struct leaf leaves[], int n) {
    uint64_t weight[2 * LITERALS];
    int parent[2 * LITERALS], depth[2 * LITERALS], leaf = 0, node = n;
    for (int i = 0; i < n; i++) weight[i] = leaves[i].count;
    for (int next = n; next < 2 * n - 1; next++) {
        weight[next] = 0;
        for (int k = 0; k < 2; k++) {
            bool is_leaf = leaf < n && (node == next || weight[leaf] <= weight[node]);
            int rarest = is_leaf ? leaf++ : node++;
            weight[next] += weight[rarest];
            parent[rarest] = next;
        }
    }
    depth[2 * n - 2] = 0;
    for (int i = 2 * n - 3; i >= 0; i--) {
        depth[i] = depth[parent[i]] + 1;
        if (i < n) depth_count[depth[i]]++;
    }
}

// Moves leaves that are too deep up to `longest`, then makes room: sum of 2^-depth must be 1.
static void limit_depths(int depth_count[], int deepest, int longest) {
    for (int l = longest + 1; l <= deepest; l++)
        depth_count[longest] += depth_count[l], depth_count[l] = 0;
    uint32_t total = 0;
    for (int l = 1; l <= longest; l++) total += (uint32_t)depth_count[l] << (longest - l);
    // One leaf at the bottom takes the place beside one that moves a level down.
    for (; total > 1u << longest; total--) {
        int l = longest - 1;
        while (depth_count[l] == 0) l--;
        depth_count[longest]--;
        depth_count[l]--;
        depth_count[l + 1] += 2;
    }
}

static uint16_t reversed(uint32_t bits, int count) {
    uint32_t r = 0;
    for (int i = 0; i < count; i++) r |= (bits >> i & 1) << (count - 1 - i);
    return (uint16_t)r;
}

// Codes of one length are consecutive numbers, in the order of the symbols.
static void number_codes(struct code *code, int symbols) {
    uint32_t next = 0;
    for (int l = 1; l <= LONGEST_CODE; l++, next <<= 1)
        for (int s = 0; s < symbols; s++)
            if (code->length[s] == l) code->bits[s] = reversed(next++, l);
}

static void make_code(struct code *code, const uint32_t count[], int symbols, int longest) {
    struct leaf leaves[LITERALS];
    int n = 0, depth_count[LITERALS + 1] = {0};
    memset(code, 0, sizeof *code);
    for (int s = 0; s < symbols; s++)
        if (count[s]) leaves[n++] = (struct leaf){count[s], s};
    for (int s = 0; n < 2; s++) // a code needs two symbols
        if (!count[s]) leaves[n++] = (struct leaf){0, s};
    qsort(leaves, (size_t)n, sizeof *leaves, by_count);
    tree_depths(depth_count, leaves, n);
    limit_depths(depth_count, LITERALS, longest);
    for (int l = longest, i = 0; l > 0; l--) // the rarest are the longest
        for (int k = 0; k < depth_count[l]; k++)
            code->length[leaves[i++].symbol] = (unsigned char)l;
    number_codes(code, symbols);
}

// ---- a block

// The two tables of code lengths as one series, runs shortened: symbols 16 (the last one again, 3-6
// times), 17 and 18 (zeros, 3-10 and 11-138 times).
struct run {
    unsigned char symbol, extra;
};

static int shorten_runs(struct run runs[], const unsigned char lengths[], int n) {
    int count = 0;
    for (int i = 0; i < n;) {
        int same = 1, value = lengths[i];
        while (i + same < n && lengths[i + same] == value) same++;
        if (value == 0 && same >= 3) {
            if (same > 138) same = 138;
            runs[count++] = same < 11 ? (struct run){17, (unsigned char)(same - 3)}
                                      : (struct run){18, (unsigned char)(same - 11)};
        } else if (value != 0 && same >= 4) {
            if (same > 7) same = 7;
            runs[count++] = (struct run){(unsigned char)value, 0};
            runs[count++] = (struct run){16, (unsigned char)(same - 4)};
        } else {
            same = 1;
            runs[count++] = (struct run){(unsigned char)value, 0};
        }
        i += same;
    }
    return count;
}

static int used_symbols(const struct code *code, int symbols, int least) {
    while (symbols > least && code->length[symbols - 1] == 0) symbols--;
    return symbols;
}

static void put_codes(struct deflater *d, const struct code *literals,
                      const struct code *distances) {
    static const unsigned char order[LENGTH_CODES] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    int n = used_symbols(literals, LITERALS, 257), m = used_symbols(distances, DISTANCES, 1);
    int written = LENGTH_CODES;
    unsigned char lengths[LITERALS + DISTANCES];
    struct run runs[LITERALS + DISTANCES];
    struct code code;
    uint32_t count[LENGTH_CODES] = {0};
    memcpy(lengths, literals->length, (size_t)n);
    memcpy(lengths + n, distances->length, (size_t)m);
    int run_count = shorten_runs(runs, lengths, n + m);
    for (int i = 0; i < run_count; i++) count[runs[i].symbol]++;
    make_code(&code, count, LENGTH_CODES, 7);
    while (written > 4 && code.length[order[written - 1]] == 0) written--;
    put_bits(d, (uint32_t)(n - 257), 5);
    put_bits(d, (uint32_t)(m - 1), 5);
    put_bits(d, (uint32_t)(written - 4), 4);
    for (int i = 0; i < written; i++) put_bits(d, code.length[order[i]], 3);
    for (int i = 0; i < run_count; i++) {
        int symbol = runs[i].symbol;
        put_code(d, &code, symbol);
        put_bits(d, runs[i].extra, symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
    }
}

static void put_copy(struct deflater *d, struct token t, const struct code *literals,
                     const struct code *distances) {
    int extra, symbol = length_symbol(t.length, &extra);
    put_code(d, literals, symbol);
    put_bits(d, (uint32_t)(t.length - SHORTEST) & ((1u << extra) - 1), extra);
    symbol = distance_symbol(t.distance, &extra);
    put_code(d, distances, symbol);
    put_bits(d, (uint32_t)(t.distance - 1) & ((1u << extra) - 1), extra);
}

static void put_block(struct deflater *d, bool last) {
    struct code literals, distances;
    d->literal_count[END_OF_BLOCK] = 1;
    make_code(&literals, d->literal_count, LITERALS, LONGEST_CODE);
    make_code(&distances, d->distance_count, DISTANCES, LONGEST_CODE);
    put_bits(d, last, 1);
    put_bits(d, 2, 2); // codes made for this block
    put_codes(d, &literals, &distances);
    for (int i = 0; i < d->token_count; i++) {
        if (d->tokens[i].distance) put_copy(d, d->tokens[i], &literals, &distances);
        else put_code(d, &literals, d->tokens[i].length);
    }
    put_code(d, &literals, END_OF_BLOCK);
    d->token_count = 0;
    memset(d->literal_count, 0, sizeof d->literal_count);
    memset(d->distance_count, 0, sizeof d->distance_count);
}

static void add_token(struct deflater *d, int length, int distance) {
    int extra;
    if (d->token_count == BLOCK) put_block(d, false);
    d->tokens[d->token_count++] = (struct token){(uint16_t)length, (uint16_t)distance};
    if (distance) {
        d->literal_count[length_symbol(length, &extra)]++;
        d->distance_count[distance_symbol(distance, &extra)]++;
    } else d->literal_count[length]++;
}

// ---- repeated strings

static uint32_t hash_of(const unsigned char *p) {
    return ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16) * 2654435761u >> (32 - 15);
}

static void remember(struct deflater *d, const unsigned char *bytes, size_t at) {
    uint32_t h = hash_of(bytes + at);
    d->previous[at % WINDOW] = d->head[h];
    d->head[h] = (int)at + 1;
}

static int same_bytes(const unsigned char *a, const unsigned char *b, int limit) {
    int n = 0;
    while (n < limit && a[n] == b[n]) n++;
    return n;
}

// The longest copy for position `at` among the last CHAIN with this hash; 0 when there is none.
static int find_copy(const struct deflater *d, const unsigned char *bytes, size_t count, size_t at,
                     int *distance) {
    int limit = count - at < LONGEST ? (int)(count - at) : LONGEST, best = SHORTEST - 1;
    if (limit < SHORTEST) return 0;
    int candidate = d->head[hash_of(bytes + at)];
    for (int tries = 0; tries < CHAIN && candidate && best < limit; tries++) {
        size_t from = (size_t)(candidate - 1);
        if (at - from > WINDOW - 1) break;
        if (bytes[from + (size_t)best] == bytes[at + (size_t)best]) {
            int n = same_bytes(bytes + from, bytes + at, limit);
            if (n > best) best = n, *distance = (int)(at - from);
        }
        candidate = d->previous[from % WINDOW];
    }
    return best >= SHORTEST ? best : 0;
}

static void compress(struct deflater *d, const unsigned char *bytes, size_t count) {
    for (size_t at = 0; at < count && !d->failed;) {
        int distance = 0, length = find_copy(d, bytes, count, at, &distance);
        if (at + SHORTEST <= count) remember(d, bytes, at);
        // A longer one that starts a byte later is better.
        if (length && length < 32 && at + 1 < count) {
            int later = 0;
            if (find_copy(d, bytes, count, at + 1, &later) > length) length = 0;
        }
        if (length) add_token(d, length, distance);
        else add_token(d, bytes[at], 0);
        for (size_t end = at + (length ? (size_t)length : 1); ++at < end;)
            if (at + SHORTEST <= count) remember(d, bytes, at);
    }
    put_block(d, true);
    put_bits(d, 0, 7); // the last byte's rest
}

static uint32_t adler32(const unsigned char *bytes, size_t count) {
    uint32_t a = 1, b = 0;
    while (count > 0) {
        size_t n = count < 5552 ? count : 5552; // as many as cannot overflow b
        for (size_t i = 0; i < n; i++) b += a += bytes[i];
        a %= 65521, b %= 65521;
        bytes += n, count -= n;
    }
    return b << 16 | a;
}

unsigned char *deflate_zlib(const unsigned char *bytes, size_t count, size_t *size) {
    struct deflater *d = count < 0x7fffffff ? mem_alloc(sizeof *d) : NULL;
    if (!d) return sys_fail("out of memory while compressing %zu bytes", count), NULL;
    memset(d, 0, sizeof *d);
    put_bits(d, 0x78, 8), put_bits(d, 0x9c, 8); // 32 KB window, ordinary effort
    compress(d, bytes, count);
    d->bits = 0, d->bit_count = 0;
    uint32_t sum = adler32(bytes, count);
    for (int shift = 24; shift >= 0; shift -= 8) put_bits(d, sum >> shift & 255, 8);
    unsigned char *out = d->out;
    *size = d->size;
    if (d->failed) {
        sys_fail("out of memory while compressing %zu bytes", count);
        mem_free(out);
        out = NULL;
    }
    mem_free(d);
    return out;
}
