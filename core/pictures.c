// A set of picture files and their resized bytes in memory, where there is room: a slot goes EMPTY
// -> FILLING -> FULL; whoever makes it FILLING writes it, anyone else who comes meanwhile reads for
// himself. To read is to decode the file, or to find it decoded in the cache.
#include "pictures.h"
#include "cache.h"
#include "mem.h"
#include "sys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { EMPTY, FILLING, FULL };

struct pictures {
    int count, height, width, channels;
    enum resize_rule rule;
    char **paths;          // into one block, which begins with the pointers
    unsigned char *slots;  // count pictures, or NULL
    atomic_uchar *states;  // of the slots
    struct cache *cache;   // or NULL
    atomic_ullong *sums;   // of each file once it was read, so that it is read once; with a cache
};

static size_t picture_bytes(const struct pictures *p) {
    return (size_t)p->height * (size_t)p->width * (size_t)p->channels;
}

static char **copy_paths(const char *const paths[], int count) {
    size_t pointers = (size_t)count * sizeof(char *), total = pointers + 1;
    for (int i = 0; i < count; i++) total += strlen(paths[i]) + 1;
    char **copies = mem_alloc(total);
    if (!copies) return NULL;
    char *text = (char *)copies + pointers;
    for (int i = 0; i < count; i++) {
        size_t size = strlen(paths[i]) + 1;
        copies[i] = memcpy(text, paths[i], size);
        text += size;
    }
    return copies;
}

// A convenience: without the memory for it, it is not there.
static void make_slots(struct pictures *p, size_t limit) {
    size_t total = picture_bytes(p) * (size_t)p->count;
    if (total == 0 || total > limit) return;
    p->states = mem_alloc((size_t)p->count);
    p->slots = p->states ? mem_alloc(total) : NULL;
    for (int i = 0; p->states && i < p->count; i++) atomic_init(&p->states[i], EMPTY);
}

struct pictures *pictures_open(const char *const paths[], int count, int height, int width,
                               int channels, enum resize_rule rule, size_t memory) {
    struct pictures *p = mem_alloc(sizeof *p);
    if (!p) return sys_fail("out of memory for a list of %d pictures", count), NULL;
    *p = (struct pictures){.count = count, .height = height, .width = width};
    p->channels = channels;
    p->rule = rule;
    p->paths = copy_paths(paths, count);
    if (!p->paths) {
        mem_free(p);
        return sys_fail("out of memory for a list of %d pictures", count), NULL;
    }
    make_slots(p, memory);
    return p;
}

void pictures_close(struct pictures *p) {
    if (!p) return;
    cache_close(p->cache);
    mem_free(p->sums);
    mem_free(p->slots);
    mem_free(p->states);
    mem_free(p->paths);
    mem_free(p);
}

int pictures_use_cache(struct pictures *p, const char *path) {
    const struct cache_shape shape = {p->count, p->height, p->width, p->channels, (int)p->rule};
    p->sums = mem_alloc((size_t)p->count * sizeof *p->sums);
    if (!p->sums) return sys_fail("out of memory for a cache of %d pictures", p->count);
    for (int i = 0; i < p->count; i++) atomic_init(&p->sums[i], 0);
    p->cache = cache_open(path, &shape);
    return p->cache ? 0 : -1;
}

int pictures_trouble(struct pictures *p) { return p->cache ? cache_trouble(p->cache) : 0; }

int pictures_count(const struct pictures *p) { return p->count; }

void pictures_shape(const struct pictures *p, int shape[3]) {
    shape[0] = p->height, shape[1] = p->width, shape[2] = p->channels;
}

void picture_buffers_free(struct picture_buffers *b) {
    mem_free(b->bytes);
    mem_free(b->resize_scratch);
    *b = (struct picture_buffers){0};
}

// Decodes a file's bytes and leaves the picture resized in `out`.
static int decode(const struct pictures *p, int index, const void *bytes, size_t size,
                  unsigned char *out, struct picture_buffers *b) {
    struct image im;
    if (image_decode(&im, bytes, size, p->channels, p->paths[index]) != 0) return -1;
    size_t needed = resize_scratch_bytes(im.height, im.width, p->height, p->width, p->channels);
    void *scratch = mem_resize(b->resize_scratch, needed);
    if (scratch) {
        struct image resized = {p->height, p->width, p->channels, out};
        b->resize_scratch = scratch;
        resize(&resized, &im, p->rule, scratch);
    }
    image_free(&im);
    return scratch ? 0 : sys_fail("cannot resize %s: out of memory", p->paths[index]);
}

// A file's bytes -> its picture, from the cache when it has just that.
static int find_or_decode(struct pictures *p, int index, const void *bytes, size_t size,
                          unsigned char *out, struct picture_buffers *b) {
    if (!p->cache) return decode(p, index, bytes, size, out, b);
    uint64_t sum = cache_sum(bytes, size);
    if (!cache_get(p->cache, index, sum, out)) {
        if (decode(p, index, bytes, size, out, b) != 0) return -1;
        cache_put(p->cache, index, sum, out);
    }
    atomic_store(&p->sums[index], sum);
    return 0;
}

static int read_file(struct pictures *p, int index, unsigned char *out,
                     struct picture_buffers *b) {
    uint64_t known = p->cache ? atomic_load(&p->sums[index]) : 0;
    if (known && cache_get(p->cache, index, known, out)) return 0;
    size_t size;
    void *bytes = sys_read_file(p->paths[index], &size);
    if (!bytes) return -1;
    int status = find_or_decode(p, index, bytes, size, out, b);
    mem_free(bytes);
    return status;
}

static void to_floats(float *out, const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = bytes[i];
}

static bool claim_slot(struct pictures *p, int index) {
    unsigned char empty = EMPTY;
    return p->slots && atomic_compare_exchange_strong(&p->states[index], &empty, FILLING);
}

int pictures_read(struct pictures *p, int index, float *out, struct picture_buffers *b) {
    size_t size = picture_bytes(p);
    unsigned char *slot = p->slots ? p->slots + size * (size_t)index : NULL;
    if (slot && atomic_load(&p->states[index]) == FULL) {
        to_floats(out, slot, size);
        return 0;
    }
    if (claim_slot(p, index)) {
        int status = read_file(p, index, slot, b);
        if (status == 0) to_floats(out, slot, size);
        atomic_store(&p->states[index], status == 0 ? FULL : EMPTY);
        return status;
    }
    if (!b->bytes && !(b->bytes = mem_alloc(size)))
        return sys_fail("cannot read %s: out of memory", p->paths[index]);
    if (read_file(p, index, b->bytes, b) != 0) return -1;
    to_floats(out, b->bytes, size);
    return 0;
}
