// A list of ranges, consumed from its end.
#include "prefetch.h"

void prefetch_add(struct prefetch *p, const float *at, size_t floats, bool write) {
    if (!at || floats == 0 || p->ranges == PREFETCH_RANGES) return;
    p->range[p->ranges].at = (const char *)at;
    p->range[p->ranges].lines = (floats * sizeof(float) + CACHE_LINE - 1) / CACHE_LINE;
    p->range[p->ranges++].write = write;
}

void prefetch_spread(struct prefetch *p, double tiles) {
    size_t lines = 0;
    for (int i = 0; i < p->ranges; i++) lines += p->range[i].lines;
    p->per_tile = (int)((double)lines / tiles) + 1;
}

// Not inlined: a tile has no register to spare.
__attribute__((noinline)) void prefetch_step(struct prefetch *p) {
    for (int left = p->per_tile; left > 0 && p->ranges > 0;) {
        int i = p->ranges - 1, lines = p->range[i].lines < (size_t)left ? (int)p->range[i].lines : left;
        const char *at = p->range[i].at;
        if (p->range[i].write)
            for (int j = 0; j < lines; j++) __builtin_prefetch(at + (size_t)j * CACHE_LINE, 1, 2);
        else
            for (int j = 0; j < lines; j++) __builtin_prefetch(at + (size_t)j * CACHE_LINE, 0, 2);
        p->range[i].at += (size_t)lines * CACHE_LINE;
        p->range[i].lines -= (size_t)lines;
        left -= lines;
        if (p->range[i].lines == 0) p->ranges--;
    }
}
