// Ctrl-C in kernels that take long. Whoever runs Lua hears of it by a hook that its signal handler sets (lua5.4 too), or,
// between core.interrupt_begin and interrupt_end, by the flag of sys.h; giemsa, whose hook may also be there to let code clean
// up after an earlier Ctrl-C, has a flag of its own in the registry (interrupt.c).
#include "bind.h"
#include "sys.h"
#include "threads.h"

#include <signal.h>

static const double CLEANING_SECONDS = 0.3; // that kernels may take, all together, when Ctrl-C was there before them

static struct {
    lua_State *L;
    lua_Hook hook;     // before
    bool is_late;      // Ctrl-C was there before
    double late_since; // the first kernel of which this is so
    const volatile sig_atomic_t *program_says;
} begun;

static bool is_asked_for(void) {
    if (sys_interrupted()) return true;
    if (begun.program_says) return *begun.program_says != 0;
    lua_Hook hook = lua_gethook(begun.L);
    return hook && hook != begun.hook;
}

static bool is_to_stop(void *unused) {
    (void)unused;
    return is_asked_for() && (!begun.is_late || sys_now() - begun.late_since > CLEANING_SECONDS);
}

void stop_watch(lua_State *L) {
    begun.L = L;
    begun.hook = lua_gethook(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "giemsa.is_stopping");
    begun.program_says = lua_touserdata(L, -1);
    lua_pop(L, 1);
    const bool was_late = begun.is_late;
    begun.is_late = is_asked_for();
    if (begun.is_late && !was_late) begun.late_since = sys_now();
}

// The hook's own error is the better one: it says where, and its owner knows that it was raised.
static void raise_interrupt(lua_State *L) {
    lua_Debug here = {.event = LUA_HOOKCOUNT};
    lua_Hook hook = lua_gethook(L);
    if (hook && !sys_interrupted()) hook(L, &here);
    luaL_error(L, "interrupted!");
}

void stop_check(lua_State *L) {
    if (is_to_stop(NULL)) raise_interrupt(L);
}

void stop_begin(lua_State *L) {
    stop_watch(L);
    threads_stop_when(is_to_stop, NULL);
}

void stop_end(lua_State *L) {
    if (threads_stop_never()) raise_interrupt(L);
}
