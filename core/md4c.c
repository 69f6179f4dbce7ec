// require "giemsa.md4c": Markdown as a tree, by md4c. A module of its own, so that the core needs no md4c.
//
// A node is a table with the name of its HTML element in .tag and its children at 1, 2, ...: nodes, and strings of text
// (UTF-8, entities decoded, "\n" where a line of the source ends). What else a node has:
//   ul, ol  tight; ol: start       li     checked (true or false; nil: no task)
//   pre     language               th, td align ("left", "center", "right" or nil)
//   a, img  href or src, title     math   display (true: a formula on a line of its own)
// The other tags: document, p, h1 to h6, blockquote, hr, table, thead, tbody, tr, em, strong, del, code, br.
// Raw HTML is text like any other.
#include <lauxlib.h>
#include <lua.h>
#include <md4c.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 100 }; // of nodes in nodes; writers walk a tree by recursion

enum { FLAGS = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_LATEXMATHSPANS |
               MD_FLAG_PERMISSIVEURLAUTOLINKS | MD_FLAG_NOHTML };

// ---- text

static const struct {
    const char *name;
    unsigned code;
} entities[] = {{"amp", '&'},      {"lt", '<'},        {"gt", '>'},        {"quot", '"'},      {"apos", '\''},
                {"nbsp", 0xa0},    {"copy", 0xa9},     {"deg", 0xb0},      {"plusmn", 0xb1},   {"micro", 0xb5},
                {"middot", 0xb7},  {"times", 0xd7},    {"auml", 0xe4},     {"ouml", 0xf6},     {"uuml", 0xfc},
                {"alpha", 0x3b1},  {"beta", 0x3b2},    {"mu", 0x3bc},      {"sigma", 0x3c3},   {"ndash", 0x2013},
                {"mdash", 0x2014}, {"hellip", 0x2026}, {"larr", 0x2190},   {"rarr", 0x2192},   {"infin", 0x221e},
                {"ne", 0x2260},    {"le", 0x2264},     {"ge", 0x2265}};

// The code point of "&lt;", "&#60;" or "&#x3c;"; 0 when there is none.
static unsigned code_of(const char *text, size_t size) {
    char name[16];
    if (size < 3 || size - 2 >= sizeof name) return 0;
    memcpy(name, text + 1, size - 2);
    name[size - 2] = 0;
    if (name[0] == '#') {
        bool is_hex = name[1] == 'x' || name[1] == 'X';
        unsigned long code = strtoul(name + (is_hex ? 2 : 1), NULL, is_hex ? 16 : 10);
        bool is_character = code >= 32 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        return is_character ? (unsigned)code : 0xfffd;
    }
    for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
        if (strcmp(name, entities[i].name) == 0) return entities[i].code;
    return 0;
}

static void push_text(lua_State *L, MD_TEXTTYPE type, const char *text, size_t size) {
    unsigned code = type == MD_TEXT_NULLCHAR ? 0xfffd : type == MD_TEXT_ENTITY ? code_of(text, size) : 0;
    if (code) lua_pushfstring(L, "%U", (long)code);
    else if (type == MD_TEXT_SOFTBR) lua_pushliteral(L, "\n");
    else lua_pushlstring(L, text, size);
}

// node[key] = the attribute, nothing when it is absent. The node is on top of the stack.
static void set_attribute(lua_State *L, const char *key, const MD_ATTRIBUTE *a) {
    if (!a->text || a->size == 0) return;
    lua_pushliteral(L, "");
    for (int i = 0; a->substr_offsets[i] < a->size; i++) {
        MD_OFFSET from = a->substr_offsets[i], to = a->substr_offsets[i + 1];
        push_text(L, a->substr_types[i], a->text + from, to - from);
        lua_concat(L, 2);
    }
    lua_setfield(L, -2, key);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, key);
}

// ---- nodes

struct event {
    bool is_span;
    int type; // MD_BLOCKTYPE, MD_SPANTYPE or MD_TEXTTYPE
    void *detail;
    const char *text;
    size_t size;
};

static const char *const block_tags[] = {
    [MD_BLOCK_DOC] = "document", [MD_BLOCK_QUOTE] = "blockquote", [MD_BLOCK_UL] = "ul",       [MD_BLOCK_OL] = "ol",
    [MD_BLOCK_LI] = "li",        [MD_BLOCK_HR] = "hr",            [MD_BLOCK_H] = "h1",        [MD_BLOCK_CODE] = "pre",
    [MD_BLOCK_HTML] = "p",       [MD_BLOCK_P] = "p",              [MD_BLOCK_TABLE] = "table", [MD_BLOCK_THEAD] = "thead",
    [MD_BLOCK_TBODY] = "tbody",  [MD_BLOCK_TR] = "tr",            [MD_BLOCK_TH] = "th",       [MD_BLOCK_TD] = "td"};
static const char *const span_tags[] = {
    [MD_SPAN_EM] = "em",     [MD_SPAN_STRONG] = "strong", [MD_SPAN_A] = "a",
    [MD_SPAN_IMG] = "img",   [MD_SPAN_CODE] = "code",     [MD_SPAN_DEL] = "del",
    [MD_SPAN_U] = "em",      [MD_SPAN_LATEXMATH] = "math", [MD_SPAN_LATEXMATH_DISPLAY] = "math",
    [MD_SPAN_WIKILINK] = "em"};

static void set_block_details(lua_State *L, int type, void *detail) {
    static const char *const aligns[] = {NULL, "left", "center", "right"};
    if (type == MD_BLOCK_UL) set_boolean(L, "tight", ((MD_BLOCK_UL_DETAIL *)detail)->is_tight);
    if (type == MD_BLOCK_OL) {
        set_boolean(L, "tight", ((MD_BLOCK_OL_DETAIL *)detail)->is_tight);
        lua_pushinteger(L, ((MD_BLOCK_OL_DETAIL *)detail)->start);
        lua_setfield(L, -2, "start");
    }
    MD_BLOCK_LI_DETAIL *li = detail;
    if (type == MD_BLOCK_LI && li->is_task) set_boolean(L, "checked", li->task_mark != ' ');
    if (type == MD_BLOCK_CODE) set_attribute(L, "language", &((MD_BLOCK_CODE_DETAIL *)detail)->lang);
    if (type == MD_BLOCK_H) {
        lua_pushfstring(L, "h%d", (int)((MD_BLOCK_H_DETAIL *)detail)->level);
        lua_setfield(L, -2, "tag");
    }
    if (type == MD_BLOCK_TH || type == MD_BLOCK_TD) {
        lua_pushstring(L, aligns[((MD_BLOCK_TD_DETAIL *)detail)->align]);
        lua_setfield(L, -2, "align");
    }
}

static void set_span_details(lua_State *L, int type, void *detail) {
    if (type == MD_SPAN_A) {
        set_attribute(L, "href", &((MD_SPAN_A_DETAIL *)detail)->href);
        set_attribute(L, "title", &((MD_SPAN_A_DETAIL *)detail)->title);
    }
    if (type == MD_SPAN_IMG) {
        set_attribute(L, "src", &((MD_SPAN_IMG_DETAIL *)detail)->src);
        set_attribute(L, "title", &((MD_SPAN_IMG_DETAIL *)detail)->title);
    }
    if (type == MD_SPAN_LATEXMATH_DISPLAY) set_boolean(L, "display", true);
}

// (parent, event): the new node, already the parent's last child. The document has no parent.
static int add_node(lua_State *L) {
    struct event *e = lua_touserdata(L, 2);
    lua_createtable(L, 2, 2);
    lua_pushstring(L, e->is_span ? span_tags[e->type] : block_tags[e->type]);
    lua_setfield(L, -2, "tag");
    if (e->is_span) set_span_details(L, e->type, e->detail);
    else set_block_details(L, e->type, e->detail);
    if (lua_istable(L, 1)) {
        lua_pushvalue(L, -1);
        lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
    }
    return 1;
}

// (parent, event): text as the parent's last child.
static int add_text(lua_State *L) {
    struct event *e = lua_touserdata(L, 2);
    if (e->type == MD_TEXT_BR) {
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "br");
        lua_setfield(L, -2, "tag");
    } else {
        push_text(L, (MD_TEXTTYPE)e->type, e->text, e->size);
    }
    lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
    return 0;
}

// ---- md4c's callbacks
// The open nodes are the top of the Lua stack, the document at its place 2. Lua works in protected calls, since an error
// must not leap over md4c, which would never free its memory; the message of an error stays on the stack.

enum { DOCUMENT = 2, SPAN = 1000 }; // a span's type is counted from SPAN

struct parsing {
    lua_State *L;
    int open[MAX_DEPTH + 1], depth; // types of the open nodes; open[0] is the document's
};

static int protected(lua_State *L, lua_CFunction f, struct event *e, int results) {
    lua_pushcfunction(L, f);
    lua_pushvalue(L, -2); // the parent (for the document: what stands below it)
    lua_pushlightuserdata(L, e);
    return lua_pcall(L, 2, results, 0) == LUA_OK ? 0 : -1;
}

static int enter(struct parsing *p, bool is_span, int type, void *detail) {
    struct event e = {.is_span = is_span, .type = type, .detail = detail};
    if (p->depth > MAX_DEPTH) {
        lua_pushliteral(p->L, "it is nested too deeply");
        return -1;
    }
    p->open[p->depth++] = type + (is_span ? SPAN : 0);
    return protected(p->L, add_node, &e, 1);
}

// Some texts make md4c leave a span that it never entered: then nothing is closed. The document stays.
static int leave(struct parsing *p, int type) {
    int at = p->depth - 1;
    while (at > 0 && p->open[at] != type && (type < SPAN || p->open[at] >= SPAN)) at--;
    if (at > 0 && p->open[at] == type) {
        lua_pop(p->L, p->depth - at);
        p->depth = at;
    }
    return 0;
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *p) { return enter(p, false, type, detail); }
static int enter_span(MD_SPANTYPE type, void *detail, void *p) { return enter(p, true, type, detail); }
static int leave_block(MD_BLOCKTYPE type, void *detail, void *p) { return (void)detail, leave(p, type); }
static int leave_span(MD_SPANTYPE type, void *detail, void *p) { return (void)detail, leave(p, SPAN + type); }
static int add(MD_TEXTTYPE type, const MD_CHAR *text, MD_SIZE size, void *p) {
    struct event e = {.type = type, .text = text, .size = size};
    return protected(((struct parsing *)p)->L, add_text, &e, 0);
}

// md4c.parse(text): the node of the document; or nil and why.
static int parse(lua_State *L) {
    static const MD_PARSER parser = {.flags = FLAGS, .enter_block = enter_block, .leave_block = leave_block,
                                     .enter_span = enter_span, .leave_span = leave_span, .text = add};
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    luaL_argcheck(L, size < 1u << 30, 1, "the text is too long");
    lua_settop(L, 1);
    luaL_checkstack(L, MAX_DEPTH + 10, NULL);
    struct parsing p = {.L = L};
    if (md_parse(text, (MD_SIZE)size, &parser, &p) == 0) return lua_settop(L, DOCUMENT), 1;
    if (lua_type(L, -1) != LUA_TSTRING || p.depth == 0) lua_pushliteral(L, "there is not enough memory");
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static const luaL_Reg functions[] = {{"parse", parse}, {NULL, NULL}};

__attribute__((visibility("default"))) int luaopen_giemsa_md4c(lua_State *L) {
    luaL_newlib(L, functions);
    return 1;
}
