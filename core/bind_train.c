// Losses and optimiser steps in Lua. Steps change their tensors in place.
#include "bind.h"
#include "loss.h"
#include "optim.h"

// In the order of enum loss_kind.
static const char *const kinds[] = {"softmax_categorical", "softmax_binary", "sigmoid_binary",
                                    "categorical", "binary", "squared", NULL};

struct loss_args {
    enum loss_kind kind;
    struct tensor *a, *y;
    size_t rows;
    int n;
};

// (kind, a, y): two tensors of one shape; a row is what the last dimension holds.
static struct loss_args check_loss(lua_State *L) {
    struct loss_args l = {.kind = (enum loss_kind)luaL_checkoption(L, 1, NULL, kinds),
                          .a = check_tensor(L, 2),
                          .y = check_tensor(L, 3)};
    require_shape(L, 3, l.y, l.a->ndim, l.a->shape);
    luaL_argcheck(L, l.a->size > 0, 2, "a loss needs at least one number");
    l.n = l.a->ndim ? l.a->shape[l.a->ndim - 1] : 1;
    l.rows = l.a->size / (size_t)l.n;
    return l;
}

// core.loss(kind, a, y) -> number
static int loss(lua_State *L) {
    struct loss_args l = check_loss(L);
    double *scratch = push_scratch(L, sizeof(double) * loss_scratch(l.rows, l.n));
    lua_pushnumber(L, loss_value(l.kind, l.a->data, l.y->data, l.rows, l.n, scratch));
    free_scratch(L, -2);
    return 1;
}

// core.loss_da(kind, a, y, scale) -> da
static int loss_gradient(lua_State *L) {
    struct loss_args l = check_loss(L);
    double scale = luaL_optnumber(L, 4, 1);
    loss_da(l.kind, push_tensor_like(L, l.a)->data, l.a->data, l.y->data, l.rows, l.n, scale);
    return 1;
}

// core.sum_squares(t) -> number
static int sum_squares(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    lua_pushnumber(L, loss_sum_squares(t->data, t->size));
    return 1;
}

// ---- optimisers

// The tensor at arg, of the shape of w; NULL for nil.
static float *opt_like(lua_State *L, int arg, const struct tensor *w) {
    struct tensor *t = opt_tensor(L, arg);
    if (t) require_shape(L, arg, t, w->ndim, w->shape);
    return t ? t->data : NULL;
}

static float *check_like(lua_State *L, int arg, const struct tensor *w) {
    check_tensor(L, arg);
    return opt_like(L, arg, w);
}

static float opt_float(lua_State *L, int arg, double otherwise) {
    return (float)luaL_optnumber(L, arg, otherwise);
}

// core.sgd_step(w, g, v, lr, momentum, nesterov, l2); v may be nil when momentum is 0
static int sgd_step(lua_State *L) {
    struct tensor *w = check_tensor_to_change(L, 1);
    float *g = check_like(L, 2, w), *v = opt_like(L, 3, w);
    struct sgd k = {.lr = (float)luaL_checknumber(L, 4),
                    .momentum = opt_float(L, 5, 0),
                    .nesterov = lua_toboolean(L, 6),
                    .l2 = opt_float(L, 7, 0)};
    luaL_argcheck(L, v || k.momentum == 0, 3, "momentum needs a velocity tensor");
    optim_sgd(w->data, g, v, w->size, k);
    return 0;
}

// core.adam_step(w, g, m, v, lr, beta1, beta2, epsilon, l2)
static int adam_step(lua_State *L) {
    struct tensor *w = check_tensor_to_change(L, 1);
    float *g = check_like(L, 2, w), *m = check_like(L, 3, w), *v = check_like(L, 4, w);
    struct adam k = {.lr = (float)luaL_checknumber(L, 5),
                     .beta1 = opt_float(L, 6, 0.9),
                     .beta2 = opt_float(L, 7, 0.999),
                     .epsilon = opt_float(L, 8, 1e-7),
                     .l2 = opt_float(L, 9, 0)};
    optim_adam(w->data, g, m, v, w->size, k);
    return 0;
}

// core.rmsprop_step(w, g, v, lr, rho, epsilon, l2)
static int rmsprop_step(lua_State *L) {
    struct tensor *w = check_tensor_to_change(L, 1);
    float *g = check_like(L, 2, w), *v = check_like(L, 3, w);
    struct rmsprop k = {.lr = (float)luaL_checknumber(L, 4),
                        .rho = opt_float(L, 5, 0.9),
                        .epsilon = opt_float(L, 6, 1e-7),
                        .l2 = opt_float(L, 7, 0)};
    optim_rmsprop(w->data, g, v, w->size, k);
    return 0;
}

const luaL_Reg train_functions[] = {
    {"loss", loss}, {"loss_da", loss_gradient}, {"sum_squares", sum_squares},
    {"sgd_step", sgd_step}, {"adam_step", adam_step}, {"rmsprop_step", rmsprop_step}, {NULL, NULL}};
