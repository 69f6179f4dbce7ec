// seeds FOLDER: writes files of every kind that the parsers take, small and whole, for the fuzzers to start from:
// FOLDER/image, FOLDER/npy, FOLDER/zip, FOLDER/md4c, FOLDER/jansson, FOLDER/message, FOLDER/http.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>
#include <zlib.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

static const char *folder;
static int count;

static FILE *create(const char *target) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed%03d", folder, target, count++);
    FILE *f = fopen(path, "wb");
    if (!f) perror(path), exit(1);
    return f;
}

static FILE *create_image(int wanted) {
    FILE *f = create("image");
    fputc(wanted + (count % 8 ? 0 : 8), f); // the target's first byte; writing and reading again takes long
    return f;
}

// ---- pictures

static unsigned char noise(size_t i) { return (unsigned char)((i * 2654435761u) >> 13); }

static void put(void *f, void *bytes, int size) { fwrite(bytes, 1, (size_t)size, f); }

static void whole(int side, int channels) {
    unsigned char pixels[17 * 17 * 4];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = noise(i);
    FILE *f = create_image(channels);
    stbi_write_bmp_to_func(put, f, side, side, channels, pixels);
    fclose(f);
    for (int quality = 30; quality <= 95; quality += 65) { // with and without subsampling
        f = create_image(channels);
        stbi_write_jpg_to_func(put, f, side, side, channels, pixels, quality);
        fclose(f);
    }
}

// ---- JPEG: the tables of one that stb wrote, with another frame; scans are noise, or zeros, which decode to the end

struct bytes { unsigned char at[1 << 14]; int size; };

static void collect(void *to, void *bytes, int size) {
    struct bytes *b = to;
    if (b->size + size > (int)sizeof b->at) exit(1);
    memcpy(b->at + b->size, bytes, (size_t)size);
    b->size += size;
}

static void put_segments(FILE *f, const struct bytes *jpeg, int wanted) {
    for (int at = 2; jpeg->at[at] == 0xff && jpeg->at[at + 1] != 0xda;) {
        int size = 2 + (jpeg->at[at + 2] << 8 | jpeg->at[at + 3]);
        if (jpeg->at[at + 1] == wanted) fwrite(jpeg->at + at, 1, (size_t)size, f);
        at += size;
    }
}

static void put_scan(FILE *f, int components, int from, int to, int bits, int mask) {
    fprintf(f, "%c%c%c%c%c", 0xff, 0xda, 0, 6 + 2 * components, components);
    for (int i = 1; i <= components; i++) fprintf(f, "%c%c", i, i > 1 ? 0x11 : 0);
    fprintf(f, "%c%c%c", from, to, bits);
    for (size_t i = 0; i < 120; i++) fputc(noise(i + (size_t)from) & mask, f);
}

// start: 0xc0 baseline, 0xc2 progressive; sampling: of the first component, rows and columns in half a byte each.
static void jpeg(int start, int components, int sampling, int adobe, int restarts, int mask) {
    unsigned char pixels[3 * 16 * 16] = {0};
    struct bytes tables = {.size = 0};
    stbi_write_jpg_to_func(collect, &tables, 16, 16, 3, pixels, 80);
    FILE *f = create_image(3);
    fprintf(f, "%c%c", 0xff, 0xd8);
    if (adobe) fwrite("\xff\xee\0\16Adobe\0\144\0\0\0\0\2", 1, 16, f);
    put_segments(f, &tables, 0xdb);
    fprintf(f, "%c%c%c%c%c%c%c%c%c%c", 0xff, start, 0, 8 + 3 * components, 8, 0, 19, 0, 21, components);
    for (int i = 1; i <= components; i++) fprintf(f, "%c%c%c", i, i == 1 ? sampling : 0x11, i > 1 ? 1 : 0);
    put_segments(f, &tables, 0xc4);
    if (restarts) fwrite("\xff\xdd\0\4\0\1", 1, 6, f);
    if (start == 0xc0) put_scan(f, components, 0, 63, 0, mask);
    else put_scan(f, components, 0, 0, 1, mask), put_scan(f, 1, 1, 63, 1, mask), put_scan(f, 1, 1, 63, 0x10, mask);
    fprintf(f, "%c%c", 0xff, 0xd9);
    fclose(f);
}

static void jpegs(void) {
    static const int sampling[] = {0x11, 0x21, 0x12, 0x22, 0x41, 0x31};
    for (size_t i = 0; i < sizeof sampling / sizeof *sampling; i++)
        for (int components = 1; components <= 4; components++)
            for (int mask = 0; mask <= 0x7f; mask += 0x7f)
                jpeg(0xc0, components, sampling[i], components == 4 && i % 2, i == 2, mask),
                    jpeg(0xc2, components, sampling[i], components > 2 && i % 2, i == 3, mask);
}

// ---- BMP

static void put_little_endian(FILE *f, int bytes, uint32_t v) {
    for (int i = 0; i < bytes; i++) fputc((int)(v >> 8 * i & 255), f);
}

static void bmp(int header, int bits, int compression, int height) {
    const int width = 9, colours = bits <= 8 ? 1 << bits : 0, entry = header == 12 ? 3 : 4;
    const int masks = compression == 3 && header == 40 ? 12 : 0, row = (width * bits + 31) / 32 * 4;
    FILE *f = create_image(3);
    fputs("BM", f);
    put_little_endian(f, 4, 0), put_little_endian(f, 4, 0);
    put_little_endian(f, 4, (uint32_t)(14 + header + masks + colours * entry));
    put_little_endian(f, 4, (uint32_t)header);
    put_little_endian(f, header == 12 ? 2 : 4, width), put_little_endian(f, header == 12 ? 2 : 4, (uint32_t)height);
    put_little_endian(f, 2, 1), put_little_endian(f, 2, (uint32_t)bits);
    if (header > 12) put_little_endian(f, 4, (uint32_t)compression);
    for (int i = 20; i < header; i += 4) // what is left of the header: the masks come first in version 4
        put_little_endian(f, 4, header > 40 && i >= 40 && i < 52 ? 0xffu << (i - 40) * 2 : 0);
    for (int i = 0; i < masks; i += 4) put_little_endian(f, 4, 0x1fu << i * 5 / 4);
    for (int i = 0; i < colours * entry + row * abs(height); i++) fputc(noise((size_t)i), f);
    fclose(f);
}

static void bmps(void) {
    static const int bits[] = {1, 4, 8, 16, 24, 32};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        bmp(40, bits[i], 0, 5), bmp(108, bits[i], 0, -5);
        if (bits[i] != 16 && bits[i] != 32) bmp(12, bits[i], 0, 5);
        else bmp(40, bits[i], 3, 5), bmp(108, bits[i], 3, 5), bmp(124, bits[i], 3, 5);
    }
}

// ---- PNG

static void put_big_endian(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void put_chunk(FILE *f, const char *type, const unsigned char *data, size_t size) {
    unsigned char number[4];
    uLong sum = crc32(crc32(0, (const Bytef *)type, 4), data, (uInt)size);
    put_big_endian(number, (uint32_t)size);
    fwrite(number, 1, 4, f);
    fwrite(type, 1, 4, f);
    if (size) fwrite(data, 1, size, f);
    put_big_endian(number, (uint32_t)sum);
    fwrite(number, 1, 4, f);
}

// Any colour type and depth, interlaced or not; rows of every filter. `samples` a pixel.
static void png(int width, int height, int depth, int colour, int samples, int interlaced) {
    unsigned char header[13] = {0}, palette[3 * 16], raw[4096], packed[8192];
    put_big_endian(header, (uint32_t)width), put_big_endian(header + 4, (uint32_t)height);
    header[8] = (unsigned char)depth, header[9] = (unsigned char)colour, header[12] = (unsigned char)interlaced;
    for (size_t i = 0; i < sizeof palette; i++) palette[i] = noise(i);
    size_t row = 1 + ((size_t)(width * samples * depth) + 7) / 8, size = row * (size_t)height * (interlaced ? 2 : 1);
    for (size_t i = 0; i < size; i++) raw[i] = i % row ? noise(i) : (unsigned char)(i / row % 5);
    if (interlaced) memset(raw, 0, sizeof raw);
    uLongf packed_size = sizeof packed;
    compress(packed, &packed_size, raw, interlaced ? sizeof raw : size);
    FILE *f = create_image(4 + depth % 4);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, f);
    put_chunk(f, "IHDR", header, sizeof header);
    if (colour == 3) put_chunk(f, "PLTE", palette, sizeof palette);
    if (colour == 3) put_chunk(f, "tRNS", palette, 7);
    if (colour == 2 && depth == 8) put_chunk(f, "tRNS", (const unsigned char *)"\0\1\0\2\0\3", 6);
    put_chunk(f, "IDAT", packed, packed_size / 2);
    put_chunk(f, "IDAT", packed + packed_size / 2, packed_size - packed_size / 2);
    put_chunk(f, "IEND", NULL, 0);
    fclose(f);
}

static void pictures(void) {
    static const struct { int colour, samples, depth; } kinds[] = {
        {0, 1, 1}, {0, 1, 2}, {0, 1, 4}, {0, 1, 8}, {0, 1, 16}, {2, 3, 8}, {2, 3, 16}, {3, 1, 4},
        {3, 1, 2}, {4, 2, 8}, {4, 2, 16}, {6, 4, 8}, {6, 4, 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int interlaced = 0; interlaced < 2; interlaced++)
            png(9, 7, kinds[i].depth, kinds[i].colour, kinds[i].samples, interlaced);
    for (int channels = 1; channels <= 4; channels++) whole(1, channels), whole(17, channels);
    jpegs(), bmps();
}

// ---- arrays

static void array(int version, const char *dict, size_t bytes) {
    FILE *f = create("npy");
    unsigned length = (unsigned)strlen(dict);
    fwrite("\x93NUMPY", 1, 6, f);
    fputc(version, f), fputc(0, f), fputc((int)(length & 255), f), fputc((int)(length >> 8), f);
    if (version > 1) fputc(0, f), fputc(0, f);
    fputs(dict, f);
    for (size_t i = 0; i < bytes; i++) fputc(noise(i), f);
    fclose(f);
}

static void arrays(void) {
    array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24);
    array(2, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n", 24);
    array(3, "{\"descr\": \"|u1\", 'fortran_order': True, 'shape': (5,)}", 5);
    array(1, "{'shape': (), 'fortran_order': False, 'descr': '<i8'}", 8);
    array(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2, 1, 3), }  \n", 24);
    array(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (0, 7), }\n", 0);
}

// ---- archives

static void archive(int method, const char *first, const char *second) {
    FILE *f = create("zip");
    fclose(f);
    char path[4096], text[100];
    memset(text, 'a', sizeof text);
    snprintf(path, sizeof path, "%s/zip/seed%03d", folder, count - 1);
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    const char *names[] = {first, second};
    for (int i = 0; z && i < 2; i++) {
        zip_int64_t at = zip_file_add(z, names[i], zip_source_buffer(z, text, i ? 7 : sizeof text, 0), ZIP_FL_ENC_UTF_8);
        if (at >= 0) zip_set_file_compression(z, (zip_uint64_t)at, method, 0);
    }
    if (!z || zip_close(z) != 0) fprintf(stderr, "seeds: no archive %s\n", path), exit(1);
}

static void archives(void) {
    archive(ZIP_CM_STORE, "cells/a.png", "cells/b.png");
    archive(ZIP_CM_DEFLATE, "a", "x/../../b");
    archive(ZIP_CM_DEFLATE, "/root", "folder/");
}

// ---- texts

static void text(const char *target, const char *text) {
    FILE *f = create(target);
    fputs(text, f);
    fclose(f);
}

static void texts(void) {
    text("md4c", "# Title\n\nSome *emphasis*, **strong** ~~gone~~ and `code`.\n\n- [ ] one\n- [x] two\n  1. a\n  2. b\n");
    text("md4c", "| a | b |\n|:--|--:|\n| 1 | 2 |\n\n> quote\n> > deeper\n\n```lua\nprint(1)\n```\n\n---\n");
    text("md4c", "[link](http://a.b \"t\") ![picture](x.png) <http://c.d> &amp; &alpha; &#945;\n\n$x^2$ $$y$$ <b>raw</b>\n");
    text("jansson", "{\"a\": [1, -2.5e-3, true, false, null], \"b\": {\"\": \"\\u00e4\\ud83d\\ude00\\n\\\"\"}}");
    text("jansson", "[9223372036854775807, -0, -0.0, 1E5, 0.1, \"\", [], {}, [[[]]]]");
    text("jansson", "\"alone\"");
}

// ---- messages: how, where the pieces part, the length in 8 bytes, and the text

static void message(int how, int parts_at, int length, const char *text) {
    FILE *f = create("message");
    fputc(how, f), fputc(parts_at, f);
    put_little_endian(f, 4, (uint32_t)length), put_little_endian(f, 4, 0);
    fputs(text, f);
    fclose(f);
}

static void messages(void) {
    for (int how = 0; how < 8; how++) message(how, how % 2 ? 3 : 11, 5, how % 3 ? "hello" : "hell");
    message(0, 255, 201, "too long");
}

// ---- conversations: when the client leaves, and what he says

static void conversations(void) {
    text("http", "\007GET /abc?a=b&c=%20d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    text("http", "\003POST /run HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloHEAD /ab HTTP/1.0\r\n\r\n");
    text("http", "\017POST /abcd HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nPUT / HTTP/1.1\r\n\r\n");
    text("http", "\016GET /abcdefghijk HTTP/1.1\r\nConnection: close\r\nCookie: a=b\r\nLast-Event-ID: 5\r\n\r\n");
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: seeds FOLDER\n"), 2;
    folder = argv[1];
    pictures(), arrays(), archives(), texts(), messages(), conversations();
    return 0;
}
