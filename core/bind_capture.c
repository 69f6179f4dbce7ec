// Captured output in Lua (see capture.h).
#include "bind.h"
#include "capture.h"
#include "sys.h"

#include <errno.h>

// core.capture_start(log path, bytes shown of a cell): true; or nil, why, and whether the log exists already.
static int start(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    lua_Integer shown_max = luaL_checkinteger(L, 2);
    lua_pushvalue(L, 1); // the helper reads the path: it must not move
    lua_setfield(L, LUA_REGISTRYINDEX, "giemsa.log_path");
    if (capture_start(path, shown_max < 0 ? 0 : (size_t)shown_max) == 0) return lua_pushboolean(L, 1), 1;
    bool exists = errno == EEXIST;
    fail_pair(L);
    lua_pushboolean(L, exists);
    return 3;
}

// core.capture(on): stdout and stderr into the log, or back. Returns whether it was on.
static int set(lua_State *L) {
    bool was_on = capture_is_on();
    if (lua_toboolean(L, 1)) capture_on();
    else capture_off();
    lua_pushboolean(L, was_on);
    return 1;
}

// core.capture_event(line, cell, is_live, is_quiet): whether other output came after a live line since the last call, whether
// the last output did not end its line, and whether the log can no longer be written.
static int event(lua_State *L) {
    size_t size;
    const char *line = luaL_checklstring(L, 1, &size);
    int happened = capture_event(line, size, (int)luaL_optinteger(L, 2, 0), lua_toboolean(L, 3), lua_toboolean(L, 4));
    lua_pushboolean(L, happened & CAPTURE_BROKE);
    lua_pushboolean(L, happened & CAPTURE_MID_LINE);
    lua_pushboolean(L, happened & CAPTURE_LOST);
    return 3;
}

// core.capture_show(text): to where stdout goes without capture, past the log.
static int show(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    capture_show(text, size);
    return 0;
}

static int stop(lua_State *L) {
    (void)L;
    capture_stop();
    return 0;
}

const luaL_Reg capture_functions[] = {{"capture_start", start}, {"capture", set},        {"capture_event", event},
                                      {"capture_show", show},   {"capture_stop", stop}, {NULL, NULL}};
