// Cutting, joining and rearranging tensors in Lua; every result is a new tensor. Axes and rows are
// 1-based.
#include "bind.h"
#include "move.h"

#include <math.h>
#include <string.h>

static size_t product(const int shape[], int from, int to) {
    size_t size = 1;
    for (int d = from; d < to; d++) size *= (size_t)shape[d];
    return size;
}

// core.transpose(t, i, j): two axes swapped; the last two when none are given.
static int move_transpose(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    if (lua_isnoneornil(L, 2) && lua_isnoneornil(L, 3)) {
        lua_settop(L, 1);
        lua_pushinteger(L, -2);
        lua_pushinteger(L, -1);
    }
    if (t->ndim < 2)
        luaL_error(L, "transpose: a tensor of %d dimensions has no two axes to swap", t->ndim);
    int i = check_axis(L, 2, t->ndim), j = check_axis(L, 3, t->ndim), shape[TENSOR_MAX_DIMS];
    if (i > j) {
        int other = i;
        i = j;
        j = other;
    }
    memcpy(shape, t->shape, sizeof shape);
    shape[i] = t->shape[j], shape[j] = t->shape[i];
    struct tensor *y = push_tensor(L, t->ndim, shape);
    if (i == j) {
        memcpy(y->data, t->data, t->size * sizeof(float));
        return 1;
    }
    struct swap_sizes sizes = {product(t->shape, 0, i), (size_t)t->shape[i],
                               product(t->shape, i + 1, j), (size_t)t->shape[j],
                               product(t->shape, j + 1, t->ndim)};
    stoppable(L, move_swap(y->data, t->data, sizes));
    return 1;
}

// The tensors of the list at 1, joined along axis: their common shape with the axes added up.
static int joined_shape(lua_State *L, int count, int shape[TENSOR_MAX_DIMS], int *axis) {
    int ndim = 0;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        if (!luaL_testudata(L, -1, TENSOR_TYPE))
            luaL_argerror(L, 1,
                          lua_pushfstring(L, "element %d of the list is a %s, not a tensor", i,
                                          luaL_typename(L, -1)));
        struct tensor *t = check_tensor(L, -1);
        lua_pop(L, 1);
        if (i == 1) {
            ndim = t->ndim;
            *axis = check_axis(L, 2, ndim);
            memcpy(shape, t->shape, sizeof(int) * TENSOR_MAX_DIMS);
            continue;
        }
        int expected[TENSOR_MAX_DIMS];
        memcpy(expected, shape, sizeof expected);
        expected[*axis] = t->shape[*axis];
        if (t->ndim != ndim || memcmp(expected, t->shape, sizeof(int) * (size_t)ndim) != 0) {
            char first[SHAPE_TEXT], other[SHAPE_TEXT];
            luaL_error(L,
                       "concat: element %d has shape %s, which differs from %s elsewhere than "
                       "along axis %d",
                       i, shape_text(other, t->ndim, t->shape), shape_text(first, ndim, shape),
                       *axis + 1);
        }
        luaL_argcheck(L, shape[*axis] <= 0x7fffffff - t->shape[*axis], 1,
                      "the result is too large");
        shape[*axis] += t->shape[*axis];
    }
    return ndim;
}

// core.concat({a, b, ...}, axis)
static int move_concat(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int count = (int)lua_rawlen(L, 1), axis = 0, shape[TENSOR_MAX_DIMS];
    luaL_argcheck(L, count > 0, 1, "the list is empty");
    lua_settop(L, 2);
    int ndim = joined_shape(L, count, shape, &axis);
    struct tensor *y = push_tensor(L, ndim, shape);
    size_t rows = product(shape, 0, axis), step = product(shape, axis, ndim), offset = 0;
    for (int i = 1; i <= count; i++) {
        lua_rawgeti(L, 1, i);
        struct tensor *t = lua_touserdata(L, -1);
        lua_pop(L, 1);
        size_t run = product(t->shape, axis, ndim);
        stoppable(L, move_runs(y->data + offset, step, t->data, run, rows, run));
        offset += run;
    }
    return 1;
}

// core.slice(t, axis, first, last): both included, as a copy; last = first - 1 gives nothing.
static int move_slice(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    int axis = check_axis(L, 2, t->ndim), shape[TENSOR_MAX_DIMS];
    int first = check_int(L, 3, 1, t->shape[axis] + 1),
        last = check_int(L, 4, first - 1, t->shape[axis]);
    memcpy(shape, t->shape, sizeof shape);
    shape[axis] = last - first + 1;
    struct tensor *y = push_tensor(L, t->ndim, shape);
    size_t inner = product(t->shape, axis + 1, t->ndim), run = (size_t)shape[axis] * inner;
    const float *from = t->data + (size_t)(first - 1) * inner;
    stoppable(L, move_runs(y->data, run, from, (size_t)t->shape[axis] * inner,
                           product(t->shape, 0, axis), run));
    return 1;
}

static int pad_amount(lua_State *L, int dimension, int side) {
    int whole;
    lua_rawgeti(L, -1, side);
    lua_Integer n = lua_tointegerx(L, -1, &whole);
    lua_pop(L, 1);
    if (!whole || n < 0 || n > 1 << 24)
        luaL_argerror(L, 2,
                      lua_pushfstring(L,
                                      "the padding of dimension %d must be two whole numbers >= 0",
                                      dimension));
    return (int)n;
}

// core.pad(t, {{before, after}, ...}, value): one pair for each dimension; value 0 when absent.
static int move_pad_lua(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    float value = (float)luaL_optnumber(L, 3, 0);
    int shape[TENSOR_MAX_DIMS], from[TENSOR_MAX_DIMS] = {1, 1, 1, 1},
                                to[TENSOR_MAX_DIMS] = {1, 1, 1, 1};
    int before[TENSOR_MAX_DIMS] = {0}, skip = TENSOR_MAX_DIMS - t->ndim;
    if ((int)lua_rawlen(L, 2) != t->ndim)
        luaL_argerror(L, 2,
                      lua_pushfstring(L, "expected %d pairs {before, after}, got %d", t->ndim,
                                      (int)lua_rawlen(L, 2)));
    for (int d = 0; d < t->ndim; d++) {
        if (lua_rawgeti(L, 2, d + 1) != LUA_TTABLE)
            luaL_argerror(
                L, 2,
                lua_pushfstring(L, "the padding of dimension %d must be a pair {before, after}",
                                d + 1));
        before[skip + d] = pad_amount(L, d + 1, 1);
        from[skip + d] = t->shape[d];
        double padded = (double)t->shape[d] + before[skip + d] + pad_amount(L, d + 1, 2);
        luaL_argcheck(L, padded <= 0x7fffffff, 2, "the result is too large");
        to[skip + d] = shape[d] = (int)padded;
        lua_pop(L, 1);
    }
    struct tensor *y = push_tensor(L, t->ndim, shape);
    stoppable(L, move_pad(y->data, to, t->data, from, before, value));
    return 1;
}

// ---- rows by number

static int row_number(lua_State *L, int arg, int i, double row, int rows) {
    if (!(row >= 1 && row <= rows && row == floor(row)))
        luaL_argerror(L, arg,
                      lua_pushfstring(L, "index %d is %f; it must be a whole number in 1..%d",
                                      i + 1, row, rows));
    return (int)row - 1;
}

// 1-based row numbers, as a table or a tensor of any shape, become rows from 0 in scratch pushed on
// the stack.
static int *check_rows(lua_State *L, int arg, int rows, int *count) {
    if (lua_istable(L, arg)) {
        *count = (int)lua_rawlen(L, arg);
        int *numbers = push_scratch(L, sizeof(int) * (size_t)*count);
        for (int i = 0; i < *count; i++) {
            int is_number;
            lua_rawgeti(L, arg, i + 1);
            double row = lua_tonumberx(L, -1, &is_number);
            lua_pop(L, 1);
            numbers[i] = row_number(L, arg, i, is_number ? row : 0, rows);
        }
        return numbers;
    }
    if (!luaL_testudata(L, arg, TENSOR_TYPE))
        luaL_typeerror(L, arg, "table or tensor of row numbers");
    struct tensor *t = check_tensor(L, arg);
    luaL_argcheck(L, t->size <= 0x7fffffff, arg, "too many row numbers");
    *count = (int)t->size;
    int *numbers = push_scratch(L, sizeof(int) * t->size);
    for (int i = 0; i < *count; i++) numbers[i] = row_number(L, arg, i, t->data[i], rows);
    return numbers;
}

// core.take(t, rows): the rows with these numbers, in this order.
static int move_take_lua(lua_State *L) {
    struct tensor *t = check_tensor(L, 1);
    luaL_argcheck(L, t->ndim > 0, 1, "a scalar has no rows");
    int count, shape[TENSOR_MAX_DIMS];
    int *rows = check_rows(L, 2, t->shape[0], &count);
    memcpy(shape, t->shape, sizeof shape);
    shape[0] = count;
    struct tensor *y = push_tensor(L, t->ndim, shape);
    stoppable(L, move_take(y->data, t->data, rows, (size_t)count, product(t->shape, 1, t->ndim)));
    free_scratch(L, -2);
    return 1;
}

// core.add_rows_(y, rows, x): the adjoint of take: row i of x is added to row rows[i] of y. Returns
// y.
static int move_add_rows_in_place(lua_State *L) {
    struct tensor *y = check_tensor_to_change(L, 1), *x = check_tensor(L, 3);
    luaL_argcheck(L, y->ndim > 0, 1, "a scalar has no rows");
    int count, shape[TENSOR_MAX_DIMS];
    int *rows = check_rows(L, 2, y->shape[0], &count);
    memcpy(shape, y->shape, sizeof shape);
    shape[0] = count;
    require_shape(L, 3, x, y->ndim, shape);
    move_add_rows(y->data, x->data, rows, (size_t)count, product(y->shape, 1, y->ndim));
    free_scratch(L, -1);
    lua_settop(L, 1);
    return 1;
}

// core.one_hot(numbers, classes): class numbers 1..classes (table or tensor) become rows (n,
// classes) of 0 and a 1.
static int move_one_hot(lua_State *L) {
    int classes = check_int(L, 2, 1, 1 << 24), count;
    int *rows = check_rows(L, 1, classes, &count);
    struct tensor *y = push_zeros(L, 2, (int[]){count, classes});
    for (int i = 0; i < count; i++) y->data[(size_t)i * (size_t)classes + (size_t)rows[i]] = 1;
    free_scratch(L, -2);
    return 1;
}

const luaL_Reg move_functions[] = {
    {"transpose", move_transpose}, {"concat", move_concat}, {"slice", move_slice},
    {"pad", move_pad_lua}, {"take", move_take_lua}, {"add_rows_", move_add_rows_in_place},
    {"one_hot", move_one_hot}, {NULL, NULL}};
