// Other programs in Lua, and this one's terminal.
#include "bind.h"
#include "process.h"
#include "sys.h"
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESULT_TYPE "giemsa.process"

static int result_gc(lua_State *L) {
    process_free(luaL_checkudata(L, 1, RESULT_TYPE));
    return 0;
}

static struct process_result *push_result(lua_State *L) {
    struct process_result *result = lua_newuserdatauv(L, sizeof *result, 0);
    *result = (struct process_result){0};
    if (luaL_newmetatable(L, RESULT_TYPE)) {
        lua_pushcfunction(L, result_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return result;
}

char **push_argv(lua_State *L, int arg) {
    luaL_checktype(L, arg, LUA_TTABLE);
    lua_Integer count = (lua_Integer)lua_rawlen(L, arg);
    luaL_argcheck(L, count >= 1 && count < 1000, arg, "the first string names the program");
    char **argv = lua_newuserdatauv(L, sizeof *argv * (size_t)(count + 1), 0);
    for (lua_Integer i = 0; i < count; i++) {
        if (lua_rawgeti(L, arg, i + 1) != LUA_TSTRING)
            luaL_argerror(L, arg, "every program argument must be a string");
        argv[i] = (char *)lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    argv[count] = NULL;
    return argv;
}

// core.run_program({"gnuplot", "-d"} [, input [, seconds]]): exit code, output, errors; or nil and
// why.
static int run_program(lua_State *L) {
    lua_settop(L, 3);
    char **argv = push_argv(L, 1);
    size_t size = 0;
    const char *input = luaL_optlstring(L, 2, "", &size);
    double seconds = luaL_optnumber(L, 3, 60);
    struct process_result *result = push_result(L);
    if (process_run(result, argv, input, size, seconds) != 0) return fail_pair(L);
    lua_pushinteger(L, result->code);
    lua_pushlstring(L, result->output ? result->output : "", result->output_size);
    lua_pushlstring(L, result->errors ? result->errors : "", result->errors_size);
    process_free(result);
    return 3;
}

// core.start_program({"xdg-open", "a.png"}): true without waiting for its end; or nil and why.
static int start_program(lua_State *L) {
    if (process_start(push_argv(L, 1)) != 0) return fail_pair(L);
    lua_pushboolean(L, 1);
    return 1;
}

// core.is_terminal(0|1|2)
static int is_terminal(lua_State *L) {
    lua_pushboolean(L, terminal_is(check_int(L, 1, 0, 2)));
    return 1;
}

// core.terminal_size(): columns, rows, width and height in pixels (0 when it does not say). One nil,
// without a reason, where there is no terminal or it has no size: callers take some of the four.
static int size_of_terminal(lua_State *L) {
    struct terminal_size size;
    if (terminal_size(&size) != 0) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, size.columns);
    lua_pushinteger(L, size.rows);
    lua_pushinteger(L, size.width);
    lua_pushinteger(L, size.height);
    return 4;
}

// core.terminal_query(text, seconds): what the terminal answers, up to its device attributes; or
// nil and why.
static int query_terminal(lua_State *L) {
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    char reply[TERMINAL_REPLY_MAX];
    int length = terminal_query(reply, text, size, luaL_checknumber(L, 2));
    if (length < 0) return fail_pair(L);
    lua_pushlstring(L, reply, (size_t)length);
    return 1;
}

// core.terminal_key(): what one key sends, "" when the terminal is gone; nil and why without one.
static int key_of_terminal(lua_State *L) {
    char key[TERMINAL_KEY_MAX];
    int length = terminal_key(key);
    if (length < 0) return fail_pair(L);
    lua_pushlstring(L, key, (size_t)length);
    return 1;
}

// core.program_path(): the file of the program that runs; or nil and why.
static int program_path(lua_State *L) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path);
    if (length < 0) return sys_fail("cannot read /proc/self/exe: %s", strerror(errno)), fail_pair(L);
    lua_pushlstring(L, path, (size_t)length);
    return 1;
}

// core.parent(): the number of the process that started this one.
static int parent(lua_State *L) {
    lua_pushinteger(L, getppid());
    return 1;
}

// core.process_lives(number)
static int process_lives(lua_State *L) {
    lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), 0) == 0 || errno == EPERM);
    return 1;
}

// core.set_environment(name, value): for this process and those it starts; nil takes it away.
static int set_environment(lua_State *L) {
    const char *name = luaL_checkstring(L, 1), *value = luaL_optstring(L, 2, NULL);
    int status = value ? setenv(name, value, 1) : unsetenv(name);
    if (status != 0) return luaL_argerror(L, 1, "not the name of a variable");
    return 0;
}

const luaL_Reg process_functions[] = {
    {"run_program", run_program},       {"start_program", start_program},
    {"is_terminal", is_terminal},       {"terminal_size", size_of_terminal},
    {"terminal_query", query_terminal}, {"terminal_key", key_of_terminal},
    {"set_environment", set_environment}, {"program_path", program_path},
    {"parent", parent}, {"process_lives", process_lives}, {NULL, NULL}};
