// A set of picture files, all delivered at one size as floats 0..255. Decoding a PNG costs several
// times what the rest of a row does, so when the whole set fits in `memory` bytes the resized bytes
// of a file are kept there once it was read; and in a file, for later runs, when asked for. Numbers
// are the same with and without. Any number of threads may read at once.
#pragma once
#include <stddef.h>

#include "resize.h"

struct pictures;

// Copies the paths. memory 0: never keep. NULL: no memory.
struct pictures *pictures_open(const char *const paths[], int count, int height, int width,
                               int channels, enum resize_rule rule, size_t memory);
void pictures_close(struct pictures *p); // NULL is fine; nobody may be reading

// Keeps decoded pictures in this file too (cache.h), before the first is read. -1: why not.
int pictures_use_cache(struct pictures *p, const char *path);
int pictures_trouble(struct pictures *p); // cache_trouble

int pictures_count(const struct pictures *p);
void pictures_shape(const struct pictures *p, int shape[3]); // height, width, channels

// What a thread needs to read: grows as needed; {0} to begin with.
struct picture_buffers {
    unsigned char *bytes;
    void *resize_scratch;
};
void picture_buffers_free(struct picture_buffers *b);

// out: height x width x channels. -1: unreadable; the message names the file.
int pictures_read(struct pictures *p, int index, float *out, struct picture_buffers *b);
