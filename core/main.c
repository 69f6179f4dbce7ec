// The program: an ordinary Lua 5.4 interpreter (options, messages and exit codes are those of lua5.4) that finds the
// giemsa modules beside itself, edits lines at its prompt, and whose Ctrl-C reaches into coroutines.
#include "interrupt.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

// For the prompt: call(f, ...) returns true and the results, or false and the message with its traceback.
static int protected_call(lua_State *L) {
    int status = interrupt_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int run(lua_State *L, int load_status) {
    if (load_status == LUA_OK) load_status = interrupt_call(L, 0, 0);
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
    int status = interrupt_call(L, 1, 1);
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
    if (status == LUA_ERRFILE && !strpbrk(argv[0], "./")) // a command, misspelt
        lua_pushfstring(L, "there is no file and no command '%s' (%s --help lists the commands)", argv[0], program);
    if (status != LUA_OK) return report(L, status);
    if (lua_getglobal(L, "arg") != LUA_TTABLE) luaL_error(L, "'arg' is not a table");
    int count = (int)luaL_len(L, -1), arg = lua_gettop(L);
    luaL_checkstack(L, count + 3, "too many arguments to script");
    for (int i = 1; i <= count; i++) lua_rawgeti(L, arg, i);
    lua_remove(L, arg);
    return report(L, interrupt_call(L, count, 0));
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
    int status = interrupt_call(L, 1, 1);
    if (status == LUA_OK) {
        lua_getfield(L, -1, "main");
        status = interrupt_call(L, 0, 1);
    }
    return report(L, status) == LUA_OK ? (int)lua_tointeger(L, -1) : EXIT_FAILURE;
}

// A script that has not run yet, with its arguments, becomes the lesson that the prompt is in.
static int prompt(lua_State *L, char **script) {
    program = NULL;
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) interrupt_ends_calls_only();
    lua_getglobal(L, "require");
    lua_pushliteral(L, "giemsa.repl");
    int status = interrupt_call(L, 1, 1), arguments = 1;
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
    interrupt_open(L);
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
