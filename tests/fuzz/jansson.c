// JSON, through the Lua module: what Jansson takes is what dkjson reads, value for value and type for type.
#include "script.h"

int luaopen_giemsa_jansson(lua_State *L);

static const char script[] =
    "local jansson, text = ...\n"
    "local null = setmetatable({}, { __name = 'null' })\n"
    "local function same(a, b)\n"
    "  if a == null or b == null or type(a) ~= 'table' then return rawequal(a, b) and math.type(a) == math.type(b) end\n"
    "  if type(b) ~= 'table' then return false end\n"
    "  for key, value in pairs(a) do if not same(value, b[key]) then return false end end\n"
    "  for key in pairs(b) do if a[key] == nil then return false end end\n"
    "  return true\n"
    "end\n"
    "local taken, value = jansson.decode(text, null)\n"
    "if not taken then return end\n"
    "local ok, other, stop, problem = pcall(require('dkjson').decode, text, 1, null, nil, nil)\n"
    "if not ok then return end\n" // nested deeper than dkjson goes
    "assert(not problem and same(value, other), 'another value than dkjson gives')\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    call_script(luaopen_giemsa_jansson, script, (const char *)data, size);
    return 0;
}
