// A file of decoded pictures: a header, then a place for each picture, which is the sum of the file
// it was made of (0: nothing yet), a sum of the place, and the pixels. In the byte order of this
// machine.
#include "cache.h"
#include "mem.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES = 1 }; // to be raised when decoding or resizing gives other bytes than before

struct header {
    char magic[16];
    int32_t rules;
    struct cache_shape shape;
    char unused[24];
};
_Static_assert(sizeof(struct header) == 64, "places begin at byte 64");

struct place { // the pixels follow
    uint64_t source, sum;
};

struct cache {
    int file;
    struct cache_shape shape;
    atomic_bool writable;
    atomic_bool damaged;   // to be told
    atomic_int write_error; // likewise
    char path[1024];       // for messages
};

static size_t picture_bytes(const struct cache_shape *s) {
    return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}

static off_t offset_of(const struct cache_shape *s, int index) {
    size_t place = sizeof(struct place) + picture_bytes(s);
    return (off_t)(sizeof(struct header) + place * (size_t)index);
}

size_t cache_file_bytes(const struct cache_shape *shape) {
    return (size_t)offset_of(shape, shape->count);
}

// ---- sums: four independent chains over the words, so that the processor works on all of them

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9E3779B97F4A7C15u; // odd: different words stay different
    return h ^ h >> 32;
}

uint64_t cache_sum(const void *bytes, size_t size) {
    uint64_t chain[4] = {1, 2, 3, 4}, word[4];
    const char *next = bytes;
    size_t left = size;
    for (; left >= sizeof word; left -= sizeof word, next += sizeof word) {
        memcpy(word, next, sizeof word);
        for (int k = 0; k < 4; k++) chain[k] = mix(chain[k], word[k]);
    }
    memset(word, 0, sizeof word);
    memcpy(word, next, left);
    uint64_t sum = size;
    for (int k = 0; k < 4; k++) sum = mix(sum, mix(chain[k], word[k]));
    return sum ? sum : 1;
}

static uint64_t place_sum(uint64_t source, int index, const unsigned char *pixels, size_t size) {
    return mix(mix(cache_sum(pixels, size), source), (uint64_t)index);
}

// ---- opening

static struct header header_of(const struct cache_shape *shape) {
    return (struct header){.magic = "giemsa pictures", .rules = RULES, .shape = *shape};
}

// Makes the file what it should be. Another process may do the same meanwhile, with equal bytes.
static int begin(int file, const struct header *h) {
    if (ftruncate(file, (off_t)cache_file_bytes(&h->shape)) != 0) return -1; // takes no room
    return pwrite(file, h, sizeof *h, 0) == (ssize_t)sizeof *h ? 0 : -1;
}

// 1: as it should be; 0: empty, or about to be begun by another process; -1: something else.
static int state_of(int file, const struct header *want) {
    static const struct header nothing;
    struct header have = nothing;
    struct stat info;
    if (fstat(file, &info) != 0) return -1;
    if (info.st_size == 0) return 0;
    if (info.st_size != (off_t)cache_file_bytes(&want->shape)) return -1;
    if (pread(file, &have, sizeof have, 0) != (ssize_t)sizeof have) return -1;
    if (memcmp(&have, want, sizeof have) == 0) return 1;
    return memcmp(&have, &nothing, sizeof have) == 0 ? 0 : -1;
}

static int open_file(struct cache *c) {
    const struct header h = header_of(&c->shape);
    c->file = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    c->writable = c->file >= 0;
    if (c->file < 0) c->file = open(c->path, O_RDONLY | O_CLOEXEC);
    if (c->file < 0) return -1;
    int state = state_of(c->file, &h);
    if (state == 1) return 0;
    if (!c->writable) return errno = EACCES, -1;
    if (state < 0 && ftruncate(c->file, 0) == 0) c->damaged = true;
    return begin(c->file, &h);
}

struct cache *cache_open(const char *path, const struct cache_shape *shape) {
    struct cache *c = mem_alloc(sizeof *c);
    if (!c) return sys_fail("out of memory for a cache of pictures"), NULL;
    *c = (struct cache){.shape = *shape};
    snprintf(c->path, sizeof c->path, "%s", path);
    if (strlen(path) >= sizeof c->path) c->file = -1, errno = ENAMETOOLONG;
    else if (open_file(c) == 0) return c;
    sys_fail("no cache of decoded pictures: cannot write %s: %s", path, strerror(errno));
    cache_close(c);
    return NULL;
}

void cache_close(struct cache *c) {
    if (!c) return;
    if (c->file >= 0) close(c->file);
    mem_free(c);
}

// ---- places

bool cache_get(struct cache *c, int index, uint64_t source, unsigned char *pixels) {
    struct place place = {0};
    size_t size = picture_bytes(&c->shape);
    const struct iovec parts[] = {{&place, sizeof place}, {pixels, size}};
    ssize_t n = preadv(c->file, parts, 2, offset_of(&c->shape, index));
    if (n != (ssize_t)(sizeof place + size) || place.source != source) return false;
    if (place.sum == place_sum(source, index, pixels, size)) return true;
    c->damaged = true;
    return false;
}

void cache_put(struct cache *c, int index, uint64_t source, const unsigned char *pixels) {
    if (!c->writable) return;
    size_t size = picture_bytes(&c->shape);
    struct place place = {source, place_sum(source, index, pixels, size)};
    const struct iovec parts[] = {{&place, sizeof place}, {(void *)pixels, size}};
    errno = ENOSPC; // what a write that stops half-way means
    if (pwritev(c->file, parts, 2, offset_of(&c->shape, index)) == (ssize_t)(sizeof place + size))
        return;
    c->write_error = errno;
    c->writable = false;
}

int cache_trouble(struct cache *c) {
    int error = atomic_exchange(&c->write_error, 0);
    if (error)
        return sys_fail("%s: cannot write to the cache of decoded pictures (%s); going on without",
                        c->path, strerror(error));
    if (atomic_exchange(&c->damaged, false))
        return sys_fail("%s: this cache of decoded pictures was damaged or of another kind; its "
                        "pictures are decoded again", c->path);
    return 0;
}
