// System calls by name, for a process that is enclosed: a Lua function that needs no Lua headers.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct lua_State lua_State;
extern const char *luaL_checklstring(lua_State *L, int n, size_t *size);
extern long long luaL_optinteger(lua_State *L, int n, long long otherwise);
extern void lua_pushinteger(lua_State *L, long long n);

// raw(number, ...): what the kernel answers, or minus the error.
int giemsa_raw(lua_State *L) {
    long arguments[7];
    for (int i = 0; i < 7; i++) arguments[i] = (long)luaL_optinteger(L, i + 1, 0);
    const long *a = arguments;
    long answer = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
    lua_pushinteger(L, answer < 0 ? -errno : answer);
    return 1;
}
