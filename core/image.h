// Pictures as bytes: height x width x channels, 8 bits, rows from the top, RGB. They live outside
// the tensor type: a cache of decoded cells is a quarter of the size.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct image {
    int height, width, channels;
    unsigned char *pixels; // mem_alloc'ed
};

int image_create(struct image *im, int height, int width, int channels); // contents undefined
void image_free(struct image *im);

// Largest picture accepted: 64 million pixels. The header is read first, so a bomb is refused
// before memory is taken.
enum { IMAGE_MAX_SIDE = 1 << 15, IMAGE_MAX_PIXELS = 64 << 20 };

// Decodes PNG, JPEG or BMP bytes (`name` is for the message). channels 3: RGB as Pillow's
// convert("RGB"): grey and palette expanded, alpha dropped (not blended); 1: grey as Pillow's
// convert("L"); 4: RGB and alpha (255 where the file has none); 0: as the file has it. 16-bit PNG is reduced to 8 bits. -1: not an image,
// truncated, too large, CMYK JPEG that cannot be decoded, no memory.
int image_decode(struct image *im, const unsigned char *bytes, size_t size, int channels,
                 const char *name);
int image_read(struct image *im, const char *path, int channels);

// The same picture with 4, 3 or 1 channels, by the rules above; out is created.
int image_convert(struct image *out, const struct image *in, int channels);

// PNG bytes of a picture (mem_alloc'ed, *size set) or NULL; and straight to a file (beside, synced,
// renamed).
unsigned char *image_encode_png(const struct image *im, size_t *size);
int image_write_png(const struct image *im, const char *path);

