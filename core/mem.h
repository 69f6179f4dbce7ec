// Recycled memory. Fresh pages are the dearest part of a small training step, so freed blocks are kept by size class
// and handed out again; after its first step a training loop asks the system for nothing. Thread-safe.
#pragma once
#include <stddef.h>

// At least `size` bytes, aligned to 64, contents undefined, with MEM_SLACK readable bytes behind them (a vector kernel
// may read past the end, never write). NULL when the system has none, or when the test below says so.
enum { MEM_SLACK = 256 };
void *mem_alloc(size_t size);
void *mem_resize(void *block, size_t size); // as realloc
void mem_free(void *block);                 // NULL is fine
void mem_trim(void);                        // gives all kept blocks back to the system

struct mem_stats {
    size_t in_use; // bytes handed out
    size_t kept;   // bytes waiting to be handed out again
    size_t peak;   // the largest in_use so far
    size_t system_calls; // blocks asked of the system so far
};
struct mem_stats mem_stats(void);

// For tests: the n-th allocation from now fails (once), or for -n the n-th and all after it; 0 turns it off.
// Returns how many allocations were still to go before an earlier call's failure, 0 when that failure has come.
long mem_fail_after(long n);
