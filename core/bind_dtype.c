// Tensors as the bytes of a file, and back.
#include "bind.h"
#include "dtype.h"

// core.to_bytes(t): its float32 numbers, little-endian.
static int to_bytes(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    lua_pushlstring(L, (const char *)t->data, t->size * sizeof(float));
    return 1;
}

// core.from_bytes(bytes, "F32"|"F16"|"BF16"|"F64"|"I64"|"I32"|"U8", shape): a float32 tensor.
static int from_bytes(lua_State *L) {
    size_t size;
    const char *bytes = luaL_checklstring(L, 1, &size), *name = luaL_checkstring(L, 2);
    enum dtype type = dtype_named(name);
    if (type == DTYPES)
        luaL_argerror(L, 2, lua_pushfstring(L, "numbers of type %s cannot be read", name));
    int shape[TENSOR_MAX_DIMS], ndim = check_shape(L, 3, shape);
    if (shape_size(ndim, shape) * dtype_size(type) != size) {
        char text[SHAPE_TEXT];
        luaL_argerror(L, 1,
                      lua_pushfstring(L, "%d bytes are not %s numbers of type %s", (int)size,
                                      shape_text(text, ndim, shape), name));
    }
    struct tensor *t = push_tensor(L, ndim, shape);
    dtype_read(t->data, bytes, t->size, type);
    return 1;
}

const luaL_Reg dtype_functions[] = {
    {"to_bytes", to_bytes}, {"from_bytes", from_bytes}, {NULL, NULL}};
