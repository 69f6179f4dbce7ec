// Ctrl-C for running Lua code: part of the program, not of the core (whose loops poll; see sys.h and bind_stop.c).
#pragma once
#include <lua.h>

// Once, when the libraries are open: coroutines hear of Ctrl-C, and require "giemsa.interrupt" has its functions.
void interrupt_open(lua_State *L);
// lua_pcall with a traceback in the message and with Ctrl-C raising "interrupted!".
int interrupt_call(lua_State *L, int arguments, int results);
// From now on a Ctrl-C that comes too late for a call ends nothing: the program stands at a terminal's prompt.
void interrupt_ends_calls_only(void);
