// Recycled memory: free lists by size class. Classes are spaced by a quarter of a power of two, so
// at most 25 % is lost. Each block is preceded by 64 bytes that remember its class; big blocks are
// aligned for huge pages.
#include "mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, SMALLEST = 256, CLASSES = 4 * 40, SMALL = 4096, SLAB = 1 << 16 };
static const size_t HUGE_PAGE = (size_t)2 << 20;

struct block { // stands before the bytes handed out
    size_t capacity;
    int class;
    struct block *next;
};
_Static_assert(sizeof(struct block) <= HEADER, "the header must fit before a block");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *kept[CLASSES];
static struct mem_stats stats;
static long fail_after;

// Class c holds SMALLEST * 2^(c/4) * (1 + (c%4)/4) bytes.
static size_t class_capacity(int class) { return ((size_t)SMALLEST << (class / 4)) / 4 * (size_t)(4 + class % 4); }

static int class_of(size_t size) {
    int class = 0;
    while (class < CLASSES && class_capacity(class) < size) class++;
    return class;
}

static bool is_small(int class) { return class_capacity(class) <= SMALL; }

static struct block *take_kept(int class) {
    struct block *block = kept[class];
    if (!block) return NULL;
    kept[class] = block->next;
    stats.kept -= block->capacity;
    return block;
}

static struct block *header_of(void *bytes) { return (struct block *)((char *)bytes - HEADER); }

static bool failure_is_due(void) {
    if (fail_after > 0) return --fail_after == 0;
    if (fail_after < -1) fail_after++;
    else return fail_after == -1;
    return false;
}

// Small blocks come many at a time and are never given back.
static struct block *carve_slab(int class) {
    const size_t each = (HEADER + class_capacity(class) + MEM_SLACK + 63) / 64 * 64;
    char *slab = aligned_alloc(64, SLAB / each * each);
    for (size_t i = 0; slab && i < SLAB / each; i++) {
        struct block *block = (struct block *)(slab + i * each);
        *block = (struct block){.capacity = class_capacity(class), .class = class, .next = kept[class]};
        kept[class] = block;
        stats.kept += block->capacity;
    }
    return slab ? take_kept(class) : NULL;
}

static struct block *from_system(int class) {
    if (is_small(class)) return carve_slab(class);
    size_t capacity = class_capacity(class), total = HEADER + capacity + MEM_SLACK;
    size_t alignment = total >= HUGE_PAGE ? HUGE_PAGE : 64;
    void *bytes;
    if (posix_memalign(&bytes, alignment, total) != 0) return NULL; // what is more than whole huge pages has small ones
    struct block *block = bytes;
    if (alignment == HUGE_PAGE) madvise(block, total, MADV_HUGEPAGE);
    *block = (struct block){.capacity = capacity, .class = class};
    return block;
}

void *mem_alloc(size_t size) {
    int class = class_of(size);
    if (class >= CLASSES) return NULL;
    pthread_mutex_lock(&lock);
    struct block *block = NULL;
    if (!failure_is_due()) {
        block = take_kept(class);
        if (!block && (block = from_system(class))) stats.system_calls++;
    }
    if (block) {
        stats.in_use += block->capacity;
        if (stats.in_use > stats.peak) stats.peak = stats.in_use;
    }
    pthread_mutex_unlock(&lock);
    return block ? (char *)block + HEADER : NULL;
}

void mem_free(void *bytes) {
    if (!bytes) return;
    struct block *block = header_of(bytes);
    pthread_mutex_lock(&lock);
    block->next = kept[block->class];
    kept[block->class] = block;
    stats.in_use -= block->capacity;
    stats.kept += block->capacity;
    pthread_mutex_unlock(&lock);
}

void *mem_resize(void *bytes, size_t size) {
    if (bytes && header_of(bytes)->capacity >= size) return bytes;
    void *moved = mem_alloc(size);
    if (!moved || !bytes) return moved;
    memcpy(moved, bytes, header_of(bytes)->capacity);
    mem_free(bytes);
    return moved;
}

void mem_trim(void) {
    pthread_mutex_lock(&lock);
    for (int class = 0; class < CLASSES; class++)
        for (struct block *block; !is_small(class) && (block = take_kept(class));) free(block);
    pthread_mutex_unlock(&lock);
}

struct mem_stats mem_stats(void) {
    pthread_mutex_lock(&lock);
    struct mem_stats now = stats;
    pthread_mutex_unlock(&lock);
    return now;
}

long mem_fail_after(long n) {
    pthread_mutex_lock(&lock);
    long left = fail_after > 0 ? fail_after : fail_after < -1 ? -fail_after - 1 : 0;
    fail_after = n;
    pthread_mutex_unlock(&lock);
    return left;
}
