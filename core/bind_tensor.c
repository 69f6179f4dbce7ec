// Tensors in Lua: creation, views, indexing, conversion. Arithmetic is in bind_math.c; methods that autograd must see
// are added to core.tensor_methods from Lua.
#include "bind.h"
#include "elementwise.h"
#include "mem.h"
#include "sys.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// ---- the collector's view
// Lua sees a tensor as a few bytes, so it is told by hand: a full collection whenever a quarter more is in use than was
// after the last one, and at least 8 MB. What is released by hand (a training step's activations) does not count, and after
// a few collections the mark stands at a step's peak.

static size_t alive_after;

void account_memory(lua_State *L, size_t bytes) {
    const size_t least = (size_t)8 << 20, quarter = alive_after / 4;
    size_t in_use = mem_stats().in_use + bytes;
    if (in_use < alive_after + (quarter > least ? quarter : least) || !lua_gc(L, LUA_GCISRUNNING)) return;
    lua_gc(L, LUA_GCCOLLECT);
    alive_after = mem_stats().in_use;
}

// ---- checks

struct tensor *check_tensor(lua_State *L, int arg) {
    struct tensor *t = luaL_checkudata(L, arg, TENSOR_TYPE);
    luaL_argcheck(L, t->storage, arg, "this tensor was released (its memory went back after a backward pass)");
    return t;
}

struct tensor *opt_tensor(lua_State *L, int arg) { return lua_isnoneornil(L, arg) ? NULL : check_tensor(L, arg); }

struct tensor *check_tensor_to_change(lua_State *L, int arg) {
    struct tensor *t = check_tensor(L, arg);
    t->storage->changes++;
    return t;
}

struct tensor *check_tensor_dims(lua_State *L, int arg, int ndim) {
    struct tensor *t = check_tensor(L, arg);
    if (t->ndim != ndim) {
        char text[SHAPE_TEXT];
        luaL_argerror(L, arg, lua_pushfstring(L, "expected %d dimensions, got shape %s", ndim, shape_text(text, t->ndim, t->shape)));
    }
    return t;
}

int check_int(lua_State *L, int arg, int low, int high) {
    lua_Integer value = luaL_checkinteger(L, arg);
    if (value < low || value > high) luaL_argerror(L, arg, lua_pushfstring(L, "%I is not in %d..%d", value, low, high));
    return (int)value;
}

static int checked_dimension(lua_State *L, int arg, int index, double *size) {
    int is_integer;
    lua_Integer n = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || n < 0) luaL_argerror(L, arg, lua_pushfstring(L, "a dimension must be a whole number >= 0, got %s", luaL_tolstring(L, index, NULL)));
    *size *= (double)n;
    if (n > 0x7fffffff || *size > 4e12) luaL_argerror(L, arg, "the shape is too large");
    return (int)n;
}

int check_shape(lua_State *L, int arg, int shape[TENSOR_MAX_DIMS]) {
    bool is_table = lua_istable(L, arg);
    int ndim = is_table ? (int)lua_rawlen(L, arg) : lua_gettop(L) - arg + 1;
    if (ndim > TENSOR_MAX_DIMS) luaL_argerror(L, arg, lua_pushfstring(L, "a tensor has at most %d dimensions, got %d", TENSOR_MAX_DIMS, ndim));
    double size = 1;
    for (int i = 0; i < ndim; i++) {
        if (is_table) lua_rawgeti(L, arg, i + 1);
        else lua_pushvalue(L, arg + i);
        shape[i] = checked_dimension(L, arg, lua_gettop(L), &size);
        lua_pop(L, 1);
    }
    return ndim;
}

void require_shape(lua_State *L, int arg, const struct tensor *t, int ndim, const int shape[]) {
    if (t->ndim == ndim && memcmp(t->shape, shape, sizeof(int) * (size_t)ndim) == 0) return;
    char want[SHAPE_TEXT], got[SHAPE_TEXT];
    luaL_argerror(L, arg, lua_pushfstring(L, "expected shape %s, got %s", shape_text(want, ndim, shape), shape_text(got, t->ndim, t->shape)));
}

int shape_mismatch(lua_State *L, int arg, const char *what, const struct tensor *a, const struct tensor *b) {
    char first[SHAPE_TEXT], second[SHAPE_TEXT];
    return luaL_argerror(L, arg, lua_pushfstring(L, "%s: shapes %s and %s do not fit", what, shape_text(first, a->ndim, a->shape),
                                                 shape_text(second, b->ndim, b->shape)));
}

int fail_pair(lua_State *L) {
    lua_pushnil(L);
    lua_pushstring(L, sys_error());
    return 2;
}

int raise_error(lua_State *L) {
    luaL_where(L, 1);
    lua_pushstring(L, sys_error());
    lua_concat(L, 2);
    return lua_error(L);
}

// ---- new tensors

static struct tensor *push_empty(lua_State *L) {
    struct tensor *t = lua_newuserdatauv(L, sizeof *t, 1);
    *t = (struct tensor){0};
    luaL_setmetatable(L, TENSOR_TYPE);
    return t;
}

struct tensor *push_tensor(lua_State *L, int ndim, const int shape[]) {
    account_memory(L, shape_size(ndim, shape) * sizeof(float));
    struct tensor *t = push_empty(L);
    if (tensor_create(t, ndim, shape) == 0) return t;
    lua_gc(L, LUA_GCCOLLECT); // garbage may hold what we need
    mem_trim();
    if (tensor_create(t, ndim, shape) != 0) raise_error(L);
    return t;
}

struct tensor *push_tensor_like(lua_State *L, const struct tensor *t) { return push_tensor(L, t->ndim, t->shape); }

struct tensor *push_zeros(lua_State *L, int ndim, const int shape[]) {
    struct tensor *t = push_tensor(L, ndim, shape);
    elementwise_fill(t->data, 0, t->size);
    return t;
}

struct tensor *push_view(lua_State *L, int arg, size_t offset, int ndim, const int shape[]) {
    arg = lua_absindex(L, arg);
    struct tensor *view = push_empty(L);
    tensor_view(view, lua_touserdata(L, arg), offset, ndim, shape);
    return view;
}

// ---- scratch

#define SCRATCH_TYPE "giemsa.scratch"

static int scratch_gc(lua_State *L) {
    void **block = lua_touserdata(L, 1);
    mem_free(*block);
    *block = NULL;
    return 0;
}

void **push_owner(lua_State *L) {
    void **block = lua_newuserdatauv(L, sizeof *block, 0);
    *block = NULL;
    if (luaL_newmetatable(L, SCRATCH_TYPE)) {
        lua_pushcfunction(L, scratch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return block;
}

void *push_scratch(lua_State *L, size_t bytes) {
    void **block = push_owner(L);
    *block = mem_alloc(bytes);
    if (!*block) luaL_error(L, "out of memory: %f bytes of scratch", (lua_Number)bytes);
    return *block;
}

void free_scratch(lua_State *L, int index) {
    void **block = lua_touserdata(L, index);
    mem_free(*block);
    *block = NULL;
}

// ---- creation

static int tensor_empty(lua_State *L) {
    int shape[TENSOR_MAX_DIMS], ndim = check_shape(L, 1, shape);
    push_tensor(L, ndim, shape);
    return 1;
}

static int tensor_zeros(lua_State *L) {
    int shape[TENSOR_MAX_DIMS], ndim = check_shape(L, 1, shape);
    push_zeros(L, ndim, shape);
    return 1;
}

static int tensor_full(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int shape[TENSOR_MAX_DIMS], ndim = check_shape(L, 1, shape);
    float value = (float)luaL_checknumber(L, 2);
    struct tensor *t = push_tensor(L, ndim, shape);
    stoppable(L, elementwise_fill(t->data, value, t->size));
    return 1;
}

// The shape of a nested table, read along its first elements.
static int nested_shape(lua_State *L, int index, int shape[TENSOR_MAX_DIMS]) {
    int ndim = 0;
    lua_pushvalue(L, index);
    while (lua_istable(L, -1)) {
        if (ndim == TENSOR_MAX_DIMS) luaL_argerror(L, index, "tables are nested deeper than 4");
        shape[ndim++] = (int)lua_rawlen(L, -1);
        lua_rawgeti(L, -1, 1);
        lua_remove(L, -2);
    }
    lua_pop(L, 1);
    return ndim;
}

static float *fill_nested(lua_State *L, int index, float *out, const struct tensor *t, int depth) {
    if (depth >= t->ndim || depth == TENSOR_MAX_DIMS) {
        int is_number;
        *out = (float)lua_tonumberx(L, index, &is_number);
        if (!is_number) luaL_error(L, "tensor: expected a number inside the table, got %s", luaL_typename(L, index));
        return out + 1;
    }
    if (!lua_istable(L, index) || (int)lua_rawlen(L, index) != t->shape[depth])
        luaL_error(L, "tensor: ragged table, every row at depth %d needs %d elements", depth + 1, t->shape[depth]);
    for (int i = 1; i <= t->shape[depth]; i++) {
        lua_rawgeti(L, index, i);
        out = fill_nested(L, lua_gettop(L), out, t, depth + 1);
        lua_pop(L, 1);
    }
    return out;
}

static int tensor_from_table(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int shape[TENSOR_MAX_DIMS], ndim = nested_shape(L, 1, shape);
    struct tensor *t = push_tensor(L, ndim, shape);
    fill_nested(L, 1, t->data, t, 0);
    return 1;
}

static void push_nested(lua_State *L, const struct tensor *t, const float **next, int depth) {
    if (depth >= t->ndim || depth == TENSOR_MAX_DIMS) {
        lua_pushnumber(L, *(*next)++);
        return;
    }
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, t->shape[depth], 0);
    for (int i = 1; i <= t->shape[depth]; i++) {
        push_nested(L, t, next, depth + 1);
        lua_rawseti(L, -2, i);
        if (i % STOP_STRIDE == 0) stop_check(L);
    }
}

static int tensor_totable(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    const float *next = t->data;
    stop_watch(L);
    push_nested(L, t, &next, 0);
    return 1;
}

static int tensor_item(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    if (t->size != 1) luaL_error(L, "item: only a tensor with one element is a number, this one has %d", (int)t->size);
    lua_pushnumber(L, t->data[0]);
    return 1;
}

static int tensor_fill(lua_State *L) {
    float value = (float)luaL_checknumber(L, 2);
    struct tensor *t = check_tensor_to_change(L, 1);
    elementwise_fill(t->data, value, t->size);
    lua_settop(L, 1);
    return 1;
}

static int tensor_copy(lua_State *L) {
    struct tensor *t = check_tensor(L, 1), *copy = push_tensor_like(L, t);
    stoppable(L, elementwise_copy(copy->data, t->data, t->size));
    return 1;
}

// core.changes(list) -> how often the numbers of these tensors were changed in place, in all
static int tensor_changes(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer changes = 0, n = (lua_Integer)lua_rawlen(L, 1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        changes += check_tensor(L, -1)->storage->changes;
        lua_pop(L, 1);
    }
    lua_pushinteger(L, changes);
    return 1;
}

// t:copy_from(src): same number of elements; shapes may differ by ones.
static int tensor_copy_from(lua_State *L) {
    struct tensor *t = check_tensor_to_change(L, 1), *source = check_tensor(L, 2);
    if (t->size != source->size) shape_mismatch(L, 2, "copy_from", t, source);
    memmove(t->data, source->data, t->size * sizeof(float));
    lua_settop(L, 1);
    return 1;
}

static int tensor_release_memory(lua_State *L) {
    tensor_release(luaL_checkudata(L, 1, TENSOR_TYPE));
    return 0;
}

static int tensor_is_released(lua_State *L) {
    struct tensor *t = luaL_checkudata(L, 1, TENSOR_TYPE);
    lua_pushboolean(L, t->storage == NULL);
    return 1;
}

// ---- views

// t:reshape(...): one dimension may be -1 and is worked out.
static int tensor_reshape(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    int shape[TENSOR_MAX_DIMS], unknown = -1;
    bool is_table = lua_istable(L, 2);
    int ndim = is_table ? (int)lua_rawlen(L, 2) : lua_gettop(L) - 1;
    if (ndim > TENSOR_MAX_DIMS) luaL_error(L, "reshape: a tensor has at most 4 dimensions, got %d", ndim);
    size_t known = 1;
    for (int i = 0; i < ndim; i++) {
        lua_Integer n = is_table ? (lua_rawgeti(L, 2, i + 1), luaL_checkinteger(L, -1)) : luaL_checkinteger(L, i + 2);
        if (n == -1 && unknown < 0) unknown = i;
        else if (n < 0 || n > 0x7fffffff) luaL_error(L, "reshape: %I is not a dimension (one may be -1)", n);
        else known *= (size_t)n;
        shape[i] = (int)n;
    }
    if (unknown >= 0) shape[unknown] = known ? (int)(t->size / known) : 0;
    if (shape_size(ndim, shape) != t->size) {
        char from[SHAPE_TEXT], to[SHAPE_TEXT];
        luaL_error(L, "reshape: shape %s has %d elements, %s has another number", shape_text(from, t->ndim, t->shape), (int)t->size,
                   shape_text(to, ndim, shape));
    }
    push_view(L, 1, 0, ndim, shape);
    return 1;
}

static size_t row_size(const struct tensor *t) { return t->shape[0] ? t->size / (size_t)t->shape[0] : 0; }

// t:rows(first, last): the rows first..last, both included, as a view.
static int tensor_rows(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    if (t->ndim == 0) luaL_error(L, "rows: a scalar has no rows");
    int first = check_int(L, 2, 1, t->shape[0] + 1);
    int last = check_int(L, 3, first - 1, t->shape[0]);
    int shape[TENSOR_MAX_DIMS];
    memcpy(shape, t->shape, sizeof shape);
    shape[0] = last - first + 1;
    push_view(L, 1, (size_t)(first - 1) * row_size(t), t->ndim, shape);
    return 1;
}

// The row that the key at 2 names, from 0. A number like 2.0 is as good as 2.
static size_t checked_row(lua_State *L, const struct tensor *t) {
    int is_row;
    lua_Integer row = lua_tointegerx(L, 2, &is_row);
    if (!is_row || lua_type(L, 2) != LUA_TNUMBER)
        luaL_error(L, "a tensor is indexed by a row number or a name, got %s", luaL_tolstring(L, 2, NULL));
    if (t->ndim == 0) luaL_error(L, "a scalar tensor cannot be indexed; use :item()");
    if (row < 1 || row > t->shape[0]) luaL_error(L, "index %I is outside 1..%d", row, t->shape[0]);
    return (size_t)(row - 1);
}

// ---- fields: t[i], t.shape, methods, and the few free fields of autograd

static int push_shape(lua_State *L, const struct tensor *t) {
    lua_createtable(L, t->ndim, 0);
    for (int i = 0; i < t->ndim; i++) {
        lua_pushinteger(L, t->shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static const char *const free_fields[] = {"grad", "requires_grad", "node", "name", NULL};

static bool is_free_field(const char *key) {
    for (int i = 0; free_fields[i]; i++)
        if (strcmp(key, free_fields[i]) == 0) return true;
    return false;
}

static int tensor_field(lua_State *L, const struct tensor *t) {
    lua_pushvalue(L, 2); // a method?
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    const char *key = lua_tostring(L, 2);
    if (is_free_field(key)) {
        if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) return lua_pushnil(L), 1;
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        return 1;
    }
    if (strcmp(key, "shape") == 0) return push_shape(L, t);
    if (strcmp(key, "ndim") == 0) return lua_pushinteger(L, t->ndim), 1;
    if (strcmp(key, "size") == 0) return lua_pushinteger(L, (lua_Integer)t->size), 1;
    return luaL_error(L, "a tensor has no field or method '%s'", key);
}

static int tensor_index(lua_State *L) {
    struct tensor *t = luaL_checkudata(L, 1, TENSOR_TYPE);
    if (lua_type(L, 2) == LUA_TSTRING) return tensor_field(L, t);
    size_t row = checked_row(L, check_tensor(L, 1));
    if (t->ndim == 1) return lua_pushnumber(L, t->data[row]), 1;
    push_view(L, 1, row * row_size(t), t->ndim - 1, t->shape + 1);
    return 1;
}

static int set_field(lua_State *L) {
    const char *key = lua_tostring(L, 2);
    if (!is_free_field(key)) return luaL_error(L, "a tensor has no field '%s' to set", key);
    if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, 1, 1);
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_rawset(L, -3);
    return 0;
}

// t[i] = number, or a tensor of the row's size.
static int tensor_newindex(lua_State *L) {
    struct tensor *t = luaL_checkudata(L, 1, TENSOR_TYPE);
    if (lua_type(L, 2) == LUA_TSTRING) return set_field(L);
    size_t row = checked_row(L, check_tensor_to_change(L, 1)), size = row_size(t);
    float *out = t->data + row * size;
    if (lua_type(L, 3) == LUA_TNUMBER) {
        for (size_t i = 0; i < size; i++) out[i] = (float)lua_tonumber(L, 3);
        return 0;
    }
    struct tensor *value = check_tensor(L, 3);
    if (value->size != size) return shape_mismatch(L, 3, "assigning a row", t, value);
    memmove(out, value->data, size * sizeof(float));
    return 0;
}

static int tensor_length(lua_State *L) {
    struct tensor *t = luaL_checkudata(L, 1, TENSOR_TYPE);
    lua_pushinteger(L, t->ndim ? t->shape[0] : 1);
    return 1;
}

static int tensor_equal(lua_State *L) {
    struct tensor *a = luaL_testudata(L, 1, TENSOR_TYPE), *b = luaL_testudata(L, 2, TENSOR_TYPE);
    bool equal = a && b && a->storage && b->storage && a->ndim == b->ndim &&
                 memcmp(a->shape, b->shape, sizeof(int) * (size_t)a->ndim) == 0;
    for (size_t i = 0; equal && i < a->size; i++) equal = a->data[i] == b->data[i]; // NaN differs from itself
    lua_pushboolean(L, equal);
    return 1;
}

static int is_tensor(lua_State *L) {
    lua_pushboolean(L, luaL_testudata(L, 1, TENSOR_TYPE) != NULL);
    return 1;
}

// core.is_shared(t): whether another tensor that is not collected yet has the same memory.
static int is_shared(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    lua_pushboolean(L, atomic_load(&t->storage->references) > 1);
    return 1;
}

static const luaL_Reg methods[] = {
    {"totable", tensor_totable}, {"item", tensor_item}, {"fill", tensor_fill}, {"copy", tensor_copy}, {"copy_from", tensor_copy_from},
    {"reshape", tensor_reshape}, {"rows", tensor_rows}, {"release", tensor_release_memory}, {"is_released", tensor_is_released}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__newindex", tensor_newindex}, {"__len", tensor_length}, {"__eq", tensor_equal},
                                       {"__gc", tensor_release_memory}, {"__close", tensor_release_memory}, {NULL, NULL}};

const luaL_Reg tensor_functions[] = {{"empty", tensor_empty}, {"zeros", tensor_zeros}, {"full", tensor_full},
                                     {"from_table", tensor_from_table}, {"is_tensor", is_tensor}, {"changes", tensor_changes},
                                     {"is_shared", is_shared}, {NULL, NULL}};

// Leaves nothing; sets core.tensor_methods and core.tensor_metatable in the table at the top.
void open_tensor(lua_State *L) {
    luaL_newmetatable(L, TENSOR_TYPE);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -4, "tensor_methods");
    lua_pushcclosure(L, tensor_index, 1);
    lua_setfield(L, -2, "__index");
    lua_setfield(L, -2, "tensor_metatable");
}
