// NumPy's .npy files. Read: versions 1 and 2 (and 3, which differs by UTF-8), C order, types <f4
// <f8 |u1 <i4 <i8 |b1, at most 4 dimensions. Written: version 1, <f4.
#pragma once
#include <stddef.h>

#include "dtype.h"
#include "tensor.h"

struct npy {
    enum dtype type;
    int ndim, shape[TENSOR_MAX_DIMS];
    size_t data; // where the numbers begin
};

// Reads the header of a file's bytes and checks that all numbers are there. -1 with sys_error()
// naming the path.
int npy_header(struct npy *npy, const char *path, const unsigned char *bytes, size_t size);

// The bytes of a file holding t, from mem_alloc (the caller frees them); NULL when there is no
// memory.
unsigned char *npy_bytes(const struct tensor *t, size_t *size);
