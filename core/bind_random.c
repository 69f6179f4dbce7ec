// Random numbers in Lua: whole tensors from a named Philox stream, streams drawn one number at a
// time, and Python's and NumPy's Mersenne twister. A stream is (seed, a, b, c): seed any integer,
// a, b, c in 0..2^32-1, 0 when absent.
#include "bind.h"
#include "rng.h"

#define STREAM_TYPE "giemsa.stream"
#define TWISTER_TYPE "giemsa.twister"

static uint32_t check_word(lua_State *L, int arg) {
    lua_Integer n = luaL_checkinteger(L, arg);
    if (n < 0 || n > (lua_Integer)UINT32_MAX)
        luaL_argerror(L, arg, lua_pushfstring(L, "%I is not in 0..2^32-1", n));
    return (uint32_t)n;
}

static uint32_t opt_word(lua_State *L, int arg) {
    return lua_isnoneornil(L, arg) ? 0 : check_word(L, arg);
}

// The stream named by (seed, a, b, c) from `arg` on.
static struct rng check_stream_name(lua_State *L, int arg) {
    struct rng r;
    lua_Integer seed = luaL_checkinteger(L, arg);
    rng_start(&r, (uint64_t)seed, opt_word(L, arg + 1), opt_word(L, arg + 2), opt_word(L, arg + 3));
    return r;
}

static int check_shape_table(lua_State *L, int arg, int shape[TENSOR_MAX_DIMS]) {
    luaL_checktype(L, arg, LUA_TTABLE);
    return check_shape(L, arg, shape);
}

// core.uniform(shape, low, high, seed, a, b, c): numbers in [low, high).
static int random_uniform(lua_State *L) {
    int shape[TENSOR_MAX_DIMS], ndim = check_shape_table(L, 1, shape);
    double low = luaL_checknumber(L, 2), high = luaL_checknumber(L, 3);
    luaL_argcheck(L, low <= high, 3, "the upper limit is below the lower one");
    struct rng stream = check_stream_name(L, 4);
    struct tensor *t = push_tensor(L, ndim, shape);
    stoppable(L, rng_fill_uniform(t->data, t->size, &stream, low, high));
    return 1;
}

// core.normal(shape, mean, deviation, seed, a, b, c)
static int random_normal(lua_State *L) {
    int shape[TENSOR_MAX_DIMS], ndim = check_shape_table(L, 1, shape);
    double mean = luaL_checknumber(L, 2), deviation = luaL_checknumber(L, 3);
    luaL_argcheck(L, deviation >= 0, 3, "the standard deviation is negative");
    struct rng stream = check_stream_name(L, 4);
    struct tensor *t = push_tensor(L, ndim, shape);
    stoppable(L, rng_fill_normal(t->data, t->size, &stream, mean, deviation));
    return 1;
}

// ---- orders: tables of 1..n

static uint32_t *push_identity(lua_State *L, int n) {
    uint32_t *order = push_scratch(L, sizeof *order * (size_t)n);
    for (int i = 0; i < n; i++) order[i] = (uint32_t)i;
    return order;
}

static int push_order(lua_State *L, const uint32_t *order, int n) {
    lua_createtable(L, n, 0);
    stop_watch(L);
    for (int i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)order[i] + 1);
        lua_rawseti(L, -2, i + 1);
        if (i % STOP_STRIDE == 0) stop_check(L);
    }
    free_scratch(L, -2);
    return 1;
}

// core.permutation(n, seed, a, b, c)
static int random_permutation(lua_State *L) {
    int n = check_int(L, 1, 0, 1 << 30);
    struct rng stream = check_stream_name(L, 2);
    uint32_t *order = push_identity(L, n);
    rng_shuffle(&stream, order, (size_t)n);
    return push_order(L, order, n);
}

// ---- a stream, number by number

static int stream_new(lua_State *L) {
    struct rng named = check_stream_name(L, 1), *stream = lua_newuserdatauv(L, sizeof *stream, 0);
    *stream = named;
    luaL_newmetatable(L, STREAM_TYPE);
    lua_setmetatable(L, -2);
    return 1;
}

static struct rng *check_stream(lua_State *L) { return luaL_checkudata(L, 1, STREAM_TYPE); }

static int stream_uniform(lua_State *L) {
    lua_pushnumber(L, rng_uniform(check_stream(L)));
    return 1;
}

static int stream_normal(lua_State *L) {
    lua_pushnumber(L, rng_normal(check_stream(L)));
    return 1;
}

// core.stream_below(s, n): an integer 0..n-1.
static int stream_below(lua_State *L) {
    struct rng *stream = check_stream(L);
    uint32_t n = check_word(L, 2);
    luaL_argcheck(L, n > 0, 2, "there is no whole number below 0");
    lua_pushinteger(L, rng_below(stream, n));
    return 1;
}

// core.stream_position(s [, position]): how many words were drawn; with a position it goes there.
static int stream_position(lua_State *L) {
    struct rng *stream = check_stream(L);
    if (!lua_isnoneornil(L, 2)) {
        lua_Integer position = luaL_checkinteger(L, 2);
        luaL_argcheck(L, position >= 0 && position / 4 <= (lua_Integer)UINT32_MAX, 2, "no stream is that long");
        rng_seek(stream, (uint64_t)position);
    }
    lua_pushinteger(L, (lua_Integer)rng_position(stream));
    return 1;
}

static int stream_permutation(lua_State *L) {
    struct rng *stream = check_stream(L);
    int n = check_int(L, 2, 0, 1 << 30);
    uint32_t *order = push_identity(L, n);
    rng_shuffle(stream, order, (size_t)n);
    return push_order(L, order, n);
}

// ---- the Mersenne twister, seeded as Python or as NumPy does

static struct mt19937 *check_twister(lua_State *L) { return luaL_checkudata(L, 1, TWISTER_TYPE); }

static struct mt19937 *push_twister(lua_State *L) {
    struct mt19937 *m = lua_newuserdatauv(L, sizeof *m, 0);
    luaL_newmetatable(L, TWISTER_TYPE);
    lua_setmetatable(L, -2);
    return m;
}

static int twister_python(lua_State *L) {
    uint32_t seed = check_word(L, 1);
    mt_seed_python(push_twister(L), seed);
    return 1;
}

static int twister_numpy(lua_State *L) {
    uint32_t seed = check_word(L, 1);
    mt_seed_numpy(push_twister(L), seed);
    return 1;
}

static int twister_u32(lua_State *L) {
    lua_pushinteger(L, mt_u32(check_twister(L)));
    return 1;
}

static int twister_uniform(lua_State *L) {
    lua_pushnumber(L, mt_uniform(check_twister(L)));
    return 1;
}

typedef uint32_t below_function(struct mt19937 *m, uint32_t n);
typedef void shuffle_function(struct mt19937 *m, uint32_t *items, size_t n);

static int twister_below(lua_State *L, below_function *below) {
    struct mt19937 *m = check_twister(L);
    uint32_t n = check_word(L, 2);
    luaL_argcheck(L, n > 0, 2, "there is no whole number below 0");
    lua_pushinteger(L, below(m, n));
    return 1;
}

static int twister_order(lua_State *L, shuffle_function *shuffle) {
    struct mt19937 *m = check_twister(L);
    int n = check_int(L, 2, 0, 1 << 30);
    uint32_t *order = push_identity(L, n);
    shuffle(m, order, (size_t)n);
    return push_order(L, order, n);
}

static int twister_python_below(lua_State *L) { return twister_below(L, mt_python_below); }
static int twister_numpy_below(lua_State *L) { return twister_below(L, mt_numpy_below); }
static int twister_python_order(lua_State *L) { return twister_order(L, mt_python_shuffle); }
static int twister_numpy_order(lua_State *L) { return twister_order(L, mt_numpy_shuffle); }

const luaL_Reg random_functions[] = {
    {"uniform", random_uniform}, {"normal", random_normal}, {"permutation", random_permutation},
    {"stream", stream_new}, {"stream_uniform", stream_uniform}, {"stream_normal", stream_normal},
    {"stream_below", stream_below}, {"stream_position", stream_position}, {"stream_permutation", stream_permutation},
    {"twister_python", twister_python}, {"twister_numpy", twister_numpy},
    {"twister_u32", twister_u32}, {"twister_uniform", twister_uniform},
    {"twister_python_below", twister_python_below}, {"twister_numpy_below", twister_numpy_below},
    {"twister_python_order", twister_python_order}, {"twister_numpy_order", twister_numpy_order},
    {NULL, NULL}};
