// A set of picture files and the cache of their resized bytes. A slot goes EMPTY -> FILLING ->
// FULL; whoever makes it FILLING writes it, anyone else who comes meanwhile decodes for himself.
#include "pictures.h"
#include "mem.h"
#include "sys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { EMPTY, FILLING, FULL };

struct pictures {
    int count, height, width, channels;
    enum resize_rule rule;
    char **paths;         // into one block, which begins with the pointers
    unsigned char *cache; // count pictures, or NULL
    atomic_uchar *states; // of the slots of the cache
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

// The cache is a convenience: without the memory for it, it is not there.
static void open_cache(struct pictures *p, size_t limit) {
    size_t total = picture_bytes(p) * (size_t)p->count;
    if (total == 0 || total > limit) return;
    p->states = mem_alloc((size_t)p->count);
    p->cache = p->states ? mem_alloc(total) : NULL;
    for (int i = 0; p->states && i < p->count; i++) atomic_init(&p->states[i], EMPTY);
}

struct pictures *pictures_open(const char *const paths[], int count, int height, int width,
                               int channels, enum resize_rule rule, size_t cache_bytes) {
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
    open_cache(p, cache_bytes);
    return p;
}

void pictures_close(struct pictures *p) {
    if (!p) return;
    mem_free(p->cache);
    mem_free(p->states);
    mem_free(p->paths);
    mem_free(p);
}

int pictures_count(const struct pictures *p) { return p->count; }

void pictures_shape(const struct pictures *p, int shape[3]) {
    shape[0] = p->height, shape[1] = p->width, shape[2] = p->channels;
}

void picture_buffers_free(struct picture_buffers *b) {
    mem_free(b->bytes);
    mem_free(b->resize_scratch);
    *b = (struct picture_buffers){0};
}

// Decodes the file and leaves it resized in `bytes`.
static int read_file(const struct pictures *p, int index, unsigned char *bytes,
                     struct picture_buffers *b) {
    struct image im;
    if (image_read(&im, p->paths[index], p->channels) != 0) return -1;
    size_t needed = resize_scratch_bytes(im.height, im.width, p->height, p->width, p->channels);
    void *scratch = mem_resize(b->resize_scratch, needed);
    if (scratch) {
        struct image out = {p->height, p->width, p->channels, bytes};
        b->resize_scratch = scratch;
        resize(&out, &im, p->rule, scratch);
    }
    image_free(&im);
    return scratch ? 0 : sys_fail("cannot resize %s: out of memory", p->paths[index]);
}

static void to_floats(float *out, const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = bytes[i];
}

static bool claim_slot(struct pictures *p, int index) {
    unsigned char empty = EMPTY;
    return p->cache && atomic_compare_exchange_strong(&p->states[index], &empty, FILLING);
}

int pictures_read(struct pictures *p, int index, float *out, struct picture_buffers *b) {
    size_t size = picture_bytes(p);
    unsigned char *slot = p->cache ? p->cache + size * (size_t)index : NULL;
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
