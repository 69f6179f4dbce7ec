// Inference programs in Lua: core.program(...) -> program, core.program_run(program, x) -> y. See program.h; giemsa.nn.infer
// makes the steps of a model.
#include "bind.h"
#include "mem.h"
#include "norm.h"
#include "program.h"
#include "sys.h"
#include "threads.h"

#include <string.h>

#define PROGRAM_TYPE "giemsa.program"

// ---- reading the tables

static int get_int(lua_State *L, int table, const char *key, int otherwise) {
    lua_getfield(L, table, key);
    int value = lua_isnil(L, -1) ? otherwise : (int)luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

static bool get_flag(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    bool flag = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return flag;
}

static void get_numbers(lua_State *L, int table, const char *key, int numbers[], int count) {
    lua_getfield(L, table, key);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int i = 0; i < count; i++) {
        lua_geti(L, -1, i + 1);
        numbers[i] = (int)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static struct tensor *get_tensor(lua_State *L, int table, const char *key) {
    lua_getfield(L, table, key);
    struct tensor *t = opt_tensor(L, lua_gettop(L));
    lua_pop(L, 1);
    return t;
}

// A copy of a tensor's numbers, which the program owns; NULL for none.
static float *keep(lua_State *L, const struct tensor *t) {
    if (!t) return NULL;
    float *copy = mem_alloc(t->size * sizeof(float));
    if (!copy) luaL_error(L, "out of memory: %f bytes of weights", (lua_Number)t->size * sizeof(float));
    memcpy(copy, t->data, t->size * sizeof(float));
    return copy;
}

// ---- steps

static void read_conv(lua_State *L, int table, struct step *s) {
    struct tensor *w = get_tensor(L, table, "w");
    luaL_argcheck(L, w && w->ndim == 4, 1, "a convolution needs weights w of 4 dimensions");
    int size[2], out[2], g[8];
    get_numbers(L, table, "size", size, 2);
    get_numbers(L, table, "out", out, 2);
    get_numbers(L, table, "geometry", g, 8);
    s->conv = (struct conv){.batch = 1, .height = size[0], .width = size[1], .in = w->shape[2], .kernel_h = w->shape[0],
                            .kernel_w = w->shape[1], .out_h = out[0], .out_w = out[1], .out = w->shape[3], .stride_h = g[0],
                            .stride_w = g[1], .pad_top = g[2], .pad_left = g[4], .dilation_h = g[6], .dilation_w = g[7]};
    s->bias = keep(L, get_tensor(L, table, "bias"));
    struct conv_forward f = {.shape = s->conv, .w = w->data};
    s->packed = mem_alloc(conv_packed_floats(&f) * sizeof(float));
    if (!s->packed) luaL_error(L, "out of memory: packed weights");
    conv_pack(s->packed, &f);
}

static void read_pool(lua_State *L, int table, struct step *s) {
    int size[3], out[2], w[8];
    get_numbers(L, table, "size", size, 3);
    get_numbers(L, table, "out", out, 2);
    get_numbers(L, table, "window", w, 8);
    s->pool = (struct pool_shape){.n = 1, .h = size[0], .w = size[1], .c = size[2], .out_h = out[0], .out_w = out[1],
                                  .pool_h = w[0], .pool_w = w[1], .stride_h = w[2], .stride_w = w[3], .top = w[4], .left = w[6],
                                  .zeros = get_flag(L, table, "zeros")};
}

static void read_step(lua_State *L, int table, struct step *s, int buffers) {
    static const char *const kinds[] = {"conv", "max_pool", "mean_pool", "norm", "add", "relu", "softmax", "sigmoid", NULL};
    lua_getfield(L, table, "kind");
    s->kind = (enum step_kind)luaL_checkoption(L, lua_gettop(L), NULL, kinds);
    lua_pop(L, 1);
    s->input = get_int(L, table, "input", 0) - 1;
    s->output = get_int(L, table, "output", 0) - 1;
    s->other = get_int(L, table, "other", 0) - 1;
    s->rows = (size_t)get_int(L, table, "rows", 1);
    s->size = (size_t)get_int(L, table, "floats", 0);
    bool known = s->input >= 0 && s->input < buffers && s->output > 0 && s->output < buffers && s->other < buffers;
    luaL_argcheck(L, known, 1, "no such buffer");
    s->relu = get_flag(L, table, "relu");
    s->norm_relu = get_flag(L, table, "norm_relu");
    s->norm = keep(L, get_tensor(L, table, "norm"));
    if (s->kind == STEP_CONV) read_conv(L, table, s);
    if (s->kind == STEP_MAX_POOL || s->kind == STEP_MEAN_POOL) read_pool(L, table, s);
}

// ---- the object

static int program_gc(lua_State *L) {
    struct program *p = luaL_checkudata(L, 1, PROGRAM_TYPE);
    for (int i = 0; i < p->steps; i++) {
        mem_free(p->step[i].packed);
        mem_free(p->step[i].bias);
        mem_free(p->step[i].norm);
    }
    mem_free(p->step);
    mem_free(p->buffer_floats);
    mem_free(p->buffer_at);
    mem_free(p->memory);
    memset(p, 0, sizeof *p);
    return 0;
}

static void *allocate(lua_State *L, size_t bytes) {
    void *block = mem_alloc(bytes);
    if (!block) luaL_error(L, "out of memory: %f bytes of an inference program", (lua_Number)bytes);
    memset(block, 0, bytes);
    return block;
}

// core.program(steps, floats) -> program. floats: of one image's buffers, the first being the input, the last the output.
static int program(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    int steps = (int)lua_rawlen(L, 1), buffers = (int)lua_rawlen(L, 2);
    luaL_argcheck(L, buffers >= 2, 2, "a program has at least an input and an output");
    struct program *p = lua_newuserdata(L, sizeof *p);
    memset(p, 0, sizeof *p);
    luaL_setmetatable(L, PROGRAM_TYPE);
    p->step = allocate(L, (size_t)steps * sizeof(struct step) + 1);
    p->buffer_floats = allocate(L, (size_t)buffers * sizeof(size_t));
    p->buffer_at = allocate(L, (size_t)buffers * sizeof(size_t));
    p->buffers = buffers;
    for (int i = 0; i < buffers; i++) {
        lua_geti(L, 2, i + 1);
        p->buffer_floats[i] = (size_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    for (int i = 0; i < steps; i++) {
        lua_geti(L, 1, i + 1);
        p->steps = i + 1; // what it has so far is freed when reading raises
        read_step(L, lua_gettop(L), &p->step[i], buffers);
        lua_pop(L, 1);
    }
    program_finish(p);
    return 1;
}

// core.program_run(program, x, shape) -> y of that shape; both have a row for each image
static int program_run_lua(lua_State *L) {
    struct program *p = luaL_checkudata(L, 1, PROGRAM_TYPE);
    struct tensor *x = check_tensor(L, 2);
    int shape[TENSOR_MAX_DIMS], ndim = check_shape(L, 3, shape), n = x->ndim ? x->shape[0] : 0;
    luaL_argcheck(L, p->steps > 0 && x->size == (size_t)n * p->buffer_floats[0], 2, "the input does not fit the program");
    size_t out = (size_t)n * p->buffer_floats[p->buffers - 1];
    luaL_argcheck(L, shape_size(ndim, shape) == out, 3, "the output's shape does not fit");
    struct tensor *y = push_tensor(L, ndim, shape);
    size_t floats = program_memory(p, n);
    if (floats > p->memory_floats) {
        mem_free(p->memory);
        p->memory = mem_alloc(floats * sizeof(float));
        p->memory_floats = p->memory ? floats : 0;
        if (!p->memory) return luaL_error(L, "out of memory: %f bytes of buffers", (lua_Number)floats * sizeof(float));
    }
    if (threads_reserve(p->scratch_floats) != 0) raise_error(L);
    if (n > 0) stoppable(L, program_run(p, y->data, x->data, n));
    return 1;
}

void open_program(lua_State *L) {
    static const luaL_Reg methods[] = {{"__gc", program_gc}, {"__close", program_gc}, {NULL, NULL}};
    luaL_newmetatable(L, PROGRAM_TYPE);
    luaL_setfuncs(L, methods, 0);
    lua_pop(L, 1);
}

const luaL_Reg program_functions[] = {{"program", program}, {"program_run", program_run_lua}, {NULL, NULL}};
