// .npy files in Lua: what cannot be read or written is nil and why.
#include "bind.h"
#include "mem.h"
#include "npy.h"
#include "sys.h"

// core.npy_load(path): a tensor (other number types are converted), or nil and why.
static int npy_load(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    size_t size;
    struct npy npy;
    void **owner = push_owner(L);
    unsigned char *bytes = *owner = sys_read_file(path, &size);
    if (!bytes || npy_header(&npy, path, bytes, size) != 0) return fail_pair(L);
    struct tensor *t = push_tensor(L, npy.ndim, npy.shape);
    dtype_read(t->data, bytes + npy.data, t->size, npy.type);
    free_scratch(L, -2);
    return 1;
}

// core.npy_save(path, t): true, or nil and why. float32; the old file stays whole until the new one
// is.
static int npy_save(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    struct tensor *t = check_tensor(L, 2);
    size_t size;
    void **owner = push_owner(L);
    *owner = npy_bytes(t, &size);
    if (!*owner || sys_write_file(path, *owner, size) != 0) return fail_pair(L);
    free_scratch(L, -1);
    lua_pushboolean(L, 1);
    return 1;
}

const luaL_Reg npy_functions[] = {
    {"npy_load", npy_load}, {"npy_save", npy_save}, {NULL, NULL}};
