// Ctrl-C for running Lua code, and the limit of time.
// A hook set on the main state never fires while a coroutine runs, so coroutine.resume, wrap and close are replaced
// by ones that note which state is running; the signal handler sets its hook there (lua_sethook is safe in a handler).
// Code that catches the error and goes on is stopped again, in whatever coroutine, until the call that Ctrl-C was to end
// has ended: the second time after a moment for cleaning up, then at every step.
#include "interrupt.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { STEPS = 1000 }; // between two looks at the clock
static const double CLEANING_SECONDS = 0.3;

static lua_State *volatile running;
static lua_CFunction plain_resume, plain_close;
static volatile sig_atomic_t is_stopping, is_over_time;
static int stops; // how often the error was raised
static double cleaning_until; // by now()
static void (*between_calls)(int) = SIG_DFL; // at a terminal's prompt a Ctrl-C that comes too late ends nothing
static bool ends_nothing; // a second Ctrl-C is like the first
static const char *last_stop; // why the last resume from here was stopped

static void stop(lua_State *L, lua_Debug *unused);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool may_clean_up(void) { return stops == 1 && now() < cleaning_until; }

static void set_stop(lua_State *L) {
    if (may_clean_up()) lua_sethook(L, stop, LUA_MASKCOUNT, STEPS);
    else lua_sethook(L, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

// "file:line: " of the innermost Lua function. (luaL_where counts from a C function, which a hook is not.)
static void push_place(lua_State *L) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static void stop(lua_State *L, lua_Debug *unused) {
    (void)unused;
    lua_sethook(L, NULL, 0, 0);
    if (!is_stopping) return; // of a coroutine that slept since an earlier Ctrl-C
    if (may_clean_up()) {
        set_stop(L);
        return;
    }
    if (++stops == 1) cleaning_until = now() + CLEANING_SECONDS;
    set_stop(L);
    push_place(L);
    lua_pushstring(L, is_over_time ? "timed out" : "interrupted!");
    lua_concat(L, 2);
    lua_error(L);
}

static void on_interrupt(int number) {
    int error = errno;
    if (!ends_nothing) signal(number, SIG_DFL); // a second Ctrl-C ends the process
    is_stopping = 1;
    set_stop(running);
    errno = error;
}

static void set_interrupt(void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler}; // no SA_RESTART: a blocked read returns
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
}

// Code runs in a coroutine until leave(L, enter(coroutine)).
static lua_State *enter(lua_State *coroutine) {
    lua_State *outer = running;
    running = coroutine;
    if (is_stopping) set_stop(coroutine);
    return outer;
}

static void leave(lua_State *L, lua_State *outer) {
    running = outer;
    if (is_stopping) set_stop(L);
}

static int resume(lua_State *L) {
    lua_State *coroutine = lua_tothread(L, 1);
    if (!coroutine) return plain_resume(L); // raises
    lua_State *outer = enter(coroutine);
    int results = plain_resume(L);
    leave(L, outer);
    return results;
}

// One that runs, or that resumed the one that runs.
static bool is_active(lua_State *coroutine) {
    lua_Debug unused;
    return lua_status(coroutine) == LUA_OK && lua_getstack(coroutine, 0, &unused);
}

// coroutine.close(c): its variables declared <close> are closed in c itself.
static int close_coroutine(lua_State *L) {
    lua_State *coroutine = lua_tothread(L, 1);
    if (!coroutine || is_active(coroutine)) return plain_close(L); // raises
    lua_State *outer = enter(coroutine);
    int results = plain_close(L);
    leave(L, outer);
    return results;
}

static int resume_wrapped(lua_State *L) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int results = resume(L);
    if (lua_toboolean(L, -results)) return results - 1;
    lua_State *coroutine = lua_tothread(L, 1);
    int status = lua_status(coroutine);
    if (status != LUA_OK && status != LUA_YIELD) { // it died: close its variables, which may change the message
        lua_State *outer = enter(coroutine);
        status = lua_resetthread(coroutine);
        leave(L, outer);
        lua_xmove(coroutine, L, 1);
    }
    if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

static int wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *coroutine = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, coroutine, 1);
    lua_pushcclosure(L, resume_wrapped, 1);
    return 1;
}

static void watch_coroutines(lua_State *L) {
    lua_getglobal(L, LUA_COLIBNAME);
    lua_getfield(L, -1, "resume");
    plain_resume = lua_tocfunction(L, -1);
    lua_getfield(L, -2, "close");
    plain_close = lua_tocfunction(L, -1);
    lua_pop(L, 2);
    luaL_setfuncs(L, (const luaL_Reg[]){{"resume", resume}, {"wrap", wrap}, {"close", close_coroutine}, {NULL, NULL}}, 0);
    lua_pop(L, 1);
}

// ---- programs

static lua_CFunction plain_execute;

// C's system ignores SIGINT as long as its command runs: Ctrl-C at a terminal would end the command, and leave a loop around
// it running. What the command died of is taken for the lesson's, too. (A shell says 130 for a command of several.)
static int execute(lua_State *L) {
    int results = plain_execute(L);
    if (results != 3) return results; // whether there is a shell
    bool is_signal = strcmp(lua_tostring(L, -2), "signal") == 0;
    if (lua_tointeger(L, -1) == (is_signal ? SIGINT : 128 + SIGINT)) raise(SIGINT);
    return results;
}

static void watch_programs(lua_State *L) {
    lua_getglobal(L, LUA_OSLIBNAME);
    lua_getfield(L, -1, "execute");
    plain_execute = lua_tocfunction(L, -1);
    lua_pushcfunction(L, execute);
    lua_setfield(L, -3, "execute");
    lua_pop(L, 2);
}

// ---- calls

static int add_traceback(lua_State *L) {
    const char *message = lua_tostring(L, 1);
    if (!message) {
        if (luaL_callmeta(L, 1, "__tostring") && lua_type(L, -1) == LUA_TSTRING) return 1;
        message = lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    luaL_traceback(L, L, message, 1);
    return 1;
}

// What Ctrl-C was to end has ended.
static void end_stop(lua_State *L, lua_State *outer) {
    last_stop = is_over_time ? "timeout" : is_stopping ? "interrupted" : NULL;
    is_stopping = is_over_time = stops = 0;
    lua_sethook(L, NULL, 0, 0);
    if (!outer) set_interrupt(between_calls); // first: on_interrupt needs a state
    running = outer;
    if (outer) set_interrupt(on_interrupt);
}

int interrupt_call(lua_State *L, int arguments, int results) {
    int base = lua_gettop(L) - arguments;
    lua_State *outer = running;
    lua_pushcfunction(L, add_traceback);
    lua_insert(L, base);
    running = L;
    set_interrupt(on_interrupt);
    int status = lua_pcall(L, arguments, results, base);
    end_stop(L, outer);
    lua_remove(L, base);
    return status;
}

// Over time is like Ctrl-C, and again every few seconds for code that caught it (a training that returns what it has).
static void on_alarm(int number) {
    (void)number;
    is_over_time = 1;
    raise(SIGINT);
}

static double limit; // seconds that the next resume from here may take; 0: no limit

static void set_timer(double seconds) {
    struct itimerval timer = {{seconds > 0 ? 3 : 0, 0}, {(time_t)seconds, (suseconds_t)(fmod(seconds, 1) * 1e6)}};
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static volatile sig_atomic_t is_resumed;

// What `execute` sees is lost when a command has just ended by itself. So a server sends SIGTERM, too, which counts where
// SIGINT is ignored.
static void on_terminate(int number) {
    int error = errno;
    struct sigaction now;
    (void)number;
    if (is_resumed && sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == SIG_IGN) on_interrupt(SIGINT);
    errno = error;
}

// interrupt.resume(coroutine, ...): coroutine.resume that Ctrl-C and the limit end, and nothing beyond it.
static int resume_until_interrupt(lua_State *L) {
    lua_State *outer = running, *coroutine = lua_tothread(L, 1);
    luaL_argexpected(L, coroutine, 1, "coroutine");
    running = coroutine;
    set_interrupt(on_interrupt);
    if (limit > 0) set_timer(limit);
    is_resumed = true;
    int results = plain_resume(L);
    is_resumed = outer != NULL;
    if (limit > 0) set_timer(limit = 0);
    end_stop(coroutine, outer);
    return results;
}

// interrupt.limit(seconds): in the next resume "timed out" is raised after that time; 0: it may take as long as it likes.
static int set_limit(lua_State *L) {
    limit = luaL_checknumber(L, 1);
    return 0;
}

// interrupt.last(): "interrupted", "timeout" or nil, of the last resume. What was stopped may have caught the error.
static int get_last_stop(lua_State *L) {
    lua_pushstring(L, last_stop); // NULL: nil
    return 1;
}

// interrupt.only_resumes(): from now on Ctrl-C ends what interrupt.resume runs and nothing else, however often it comes;
// SIGTERM does so where os.execute ignores it, and ends nothing else.
static int only_resumes(lua_State *L) {
    (void)L;
    running = NULL;
    ends_nothing = true;
    set_interrupt(between_calls = SIG_IGN);
    struct sigaction action = {.sa_handler = on_terminate};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    return 0;
}

void interrupt_ends_calls_only(void) { between_calls = SIG_IGN; }

static void offer_to_lua(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    luaL_newlib(L, ((const luaL_Reg[]){{"resume", resume_until_interrupt}, {"last", get_last_stop}, {"limit", set_limit}, {"only_resumes", only_resumes}, {NULL, NULL}}));
    lua_setfield(L, -2, "giemsa.interrupt");
    lua_pop(L, 1);
    lua_pushlightuserdata(L, (void *)&is_stopping); // polled by long loops in C (bind_stop.c)
    lua_setfield(L, LUA_REGISTRYINDEX, "giemsa.is_stopping");
}

void interrupt_open(lua_State *L) {
    watch_coroutines(L);
    watch_programs(L);
    offer_to_lua(L);
}
