// giemsa.lineedit: one edited line from the terminal, by libedit. Ctrl-C gives the line up, text pasted by a terminal
// that brackets it keeps its line breaks, and signals that stop or end the process find the terminal as it was.
// Bytes are read by ours, not by libedit's own loop, so that a prompt can wait for other things too; while it waits,
// the line is written over in colour. What Tab does and which colours there are, is for Lua functions to say.
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <lauxlib.h>
#include <locale.h>
#include <lua.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_ENTRIES = 2000, ESCAPE = 27, UNSEEN = 1 }; // UNSEEN stands around the colours of a prompt

static EditLine *editor;
static History *history_list;
static char prompt_text[256];
static lua_State *host;                                         // while a line is read
static int complete_ref = LUA_NOREF, colour_ref = LUA_NOREF; // Lua functions, or none
static locale_t characters; // UTF-8 while a line is edited; the program itself stays in the C locale

// ---- signals: blocked while a line is edited, except inside the wait for a byte

static const int signals[] = {SIGINT, SIGTSTP, SIGCONT, SIGWINCH, SIGTERM, SIGHUP, SIGQUIT};
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction host_actions[SIGNALS];
static sigset_t host_mask, our_mask;
static volatile sig_atomic_t caught;
static bool interrupted, is_pasting; // pasting: the line is not on the screen yet

static void catch(int number) { caught = number; }

static void take_signals(void) {
    struct sigaction action = {.sa_handler = catch};
    sigset_t blocked;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (int i = 0; i < SIGNALS; i++) sigaddset(&blocked, signals[i]);
    sigprocmask(SIG_BLOCK, &blocked, &host_mask);
    our_mask = host_mask;
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], &action, &host_actions[i]);
        sigdelset(&our_mask, signals[i]);
    }
}

static void give_signals_back(void) {
    for (int i = 0; i < SIGNALS; i++) sigaction(signals[i], &host_actions[i], NULL);
    sigprocmask(SIG_SETMASK, &host_mask, NULL);
}

static void bracket_pastes(bool on) {
    fputs(on ? "\033[?2004h" : "\033[?2004l", stdout);
    fflush(stdout);
}

// Lets a stop or an end happen with the terminal as the host left it.
static void pass_on(int number) {
    bracket_pastes(false);
    el_set(editor, EL_PREP_TERM, 0);
    give_signals_back();
    raise(number);
    take_signals(); // stopped, and continued
    el_set(editor, EL_PREP_TERM, 1);
    bracket_pastes(true);
    el_set(editor, EL_REFRESH);
}

static void resize(void), go_to_end(void); // below

// False when the line is to be given up.
static bool act_on_signal(void) {
    int number = caught;
    caught = 0;
    if (number == SIGINT) interrupted = true, go_to_end();
    else if (number == SIGWINCH || number == SIGCONT) resize();
    else if (number) pass_on(number);
    return !interrupted;
}

// ---- the line on the screen

struct place {
    int row, column;
};

static struct winsize screen_size(void) {
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || !size.ws_col) size.ws_col = 80, size.ws_row = 24;
    return size;
}

// Moves a place over a character as libedit lays it out; false for one that it writes in a way of its own.
static bool step_over(struct place *p, wchar_t c, int columns) {
    if (c == L'\n') return *p = (struct place){p->row + 1, 0}, true;
    int width = c == L'\t' ? 8 - p->column % 8 : wcwidth(c);
    if (width < 0) return false;
    if (p->column + width > columns) *p = (struct place){p->row + 1, 0};
    p->column += width;
    if (p->column >= columns) *p = (struct place){p->row + 1, 0};
    return true;
}

// Where the line starts (behind the prompt), where the cursor is and where the line ends, from the prompt's first column.
struct layout {
    struct place start, cursor, end;
    bool is_known;
};

static struct layout lay_out(int columns) {
    const LineInfoW *line = el_wline(editor);
    struct layout at = {.is_known = true};
    mbstate_t state = {0};
    wchar_t c;
    bool is_seen = true;
    for (const char *p = prompt_text; *p;) {
        size_t used = mbrtowc(&c, p, MB_CUR_MAX, &state);
        if (used == (size_t)-1 || used == (size_t)-2) return (struct layout){0};
        if (c == UNSEEN) is_seen = !is_seen;
        else if (is_seen && !step_over(&at.start, c, columns)) return (struct layout){0};
        p += used;
    }
    at.end = at.start;
    for (const wchar_t *p = line->buffer; p <= line->lastchar; p++) {
        if (p == line->cursor) at.cursor = at.end;
        if (p < line->lastchar && !step_over(&at.end, *p, columns)) return (struct layout){0};
    }
    return at;
}

// The terminal has a new width, and has wrapped what it shows anew; or the process was stopped: the line is drawn again
// from its prompt on.
static void resize(void) {
    struct layout at = lay_out(screen_size().ws_col);
    if (at.is_known && at.cursor.row > 0) printf("\033[%dA", at.cursor.row);
    fputs("\r\033[J", stdout);
    el_resize(editor);
    el_set(editor, EL_REFRESH);
}

// Calls a Lua function with the line up to the cursor, and the rest of it. False when there is none or it raised.
static bool ask_lua(int function_ref, int results) {
    const LineInfo *line = el_line(editor);
    if (function_ref == LUA_NOREF) return false;
    lua_rawgeti(host, LUA_REGISTRYINDEX, function_ref);
    lua_pushlstring(host, line->buffer, (size_t)(line->cursor - line->buffer));
    lua_pushlstring(host, line->cursor, (size_t)(line->lastchar - line->cursor));
    if (lua_pcall(host, 2, results, 0) == LUA_OK) return true;
    lua_pop(host, 1);
    return false;
}

static void put_lines(const char *text) {
    for (; *text; text++) {
        if (*text == '\n') putchar('\r');
        putchar(*text);
    }
}

// Writes the line in colour over what libedit wrote. It is the same text, so libedit's idea of the screen stays right.
static void paint(void) {
    struct winsize size = screen_size();
    struct layout at = lay_out(size.ws_col);
    if (!at.is_known || at.end.row >= size.ws_row || !ask_lua(colour_ref, 1)) return;
    const char *text = lua_tostring(host, -1);
    if (text) {
        fputs("\0337", stdout); // remember the cursor
        if (at.cursor.row > at.start.row) printf("\033[%dA", at.cursor.row - at.start.row);
        putchar('\r');
        if (at.start.column) printf("\033[%dC", at.start.column);
        put_lines(text);
        fputs("\0338", stdout);
        fflush(stdout);
    }
    lua_pop(host, 1);
}

// Moves the terminal's cursor behind the line, without libedit's knowledge.
static void go_to_end(void) {
    struct layout at = lay_out(screen_size().ws_col);
    if (!at.is_known) return;
    if (at.end.row > at.cursor.row) printf("\033[%dB", at.end.row - at.cursor.row);
    putchar('\r');
    if (at.end.column) printf("\033[%dC", at.end.column);
}

// Shows text below the line, and the line again below that.
static void show_below(const char *text) {
    go_to_end();
    fputs("\r\n", stdout);
    put_lines(text);
    fputs("\r\n", stdout);
    el_set(editor, EL_REFRESH);
}

// ---- keys

// Tab. Lua says how many characters before the cursor to replace, by what, and what to show below the line.
static unsigned char complete(EditLine *unused, int key) {
    (void)unused, (void)key;
    if (!ask_lua(complete_ref, 3)) return CC_ERROR;
    int replaced = (int)lua_tointeger(host, -3);
    const char *text = lua_tostring(host, -2), *below = lua_tostring(host, -1);
    if (text && replaced > 0) el_deletestr(editor, replaced);
    if (text && *text) el_insertstr(editor, text);
    if (below) show_below(below);
    unsigned char result = below ? CC_NORM : text ? CC_REFRESH : CC_ERROR;
    lua_pop(host, 3);
    return result;
}

// Alt-Enter: a line break in the line itself.
static unsigned char break_line(EditLine *unused, int key) {
    (void)unused, (void)key;
    return el_winsertstr(editor, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

// ---- characters

static bool is_typed_ahead(void) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&input, 1, 0) > 0;
}

static int read_byte(char *byte) {
    if (colour_ref != LUA_NOREF && !is_pasting && !is_typed_ahead()) paint();
    for (;;) {
        if (!act_on_signal()) return -1;
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        if (ppoll(&input, 1, NULL, &our_mask) < 0 && errno != EINTR) return -1;
        if (!input.revents) continue;
        ssize_t n = read(STDIN_FILENO, byte, 1);
        if (n >= 0) return (int)n;
        if (errno != EINTR && errno != EAGAIN) return -1;
    }
}

// What libedit calls for its next character: 1, 0 at the end of the input, -1 when the line is given up.
static int read_character(EditLine *unused, wchar_t *character) {
    (void)unused;
    mbstate_t state = {0};
    char byte;
    for (;;) {
        int n = read_byte(&byte);
        if (n != 1) return n;
        size_t used = mbrtowc(character, &byte, 1, &state);
        if (used == (size_t)-1) memset(&state, 0, sizeof state); // not UTF-8: dropped
        else if (used != (size_t)-2) return 1;
    }
}

// Takes everything up to ESC[201~ as text. False at the end of the input, or when the line is given up.
static bool take_paste(void) {
    static const wchar_t end[] = L"\033[201~";
    wchar_t c[2] = L"";
    size_t matched = 0;
    while (matched < wcslen(end)) {
        if (el_wgetc(editor, c) != 1) return false;
        if (c[0] == end[matched]) {
            matched++;
            continue;
        }
        matched = c[0] == ESCAPE;
        if (c[0] == L'\r') c[0] = L'\n';
        if ((c[0] >= L' ' && c[0] != 127) || c[0] == L'\n' || c[0] == L'\t') el_winsertstr(editor, c);
    }
    return true;
}

// Bound to ESC[200~.
static unsigned char paste(EditLine *unused, int key) {
    (void)unused, (void)key;
    is_pasting = true;
    bool is_whole = take_paste();
    is_pasting = false;
    return is_whole ? CC_REFRESH : CC_ERROR;
}

// ---- the editor

static char *show_prompt(EditLine *unused) {
    (void)unused;
    return prompt_text;
}

static void choose_characters(void) {
    characters = newlocale(LC_CTYPE_MASK, "", 0);
    if (characters && strcmp(nl_langinfo_l(CODESET, characters), "UTF-8") == 0) return;
    if (characters) freelocale(characters);
    characters = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
}

static bool start(void) {
    if (editor) return true;
    editor = el_init("giemsa", stdin, stdout, stderr);
    if (!editor) return false;
    el_set(editor, EL_PROMPT_ESC, show_prompt, UNSEEN);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 0);
    el_wset(editor, EL_GETCFN, read_character);
    el_set(editor, EL_HIST, history, history_list);
    el_wset(editor, EL_ADDFN, L"giemsa-paste", L"Take bracketed text as it is", paste);
    el_set(editor, EL_BIND, "\033[200~", "giemsa-paste", NULL);
    el_wset(editor, EL_ADDFN, L"giemsa-complete", L"Complete the word", complete);
    el_set(editor, EL_BIND, "^I", "giemsa-complete", NULL);
    el_wset(editor, EL_ADDFN, L"giemsa-break-line", L"Insert a line break", break_line);
    el_set(editor, EL_BIND, "\033\r", "giemsa-break-line", NULL);
    el_set(editor, EL_BIND, "\033\n", "giemsa-break-line", NULL);
    el_set(editor, EL_BIND, "\033[A", "ed-search-prev-history", NULL); // entries with what is typed
    el_set(editor, EL_BIND, "\033OA", "ed-search-prev-history", NULL);
    el_set(editor, EL_BIND, "\033[B", "ed-search-next-history", NULL);
    el_set(editor, EL_BIND, "\033OB", "ed-search-next-history", NULL);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(editor, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    el_set(editor, EL_BIND, "\033[1;5C", "em-next-word", NULL);
    el_set(editor, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
    el_source(editor, NULL); // the user's ~/.editrc
    return true;
}

// Goes to the start of a line: as many blanks as there are columns end there, or on the next line behind other output.
static void start_line(void) {
    printf("%*s\r", screen_size().ws_col, "");
}

// lineedit.read(prompt): the line without its end; nil and "eof" or "interrupt". What stands between two bytes 1 in the
// prompt takes no room (colours).
static int read_line(lua_State *L) {
    snprintf(prompt_text, sizeof prompt_text, "%s", luaL_checkstring(L, 1));
    host = L;
    if (!characters) choose_characters();
    locale_t host = uselocale(characters);
    if (!start()) return uselocale(host), luaL_error(L, "giemsa.lineedit: libedit cannot start on this terminal");
    fflush(stdout);
    interrupted = false;
    caught = 0;
    take_signals();
    el_set(editor, EL_PREP_TERM, 1); // before anybody is told that lines are read: what is typed now is not echoed twice
    el_resize(editor);
    start_line();
    bracket_pastes(true);
    int length = 0;
    const char *line = el_gets(editor, &length);
    bracket_pastes(false);
    give_signals_back();
    uselocale(host);
    if (interrupted) el_reset(editor);
    if (interrupted || !line || length <= 0) {
        puts(interrupted ? "^C" : "");
        lua_pushnil(L);
        lua_pushstring(L, interrupted ? "interrupt" : "eof");
        return 2;
    }
    lua_pushlstring(L, line, (size_t)length - (line[length - 1] == '\n'));
    return 1;
}

static int set_function(lua_State *L, int *reference) {
    if (!lua_isnil(L, 1)) luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, *reference);
    *reference = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

// lineedit.on_tab(f): f(text before the cursor, text after) returns how many characters before the cursor to replace, by
// what (nil: nothing can be done, the terminal beeps), and what to show below the line (nil: nothing).
static int on_tab(lua_State *L) { return set_function(L, &complete_ref); }

// lineedit.on_paint(f): f(text before the cursor, text after) returns both together with colours, or nil.
static int on_paint(lua_State *L) { return set_function(L, &colour_ref); }

// lineedit.is_terminal(): whether there is somebody to edit lines.
static int is_terminal(lua_State *L) {
    lua_pushboolean(L, isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
    return 1;
}

// ---- history

// lineedit.load_history(path): a file that is not there is an empty history. It is cut to its newest entries.
static int load_history(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    HistEvent event;
    if (history(history_list, &event, H_LOAD, path) > HISTORY_ENTRIES) history(history_list, &event, H_SAVE, path);
    return 0;
}

// lineedit.remember(text [, path]): adds an entry, to the file as well. A file that cannot be written is no error.
static int remember(lua_State *L) {
    const char *text = luaL_checkstring(L, 1), *path = luaL_optstring(L, 2, NULL);
    HistEvent event;
    if (history(history_list, &event, H_ENTER, text) < 0 || event.num < 0 || !path) return 0;
    FILE *file = fopen(path, "a");
    if (!file) return 0;
    // writes one entry more than it is asked for
    history(history_list, &event, H_NSAVE_FP, (size_t)0, file);
    fclose(file);
    return 0;
}

__attribute__((visibility("default"))) int luaopen_giemsa_lineedit(lua_State *L) {
    HistEvent event;
    if (!history_list) {
        history_list = history_init();
        if (!history_list) return luaL_error(L, "giemsa.lineedit: out of memory");
        history(history_list, &event, H_SETSIZE, HISTORY_ENTRIES);
        history(history_list, &event, H_SETUNIQUE, 1);
    }
    luaL_newlib(L, ((luaL_Reg[]){{"read", read_line}, {"is_terminal", is_terminal}, {"load_history", load_history},
                                 {"remember", remember}, {"on_tab", on_tab}, {"on_paint", on_paint}, {NULL, NULL}}));
    return 1;
}
