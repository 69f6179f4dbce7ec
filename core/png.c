// PNG writing: each row filtered by the rule that leaves the smallest numbers, then compressed, in
// three chunks.
#include "image.h"
#include "mem.h"
#include "sys.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum filter { NONE, LEFT, UP, AVERAGE, PAETH, FILTERS };

// Of left, up and their corner the one nearest to left + up - corner.
static int paeth(int left, int up, int corner) {
    int by_left = abs(up - corner), by_up = abs(left - corner);
    int by_corner = abs(left + up - 2 * corner);
    if (by_left <= by_up && by_left <= by_corner) return left;
    return by_up <= by_corner ? up : corner;
}

// out[i] = row[i] - what the filter expects there. above: the row before (zeros for the first).
static void filter_row(unsigned char *out, const unsigned char *row, const unsigned char *above,
                       size_t size, size_t channels, enum filter filter) {
    for (size_t i = 0; i < size; i++) {
        int left = i < channels ? 0 : row[i - channels], up = above[i], expected = 0;
        int corner = i < channels ? 0 : above[i - channels];
        if (filter == LEFT) expected = left;
        else if (filter == UP) expected = up;
        else if (filter == AVERAGE) expected = (left + up) / 2;
        else if (filter == PAETH) expected = paeth(left, up, corner);
        out[i] = (unsigned char)(row[i] - expected);
    }
}

static size_t magnitude(const unsigned char *row, size_t size) {
    size_t sum = 0;
    for (size_t i = 0; i < size; i++) sum += row[i] < 128 ? row[i] : 256u - row[i];
    return sum;
}

// All rows with their filter's number in front, as PNG compresses them. scratch: two rows.
static void filter_rows(unsigned char *out, const struct image *im, unsigned char *scratch) {
    size_t channels = (size_t)im->channels, size = (size_t)im->width * channels;
    const unsigned char *above = memset(scratch + size, 0, size);
    for (int y = 0; y < im->height; y++, out += size + 1) {
        const unsigned char *row = im->pixels + (size_t)y * size;
        size_t least = (size_t)-1;
        for (enum filter f = NONE; f < FILTERS; f++) {
            filter_row(scratch, row, above, size, channels, f);
            size_t sum = magnitude(scratch, size);
            if (sum >= least) continue;
            least = sum;
            out[0] = (unsigned char)f;
            memcpy(out + 1, scratch, size);
        }
        above = row;
    }
}

static unsigned char *put_number(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
    return p + 4;
}

static unsigned char *put_chunk(unsigned char *p, const char type[4], const unsigned char *data,
                                size_t size) {
    unsigned char *start = put_number(p, (uint32_t)size);
    memcpy(start, type, 4);
    if (size) memcpy(start + 4, data, size);
    return put_number(start + 4 + size, (uint32_t)crc32(0, start, (uInt)size + 4));
}

static int no_memory(const struct image *im) {
    return sys_fail("out of memory: writing a picture of %d x %d pixels", im->width, im->height);
}

// zlib's memory is ours too, so that running out of it is an error like any other.
static voidpf zlib_alloc(voidpf nobody, uInt items, uInt size) {
    (void)nobody;
    return mem_alloc((size_t)items * size);
}
static void zlib_free(voidpf nobody, voidpf block) {
    (void)nobody;
    mem_free(block);
}

static unsigned char *deflated(unsigned char *bytes, size_t count, size_t *size) {
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
    if (deflateInit(&z, Z_DEFAULT_COMPRESSION) != Z_OK) return NULL;
    size_t bound = deflateBound(&z, (uLong)count);
    unsigned char *packed = mem_alloc(bound);
    if (packed) {
        z.next_in = bytes, z.avail_in = (uInt)count;
        z.next_out = packed, z.avail_out = (uInt)bound;
        deflate(&z, Z_FINISH); // ends in one call: the output has room for the worst case
        *size = z.total_out;
    }
    deflateEnd(&z);
    return packed;
}

static unsigned char *compress_pixels(const struct image *im, size_t *size) {
    size_t row = (size_t)im->width * (size_t)im->channels, total = (row + 1) * (size_t)im->height;
    unsigned char *rows = mem_alloc(total + 2 * row);
    if (!rows) return no_memory(im), NULL;
    filter_rows(rows, im, rows + total);
    unsigned char *packed = deflated(rows, total, size);
    mem_free(rows);
    if (!packed) no_memory(im);
    return packed;
}

unsigned char *image_encode_png(const struct image *im, size_t *size) {
    static const unsigned char colour_type[] = {[1] = 0, [2] = 4, [3] = 2, [4] = 6}; // by channels
    size_t packed_size;
    unsigned char *packed = compress_pixels(im, &packed_size);
    if (!packed) return NULL;
    unsigned char *png = mem_alloc(packed_size + 64), *p = png;
    if (png) {
        unsigned char header[13] = {[8] = 8, colour_type[im->channels]};
        put_number(put_number(header, (uint32_t)im->width), (uint32_t)im->height);
        memcpy(p, "\x89PNG\r\n\x1a\n", 8);
        p = put_chunk(p + 8, "IHDR", header, sizeof header);
        p = put_chunk(p, "IDAT", packed, packed_size);
        p = put_chunk(p, "IEND", NULL, 0);
        *size = (size_t)(p - png);
    } else no_memory(im);
    mem_free(packed);
    return png;
}

int image_write_png(const struct image *im, const char *path) {
    size_t size;
    unsigned char *png = image_encode_png(im, &size);
    if (!png) return -1;
    int result = sys_write_file(path, png, size);
    mem_free(png);
    return result;
}
