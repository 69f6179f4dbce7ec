// Markdown, through the Lua module: any text is a tree of tables and strings, or nil and why not.
#include "script.h"

int luaopen_giemsa_md4c(lua_State *L);

static const char script[] =
    "local md4c, text = ...\n"
    "local function walk(node)\n"
    "  if type(node) == 'string' then return end\n"
    "  assert(type(node) == 'table' and type(node.tag) == 'string')\n"
    "  for _, child in ipairs(node) do walk(child) end\n"
    "end\n"
    "local tree, why = md4c.parse(text)\n"
    "if tree then walk(tree) else assert(type(why) == 'string') end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    call_script(luaopen_giemsa_md4c, script, (const char *)data, size);
    return 0;
}
