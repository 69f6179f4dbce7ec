// NumPy's .npy: "\x93NUMPY", two version bytes, the header's length (2 bytes, 4 from version 2), a
// Python dict literal, the numbers. The dict has exactly the keys descr, fortran_order and shape.
#include "npy.h"
#include "mem.h"
#include "sys.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char magic[6] = {(char)0x93, 'N', 'U', 'M', 'P', 'Y'};

static const struct {
    const char *name;
    enum dtype type;
} types[] = {{"<f4", DTYPE_F32}, {"<f8", DTYPE_F64}, {"|u1", DTYPE_U8},
             {"<i4", DTYPE_I32}, {"<i8", DTYPE_I64}, {"|b1", DTYPE_U8}};

struct reader {
    const char *next, *end;
};

static bool skip(struct reader *r, const char *token) {
    while (r->next < r->end && (*r->next == ' ' || *r->next == '\n')) r->next++;
    size_t length = strlen(token);
    if ((size_t)(r->end - r->next) < length || memcmp(r->next, token, length) != 0) return false;
    r->next += length;
    return true;
}

// A Python string without escapes.
static bool read_string(struct reader *r, char *out, size_t room) {
    char quote[2] = "'";
    if (!skip(r, quote)) {
        quote[0] = '"';
        if (!skip(r, quote)) return false;
    }
    size_t n = 0;
    while (r->next < r->end && *r->next != quote[0] && n + 1 < room) out[n++] = *r->next++;
    out[n] = 0;
    return skip(r, quote);
}

static bool read_int(struct reader *r, int *out) {
    long long n = 0;
    skip(r, "");
    const char *start = r->next;
    for (; r->next < r->end && *r->next >= '0' && *r->next <= '9'; r->next++) {
        n = n * 10 + (*r->next - '0');
        if (n > INT32_MAX) return false;
    }
    *out = (int)n;
    return r->next > start;
}

// "(2, 3)", "(2,)" or "()". ndim counts on past the dimensions that are kept.
static bool read_shape(struct reader *r, struct npy *npy) {
    if (!skip(r, "(")) return false;
    for (npy->ndim = 0; !skip(r, ")"); npy->ndim++) {
        int n;
        if ((npy->ndim > 0 && !skip(r, ","))) return false;
        if (npy->ndim > 0 && skip(r, ")")) return true;
        if (!read_int(r, &n)) return false;
        if (npy->ndim < TENSOR_MAX_DIMS) npy->shape[npy->ndim] = n;
    }
    return true;
}

struct fields {
    char descr[32];
    bool fortran, has_descr, has_order, has_shape;
};

static bool read_field(struct reader *r, struct npy *npy, struct fields *f) {
    char key[32];
    if (!read_string(r, key, sizeof key) || !skip(r, ":")) return false;
    if (strcmp(key, "descr") == 0) return f->has_descr = read_string(r, f->descr, sizeof f->descr);
    if (strcmp(key, "shape") == 0) return f->has_shape = read_shape(r, npy);
    if (strcmp(key, "fortran_order") != 0) return false;
    f->fortran = skip(r, "True");
    return f->has_order = f->fortran || skip(r, "False");
}

static bool read_dict(struct reader r, struct npy *npy, struct fields *f) {
    if (!skip(&r, "{")) return false;
    while (!skip(&r, "}")) {
        if (!read_field(&r, npy, f)) return false;
        if (!skip(&r, ",")) return skip(&r, "}") && f->has_descr && f->has_order && f->has_shape;
    }
    return f->has_descr && f->has_order && f->has_shape;
}

static int set_type(struct npy *npy, const char *path, const char *descr) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, descr) != 0) continue;
        npy->type = types[i].type;
        return 0;
    }
    return sys_fail("%s: numbers of type '%s' are not read (only <f4 <f8 |u1 <i4 <i8 |b1); convert "
                    "with .astype('<f4')",
                    path, descr);
}

// Do the numbers end where the file does? Careful: a foreign shape may multiply to anything.
static int check_size(const struct npy *npy, const char *path, size_t available) {
    double need = (double)dtype_size(npy->type);
    char text[SHAPE_TEXT];
    for (int i = 0; i < npy->ndim; i++) need *= npy->shape[i];
    if (need == (double)available) return 0;
    shape_text(text, npy->ndim, npy->shape);
    if (need > (double)available)
        return sys_fail(
            "%s: the file is cut off: shape %s needs %.0f bytes of numbers, %zu are there", path,
            text, need, available);
    return sys_fail("%s: %.0f bytes too many behind an array of shape %s", path,
                    (double)available - need, text);
}

int npy_header(struct npy *npy, const char *path, const unsigned char *bytes, size_t size) {
    if (size < 10 || memcmp(bytes, magic, sizeof magic) != 0)
        return sys_fail("%s: not a .npy file", path);
    int version = bytes[6];
    size_t start = version == 1 ? 10 : 12, length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (version < 1 || version > 3)
        return sys_fail("%s: .npy version %d is not known (1 to 3 are)", path, version);
    if (size < start) return sys_fail("%s: the file is cut off within its header", path);
    if (version > 1) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > size - start) return sys_fail("%s: the file is cut off within its header", path);
    struct fields fields = {0};
    struct reader r = {(const char *)bytes + start, (const char *)bytes + start + length};
    *npy = (struct npy){.data = start + length};
    if (!read_dict(r, npy, &fields))
        return sys_fail("%s: the .npy header does not make sense", path);
    if (npy->ndim > TENSOR_MAX_DIMS)
        return sys_fail("%s: the array has %d dimensions, a tensor at most 4", path, npy->ndim);
    if (fields.fortran && npy->ndim > 1)
        return sys_fail("%s: Fortran order is not read; save numpy.ascontiguousarray(a) instead",
                        path);
    if (set_type(npy, path, fields.descr) != 0) return -1;
    return check_size(npy, path, size - npy->data);
}

unsigned char *npy_bytes(const struct tensor *t, size_t *size) {
    enum { HEADER = 128, DICT = HEADER - 10 }; // NumPy pads to a multiple of 64
    char shape[SHAPE_TEXT], dict[DICT + 1];
    shape_text(shape, t->ndim, t->shape);
    int length = snprintf(dict, sizeof dict,
                          "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    memset(dict + length, ' ', (size_t)(DICT - length));
    dict[DICT - 1] = '\n';
    *size = HEADER + t->size * sizeof(float);
    unsigned char *bytes = mem_alloc(*size);
    if (!bytes) return sys_fail("out of memory: %zu bytes of .npy", *size), NULL;
    memcpy(bytes, magic, sizeof magic);
    memcpy(bytes + sizeof magic, (unsigned char[]){1, 0, DICT, 0}, 4);
    memcpy(bytes + 10, dict, DICT);
    memcpy(bytes + HEADER, t->data, t->size * sizeof(float));
    return bytes;
}
