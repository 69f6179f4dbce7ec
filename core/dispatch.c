// core.so: finds out what this processor can do and opens the core that was compiled for it, from the same folder.
// GIEMSA_ISA=v4|v3|base chooses by hand (the tests run all of them).
#include <dlfcn.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

static const char *best_isa(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
        return "v4";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return "v3";
#endif
    return "base";
}

__attribute__((visibility("default"))) int luaopen_giemsa_core(lua_State *L) {
    Dl_info self;
    if (!dladdr((void *)luaopen_giemsa_core, &self)) return luaL_error(L, "giemsa.core: cannot tell where core.so is");
    const char *isa = getenv("GIEMSA_ISA");
    if (!isa || !*isa) isa = best_isa();
    const char *slash = strrchr(self.dli_fname, '/');
    lua_pushlstring(L, self.dli_fname, slash ? (size_t)(slash - self.dli_fname + 1) : 0);
    const char *path = lua_pushfstring(L, "%score-%s.so", lua_tostring(L, -1), isa);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return luaL_error(L, "giemsa.core: %s (GIEMSA_ISA may be v4, v3 or base, as this processor allows)", dlerror());
    lua_CFunction open;
    *(void **)&open = dlsym(library, "giemsa_core_open");
    return open ? open(L) : luaL_error(L, "giemsa.core: %s is not a giemsa core", path);
}
