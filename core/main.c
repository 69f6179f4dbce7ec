// The program: an ordinary Lua 5.4 interpreter (options, messages and exit codes are those of lua5.4) that finds the
// giemsa modules beside itself, edits lines at its prompt, and whose Ctrl-C reaches into coroutines.
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static const char *program = "giemsa"; // stands before messages; NULL at the prompt

static const char usage[] =
    "usage: %s [options] [script [args]]\n"
    "       %s run|view|lessons|html|convert|lint|kernel ...    lessons as notebooks; each has --help\n"
    "       %s new|student|check|grade ...    for whoever teaches with them\n"
    "Available options are:\n"
    "  -e stat   execute string 'stat'\n"
    "  -i        enter interactive mode after executing 'script', inside it (--to CELL: behind that cell)\n"
    "  -l mod    require library 'mod' into global 'mod'\n"
    "  -l g=mod  require library 'mod' into global 'g'\n"
    "  -v        show version information\n"
    "  -E        ignore environment variables\n"
    "  -W        turn warnings on\n"
    "  --        stop handling options\n"
    "  -         stop handling options and execute stdin\n"
    "  --help    show this text\n"
    "  --version show the versions of giemsa and Lua\n";

// ---- Ctrl-C
// A hook set on the main state never fires while a coroutine runs, so coroutine.resume and coroutine.wrap are replaced
// by ones that note which state is running; the signal handler sets its hook there (lua_sethook is safe in a handler).
// Code that catches the error and goes on is stopped again, in whatever coroutine, until the call that Ctrl-C was to end
// has ended: the second time after enough steps for cleaning up, then at every step.

enum { CLEANING_STEPS = 100000, CLEANING_RESUMES = 1000 };

static lua_State *volatile running;
static lua_CFunction plain_resume;
static volatile sig_atomic_t is_stopping, is_over_time;
static int stops; // how often the error was raised
static int resumes; // since then
static void (*between_calls)(int) = SIG_DFL; // at a terminal's prompt a Ctrl-C that comes too late ends nothing
static bool ends_nothing; // a second Ctrl-C is like the first
static const char *last_stop; // why the last resume from here was stopped

static void stop(lua_State *L, lua_Debug *unused);

static void set_stop(lua_State *L) {
    bool is_counting = stops == 1 && resumes <= CLEANING_RESUMES;
    if (is_counting && lua_gethook(L) == stop) return; // counts on
    if (is_counting) lua_sethook(L, stop, LUA_MASKCOUNT, CLEANING_STEPS);
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
    stops++;
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

static int resume(lua_State *L) {
    lua_State *coroutine = lua_tothread(L, 1), *outer = running;
    if (coroutine) running = coroutine;
    resumes += is_stopping;
    if (coroutine && is_stopping) set_stop(coroutine);
    int results = plain_resume(L); // raises only when argument 1 is no coroutine
    running = outer;
    if (is_stopping) set_stop(L);
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
        status = lua_resetthread(coroutine);
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
    luaL_setfuncs(L, (const luaL_Reg[]){{"wrap", wrap}, {NULL, NULL}}, (lua_pop(L, 1), 0));
    lua_pushcfunction(L, resume);
    lua_setfield(L, -2, "resume");
    lua_pop(L, 1);
}

// ---- calls and messages

static void say(const char *message) {
    if (program) fprintf(stderr, "%s: ", program);
    fprintf(stderr, "%s\n", message);
    fflush(stderr);
}

static int report(lua_State *L, int status) {
    if (status == LUA_OK) return status;
    const char *message = lua_tostring(L, -1);
    say(message ? message : "(error object is not a string)");
    lua_pop(L, 1);
    return status;
}

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
    is_stopping = is_over_time = stops = resumes = 0;
    lua_sethook(L, NULL, 0, 0);
    if (!outer) set_interrupt(between_calls); // first: on_interrupt needs a state
    running = outer;
    if (outer) set_interrupt(on_interrupt);
}

// lua_pcall with a traceback in the message and with Ctrl-C raising "interrupted!".
static int call(lua_State *L, int arguments, int results) {
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

// For the prompt: call(f, ...) returns true and the results, or false and the message with its traceback.
static int protected_call(lua_State *L) {
    int status = call(L, lua_gettop(L) - 1, LUA_MULTRET);
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
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

// interrupt.resume(coroutine, ...): coroutine.resume that Ctrl-C and the limit end, and nothing beyond it.
static int resume_until_interrupt(lua_State *L) {
    lua_State *outer = running, *coroutine = lua_tothread(L, 1);
    luaL_argexpected(L, coroutine, 1, "coroutine");
    running = coroutine;
    set_interrupt(on_interrupt);
    if (limit > 0) set_timer(limit);
    int results = plain_resume(L);
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

// interrupt.only_resumes(): from now on Ctrl-C ends what interrupt.resume runs and nothing else, however often it comes.
static int only_resumes(lua_State *L) {
    (void)L;
    running = NULL;
    ends_nothing = true;
    set_interrupt(between_calls = SIG_IGN);
    return 0;
}

static void offer_interrupts(lua_State *L) {
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    luaL_newlib(L, ((const luaL_Reg[]){{"resume", resume_until_interrupt}, {"last", get_last_stop}, {"limit", set_limit}, {"only_resumes", only_resumes}, {NULL, NULL}}));
    lua_setfield(L, -2, "giemsa.interrupt");
    lua_pop(L, 1);
    lua_pushlightuserdata(L, (void *)&is_stopping); // polled by long loops in C (bind_stop.c)
    lua_setfield(L, LUA_REGISTRYINDEX, "giemsa.is_stopping");
}

static int run(lua_State *L, int load_status) {
    if (load_status == LUA_OK) load_status = call(L, 0, 0);
    return report(L, load_status);
}

static int run_file(lua_State *L, const char *path) { return run(L, luaL_loadfile(L, path)); }

static int run_string(lua_State *L, const char *text, const char *name) {
    return run(L, luaL_loadbuffer(L, text, strlen(text), name));
}

// -l mod, -l global=mod. The global of "mod-v2" is "mod".
static int require_library(lua_State *L, const char *option) {
    const char *equals = strchr(option, '='), *module = equals ? equals + 1 : option;
    size_t length = equals ? (size_t)(equals - option) : strcspn(option, "-");
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    int status = call(L, 1, 1);
    if (status != LUA_OK) return report(L, status);
    lua_pushglobaltable(L);
    lua_pushlstring(L, option, length);
    lua_pushvalue(L, -3);
    lua_settable(L, -3);
    lua_pop(L, 2);
    return LUA_OK;
}

// ---- the command line

struct options {
    int script; // index of the script in argv, argc when there is none
    bool interactive, version, ignore_environment, execute, help, versions;
};

// False at the first bad option, which .script then names.
static bool parse_options(int argc, char **argv, struct options *o) {
    for (o->script = 1; o->script < argc; o->script++) {
        const char *option = argv[o->script];
        if (option[0] != '-' || !option[1]) return true; // a script, or '-'
        if (strcmp(option, "--help") == 0) o->help = true;
        else if (strcmp(option, "--version") == 0) o->versions = true;
        else if (strcmp(option, "--") == 0) return o->script++, true;
        else if (option[1] == 'e' || option[1] == 'l') {
            o->execute |= option[1] == 'e';
            if (option[2]) continue;
            if (!argv[o->script + 1] || argv[o->script + 1][0] == '-') return false;
            o->script++;
        } else if (option[2]) return false;
        else if (option[1] == 'i') o->interactive = o->version = true;
        else if (option[1] == 'v') o->version = true;
        else if (option[1] == 'E') o->ignore_environment = true;
        else if (option[1] != 'W') return false;
    }
    return true;
}

static void complain(const char *option) {
    fprintf(stderr, "%s: ", program);
    if (option[1] == 'e' || option[1] == 'l') fprintf(stderr, "'%s' needs argument\n", option);
    else fprintf(stderr, "unrecognized option '%s'\n", option);
    fprintf(stderr, usage, program, program, program);
}

// The global `arg`: the script at 0, its arguments from 1, what stands before it below 0.
static void set_arg(lua_State *L, int argc, char **argv, int script) {
    if (script == argc) script = 0;
    lua_createtable(L, argc - script > 1 ? argc - script - 1 : 0, script + 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i - script);
    }
    lua_setglobal(L, "arg");
}

static int run_options(lua_State *L, char **argv, int end) {
    for (int i = 1; i < end; i++) {
        char kind = argv[i][1];
        if (kind == 'W') lua_warning(L, "@on", 0);
        if (kind != 'e' && kind != 'l') continue;
        const char *value = argv[i][2] ? argv[i] + 2 : argv[++i];
        int status = kind == 'e' ? run_string(L, value, "=(command line)") : require_library(L, value);
        if (status != LUA_OK) return status;
    }
    return LUA_OK;
}

static int run_init(lua_State *L) {
    const char *name = "=LUA_INIT_5_4", *init = getenv(name + 1);
    if (!init) init = getenv((name = "=LUA_INIT") + 1);
    if (!init) return LUA_OK;
    return init[0] == '@' ? run_file(L, init + 1) : run_string(L, init, name);
}

static int run_script(lua_State *L, char **argv) {
    bool is_stdin = strcmp(argv[0], "-") == 0 && strcmp(argv[-1], "--") != 0;
    int status = luaL_loadfile(L, is_stdin ? NULL : argv[0]);
    if (status != LUA_OK) return report(L, status);
    if (lua_getglobal(L, "arg") != LUA_TTABLE) luaL_error(L, "'arg' is not a table");
    int count = (int)luaL_len(L, -1), arg = lua_gettop(L);
    luaL_checkstack(L, count + 3, "too many arguments to script");
    for (int i = 1; i <= count; i++) lua_rawgeti(L, arg, i);
    lua_remove(L, arg);
    return report(L, call(L, count, 0));
}

// ---- the modules

// package[field]: these templates, those it has, and these. What was pushed for them may stay on the stack.
static void extend(lua_State *L, const char *field, const char *before, const char *after) {
    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_getfield(L, -1, field);
    lua_pushfstring(L, "%s;%s%s", before, lua_tostring(L, -1), after);
    lua_setfield(L, -3, field);
    lua_pop(L, 2);
}

// In a build tree the program is BUILD/bin/giemsa and the modules are in BUILD/lib and BUILD/lua; installed, they are
// in PREFIX/lib/lua/5.4 and PREFIX/share/lua/5.4. What lessons use (datasets/) is found after all others: in the checkout,
// or PREFIX/share/giemsa.
static void find_modules(lua_State *L) {
    char home[4096];
    ssize_t length = readlink("/proc/self/exe", home, sizeof home - 1);
    if (length < 0) return;
    home[length] = 0;
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(home, '/');
        if (!slash) return;
        *slash = 0;
    }
    bool is_build = access(lua_pushfstring(L, "%s/lib/giemsa/core.so", home), R_OK) == 0;
    const char *lua = is_build ? "lua" : "share/lua/5.4", *lib = is_build ? "lib" : "lib/lua/5.4";
    const char *course = is_build ? "lua/.." : "share/giemsa"; // lua is a link into the checkout
    const char *modules = lua_pushfstring(L, "%s/%s/?.lua;%s/%s/?/init.lua", home, lua, home, lua);
    extend(L, "path", modules, lua_pushfstring(L, ";%s/%s/?.lua;%s/%s/?/init.lua", home, course, home, course));
    extend(L, "cpath", lua_pushfstring(L, "%s/%s/?.so", home, lib), "");
    lua_pop(L, 4);
}

// ---- the program

// `giemsa run lesson.lua`: the first word is a command of giemsa.cli. A script of that name runs as ./run.
static bool is_command(int argc, char **argv) {
    static const char *const commands[] = {"run", "html", "convert", "lint", "kernel", "lessons", "new", "student", "check", "grade", "view"};
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i]) == 0) return true;
    return false;
}

// The exit code.
static int run_command(lua_State *L) {
    lua_getglobal(L, "require");
    lua_pushliteral(L, "giemsa.cli");
    int status = call(L, 1, 1);
    if (status == LUA_OK) {
        lua_getfield(L, -1, "main");
        status = call(L, 0, 1);
    }
    return report(L, status) == LUA_OK ? (int)lua_tointeger(L, -1) : EXIT_FAILURE;
}

// A script that has not run yet, with its arguments, becomes the lesson that the prompt is in.
static int prompt(lua_State *L, char **script) {
    program = NULL;
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) between_calls = SIG_IGN;
    lua_getglobal(L, "require");
    lua_pushliteral(L, "giemsa.repl");
    int status = call(L, 1, 1), arguments = 1;
    if (status == LUA_OK) {
        lua_getfield(L, -1, "start");
        lua_pushcfunction(L, protected_call);
        for (; *script; script++, arguments++) {
            luaL_checkstack(L, 3, "too many arguments to script");
            lua_pushstring(L, *script);
        }
        lua_call(L, arguments, 0);
    }
    return report(L, status);
}

static int show_versions(lua_State *L) {
    int status = run_string(L, "print(require('giemsa')._VERSION)", "=(version)");
    puts(LUA_COPYRIGHT);
    return status;
}

// Returns the exit code of a command, or whether all went well.
static int protected_main(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    struct options o = {0};
    lua_settop(L, 0);
    if (!is_command(argc, argv) && !parse_options(argc, argv, &o)) return complain(argv[o.script]), 0;
    if (o.help) return printf(usage, program, program, program), lua_pushboolean(L, 1), 1;
    bool is_idle = o.script == argc && !o.execute && !o.version, is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    bool is_lesson = o.interactive && is_terminal && o.script < argc && strcmp(argv[o.script], "-") != 0;
    if (o.version && !is_lesson) puts(LUA_COPYRIGHT), fflush(stdout);
    luaL_checkversion(L);
    if (o.ignore_environment) {
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
    }
    luaL_openlibs(L);
    bool is_cli = is_command(argc, argv);
    set_arg(L, argc, argv, is_cli ? 1 : o.script);
    find_modules(L);
    watch_coroutines(L);
    offer_interrupts(L);
    lua_gc(L, LUA_GCGEN, 0, 0); // as lua5.4
    if (o.versions) return lua_pushboolean(L, show_versions(L) == LUA_OK), 1;
    if (is_cli) return lua_pushinteger(L, run_command(L)), 1;
    if (!o.ignore_environment && run_init(L) != LUA_OK) return 0;
    if (run_options(L, argv, o.script) != LUA_OK) return 0;
    if (o.script < argc && !is_lesson && run_script(L, argv + o.script) != LUA_OK) return 0;
    if (o.interactive || (is_idle && isatty(STDIN_FILENO))) {
        if (prompt(L, is_lesson ? argv + o.script : argv + argc) != LUA_OK) return 0;
    } else if (is_idle) {
        run_file(L, NULL);
    }
    lua_pushboolean(L, 1);
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 0 && argv[0][0]) program = argv[0];
    lua_State *L = luaL_newstate();
    if (!L) return say("cannot create state: not enough memory"), EXIT_FAILURE;
    lua_pushcfunction(L, protected_main);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int status = lua_pcall(L, 2, 1, 0);
    bool ok = status == LUA_OK && lua_toboolean(L, -1);
    int code = ok && lua_isinteger(L, -1) ? (int)lua_tointeger(L, -1) : ok ? EXIT_SUCCESS : EXIT_FAILURE;
    report(L, status);
    lua_close(L);
    return code;
}
