// require "giemsa.core": one flat table of functions. A new binding adds its list here.
#include "bind.h"

void open_tensor(lua_State *L);
void open_loader(lua_State *L);
void open_smear(lua_State *L);
void open_image(lua_State *L);
void open_program(lua_State *L);
void open_worker(lua_State *L);

static const luaL_Reg *const lists[] = {
    tensor_functions, random_functions, math_functions, reduce_functions, move_functions, npy_functions,
    sys_functions, conv_functions, norm_functions, program_functions,
    file_functions,
    capture_functions,
    process_functions,
    worker_functions,
    sandbox_functions,
    dtype_functions,
    smear_functions,
    loader_functions, ops_functions, train_functions,
    image_functions, lesson_functions,
};

__attribute__((visibility("default"))) int giemsa_core_open(lua_State *L) {
    lua_newtable(L);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) luaL_setfuncs(L, lists[i], 0);
    open_tensor(L);
    open_loader(L);
    open_smear(L);
    open_image(L);
    open_program(L);
    open_worker(L);
    return 1;
}
