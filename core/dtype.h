// Numbers of other types, as files hold them, to float32 and back. Bytes are little-endian and need
// no alignment.
#pragma once
#include <stddef.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_U8, DTYPES };

// The type of that name ("F32", "BF16", ... as in safetensors), or DTYPES for an unknown one.
enum dtype dtype_named(const char *name);
size_t dtype_size(enum dtype type);

// out[i] = the i-th number of bytes, rounded to the nearest float32.
void dtype_read(float *out, const void *bytes, size_t n, enum dtype type);
