// A file of decoded pictures, kept between runs: a place for each picture of a set, all of a size.
// It is a convenience and never believed: a place says of which file's bytes it was made, and a sum
// of its own shows whether it is whole. So any number of threads and processes may read and write
// one file at once, it may be cut, altered or deleted at any time, and what was made before a stop
// is not lost: whatever does not fit is decoded again. Read and written by position, not mapped: a
// file that another program cuts short would end the process, and a set of pictures larger than
// memory stays out of it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_shape {
    int count, height, width, channels;
    int rule; // how they are resized
};

struct cache;
// Opens the file or makes it, in a folder that is there. One that may only be read is used as it
// is. NULL: why not.
struct cache *cache_open(const char *path, const struct cache_shape *shape);
void cache_close(struct cache *c); // NULL is fine
size_t cache_file_bytes(const struct cache_shape *shape); // when every place is filled

// A number for bytes, by which they are told from any others; never 0.
uint64_t cache_sum(const void *bytes, size_t size);

// pixels: height x width x channels. source: the sum of the file that picture `index` comes from.
// False: the place holds nothing, or not that.
bool cache_get(struct cache *c, int index, uint64_t source, unsigned char *pixels);
void cache_put(struct cache *c, int index, uint64_t source, const unsigned char *pixels);

// -1 when something is to be told that was not told yet: the file was damaged, or the disk is full.
int cache_trouble(struct cache *c);
