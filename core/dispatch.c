// core.so: finds out what this processor can do and opens the core that was compiled for it, from the same folder.
// GIEMSA_ISA=v4|v3|base chooses by hand (the tests run all of them). That library is never closed again: its threads
// and its tensors' finalizers may outlive core.so, which Lua closes at the end.
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool processor_can(const char *isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2");
    if (strcmp(isa, "v3") == 0) return v3;
    if (strcmp(isa, "v4") == 0)
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd");
#endif
    return strcmp(isa, "base") == 0;
}

// The first of the cores compiled (GIEMSA_ISAS, best first) that may run here, or the one asked for.
static const char *choose(lua_State *L) {
    static char isas[] = GIEMSA_ISAS;
    const char *asked = getenv("GIEMSA_ISA");
    bool is_asked = asked && *asked;
    luaL_Buffer usable;
    luaL_buffinit(L, &usable);
    char *rest = isas, *isa;
    while ((isa = strsep(&rest, " "))) {
        if (!processor_can(isa)) continue;
        if (!is_asked || strcmp(asked, isa) == 0) return isa;
        luaL_addchar(&usable, ' ');
        luaL_addstring(&usable, isa);
    }
    luaL_pushresult(&usable);
    luaL_error(L, "giemsa.core: there is no core for GIEMSA_ISA=%s; on this processor it can be one of:%s", asked,
               lua_tostring(L, -1));
    return NULL;
}

__attribute__((visibility("default"))) int luaopen_giemsa_core(lua_State *L) {
    Dl_info self;
    if (!dladdr((void *)luaopen_giemsa_core, &self)) return luaL_error(L, "giemsa.core: cannot tell where core.so is");
    const char *slash = strrchr(self.dli_fname, '/');
    lua_pushlstring(L, self.dli_fname, slash ? (size_t)(slash - self.dli_fname + 1) : 0);
    const char *folder = lua_tostring(L, -1), *path = lua_pushfstring(L, "%score-%s.so", folder, choose(L));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return luaL_error(L, "giemsa.core: %s", dlerror());
    lua_CFunction open;
    *(void **)&open = dlsym(library, "giemsa_core_open");
    return open ? open(L) : luaL_error(L, "giemsa.core: %s is not a giemsa core", path);
}
