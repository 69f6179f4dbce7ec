// Numbers of other types to float32, one at a time: files are read once, so clearness wins over
// speed.
#include "dtype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "files hold little-endian numbers and are copied as they are");

static const struct {
    const char *name;
    size_t size;
} types[DTYPES] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8},
                   {"I64", 8}, {"I32", 4}, {"U8", 1}};

enum dtype dtype_named(const char *name) {
    enum dtype type = 0;
    while (type < DTYPES && strcmp(types[type].name, name) != 0) type++;
    return type;
}

size_t dtype_size(enum dtype type) { return types[type].size; }

// Half precision: sign, 5 bits of exponent (bias 15), 10 of fraction.
static float from_half(uint16_t h) {
    int exponent = h >> 10 & 31, fraction = h & 1023;
    float value = exponent == 31 ? (fraction ? NAN : INFINITY)
                  : exponent     ? ldexpf((float)(1024 + fraction), exponent - 25)
                                 : ldexpf((float)fraction, -24);
    return h & 0x8000 ? -value : value;
}

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float read_one(const unsigned char *p, enum dtype type) {
    uint16_t u16;
    int32_t i32;
    int64_t i64;
    double f64;
    switch (type) {
    case DTYPE_F16: return memcpy(&u16, p, 2), from_half(u16);
    case DTYPE_BF16:
        return memcpy(&u16, p, 2), from_bits((uint32_t)u16 << 16); // the upper half of a float32
    case DTYPE_F64: return memcpy(&f64, p, 8), (float)f64;
    case DTYPE_I64: return memcpy(&i64, p, 8), (float)i64;
    case DTYPE_I32: return memcpy(&i32, p, 4), (float)i32;
    default: return (float)*p;
    }
}

void dtype_read(float *out, const void *bytes, size_t n, enum dtype type) {
    const unsigned char *p = bytes;
    if (type == DTYPE_F32) {
        memcpy(out, p, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = read_one(p + i * dtype_size(type), type);
}
