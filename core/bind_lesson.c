// Lesson 08 in Lua: the kernels to be read, and what the machine can do.
#include "bind.h"
#include "lesson.h"
#include "machine.h"
#include "threads.h"
#include "vec.h"

// core.lesson_conv2d("naive"|"blocked"|"vectorised", x, w) -> y; no padding, stride 1, one thread.
static int lesson_conv2d(lua_State *L) {
    static const char *const names[] = {"naive", "blocked", "vectorised", NULL};
    static void (*const kernels[])(float *, const float *, const float *, const struct lesson *) = {
        lesson_naive, lesson_blocked, lesson_vectorised};
    int which = luaL_checkoption(L, 1, NULL, names);
    struct tensor *x = check_tensor_dims(L, 2, 4), *w = check_tensor_dims(L, 3, 4);
    struct lesson s = {x->shape[0], x->shape[1], x->shape[2], x->shape[3], w->shape[0], w->shape[1], w->shape[3]};
    if (w->shape[2] != s.in) shape_mismatch(L, 3, "lesson_conv2d: the input's channels and the kernel's third dimension", x, w);
    if (s.kernel_h < 1 || s.kernel_w < 1 || s.kernel_h > s.height || s.kernel_w > s.width)
        shape_mismatch(L, 3, "lesson_conv2d: the kernel does not fit into the picture", x, w);
    int shape[4] = {s.batch, s.height - s.kernel_h + 1, s.width - s.kernel_w + 1, s.out};
    struct tensor *y = push_tensor(L, 4, shape);
    kernels[which](y->data, x->data, w->data, &s);
    return 1;
}

static double check_seconds(lua_State *L, int arg) {
    double seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0 && seconds <= 60, arg, "seconds must be from 0 to 60");
    return seconds;
}

// core.machine_flops(seconds) -> operations a second, of all threads.
static int flops(lua_State *L) {
    lua_pushnumber(L, machine_flops(check_seconds(L, 1)));
    return 1;
}

// core.machine_bandwidth(bytes, seconds) -> bytes a second, of all threads, when so many bytes are in use.
static int bandwidth(lua_State *L) {
    int bytes = check_int(L, 1, 8 * VL * threads_count(), 1 << 30);
    double seconds = check_seconds(L, 2);
    int shape[1] = {bytes / 8};
    struct tensor *x = push_zeros(L, 1, shape), *y = push_zeros(L, 1, shape);
    lua_pushnumber(L, machine_bandwidth(y->data, x->data, x->size, seconds));
    return 1;
}

// core.vector_length() -> how many floats one instruction works on.
static int vector_length(lua_State *L) {
    lua_pushinteger(L, VL);
    return 1;
}

const luaL_Reg lesson_functions[] = {{"lesson_conv2d", lesson_conv2d}, {"machine_flops", flops},
                                     {"machine_bandwidth", bandwidth}, {"vector_length", vector_length}, {NULL, NULL}};
