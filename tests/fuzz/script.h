// A target that is a Lua script: it is called with the module and a string.
#pragma once
#include "fuzz.h"

#include <lauxlib.h>
#include <lualib.h>

static inline void call_script(lua_CFunction open, const char *script, const char *argument, size_t size) {
    static lua_State *L;
    if (!L) {
        L = luaL_newstate();
        luaL_openlibs(L);
        luaL_requiref(L, "module", open, 0);
        CHECK(luaL_loadstring(L, script) == LUA_OK);
    }
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 1);
    lua_pushlstring(L, argument, size);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) fprintf(stderr, "%s\n", lua_tostring(L, -1)), abort();
    lua_gc(L, LUA_GCSTEP, 0);
}
