// Pictures. The first byte says what is tried, the rest is the file: how many channels are wanted, whether the checksums of
// a PNG are put right first (or else nothing behind them would ever be reached), whether to write it and read it again.
#include "fuzz.h"
#include "image.h"
#include "mem.h"
#include "sys.h"

#include <string.h>
#include <zlib.h>

static uint32_t big_endian(const unsigned char *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static void mend_png(unsigned char *bytes, size_t size) {
    if (size < 8 || memcmp(bytes, "\x89PNG", 4) != 0) return;
    for (size_t at = 8; size - at >= 12;) {
        size_t length = big_endian(bytes + at);
        if (length > size - at - 12) return;
        uint32_t sum = (uint32_t)crc32(0, bytes + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++) bytes[at + 8 + length + i] = (unsigned char)(sum >> (24 - 8 * i));
        at += length + 12;
    }
}

static void check_same(const struct image *a, const struct image *b) {
    CHECK(a->height == b->height && a->width == b->width && a->channels == b->channels);
    CHECK(memcmp(a->pixels, b->pixels, (size_t)a->height * a->width * a->channels) == 0);
}

// What was read and written again reads the same; grey and RGB are made by one rule, before or after.
static void check_picture(const struct image *im) {
    struct image again, grey;
    CHECK(im->height >= 1 && im->width >= 1 && im->channels >= 1 && im->channels <= 4);
    if ((size_t)im->height * im->width > 1 << 12) return; // what is written must fit this memory
    size_t size;
    unsigned char *png = image_encode_png(im, &size);
    CHECK(png && image_decode(&again, png, size, 0, "again") == 0);
    check_same(im, &again);
    image_free(&again);
    CHECK(image_decode(&again, png, size, 1, "grey") == 0);
    CHECK(image_convert(&grey, im, 1) == 0);
    check_same(&again, &grey);
    image_free(&again);
    image_free(&grey);
    mem_free(png);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    unsigned char *bytes = mem_alloc(size - 1);
    CHECK(bytes);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 4) mend_png(bytes, size - 1);
    struct image im;
    int result = image_decode(&im, bytes, size - 1, (int[]){0, 1, 3, 3}[data[0] & 3], "bytes");
    mem_free(bytes);
    if (result == 0 && data[0] & 8) check_picture(&im);
    if (result != 0) CHECK(result == -1 && !im.pixels && strncmp(sys_error(), "bytes: ", 7) == 0);
    image_free(&im);
    CHECK(mem_stats().in_use == 0);
    return 0;
}
