// Batches made ahead of training. The caller hands in empty batch tensors; background threads fill
// their rows (read, augment, standardise) while the network computes, at low priority so that they
// take only what it leaves. A row depends on (seed, epoch, sample) alone, never on the thread or
// the moment, so a batch is the same on any number of threads. The caller works too while it waits.
// Submit, wait and close belong to one thread.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "augment.h"
#include "pictures.h"
#include "tensor.h"

enum { LOADER_AHEAD = 4 }; // batches at most between submit and wait

struct loader_plan {
    struct pictures *pictures; // rows come from files,
    struct tensor rows;        // or else from the rows of this (n, height, width, channels)
    struct augment augment;
    bool transform;   // draw and apply; else rows stay as they are
    bool standardise; // else the caller does it
    uint64_t seed;
    uint32_t epoch;
};

struct loader;
// Copies the plan and holds its rows; `pictures` must outlive the loader. NULL: no memory.
struct loader *loader_open(const struct loader_plan *plan);

// Fills row r of x with sample indices[r] (from 0, checked by the caller). x has `rows` rows of the
// plan's shape and is kept alive until the batch is done. -1: no memory, or LOADER_AHEAD batches
// are under way.
int loader_submit(struct loader *l, const struct tensor *x, const uint32_t indices[], int rows);
// Finishes the oldest batch. -1: a row failed; the message is that of the first such row. Later
// batches go on. Also -1: Ctrl-C (sys.h); nothing was finished, and the loader is to be closed.
int loader_wait(struct loader *l);
void loader_close(struct loader *l); // drops what is under way; joins the threads. NULL is fine

// The stream of a sample's draws, so that others can repeat them.
struct rng;
void loader_stream(struct rng *r, uint64_t seed, uint32_t epoch, uint32_t sample);
// The last word of its name; the streams of orders (data/source.lua) have the next two numbers.
enum { STREAM_TRANSFORM = 0xDA7A0001u };
