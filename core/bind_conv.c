// Convolution in Lua: core.conv2d, core.conv2d_dx, core.conv2d_dw, and the same three of core.depthwise_conv2d. The geometry
// is ten positional integers; giemsa.ops turns options into them.
#include "bind.h"
#include "conv.h"
#include "depthwise.h"
#include "sys.h"
#include "threads.h"

// Reads strides, pads and dilations from `arg` on: sh, sw, top, bottom, left, right, dh, dw. Works out the output's size.
static void check_geometry(lua_State *L, int arg, struct conv *c) {
    const int most = 1 << 20;
    c->stride_h = check_int(L, arg, 1, most), c->stride_w = check_int(L, arg + 1, 1, most);
    int top = check_int(L, arg + 2, 0, most), bottom = check_int(L, arg + 3, 0, most);
    int left = check_int(L, arg + 4, 0, most), right = check_int(L, arg + 5, 0, most);
    c->dilation_h = (int)luaL_optinteger(L, arg + 6, 1), c->dilation_w = (int)luaL_optinteger(L, arg + 7, 1);
    luaL_argcheck(L, c->dilation_h >= 1 && c->dilation_w >= 1 && c->dilation_h <= most && c->dilation_w <= most, arg + 6, "dilation must be >= 1");
    c->pad_top = top, c->pad_left = left;
    if (c->kernel_h < 1 || c->kernel_w < 1 || c->kernel_h > CONV_KERNEL_MAX || c->kernel_w > CONV_KERNEL_MAX)
        luaL_error(L, "a kernel of %d x %d; each side must be 1..%d", c->kernel_h, c->kernel_w, CONV_KERNEL_MAX);
    int free_h = c->height + top + bottom - (c->kernel_h - 1) * c->dilation_h - 1;
    int free_w = c->width + left + right - (c->kernel_w - 1) * c->dilation_w - 1;
    if (free_h < 0 || free_w < 0)
        luaL_error(L, "a picture of %d x %d (with padding %d x %d) is smaller than the kernel of %d x %d (dilation %d x %d)", c->height, c->width,
                   c->height + top + bottom, c->width + left + right, c->kernel_h, c->kernel_w, c->dilation_h, c->dilation_w);
    c->out_h = free_h / c->stride_h + 1;
    c->out_w = free_w / c->stride_w + 1;
}

static void set_kernel(struct conv *c, const struct tensor *w) {
    c->kernel_h = w->shape[0], c->kernel_w = w->shape[1];
    c->in = w->shape[2], c->out = w->shape[3];
}

static float *push_work(lua_State *L, const struct conv *c) {
    if (threads_reserve(conv_scratch(c)) != 0) raise_error(L);
    return push_scratch(L, conv_workspace(c) * sizeof(float));
}

// Leaves the tensor below the scratch as the only result.
static int give_result(lua_State *L) {
    free_scratch(L, -1);
    lua_pop(L, 1);
    return 1;
}

// core.conv2d(x, w, sh, sw, top, bottom, left, right [, dh, dw [, bias]]) -> y
static int conv2d(lua_State *L) {
    lua_settop(L, 11);
    struct tensor *x = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4), *bias = opt_tensor(L, 11);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    set_kernel(&c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, 2, "conv2d: the input's channels and the kernel's third dimension", x, w);
    check_geometry(L, 3, &c);
    if (bias) require_shape(L, 11, bias, 1, &c.out);
    int shape[4] = {c.batch, c.out_h, c.out_w, c.out};
    struct tensor *y = push_tensor(L, 4, shape);
    if (y->size == 0) return 1;
    conv_forward(y->data, x->data, w->data, bias ? bias->data : NULL, &c, push_work(L, &c));
    return give_result(L);
}

// core.conv2d_dx(dy, w, height, width, sh, sw, top, bottom, left, right [, dh, dw]) -> dx
static int conv2d_dx(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = dy->shape[0], .height = check_int(L, 3, 0, 1 << 30), .width = check_int(L, 4, 0, 1 << 30)};
    set_kernel(&c, w);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.batch, c.height, c.width, c.in};
    require_shape(L, 1, dy, 4, want);
    struct tensor *dx = push_tensor(L, 4, shape);
    if (dx->size == 0) return 1;
    conv_data_gradient(dx->data, dy->data, w->data, &c, push_work(L, &c));
    return give_result(L);
}

// core.conv2d_dw(dy, x, kernel_h, kernel_w, sh, sw, top, bottom, left, right [, dh, dw]) -> dw
static int conv2d_dw(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *x = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2], .in = x->shape[3], .out = dy->shape[3],
                     .kernel_h = check_int(L, 3, 1, CONV_KERNEL_MAX), .kernel_w = check_int(L, 4, 1, CONV_KERNEL_MAX)};
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.kernel_h, c.kernel_w, c.in, c.out};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0 || x->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dw = push_tensor(L, 4, shape);
    conv_weight_gradient(dw->data, x->data, dy->data, &c, push_work(L, &c));
    return give_result(L);
}

// ---- depthwise

// (kernel_h, kernel_w, channels, multiplier)
static void set_depthwise_kernel(lua_State *L, int arg, struct conv *c, const struct tensor *w) {
    c->kernel_h = w->shape[0], c->kernel_w = w->shape[1];
    c->in = w->shape[2];
    luaL_argcheck(L, c->in == 0 || w->shape[3] <= (1 << 30) / c->in, arg, "too many channels");
    c->out = c->in * w->shape[3];
}

static void reserve(lua_State *L, const struct conv *c) {
    if (threads_reserve(depthwise_scratch(c)) != 0) raise_error(L);
}

// core.depthwise_conv2d(x, w, sh, sw, top, bottom, left, right [, dh, dw [, bias]]) -> y
static int depthwise_conv2d(lua_State *L) {
    lua_settop(L, 11);
    struct tensor *x = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4), *bias = opt_tensor(L, 11);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2]};
    set_depthwise_kernel(L, 2, &c, w);
    if (x->shape[3] != c.in) shape_mismatch(L, 2, "depthwise_conv2d: the input's channels and the kernel's third dimension", x, w);
    check_geometry(L, 3, &c);
    if (bias) require_shape(L, 11, bias, 1, &c.out);
    struct tensor *y = push_tensor(L, 4, (int[]){c.batch, c.out_h, c.out_w, c.out});
    if (y->size == 0) return 1;
    reserve(L, &c);
    depthwise_forward(y->data, x->data, w->data, bias ? bias->data : NULL, &c);
    return 1;
}

// core.depthwise_conv2d_dx(dy, w, height, width, sh, sw, top, bottom, left, right [, dh, dw]) -> dx
static int depthwise_conv2d_dx(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *w = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = dy->shape[0], .height = check_int(L, 3, 0, 1 << 30), .width = check_int(L, 4, 0, 1 << 30)};
    set_depthwise_kernel(L, 2, &c, w);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.batch, c.height, c.width, c.in};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dx = push_tensor(L, 4, shape);
    reserve(L, &c);
    depthwise_data_gradient(dx->data, dy->data, w->data, &c);
    return 1;
}

// core.depthwise_conv2d_dw(dy, x, kernel_h, kernel_w, sh, sw, top, bottom, left, right [, dh, dw]) -> dw
static int depthwise_conv2d_dw(lua_State *L) {
    struct tensor *dy = check_tensor_dims(L, 1, 4), *x = check_tensor_dims(L, 2, 4);
    struct conv c = {.batch = x->shape[0], .height = x->shape[1], .width = x->shape[2], .in = x->shape[3], .out = dy->shape[3],
                     .kernel_h = check_int(L, 3, 1, CONV_KERNEL_MAX), .kernel_w = check_int(L, 4, 1, CONV_KERNEL_MAX)};
    if (c.in == 0 || c.out % c.in != 0) luaL_error(L, "%d channels of dy are no multiple of the input's %d", c.out, c.in);
    check_geometry(L, 5, &c);
    int want[4] = {c.batch, c.out_h, c.out_w, c.out}, shape[4] = {c.kernel_h, c.kernel_w, c.in, c.out / c.in};
    require_shape(L, 1, dy, 4, want);
    if (dy->size == 0 || x->size == 0) return push_zeros(L, 4, shape), 1;
    struct tensor *dw = push_tensor(L, 4, shape);
    reserve(L, &c);
    depthwise_weight_gradient(dw->data, x->data, dy->data, &c, push_scratch(L, depthwise_workspace(&c) * sizeof(float)));
    return give_result(L);
}

const luaL_Reg conv_functions[] = {{"conv2d", conv2d}, {"conv2d_dx", conv2d_dx}, {"conv2d_dw", conv2d_dw},
                                   {"depthwise_conv2d", depthwise_conv2d}, {"depthwise_conv2d_dx", depthwise_conv2d_dx},
                                   {"depthwise_conv2d_dw", depthwise_conv2d_dw}, {NULL, NULL}};
