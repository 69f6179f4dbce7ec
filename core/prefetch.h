// What the next unit of work will touch is asked for while the products of this one run, a few cache lines a tile: memory
// then works all the time, and no tile waits for it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { PREFETCH_RANGES = 8, CACHE_LINE = 64 };

struct prefetch {
    int ranges, per_tile; // lines of one step
    struct { const char *at; size_t lines; bool write; } range[PREFETCH_RANGES];
};

// NULL or nothing to ask for is fine.
void prefetch_add(struct prefetch *p, const float *at, size_t floats, bool write);
void prefetch_spread(struct prefetch *p, double tiles); // over so many steps
void prefetch_step(struct prefetch *p);
