// The terminal this process talks to: its size, and one question put to it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

bool terminal_is(int fd); // 1: where output is shown, be it captured or not
void terminal_set_output(int fd); // where output is shown: stdout, unless that is captured

struct terminal_size {
    int columns, rows;
    int width, height; // pixels; 0: the terminal does not say
};
int terminal_size(struct terminal_size *size); // of stdout; -1 when it is not a terminal

// Writes the text (escape sequences that ask something, "\33[c" last: every terminal answers that
// one) and reads until the answer to "\33[c" has come or the time is over. Returns the number of
// bytes in reply. The terminal is put into raw mode for that time only. -1: stdin or stdout is not
// a terminal, or this process is in the background.
enum { TERMINAL_REPLY_MAX = 1024 };
int terminal_query(char reply[TERMINAL_REPLY_MAX], const char *text, size_t size, double seconds);

// Waits for one key: the bytes it sends (Ctrl-C too, as "\3"). 0: the terminal is gone; -1: stdin is none.
enum { TERMINAL_KEY_MAX = 16 };
int terminal_key(char key[TERMINAL_KEY_MAX]);
