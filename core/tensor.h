// A tensor: float32, contiguous, at most 4 dimensions, the last one fastest (pictures are NHWC). A view is a reshape or
// a run of leading rows; it shares the storage of its owner, which lives as long as any of them.
#pragma once
#include <stdatomic.h>
#include <stddef.h>

enum { TENSOR_MAX_DIMS = 4 };

struct storage {
    atomic_int references;
    unsigned changes; // how often its numbers were changed in place (see check_tensor_to_change)
    size_t bytes;
    float *data; // 64-byte aligned, from mem_alloc
};

struct tensor {
    struct storage *storage; // NULL: released or never filled
    float *data;             // inside storage->data
    size_t size;             // product of shape; 1 for a scalar (ndim 0)
    int ndim;
    int shape[TENSOR_MAX_DIMS];
};

// Fills *t with fresh storage, contents undefined. -1 when there is no memory (sys_error names shape and bytes).
int tensor_create(struct tensor *t, int ndim, const int shape[]);
// Makes *view share t's storage from element `offset` on, in another shape (the caller has checked that it fits).
void tensor_view(struct tensor *view, const struct tensor *t, size_t offset, int ndim, const int shape[]);
void tensor_release(struct tensor *t); // drops the reference; *t becomes empty

size_t shape_size(int ndim, const int shape[]);
// "(2, 3, 4)" as NumPy writes it. Returns text.
enum { SHAPE_TEXT = 64 };
const char *shape_text(char text[SHAPE_TEXT], int ndim, const int shape[]);
