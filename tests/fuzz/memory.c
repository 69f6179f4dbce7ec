// core/mem.h for the fuzzers: every block exactly as large as was asked, so that the sanitizer sees a byte too far, and
// none larger than 64 KB: large pictures show nothing that small ones do not, and take most of the time.
#include "mem.h"

#include <malloc.h>
#include <stdlib.h>

enum { LARGEST = 1 << 16 };
static struct mem_stats stats;

void *mem_resize(void *block, size_t size) {
    size_t before = block ? malloc_usable_size(block) : 0;
    void *moved = size <= LARGEST ? realloc(block, size ? size : 1) : NULL;
    if (moved) stats.in_use += malloc_usable_size(moved) - before;
    return moved;
}

void *mem_alloc(size_t size) { return mem_resize(NULL, size); }

void mem_free(void *block) {
    if (block) stats.in_use -= malloc_usable_size(block);
    free(block);
}

void mem_trim(void) {}
long mem_fail_after(long n) { return n; }
struct mem_stats mem_stats(void) { return stats; }
