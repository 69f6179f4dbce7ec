// The machine in Lua: time, threads, memory, Ctrl-C, files.
#include "bind.h"
#include "mem.h"
#include "sys.h"
#include "threads.h"

#include <time.h>

static int now(lua_State *L) {
    lua_pushnumber(L, sys_now());
    return 1;
}

// core.time(): seconds since 1970, with their fraction.
static int wall_time(lua_State *L) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    lua_pushnumber(L, (lua_Number)t.tv_sec + t.tv_nsec * 1e-9);
    return 1;
}

// core.threads([n]): sets the number when given, returns it.
static int threads(lua_State *L) {
    if (!lua_isnoneornil(L, 1)) threads_set(check_int(L, 1, 1, THREADS_MAX));
    lua_pushinteger(L, threads_count());
    return 1;
}

static int memory(lua_State *L) {
    struct mem_stats stats = mem_stats();
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)stats.in_use), lua_setfield(L, -2, "in_use");
    lua_pushinteger(L, (lua_Integer)stats.kept), lua_setfield(L, -2, "kept");
    lua_pushinteger(L, (lua_Integer)stats.peak), lua_setfield(L, -2, "peak");
    lua_pushinteger(L, (lua_Integer)stats.system_calls), lua_setfield(L, -2, "system_calls");
    return 1;
}

static int trim(lua_State *L) {
    (void)L;
    mem_trim();
    return 0;
}

// core.fail_after(n): the n-th allocation of tensors, pictures, ... fails (-n: and all after it); 0 turns it off. Returns
// how many were to go before an earlier call's failure, nil when that has come.
static int fail_after(lua_State *L) {
    long left = mem_fail_after((long)luaL_checkinteger(L, 1));
    if (left) lua_pushinteger(L, left);
    else lua_pushnil(L);
    return 1;
}

static struct {
    lua_Alloc allocate;
    void *arg;
    long left; // allocations before the failing starts; 0: off, 1: failing
} lua_memory;

static void *failing_allocate(void *unused, void *block, size_t old_size, size_t new_size) {
    (void)unused;
    bool is_growth = new_size > (block ? old_size : 0);
    if (is_growth && lua_memory.left > 1) lua_memory.left--;
    if (is_growth && lua_memory.left == 1) return NULL;
    return lua_memory.allocate(lua_memory.arg, block, old_size, new_size);
}

// core.fail_lua_after(n): the same for Lua's own memory: its n-th allocation and all after it fail.
static int fail_lua_after(lua_State *L) {
    long n = (long)luaL_checkinteger(L, 1), left = lua_memory.left;
    if (!lua_memory.allocate) {
        lua_memory.allocate = lua_getallocf(L, &lua_memory.arg);
        lua_setallocf(L, failing_allocate, NULL);
    }
    lua_memory.left = n;
    if (left > 1) lua_pushinteger(L, left - 1);
    else lua_pushnil(L);
    return 1;
}

static int interrupt_begin(lua_State *L) {
    (void)L;
    sys_interrupt_begin();
    return 0;
}

static int interrupt_end(lua_State *L) {
    (void)L;
    sys_interrupt_end();
    return 0;
}

// core.interrupt_clear(): what Ctrl-C asked for is done; nothing else is to be stopped.
static int interrupt_clear(lua_State *L) {
    (void)L;
    sys_interrupt_clear();
    return 0;
}

static int interrupted(lua_State *L) {
    lua_pushboolean(L, sys_interrupted());
    return 1;
}

// The bytes of the string or tensor on the top of the stack, which a table keeps alive; pops it.
static struct sys_piece piece_of(lua_State *L) {
    struct sys_piece piece;
    if (lua_type(L, -1) == LUA_TSTRING) {
        piece.bytes = lua_tolstring(L, -1, &piece.size);
    } else {
        struct tensor *t = check_tensor(L, lua_gettop(L));
        piece = (struct sys_piece){t->data, t->size * sizeof(float)};
    }
    lua_pop(L, 1);
    return piece;
}

// core.write_file(path, bytes) or (path, {strings and tensors}): true, or nil and why. The old file stays whole until the
// new one is. Nothing is copied: a big model is written from where it is.
static int write_file(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    if (!lua_istable(L, 2)) {
        size_t size;
        const char *bytes = luaL_checklstring(L, 2, &size);
        if (sys_write_file(path, bytes, size) != 0) return fail_pair(L);
    } else {
        size_t count = lua_rawlen(L, 2);
        struct sys_piece *pieces = lua_newuserdatauv(L, count * sizeof *pieces, 0);
        for (size_t i = 0; i < count; i++) {
            lua_rawgeti(L, 2, (lua_Integer)i + 1);
            pieces[i] = piece_of(L);
        }
        if (sys_write_pieces(path, pieces, count) != 0) return fail_pair(L);
    }
    lua_pushboolean(L, 1);
    return 1;
}

// The instruction set this build of the core is for.
static int isa(lua_State *L) {
    lua_pushliteral(L, GIEMSA_ISA);
    return 1;
}

const luaL_Reg sys_functions[] = {{"now", now}, {"time", wall_time}, {"threads", threads}, {"memory", memory}, {"trim", trim}, {"fail_after", fail_after},
                                  {"fail_lua_after", fail_lua_after},
                                  {"interrupt_begin", interrupt_begin}, {"interrupt_end", interrupt_end},
                                  {"interrupted", interrupted}, {"interrupt_clear", interrupt_clear},
                                  {"write_file", write_file}, {"isa", isa}, {NULL, NULL}};
