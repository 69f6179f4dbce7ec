// NumPy files: a header that is taken gives numbers that are all there; what is written reads the same.
#include "dtype.h"
#include "fuzz.h"
#include "mem.h"
#include "npy.h"
#include "sys.h"

#include <string.h>

static void check_written(struct tensor *t) {
    struct npy npy;
    size_t size;
    unsigned char *bytes = npy_bytes(t, &size);
    if (!bytes) return; // larger than this memory gives
    CHECK(npy_header(&npy, "again", bytes, size) == 0);
    CHECK(npy.type == DTYPE_F32 && npy.ndim == t->ndim && size - npy.data == t->size * sizeof(float));
    for (int i = 0; i < t->ndim; i++) CHECK(npy.shape[i] == t->shape[i]);
    CHECK(t->size == 0 || memcmp(bytes + npy.data, t->data, t->size * sizeof(float)) == 0);
    mem_free(bytes);
}

static void read_numbers(const struct npy *npy, const unsigned char *bytes, size_t size) {
    struct tensor t = {.ndim = npy->ndim, .size = (size - npy->data) / dtype_size(npy->type)};
    memcpy(t.shape, npy->shape, sizeof t.shape);
    double count = 1;
    for (int i = 0; i < npy->ndim; i++) count *= npy->shape[i];
    CHECK(npy->ndim >= 0 && npy->ndim <= TENSOR_MAX_DIMS && count == (double)t.size);
    t.data = mem_alloc(t.size * sizeof(float));
    if (!t.data) return;
    dtype_read(t.data, bytes + npy->data, t.size, npy->type);
    check_written(&t);
    mem_free(t.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned char *bytes = mem_alloc(size);
    struct npy npy;
    CHECK(bytes);
    if (size) memcpy(bytes, data, size);
    if (npy_header(&npy, "bytes", bytes, size) == 0) read_numbers(&npy, bytes, size);
    else CHECK(strncmp(sys_error(), "bytes: ", 7) == 0);
    mem_free(bytes);
    CHECK(mem_stats().in_use == 0);
    return 0;
}
