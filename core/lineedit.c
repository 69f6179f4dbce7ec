// giemsa.lineedit: one edited line from the terminal, by libedit. Ctrl-C gives the line up, text pasted by a terminal
// that brackets it keeps its line breaks, and signals that stop or end the process find the terminal as it was.
// Bytes are read by ours, not by libedit's own loop, so that a prompt can wait for other things too.
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
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_ENTRIES = 2000, ESCAPE = 27 };

static EditLine *editor;
static History *history_list;
static char prompt_text[256];
static locale_t characters; // UTF-8 while a line is edited; the program itself stays in the C locale

// ---- signals: blocked while a line is edited, except inside the wait for a byte

static const int signals[] = {SIGINT, SIGTSTP, SIGCONT, SIGWINCH, SIGTERM, SIGHUP, SIGQUIT};
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction host_actions[SIGNALS];
static sigset_t host_mask, our_mask;
static volatile sig_atomic_t caught;
static bool interrupted;

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

// False when the line is to be given up.
static bool act_on_signal(void) {
    int number = caught;
    caught = 0;
    if (number == SIGINT) interrupted = true;
    else if (number == SIGWINCH) el_resize(editor);
    else if (number == SIGCONT) el_set(editor, EL_REFRESH);
    else if (number) pass_on(number);
    return !interrupted;
}

// ---- characters

static int read_byte(char *byte) {
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

// Bound to ESC[200~: takes everything up to ESC[201~ as text.
static unsigned char paste(EditLine *unused, int key) {
    (void)unused, (void)key;
    static const wchar_t end[] = L"\033[201~";
    wchar_t c[2] = L"";
    size_t matched = 0;
    while (matched < wcslen(end)) {
        if (el_wgetc(editor, c) != 1) return CC_ERROR;
        if (c[0] == end[matched]) {
            matched++;
            continue;
        }
        matched = c[0] == ESCAPE;
        if (c[0] == L'\r') c[0] = L'\n';
        if ((c[0] >= L' ' && c[0] != 127) || c[0] == L'\n' || c[0] == L'\t') el_winsertstr(editor, c);
    }
    return CC_REFRESH;
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
    el_set(editor, EL_PROMPT, show_prompt);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 0);
    el_wset(editor, EL_GETCFN, read_character);
    el_set(editor, EL_HIST, history, history_list);
    el_wset(editor, EL_ADDFN, L"giemsa-paste", L"Take bracketed text as it is", paste);
    el_set(editor, EL_BIND, "\033[200~", "giemsa-paste", NULL);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(editor, EL_BIND, "\033[3~", "ed-delete-next-char", NULL);
    el_set(editor, EL_BIND, "\033[1;5C", "em-next-word", NULL);
    el_set(editor, EL_BIND, "\033[1;5D", "ed-prev-word", NULL);
    el_source(editor, NULL); // the user's ~/.editrc
    return true;
}

// lineedit.read(prompt): the line without its end; nil and "eof" or "interrupt".
static int read_line(lua_State *L) {
    snprintf(prompt_text, sizeof prompt_text, "%s", luaL_checkstring(L, 1));
    if (!characters) choose_characters();
    locale_t host = uselocale(characters);
    if (!start()) return uselocale(host), luaL_error(L, "giemsa.lineedit: libedit cannot start on this terminal");
    fflush(stdout);
    interrupted = false;
    caught = 0;
    take_signals();
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
                                 {"remember", remember}, {NULL, NULL}}));
    return 1;
}
