// A target that is written in Lua (see run.lua) and takes a string, under libFuzzer: the lines that it goes through, two and
// two, guide the choice of inputs. FUZZ_LUA is its name.
#include "fuzz.h"

#include <lauxlib.h>
#include <lualib.h>

enum { COUNTERS = 1 << 16 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];
static lua_State *L;

static void count_line(lua_State *of, lua_Debug *ar) {
    static unsigned before;
    (void)of;
    counters[(before * 8191 + (unsigned)ar->currentline) % COUNTERS]++;
    before = (unsigned)ar->currentline;
}

static void fail(void) { fprintf(stderr, "%s\n", lua_tostring(L, -1)), abort(); }

// At 1 is the traceback, at 2 the target's try.
static void begin(void) {
    static const char script[] = "return debug.traceback, require('tests.fuzz.' .. os.getenv 'FUZZ_LUA').try";
    L = luaL_newstate();
    luaL_openlibs(L);
    if (luaL_loadstring(L, script) != LUA_OK || lua_pcall(L, 0, 2, 0) != LUA_OK) fail();
    lua_sethook(L, count_line, LUA_MASKLINE, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!L) begin();
    lua_pushvalue(L, 2);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 1) != LUA_OK) fail();
    return 0;
}
