// What every binding shares: tensors as Lua userdata, argument checks that name both shapes, and the collector's view of
// tensor memory. Only bind_*.c, module.c, main.c and interrupt.c know Lua.
#pragma once
#include <lauxlib.h>
#include <lua.h>

#include "tensor.h"

#define TENSOR_TYPE "giemsa.tensor"

// The tensor at an argument; raises when it is something else or was released.
struct tensor *check_tensor(lua_State *L, int arg);
// The same for who will change its numbers: whoever keeps something made of them can see that they did (core.changes).
struct tensor *check_tensor_to_change(lua_State *L, int arg);
// check_tensor with a number of dimensions required: "conv2d: argument 1 needs 4 dimensions, got shape (3, 3)".
struct tensor *check_tensor_dims(lua_State *L, int arg, int ndim);
struct tensor *opt_tensor(lua_State *L, int arg); // NULL for nil or none

// Pushes a new tensor with undefined contents; raises when there is no memory (after a full collection was tried).
struct tensor *push_tensor(lua_State *L, int ndim, const int shape[]);
struct tensor *push_tensor_like(lua_State *L, const struct tensor *t);
struct tensor *push_zeros(lua_State *L, int ndim, const int shape[]);
// Pushes a view of the tensor at `arg` (any shape of the right size, from element `offset`).
struct tensor *push_view(lua_State *L, int arg, size_t offset, int ndim, const int shape[]);

// Scratch that a raise cannot leak: a userdata left on the stack that frees itself when collected, or at once by
// lua_pop + free_scratch. Raises when there is no memory.
void *push_scratch(lua_State *L, size_t bytes);
// The same for a block that is yet to come: set *owner to what mem_alloc (or sys_read_file) returned.
void **push_owner(lua_State *L);
void free_scratch(lua_State *L, int index);

// A kernel that Ctrl-C may break off between the pieces of threads_run: the error that is then raised throws away what it
// fills, so that must be a new tensor. Nothing in `kernel` may raise: what it needs is pushed before.
void stop_begin(lua_State *L);
void stop_end(lua_State *L);
#define stoppable(L, kernel) (stop_begin(L), (void)(kernel), stop_end(L))
// The same for a loop that calls Lua: stop_watch before it, and each STOP_STRIDE numbers stop_check, which raises.
enum { STOP_STRIDE = 1 << 16 };
void stop_watch(lua_State *L);
void stop_check(lua_State *L);

// Tells the collector of memory that it does not see; it may run, so objects must be valid.
void account_memory(lua_State *L, size_t bytes);

// Pictures. push_picture pushes an empty one, to be filled by an image_* call; check_picture raises for one without pixels.
#define PICTURE_TYPE "giemsa.picture"
struct image;
struct image *check_picture(lua_State *L, int arg);
struct image *push_picture(lua_State *L);

// An integer argument within [low, high]; the message names the argument, the value and the range.
int check_int(lua_State *L, int arg, int low, int high);
int check_axis(lua_State *L, int arg, int ndim); // 1..ndim or -ndim..-1, as 0..ndim-1
// A shape given as a table {2, 3} or as integers from `arg` on. Returns ndim; dimensions must be >= 0.
int check_shape(lua_State *L, int arg, int shape[TENSOR_MAX_DIMS]);

// Raises "bad argument #arg to 'f' (expected shape (..), got (..))" unless t has the shape.
void require_shape(lua_State *L, int arg, const struct tensor *t, int ndim, const int shape[]);
int shape_mismatch(lua_State *L, int arg, const char *what, const struct tensor *a, const struct tensor *b);

// The strings of the table at `arg`, NULL at the end, in a userdata left on the stack. They live as long as the table.
char **push_argv(lua_State *L, int arg);

int fail_pair(lua_State *L);   // pushes nil and sys_error(): "the world failed"
int raise_error(lua_State *L); // raises sys_error()

// Each bind_*.c adds its functions to the flat table `giemsa.core`.
extern const luaL_Reg file_functions[], capture_functions[], tensor_functions[], sys_functions[], random_functions[], process_functions[], dtype_functions[], smear_functions[], loader_functions[];
extern const luaL_Reg conv_functions[], norm_functions[], program_functions[], math_functions[], reduce_functions[], move_functions[], npy_functions[];
extern const luaL_Reg worker_functions[], sandbox_functions[], ops_functions[], train_functions[], image_functions[], lesson_functions[];
