// Arithmetic in Lua: elementwise operations with broadcasting, in place and not, matrix products.
// Raw: nothing here is seen by autograd (giemsa.ops wraps it). An argument may be a number wherever
// a tensor may, but not all of them.
#include "bind.h"
#include "elementwise.h"
#include "gemm.h"

#include <string.h>

// ---- operands

// A tensor, or a number kept in *value.
static struct operand check_operand(lua_State *L, int arg, float *value) {
    struct operand o = {.data = value};
    if (lua_type(L, arg) == LUA_TNUMBER) {
        *value = (float)lua_tonumber(L, arg);
        return o;
    }
    if (!luaL_testudata(L, arg, TENSOR_TYPE)) luaL_typeerror(L, arg, "tensor or number");
    struct tensor *t = check_tensor(L, arg);
    o.data = t->data;
    o.ndim = t->ndim;
    memcpy(o.shape, t->shape, sizeof o.shape);
    return o;
}

// Broadcasts b into shape; raises with both shapes when they do not fit.
static int broadcast_with(lua_State *L, int shape[TENSOR_MAX_DIMS], int ndim,
                          const struct operand *b) {
    int result = broadcast_shape(shape, ndim, shape, b->ndim, b->shape);
    if (result < 0) {
        char first[SHAPE_TEXT], second[SHAPE_TEXT];
        luaL_error(L,
                   "shapes %s and %s do not broadcast: counted from the last, dimensions must be "
                   "equal or 1",
                   shape_text(first, ndim, shape), shape_text(second, b->ndim, b->shape));
    }
    return result;
}

static int binary(lua_State *L, enum binary_op op) {
    float a_value, b_value;
    int shape[TENSOR_MAX_DIMS];
    struct operand a = check_operand(L, 1, &a_value), b = check_operand(L, 2, &b_value);
    luaL_argcheck(L, a.data != &a_value || b.data != &b_value, 1,
                  "one of the two must be a tensor");
    memcpy(shape, a.shape, sizeof shape);
    int ndim = broadcast_with(L, shape, a.ndim, &b);
    struct tensor *y = push_tensor(L, ndim, shape);
    if (op == BINARY_POW && b_value == 2 && b.data == &b_value)
        stoppable(L, elementwise_unary(UNARY_SQUARE, y->data, a.data, y->size));
    else stoppable(L, elementwise_binary(op, y->data, ndim, shape, &a, &b));
    return 1;
}

static int math_add(lua_State *L) { return binary(L, BINARY_ADD); }
static int math_sub(lua_State *L) { return binary(L, BINARY_SUB); }
static int math_mul(lua_State *L) { return binary(L, BINARY_MUL); }
static int math_div(lua_State *L) { return binary(L, BINARY_DIV); }
static int math_pow(lua_State *L) { return binary(L, BINARY_POW); }
static int math_maximum(lua_State *L) { return binary(L, BINARY_MAX); }
static int math_minimum(lua_State *L) { return binary(L, BINARY_MIN); }
static int math_eq(lua_State *L) { return binary(L, BINARY_EQ); }
static int math_ne(lua_State *L) { return binary(L, BINARY_NE); }
static int math_lt(lua_State *L) { return binary(L, BINARY_LT); }
static int math_le(lua_State *L) { return binary(L, BINARY_LE); }
static int math_gt(lua_State *L) { return binary(L, BINARY_GT); }
static int math_ge(lua_State *L) { return binary(L, BINARY_GE); }

static bool overlaps(const struct tensor *y, const float *x, size_t size) {
    return x != y->data && x < y->data + y->size && y->data < x + size;
}

// core.add_(y, x): y becomes y + x; x may be smaller and is broadcast to y's shape. Returns y.
static int binary_in_place(lua_State *L, enum binary_op op) {
    float value;
    struct tensor *y = check_tensor_to_change(L, 1);
    struct operand x = check_operand(L, 2, &value), self = check_operand(L, 1, NULL);
    int shape[TENSOR_MAX_DIMS];
    memcpy(shape, y->shape, sizeof shape);
    int ndim = broadcast_with(L, shape, y->ndim, &x);
    if (ndim != y->ndim || memcmp(shape, y->shape, sizeof(int) * (size_t)ndim) != 0)
        return shape_mismatch(L, 2, "in place", y, check_tensor(L, 2));
    size_t size = shape_size(x.ndim, x.shape);
    // A view of y is read before it changes.
    if (overlaps(y, x.data, size) || (x.data == y->data && size != y->size)) {
        struct tensor *copy = push_tensor(L, x.ndim, x.shape);
        memcpy(copy->data, x.data, size * sizeof(float));
        x.data = copy->data;
    }
    elementwise_binary(op, y->data, ndim, shape, &self, &x);
    lua_settop(L, 1);
    return 1;
}

static int math_add_in_place(lua_State *L) { return binary_in_place(L, BINARY_ADD); }
static int math_sub_in_place(lua_State *L) { return binary_in_place(L, BINARY_SUB); }
static int math_mul_in_place(lua_State *L) { return binary_in_place(L, BINARY_MUL); }
static int math_div_in_place(lua_State *L) { return binary_in_place(L, BINARY_DIV); }

// core.scale_(y, a): y becomes a y. Returns y.
static int math_scale_in_place(lua_State *L) {
    luaL_checknumber(L, 2);
    return binary_in_place(L, BINARY_MUL);
}

// core.axpy_(y, alpha, x): y becomes y + alpha x, same shapes. Returns y.
static int math_axpy_in_place(lua_State *L) {
    struct tensor *y = check_tensor_to_change(L, 1), *x = check_tensor(L, 3);
    float alpha = (float)luaL_checknumber(L, 2);
    require_shape(L, 3, x, y->ndim, y->shape);
    luaL_argcheck(L, !overlaps(y, x->data, x->size), 3,
                  "the tensors share part of their numbers; copy one first");
    elementwise_axpy(y->data, alpha, x->data, y->size);
    lua_settop(L, 1);
    return 1;
}

// core.where(condition, a, b): a where the condition is not 0, else b; all three broadcast.
static int math_where(lua_State *L) {
    float c_value, a_value, b_value;
    int shape[TENSOR_MAX_DIMS];
    struct operand c = check_operand(L, 1, &c_value), a = check_operand(L, 2, &a_value),
                   b = check_operand(L, 3, &b_value);
    memcpy(shape, c.shape, sizeof shape);
    int ndim = broadcast_with(L, shape, c.ndim, &a);
    ndim = broadcast_with(L, shape, ndim, &b);
    struct tensor *y = push_tensor(L, ndim, shape);
    stoppable(L, elementwise_where(y->data, ndim, shape, &c, &a, &b));
    return 1;
}

static int unary(lua_State *L, enum unary_op op) {
    struct tensor *x = check_tensor(L, 1), *y = push_tensor_like(L, x);
    stoppable(L, elementwise_unary(op, y->data, x->data, x->size));
    return 1;
}

static int math_neg(lua_State *L) { return unary(L, UNARY_NEG); }
static int math_exp(lua_State *L) { return unary(L, UNARY_EXP); }
static int math_log(lua_State *L) { return unary(L, UNARY_LOG); }
static int math_sqrt(lua_State *L) { return unary(L, UNARY_SQRT); }
static int math_abs(lua_State *L) { return unary(L, UNARY_ABS); }
static int math_square(lua_State *L) { return unary(L, UNARY_SQUARE); }
static int math_tanh(lua_State *L) { return unary(L, UNARY_TANH); }
static int math_sigmoid(lua_State *L) { return unary(L, UNARY_SIGMOID); }
static int math_relu(lua_State *L) { return unary(L, UNARY_RELU); }
static int math_sign(lua_State *L) { return unary(L, UNARY_SIGN); }
static int math_round(lua_State *L) { return unary(L, UNARY_ROUND); }
static int math_floor(lua_State *L) { return unary(L, UNARY_FLOOR); }

// core.clip(x, low, high)
static int math_clip(lua_State *L) {
    struct tensor *x = check_tensor(L, 1);
    double low = luaL_checknumber(L, 2), high = luaL_checknumber(L, 3);
    luaL_argcheck(L, low <= high, 3, "the upper limit is below the lower one");
    struct tensor *y = push_tensor_like(L, x);
    stoppable(L, elementwise_clip(y->data, x->data, (float)low, (float)high, x->size));
    return 1;
}

// ---- matrix products

static int matmul_error(lua_State *L, const struct tensor *a, const struct tensor *b,
                        const char *why) {
    char first[SHAPE_TEXT], second[SHAPE_TEXT];
    return luaL_error(L, "matmul: shapes %s and %s do not fit: %s",
                      shape_text(first, a->ndim, a->shape), shape_text(second, b->ndim, b->shape),
                      why);
}

// core.matmul(a, b, transpose_a, transpose_b): (m,k) by (k,n) gives (m,n). a may be (batch,m,k), b
// then (k,n) or (batch,k,n); the result is (batch,m,n).
static int math_matmul(lua_State *L) {
    struct tensor *a = check_tensor(L, 1), *b = check_tensor(L, 2);
    bool ta = lua_toboolean(L, 3), tb = lua_toboolean(L, 4);
    if (a->ndim < 2 || a->ndim > 3 || b->ndim < 2 || b->ndim > a->ndim)
        return matmul_error(L, a, b,
                            "a needs 2 or 3 dimensions, b 2 or as many as a (reshape a vector to "
                            "(n, 1) or (1, n))");
    const int *as = a->shape + a->ndim - 2, *bs = b->shape + b->ndim - 2;
    int m = as[ta], k = as[!ta], n = bs[!tb], batch = a->ndim == 3 ? a->shape[0] : 1;
    if (bs[tb] != k)
        return matmul_error(L, a, b,
                            lua_pushfstring(L, "the inner dimensions are %d and %d", k, bs[tb]));
    if (b->ndim == 3 && b->shape[0] != batch) return matmul_error(L, a, b, "the batches differ");
    int shape[3] = {batch, m, n};
    struct tensor *c = push_tensor(L, a->ndim, a->ndim == 3 ? shape : shape + 1);
    if (a->ndim == 3 && b->ndim == 2 && !ta && (double)batch * m <= 0x7fffffff)
        stoppable(L, gemm(c->data, a->data, b->data, batch * m, n, k, false, tb, false));
    else
        stoppable(L, gemm_batch(c->data, a->data, b->data, batch, m, n, k, ta, tb, b->ndim == 2));
    return 1;
}

const luaL_Reg math_functions[] = {
    {"add", math_add}, {"sub", math_sub}, {"mul", math_mul}, {"div", math_div}, {"pow", math_pow},
    {"maximum", math_maximum}, {"minimum", math_minimum}, {"eq", math_eq}, {"ne", math_ne},
    {"lt", math_lt}, {"le", math_le}, {"gt", math_gt}, {"ge", math_ge}, {"add_", math_add_in_place},
    {"sub_", math_sub_in_place}, {"mul_", math_mul_in_place}, {"div_", math_div_in_place},
    {"scale_", math_scale_in_place}, {"axpy_", math_axpy_in_place}, {"where", math_where},
    {"neg", math_neg}, {"exp", math_exp}, {"log", math_log}, {"sqrt", math_sqrt}, {"abs", math_abs},
    {"square", math_square}, {"tanh", math_tanh}, {"sigmoid", math_sigmoid}, {"relu", math_relu},
    {"sign", math_sign}, {"round", math_round}, {"floor", math_floor}, {"clip", math_clip},
    {"matmul", math_matmul}, {NULL, NULL}};
