// Decoding of PNG, JPEG and BMP bytes with stb_image. stb trusts its input more than a school's
// disk deserves, so around it stand: a check of the size in the header before anything is
// allocated, a walk over the file that finds truncated and altered ones (stb shows them half grey),
// and a limit on every block it asks for. Invariant: a picture that is returned was whole in the
// file.
#include "image.h"
#include "mem.h"
#include "sys.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

// ---- memory for stb: from the pool. While a file is decoded no block may be larger than a limit
// (a small file can inflate to gigabytes), and the blocks are remembered, since stb loses some when
// memory ends.

enum { LIVE_MAX = 32 };
static _Thread_local size_t block_limit;
static _Thread_local bool limit_hit, memory_ended;
static _Thread_local void *live[LIVE_MAX];

// NULL for `was`: a new block; NULL for `is`: gone.
static void remember(const void *was, void *is) {
    for (int i = 0; i < LIVE_MAX; i++)
        if (live[i] == was) {
            live[i] = is;
            return;
        }
}

static void *stb_resize(void *block, size_t size) {
    if (size > block_limit) return limit_hit = true, NULL;
    void *moved = mem_resize(block, size);
    if (moved) remember(block, moved);
    else memory_ended = true;
    return moved;
}

// Zeroed: with a damaged file stb uses tables and pixels that it never set.
static void *stb_alloc(size_t size) {
    void *block = stb_resize(NULL, size);
    return block ? memset(block, 0, size) : NULL;
}

static void stb_free(void *block) {
    if (block) remember(block, NULL);
    mem_free(block);
}

static void free_lost(const void *except) {
    for (int i = 0; i < LIVE_MAX; i++) {
        if (live[i] != except) mem_free(live[i]);
        live[i] = NULL;
    }
}

#define STBI_MALLOC(size) stb_alloc(size)
#define STBI_REALLOC(block, size) stb_resize(block, size)
#define STBI_FREE(block) stb_free(block)
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STBI_ASSERT(x) ((void)0)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop
#pragma GCC diagnostic ignored "-Wunused-function" // reported at the end of the file

int image_create(struct image *im, int height, int width, int channels) {
    *im = (struct image){.height = height, .width = width, .channels = channels};
    im->pixels = mem_alloc((size_t)height * (size_t)width * (size_t)channels);
    if (im->pixels) return 0;
    *im = (struct image){0};
    return sys_fail("out of memory: a picture of %d x %d pixels", width, height);
}

void image_free(struct image *im) {
    mem_free(im->pixels);
    *im = (struct image){0};
}

// ---- is the file whole?

static uint32_t big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static uint32_t little_endian(const unsigned char *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static int check_size(const char *name, int width, int height) {
    if (width < 1 || height < 1)
        return sys_fail("%s: the picture is empty (%d x %d pixels)", name, width, height);
    if (width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE &&
        (long long)width * height <= IMAGE_MAX_PIXELS)
        return 0;
    return sys_fail("%s: %d x %d pixels is too large (at most %d a side and %d million in all)",
                    name, width, height, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20);
}

enum { PNG_SIGNATURE = 8, PNG_AROUND_CHUNK = 12 }; // length, type, data, checksum

// stb says nothing of the size when it is too large.
static int check_png_size(const unsigned char *bytes, size_t size, const char *name) {
    if (size < PNG_SIGNATURE + 16) return 0;
    uint32_t width = big_endian(bytes + PNG_SIGNATURE + 8),
             height = big_endian(bytes + PNG_SIGNATURE + 12);
    return check_size(name, width < INT_MAX ? (int)width : INT_MAX,
                      height < INT_MAX ? (int)height : INT_MAX);
}

// A PNG is a row of chunks up to IEND; the checksums of those that matter (capital first letter)
// must be right.
static int check_png(const unsigned char *bytes, size_t size, const char *name) {
    size_t at = PNG_SIGNATURE;
    while (size - at >= PNG_AROUND_CHUNK) {
        const unsigned char *chunk = bytes + at, *type = chunk + 4;
        size_t length = big_endian(chunk);
        if (length > size - at - PNG_AROUND_CHUNK) break;
        bool matters = !(type[0] & 32);
        if (matters && crc32(0, type, (uInt)length + 4) != big_endian(type + 4 + length))
            return sys_fail("%s: the PNG file is damaged (wrong checksum); fetch it again", name);
        if (memcmp(type, "IEND", 4) == 0) return 0;
        at += length + PNG_AROUND_CHUNK;
    }
    return sys_fail("%s: the PNG file is truncated (%zu bytes and no end); fetch it again", name,
                    size);
}

// A Huffman table of a JPEG has at most 256 codes; for more stb would write past its arrays.
static bool huffman_tables_fit(const unsigned char *p, size_t length) {
    while (length >= 17) {
        size_t codes = 0;
        for (int i = 1; i <= 16; i++) codes += p[i];
        if (codes > 256 || length < 17 + codes) return false;
        p += 17 + codes;
        length -= 17 + codes;
    }
    return length == 0;
}

// The marker that ends a scan: 0xff before something other than stuffing (0), filling (0xff) and
// restarts (0xd0..7).
static size_t after_scan(const unsigned char *bytes, size_t size, size_t at) {
    for (; at + 1 < size; at++) {
        int next = bytes[at + 1];
        if (bytes[at] == 0xff && next != 0 && next != 0xff && (next & 0xf8) != 0xd0) break;
    }
    return at;
}

// A JPEG is a row of segments (0xff, marker, length, data; scan data follows a start of scan) up to
// the end marker.
static int check_jpeg(const unsigned char *bytes, size_t size, const char *name) {
    enum { TABLES = 0xc4, END = 0xd9, SCAN = 0xda };
    for (size_t at = 2; at < size;) {
        if (bytes[at] != 0xff || (at + 1 < size && bytes[at + 1] == 0xff)) { // padding
            at++;
            continue;
        }
        int marker = at + 1 < size ? bytes[at + 1] : 0;
        if (marker == END) return 0;
        size_t length = at + 4 <= size ? (size_t)bytes[at + 2] << 8 | bytes[at + 3] : size;
        const unsigned char *data = bytes + at + 4;
        if (length < 2 || length > size - at - 2) break;
        if (marker == TABLES && !huffman_tables_fit(data, length - 2))
            return sys_fail("%s: the JPEG file is damaged (wrong tables)", name);
        bool frame = marker >= 0xc0 && marker <= 0xc2 && length >= 7;
        if (frame && check_size(name, data[3] << 8 | data[4], data[1] << 8 | data[2]) != 0)
            return -1;
        at += 2 + length;
        if (marker == SCAN) at = after_scan(bytes, size, at);
    }
    return sys_fail("%s: the JPEG file is truncated (%zu bytes and no end); fetch it again", name,
                    size);
}

// stb reads zeros behind the end of a BMP: the rows must be there.
static int check_bmp(const unsigned char *bytes, size_t size, const char *name, int width,
                     int height) {
    size_t offset = size >= 30 ? little_endian(bytes + 10) : 0;
    size_t bits = size >= 30 ? (bytes[14] == 12 ? bytes[24] : bytes[28]) : 0; // 12: the OS/2 header
    size_t row = ((size_t)width * bits + 31) / 32 * 4, last_row = ((size_t)width * bits + 7) / 8;
    if (offset && bits && offset + row * (size_t)(height - 1) + last_row <= size) return 0;
    return sys_fail("%s: the BMP file is truncated (%zu bytes); fetch it again", name, size);
}

enum format { UNKNOWN, PNG, JPEG, BMP };

static enum format format_of(const unsigned char *bytes, size_t size) {
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0) return PNG;
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0) return JPEG;
    if (size >= 2 && memcmp(bytes, "BM", 2) == 0) return BMP;
    return UNKNOWN;
}

// ---- decoding

// Why stb gave up, in our words.
static int decode_failure(const char *name, enum format format) {
    static const char *const names[] = {"", "PNG", "JPEG", "BMP"};
    const char *reason = stbi_failure_reason();
    if (memory_ended) return sys_fail("%s: out of memory while decoding", name);
    if (limit_hit)
        return sys_fail("%s: the %s file is damaged (it asks for far more memory than its size)",
                        name, names[format]);
    return sys_fail("%s: the %s file is damaged or of a rare kind (%s)", name, names[format],
                    reason ? reason : "unknown");
}

// Grey as Pillow's convert("L"). out may be in.
static void to_grey(unsigned char *out, const unsigned char *in, size_t count, size_t channels) {
    for (const unsigned char *p = in; count > 0; count--, p += channels)
        *out++ = (unsigned char)((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
}

int image_convert(struct image *out, const struct image *in, int channels) {
    if (image_create(out, in->height, in->width, channels) != 0) return -1;
    size_t count = (size_t)in->height * (size_t)in->width, from = (size_t)in->channels;
    if (channels == 1 && from >= 3) {
        to_grey(out->pixels, in->pixels, count, from);
        return 0;
    }
    const unsigned char *p = in->pixels;
    unsigned char *to = out->pixels;
    for (size_t i = 0; i < count; i++, p += from, to += channels) {
        for (int c = 0; c < channels && c < 3; c++) to[c] = p[from >= 3 ? c : 0];
        if (channels == 4) to[3] = from % 2 == 0 ? p[from - 1] : 255; // opaque, if it does not say
    }
    return 0;
}

int image_decode(struct image *im, const unsigned char *bytes, size_t size, int channels,
                 const char *name) {
    *im = (struct image){0};
    if (size == 0) return sys_fail("%s: the file is empty (0 bytes)", name);
    enum format format = format_of(bytes, size);
    if (format == UNKNOWN) return sys_fail("%s: not a picture (PNG, JPEG and BMP are read)", name);
    if (size > INT_MAX) return sys_fail("%s: the file is too large (%zu bytes)", name, size);
    if (format == JPEG && check_jpeg(bytes, size, name) != 0) return -1;
    if (format == PNG &&
        (check_png_size(bytes, size, name) != 0 || check_png(bytes, size, name) != 0))
        return -1;
    int width, height, have;
    block_limit = SIZE_MAX;
    limit_hit = memory_ended = false;
    if (!stbi_info_from_memory(bytes, (int)size, &width, &height, &have))
        return decode_failure(name, format);
    if (height < 0) height = height == INT_MIN ? INT_MAX : -height; // a BMP from the top down
    if (check_size(name, width, height) != 0) return -1;
    if (format == BMP && check_bmp(bytes, size, name, width, height) != 0) return -1;
    block_limit = 32 * ((size_t)width * (size_t)height + 65536) + 2 * size;
    int wanted = channels == 1 && have >= 3 ? 3 : channels; // stb's own grey is not Pillow's
    im->pixels = stbi_load_from_memory(bytes, (int)size, &width, &height, &have, wanted);
    free_lost(im->pixels);
    if (!im->pixels) return decode_failure(name, format);
    if (channels == 1 && wanted == 3)
        to_grey(im->pixels, im->pixels, (size_t)width * (size_t)height, 3);
    im->height = height;
    im->width = width;
    im->channels = channels ? channels : have;
    return 0;
}

int image_read(struct image *im, const char *path, int channels) {
    *im = (struct image){0};
    size_t size;
    unsigned char *bytes = sys_read_file(path, &size);
    if (!bytes) return -1;
    int result = image_decode(im, bytes, size, channels, path);
    mem_free(bytes);
    return result;
}
