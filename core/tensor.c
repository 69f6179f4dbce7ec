// Tensors: storage with a reference count, and views into it.
#include "tensor.h"
#include "mem.h"
#include "sys.h"

#include <stdio.h>
#include <string.h>

size_t shape_size(int ndim, const int shape[]) {
    size_t size = 1;
    for (int i = 0; i < ndim; i++) size *= (size_t)shape[i];
    return size;
}

const char *shape_text(char text[SHAPE_TEXT], int ndim, const int shape[]) {
    int length = snprintf(text, SHAPE_TEXT, "(");
    for (int i = 0; i < ndim; i++)
        length += snprintf(text + length, (size_t)(SHAPE_TEXT - length), i ? ", %d" : "%d", shape[i]);
    snprintf(text + length, (size_t)(SHAPE_TEXT - length), ndim == 1 ? ",)" : ")");
    return text;
}

static void set_shape(struct tensor *t, int ndim, const int shape[]) {
    t->ndim = ndim;
    t->size = shape_size(ndim, shape);
    for (int i = 0; i < TENSOR_MAX_DIMS; i++) t->shape[i] = i < ndim ? shape[i] : 1;
}

int tensor_create(struct tensor *t, int ndim, const int shape[]) {
    size_t bytes = shape_size(ndim, shape) * sizeof(float);
    struct storage *storage = mem_alloc(sizeof *storage);
    float *data = storage ? mem_alloc(bytes) : NULL;
    if (!data) {
        char text[SHAPE_TEXT];
        mem_free(storage);
        return sys_fail("out of memory: a tensor of shape %s needs %zu bytes", shape_text(text, ndim, shape), bytes);
    }
    *storage = (struct storage){.bytes = bytes, .data = data};
    atomic_init(&storage->references, 1);
    t->storage = storage;
    t->data = data;
    set_shape(t, ndim, shape);
    return 0;
}

void tensor_view(struct tensor *view, const struct tensor *t, size_t offset, int ndim, const int shape[]) {
    atomic_fetch_add(&t->storage->references, 1);
    view->storage = t->storage;
    view->data = t->data + offset;
    set_shape(view, ndim, shape);
}

void tensor_release(struct tensor *t) {
    struct storage *storage = t->storage;
    t->storage = NULL;
    t->data = NULL;
    if (!storage || atomic_fetch_sub(&storage->references, 1) > 1) return;
    mem_free(storage->data);
    mem_free(storage);
}
